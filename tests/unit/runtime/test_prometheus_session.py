"""What is sent to a Prometheus, and what of its errors is told: never a secret, never more than a line."""

from __future__ import annotations

import html
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from controller.evidence.clients.monitor import Answered
from controller.runtime import prometheus
from controller.runtime.prometheus import Traffic
from tests.unit.runtime.test_prometheus import (
    NEWEST,
    ORDER,
    A,
    Meter,
    client,
    reconcile,
    server,
    vector,
)

TOKEN, PASSWORD, KEY = "t0k3n/with+all=", "pass\"w<ö>rd's", "key-7"


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The files of each way to say who one is, by its name."""
    written = {
        "token": f"{TOKEN}\n",
        "user": "jane\n",
        "password": f"{PASSWORD}\n",
        "headers": f"\nTHANOS-TENANT: team-a\nX-Api-Key: {KEY}\n",
    }
    path = {name: str(tmp_path / name) for name in written}
    for name, text in written.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {
        "bearer": {"token_file": path["token"]},
        "basic": {"username_file": path["user"], "password_file": path["password"]},
        "headers": {"headers_file": path["headers"]},
        "tenant": {"tenant": "legacy|eks"},
        "all": {"tenant": "legacy", "token_file": path["token"], "headers_file": path["headers"]},
    }


@pytest.mark.parametrize(
    ("way", "sent"),
    [
        ("bearer", {"Authorization": f"Bearer {TOKEN}"}),
        ("basic", {"Authorization": "Basic amFuZTpwYXNzInc8w7Y+cmQncw=="}),
        ("headers", {"THANOS-TENANT": "team-a", "X-Api-Key": KEY}),
        ("tenant", {"X-Scope-OrgID": "legacy|eks"}),
        ("all", {"X-Scope-OrgID": "legacy", "Authorization": f"Bearer {TOKEN}", "X-Api-Key": KEY}),
    ],
)
async def test_each_way_to_say_who_one_is_is_sent(
    secrets: dict[str, dict[str, str]], way: str, sent: dict[str, str]
) -> None:
    """Tenant, headers, bearer token, and user and password arrive as their servers read them."""
    heard: dict[str, str] = {}

    async def note(request: web.Request) -> web.Response:
        heard.update(request.headers)
        return vector(NEWEST)

    async with server(note) as url:
        assert (await reconcile(client(url, None, **secrets[way]))).error == ""
    assert {name: heard.get(name) for name in sent} == sent


def echoed(heard: Any) -> dict[str, str]:
    """What a server says that repeats what it heard, in each way of writing it."""
    lines = (f"{name}: {value}" for name, value in heard.items())
    said = " ".join([PASSWORD, *(line for line in lines if line[:2] in ("Au", "X-")), *lines])
    return {
        "text": said,
        "json": json.dumps({"status": "error", "error": f"bad request: {said}"}),
        "json in text": json.dumps({"message": said}),
        "html": f"<pre>{html.escape(said)}</pre>",
        "repr": repr(said),
    }


@pytest.mark.parametrize("way", ["bearer", "basic", "headers", "all"])
@pytest.mark.parametrize("spelling", ["text", "json", "json in text", "html", "repr"])
@pytest.mark.parametrize("status", [200, 400, 401, 502])
async def test_no_secret_is_told(
    secrets: dict[str, dict[str, str]], way: str, spelling: str, status: int
) -> None:
    """A server that repeats what it was sent gets no secret into an error, a log line or a metric."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=status, text=echoed(request.headers)[spelling])

    meter = Meter()
    async with server(echo) as url:
        found = await reconcile(client(url, meter, **secrets[way]))
    with capture_logs() as logs:
        traffic = Traffic({}, tick_s=1.0, answered=lambda _: None, log=structlog.get_logger())
        traffic._pass_on(found)
    assert found.error
    told = " ".join([found.error, *(log["error"] for log in logs), *meter.outcomes])
    sent = {
        "bearer": [TOKEN],
        "basic": [PASSWORD, "amFuZTpw"],
        "headers": [KEY],
        "all": [TOKEN, KEY],
    }
    for secret in sent[way]:
        spelled = {secret, json.dumps(secret)[1:-1], html.escape(secret), repr(secret)[1:-1]}
        assert not [one for one in spelled if one in told]


async def test_a_value_that_is_no_number_is_not_repeated(
    secrets: dict[str, dict[str, str]],
) -> None:
    """What cannot be read of an answer is told, without what was sent."""

    async def echo(request: web.Request) -> web.Response:
        return vector({"metric": {}, "value": [1, request.headers["Authorization"]]})

    async with server(echo) as url:
        found = await reconcile(client(url, None, **secrets["bearer"]))
    assert found.error == (
        "its answer cannot be read: could not convert string to float: 'Bearer ***'"
    )


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"no org id\n", "it answers HTTP 401: no org id"),
        (403, b"", "it answers HTTP 403"),
        (
            422,
            b'{"status":"error","errorType":"execution","error":"query processing would load too many"}',
            "it answers HTTP 422: query processing would load too many",
        ),
        (
            502,
            b"\x1b[31mred\x07\x00 \r\n\xe2\x80\xaelater \xff",
            "it answers HTTP 502: [31mred later \ufffd",
        ),
        (500, b"[" * 100_000, "it answers HTTP 500: " + "[" * 200 + " ..."),
        (300, b"[1]", "it answers HTTP 300: [1]"),
    ],
)
async def test_an_error_is_one_line_of_text(status: int, body: bytes, told: str) -> None:
    """What a server says is text, of its JSON the sentence, without control characters, and bounded."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with server(say) as url:
        assert (await reconcile(client(url))).error == told


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("/login?for=jane", "it redirects (HTTP"),
        (
            "https://login.example.com:8443/?ticket=7",
            "it redirects to https://login.example.com:8443 (HTTP",
        ),
        ("//jane:secret@other.example.com/x", "it redirects to http://other.example.com (HTTP"),
        ("http://[broken", "it redirects (HTTP"),
    ],
)
async def test_a_redirect_is_an_error(status: int, location: str, there: str) -> None:
    """Nobody is followed elsewhere with a token in hand: the redirect is told, with what to write."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": location})

    meter = Meter()
    async with server(elsewhere) as url:
        found = await reconcile(client(url, meter))
    assert found.error == (
        f"{there} {status}), which is not followed: write in prometheus.url where its API is"
    )
    assert (asked, meter.outcomes) == (["/api/v1/query"], ["refused"])


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("token_file", b"se\ncret", "its token cannot be used: write one line of ASCII text to "),
        ("token_file", "s\u00e9cret".encode(), "its token cannot be used: write one line of ASCII"),
        ("token_file", b"", "its token cannot be used: write one line of ASCII text to "),
        ("token_file", b"secret\xff", "its token cannot be read: "),
        ("headers_file", b"X-A: 1\nsecret", "line 2 of its headers file "),
        ("headers_file", b"X-A: secret\x00", "line 1 of its headers file "),
        ("headers_file", b"X-A:", "line 1 of its headers file "),
        ("headers_file", b"X-A: 1\nx-a: secret", "the header x-a would be sent twice: write it in"),
    ],
)
async def test_a_file_that_cannot_be_sent_is_told_and_not_quoted(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """What would break a header is told by its file and line, and nothing is asked."""
    file = tmp_path / "file"
    file.write_bytes(content)
    meter = Meter()
    found = await reconcile(client("http://127.0.0.1:1", meter, **{name: str(file)}))
    assert found.error.startswith(told)
    assert "secret" not in found.error
    assert meter.outcomes == []


@pytest.mark.parametrize(
    "missing", ["token_file", "headers_file", "username_file", "password_file"]
)
async def test_a_missing_file_is_told(tmp_path: Path, missing: str) -> None:
    """A file that is not there is named."""
    user = tmp_path / "there"
    user.write_text("jane")
    files = {missing: str(tmp_path / "nowhere")}
    if missing in ("username_file", "password_file"):
        files = {"username_file": str(user), "password_file": str(user)} | files
    found = await reconcile(client("http://127.0.0.1:1", None, **files))
    assert "cannot be read" in found.error
    assert found.error.endswith(f"{tmp_path / 'nowhere'}'")


@pytest.mark.parametrize("names", [("ca_file",), ("cert_file", "key_file")])
async def test_a_missing_certificate_ends_no_controller(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A certificate that is not there is an error of the answer, told with its path."""
    nowhere = str(tmp_path / "nowhere.pem")
    meter = Meter()
    found = await reconcile(client("https://127.0.0.1:1", meter, **dict.fromkeys(names, nowhere)))
    assert found.error.startswith("a file for it cannot be used: Could not find")
    assert nowhere in found.error
    assert meter.outcomes == ["unreachable"]


# --- answers that break off -------------------------------------------------------------------------------


@contextmanager
def raw_server(then: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer every question with the head of an answer of 100 bytes, and then do this."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            then(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join()


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    """A server that goes away in the middle of its answer is told, and ends nothing here."""
    meter = Meter()
    with raw_server(lambda _: None) as url:
        found = await reconcile(client(url, meter))
    assert found.error.startswith("its answer cannot be read: ")
    assert meter.outcomes == ["unreadable"]


async def test_an_answer_that_stops_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing more in the middle of its answer did not answer in time."""
    monkeypatch.setattr(prometheus, "TIMEOUT_S", (0.2, 0.2))
    over = threading.Event()
    meter = Meter()
    with raw_server(lambda _: (over.wait(20), None)[1]) as url:
        found = await reconcile(client(url, meter))
        over.set()
    assert found.error == "it did not answer within 0.2 s"
    assert meter.outcomes == ["timeout"]


# --- matchers ---------------------------------------------------------------------------------------------


async def nothing_but(request: web.Request, *others: dict[str, str]) -> web.Response:
    """Answer what time it is, and else nothing, but to the question after other clusters' labels these."""
    query = str((await request.post())["query"])
    if query == "vector(time())":
        return vector(NEWEST)
    if not query.startswith("count by (cluster, env) (proxy_build_info{"):
        return vector()
    return vector(*({"metric": labels, "value": [1.0, "3"]} for labels in others))


@pytest.mark.parametrize(
    ("others", "there"),
    [
        ((), "none at all"),
        (
            ({"cluster": "old"}, {"cluster": "a\x07\nb", "env": "x"}),
            'some with cluster="a b", env="x"; cluster="old", env=""',
        ),
        (
            tuple({"cluster": f"c{n}", "env": "x"} for n in range(9)),
            "; ".join(
                [
                    'some with cluster="c0", env="x"',
                    *(f'cluster="c{n}", env="x"' for n in range(1, 5)),
                ]
            ),
        ),
    ],
)
async def test_matchers_that_match_nothing_are_told_with_what_there_is(
    others: tuple[dict[str, str], ...], there: str
) -> None:
    """Where the matchers select no proxy, it is said which labels proxies there have, once in the log."""

    async def serve(request: web.Request) -> web.Response:
        return await nothing_but(request, *others)

    async with server(serve) as url:
        found = await reconcile(client(url, matchers={"env": "prod", "cluster": "legacy"}))
    assert (found.error, found.newest) == ("", None)
    assert found.empty == (
        f'it has no sample of a Linkerd proxy with cluster="legacy", env="prod", and {there}: write under'
        " prometheus.matchers the labels that this cluster's series have"
    )
    told: list[Answered] = []
    with capture_logs() as logs:
        traffic = Traffic({}, tick_s=1.0, answered=told.append, log=structlog.get_logger())
        for _ in range(3):
            traffic._pass_on(found)
    assert [(log["event"], log["error"]) for log in logs] == [
        ("prometheus does not tell", found.empty)
    ]
    assert told == [found] * 3


async def test_without_matchers_nothing_more_is_asked() -> None:
    """A Prometheus without a proxy's sample is asked the usual questions only."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(str((await request.post())["query"]))
        return await nothing_but(request)

    async with server(serve) as url:
        one = client(url)
        found = await reconcile(one)
    assert asked == ["vector(time())", *one._counters.queries({A: ORDER}).values()]
    assert found.wrong == "it has no sample of a Linkerd proxy"


def test_every_selector_has_the_matchers() -> None:
    """Each question's every selector ends in the matchers, whose values are quoted as PromQL reads them."""
    found = client("http://unused", matchers={"cluster": 'le"g}a\\cy\n', "env": "prod"})
    for name, query in found._counters.queries({A: ORDER}).items():
        selectors = query.count("{")
        assert query.count(r', cluster="le\"g}a\\cy\n", env="prod"') == selectors, name
