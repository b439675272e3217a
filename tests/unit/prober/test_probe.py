from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from prober import probe
from prober.contract import USER_AGENT, Assign
from prober.probe import Client, _kind_of
from prober.protocols import names
from prober.protocols.http1 import Connections
from prober.target import MAX_BODY_BYTES, Ask, asks_of
from tests.unit.prober.loopback import HERE, OK, Request, Target, running_target


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client as streams have it."""
    with Connections() as connections:
        yield Client(connections, time.monotonic, HERE)


def ask(target: Target, path: str = "/", method: str = "GET", **headers: str) -> Ask:
    """What is asked of the target."""
    return Ask(method, URL(target.url + path, encoded=True), headers)


def says(answer: bytes, *, close: bool = False) -> Any:
    """Answer every request with these bytes."""

    async def answer_with(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        writer.write(answer)
        if close:
            writer.close()

    return answer_with


@pytest.mark.parametrize("status", [200, 201, 204, 301, 302, 304, 307, 400, 404, 500, 503, 508])
async def test_a_status_is_an_answer(client: Client, target: Target, status: int) -> None:
    """Whatever the status, it is the answer, and one request was sent."""
    target.answer = says(
        b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n" % status
    )
    outcome = await client.probe(ask(target), time.monotonic())
    assert (outcome.answer, outcome.unsent) == (str(status), "")
    assert outcome.bad is (status not in range(200, 400))
    assert outcome.answered_s is not None
    assert outcome.due_s <= outcome.started_s <= outcome.answered_s <= outcome.ended_s
    assert [request.line for request in target.requests] == ["GET / HTTP/1.1"]


async def test_a_probe_is_marked_and_plain(client: Client, target: Target) -> None:
    """A probe carries its mark, and asks for nothing special."""
    await client.probe(ask(target, method="HEAD"), time.monotonic())
    (request,) = target.requests
    assert request.line == "HEAD / HTTP/1.1"
    assert request.headers == {
        "Host": f"127.0.0.1:{target.port}",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }


async def test_a_path_is_sent_as_it_was_written(client: Client, target: Target) -> None:
    """Nothing is quoted, unquoted or tidied in a path."""
    path = "/a%2fb/../c/./%zz;x?q=<>\"'|\\^`{}[]&r=%20+@:"
    await client.probe(ask(target, path), time.monotonic())
    assert target.requests[0].line == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize(("port", "suffix"), [(80, ""), (8080, ":8080")])
async def test_a_pod_sees_the_host_of_its_service(
    client: Client, target: Target, port: int, suffix: str
) -> None:
    """A pod that is asked by its address sees the Service's Host, once."""
    assign = Assign(
        id=1,
        key="",
        namespace="default",
        service="web",
        route="pods",
        port=port,
        rate_per_s=1,
        expect=((200, 200),),
        addresses=(f"127.0.0.1:{target.port}",),
    )
    (pod,) = asks_of(assign, "cluster.local", HERE)
    outcome = await client.probe(pod, time.monotonic())
    assert outcome.answer == "200"
    assert target.requests[0].headers["Host"] == f"web.default.svc.cluster.local{suffix}"


async def test_no_cookie_is_kept(client: Client, target: Target) -> None:
    """A cookie that an answer sets is not sent with the next probe."""
    target.answer = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
    for _ in range(2):
        await client.probe(ask(target), time.monotonic())
    assert len(target.requests) == 2
    assert all("Cookie" not in request.headers for request in target.requests)


async def test_a_dropped_connection_is_not_tried_again(client: Client, target: Target) -> None:
    """When a kept connection is closed after the request was read, exactly one request arrives."""

    async def drop_the_second(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        if len(target.requests) == 1:
            writer.write(OK)
        else:
            writer.close()

    target.answer = drop_the_second
    first = await client.probe(ask(target), time.monotonic())
    second = await client.probe(ask(target), time.monotonic())
    assert (first.answer, second.answer, second.bad) == ("200", "reset", True)
    assert len(target.requests) == 2


async def test_a_connection_is_used_again(client: Client, target: Target) -> None:
    """Probes in a row share a connection, as clients do."""
    peers = set()

    async def remember(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        peers.add(writer.get_extra_info("peername"))
        writer.write(OK)

    target.answer = remember
    for _ in range(3):
        await client.probe(ask(target), time.monotonic())
    assert len(peers) == 1


async def test_a_hanging_target_times_out(client: Client, target: Target) -> None:
    """No answer within a second of the due time is a timeout, and nothing stays open."""
    hung = asyncio.Event()

    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        del request, writer
        hung.set()
        await asyncio.Event().wait()

    target.answer = hang
    due = time.monotonic() - 0.03
    outcome = await client.probe(ask(target), due)
    assert hung.is_set()
    assert (outcome.answer, outcome.answered_s) == ("timeout", None)
    assert outcome.ended_s >= due + probe.TIMEOUT_S


async def test_a_body_that_never_ends_times_out(client: Client, target: Target) -> None:
    """A status alone is no answer: the body must end, or be long, within the second."""
    target.answer = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbut")
    outcome = await client.probe(ask(target), time.monotonic())
    assert outcome.answer == "timeout"


async def test_a_reset_is_told(client: Client, target: Target) -> None:
    """A connection that is reset is an error of that kind."""

    async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
        del request
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    target.answer = reset
    outcome = await client.probe(ask(target), time.monotonic())
    assert outcome.answer == "reset"


async def test_a_closed_port_is_told(client: Client) -> None:
    """A port where nobody listens is an error of that kind."""
    async with running_target() as gone:
        pass
    outcome = await client.probe(ask(gone), time.monotonic())
    assert outcome.answer == "refused"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "truncated"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "garbled"),
        (b"", "reset"),
    ],
)
async def test_half_an_answer_is_none(
    client: Client, target: Target, answer: bytes, error: str
) -> None:
    """An answer that breaks off, or is not HTTP, is an error of its kind."""
    target.answer = says(answer, close=True)
    outcome = await client.probe(ask(target), time.monotonic())
    assert (outcome.answer, outcome.bad, outcome.answered_s) == (error, True, None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnot!", 200),
        (b'HTTP/1.1 200 OK\r\nSet-Cookie: \xff=;;="\\\r\nContent-Length: 0\r\n\r\n', 200),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", 302),
    ],
)
async def test_odd_answers_are_answers(
    client: Client, target: Target, answer: bytes, status: int
) -> None:
    """Only the status counts: what else an answer says is not looked at."""
    target.answer = says(answer)
    outcome = await client.probe(ask(target), time.monotonic())
    assert outcome.answer == str(status)
    assert outcome.answered_s is not None


async def test_a_long_body_is_not_read(client: Client, target: Target) -> None:
    """Of a body of 10 MB a small part is read, then the connection is closed."""
    length = 10 << 20
    written = 0
    closed = asyncio.Event()

    async def flood(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        del request
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        try:
            while written < length:
                writer.write(bytes(64 << 10))
                await writer.drain()
                written += 64 << 10
        finally:
            closed.set()

    target.answer = flood
    outcome = await client.probe(ask(target), time.monotonic())
    async with asyncio.timeout(10):
        await closed.wait()
    assert outcome.answer == "200"
    assert MAX_BODY_BYTES <= written + (64 << 10) < length


async def test_a_probe_that_starts_late_is_not_sent(client: Client, target: Target) -> None:
    """A probe more than 50 ms late is told as late, and the target is not asked."""
    outcome = await client.probe(ask(target), time.monotonic() - 0.06)
    assert (outcome.unsent, outcome.answer, outcome.bad) == ("late", "", False)
    assert target.requests == []


async def test_proxies_of_the_environment_are_not_used(
    client: Client, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the settings name a proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert (await client.probe(ask(target), time.monotonic())).answer == "200"


async def test_the_proxy_of_the_settings_is_used(target: Target) -> None:
    """Through a proxy the whole name is asked for, and nothing is looked up."""
    with Connections(target.url) as connections:
        client = Client(connections, time.monotonic)
        web = Ask("GET", URL("http://web-eks.default.svc.cluster.local:8080/x"), {})
        assert (await client.probe(web, time.monotonic())).answer == "200"
    (request,) = target.requests
    assert request.line == "GET http://web-eks.default.svc.cluster.local:8080/x HTTP/1.1"
    assert request.headers["Host"] == "web-eks.default.svc.cluster.local:8080"


@pytest.mark.parametrize(
    ("code", "error", "unsent"),
    [
        (socket.EAI_NONAME, "dns", ""),
        (socket.EAI_AGAIN, "", "unsent"),
        (socket.EAI_SYSTEM, "", "unsent"),
    ],
)
async def test_dns_that_does_not_answer_is_no_fault_of_the_target(
    client: Client, monkeypatch: pytest.MonkeyPatch, code: int, error: str, unsent: str
) -> None:
    """A name that does not exist is bad; a name that could not be looked up is unsent."""

    async def resolve(*_: Any) -> Any:
        raise socket.gaierror(code, "as told")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    web = Ask("GET", URL("http://web.default.svc.cluster.local/"), {})
    outcome = await client.probe(web, time.monotonic())
    assert (outcome.answer, outcome.unsent) == (error, unsent)


async def test_dns_that_hangs_is_no_fault_of_the_target(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS has less time than the probe, so that a hanging lookup is unsent and not a timeout."""

    async def resolve(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(names, "TIMEOUT_S", 0.05)
    web = Ask("GET", URL("http://web.default.svc.cluster.local/"), {})
    outcome = await client.probe(web, time.monotonic())
    assert (outcome.answer, outcome.unsent) == ("", "unsent")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EMFILE, "too many files"), ""),
        (OSError(errno.EADDRNOTAVAIL, "no port left"), ""),
        (OSError(errno.EHOSTUNREACH, "no route"), "unreachable"),
        (OSError(errno.EPIPE, "gone"), "reset"),
        (OSError(errno.EPROTO, "odd"), "connection"),
        (TimeoutError(), "timeout"),
        (ConnectionError(), "connection"),
    ],
)
def test_faults_of_our_own_have_no_kind(error: Exception, kind: str) -> None:
    """What the prober lacks itself is told apart from what the target does."""
    assert _kind_of(error) == kind


async def test_a_fault_nobody_thought_of_is_our_own(
    client: Client, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe never raises: what nobody thought of voids the sample, and blames nobody."""

    async def break_down(*_: Any, **__: Any) -> Any:
        raise KeyError

    monkeypatch.setattr(Connections, "take", break_down)
    outcome = await client.probe(ask(target), time.monotonic())
    assert (outcome.answer, outcome.unsent) == ("", "unsent")


async def test_a_probe_can_be_cancelled(client: Client, target: Target) -> None:
    """Cancelling is not an outcome."""
    asked = asyncio.Event()

    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        del request, writer
        asked.set()
        await asyncio.Event().wait()

    target.answer = hang
    task = asyncio.create_task(client.probe(ask(target), time.monotonic()))
    async with asyncio.timeout(5):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_no_bytes_make_a_probe_raise() -> None:
    """Whatever a target sends, there is an outcome, and it is not the prober's own fault."""
    with asyncio.Runner() as runner:

        async def exchange(answer: bytes) -> None:
            async with running_target() as target:
                target.answer = says(answer, close=True)
                client = Client(Connections(), time.monotonic)
                outcome = await client.probe(ask(target), time.monotonic())
                assert outcome.unsent == ""
                assert outcome.answer
                assert outcome.bad or outcome.answered_s is not None

        heads = st.sampled_from(
            [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: "]
        )

        @settings(max_examples=60, deadline=None)
        @given(heads, st.binary(max_size=60), st.sampled_from([b"", b"\r\n\r\n"]))
        def send(head: bytes, body: bytes, tail: bytes) -> None:
            runner.run(exchange(head + body + tail))

        send()
