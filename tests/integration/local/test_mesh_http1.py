"""Heads and bodies of HTTP/1.1, against what could be read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.stand_ins.mesh.http1 import (
    BadHeadError,
    Body,
    ChunkedBody,
    LengthBody,
    parse_request,
    parse_response,
    request_body,
    response_body,
)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=50),
    trailer=st.sampled_from([b"", b"x: y\r\n"]),
)
def test_a_chunked_body_ends_where_it_ends(
    chunks: list[bytes], cuts: list[int], trailer: bytes
) -> None:
    """However the bytes arrive, all of the body is taken and nothing of what follows."""
    whole = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n"
    whole += trailer + b"\r\n"
    stream = whole + b"GET / HTTP/1.1\r\n"
    body = ChunkedBody()
    taken = at = 0
    for cut in [*cuts, len(stream)]:
        if body.done:
            break
        taken += body.take(stream[at : at + cut])
        at += cut
    assert body.done
    assert taken == len(whole)


@given(length=st.integers(0, 100), cut=st.integers(0, 120))
def test_a_body_of_known_length_takes_no_more(length: int, cut: int) -> None:
    """It is done exactly when so many bytes were taken."""
    body = LengthBody(length)
    first = body.take(b"x" * cut)
    assert first == min(length, cut)
    assert body.done == (cut >= length)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /",
        b"GET / HTTP/2.0",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\nfolded: a\r\n b: c",
        b"GET / HTTP/1.1\r\nname : value",
        b"GET / HTTP/1.1\r\nbare: a\nb: c",
    ],
)
def test_a_malformed_head_is_refused(head: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(BadHeadError):
        parse_request(head)


@pytest.mark.parametrize(
    "fields",
    [
        b"content-length: 1\r\ncontent-length: 2",
        b"content-length: -1",
        b"content-length: 1\r\ntransfer-encoding: chunked",
        b"transfer-encoding: gzip, chunked",
    ],
)
def test_a_body_of_two_lengths_is_refused(fields: bytes) -> None:
    """What two parties could read differently does not pass."""
    with pytest.raises(BadHeadError):
        request_body(parse_request(b"POST / HTTP/1.1\r\n" + fields))


def test_a_chunk_size_is_hexadecimal() -> None:
    """``+5`` and ``0x5`` are read by some parsers, so by none here."""
    for size in (b"+5\r\n", b"0x5\r\n", b"\r\n"):
        with pytest.raises(BadHeadError):
            ChunkedBody().take(size)


def test_answers_without_a_body_have_none() -> None:
    """To HEAD, 204 and 304 there is no body whatever the fields say; else it ends with the connection."""
    answer = parse_response(b"HTTP/1.1 200 OK\r\ncontent-length: 5")
    assert response_body(answer, to_head=True).done
    assert response_body(parse_response(b"HTTP/1.1 304 Not Modified"), to_head=False).done
    assert type(response_body(parse_response(b"HTTP/1.1 200 OK"), to_head=False)) is Body
    assert not response_body(answer, to_head=False).done
