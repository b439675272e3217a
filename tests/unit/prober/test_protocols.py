from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp.abc import ResolveResult
from grpc_health.v1 import health_pb2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from prober import probe
from prober.contract import PROTOCOL_UNSERVED, USER_AGENT, Assign, Protocol
from prober.outcome import Outcome
from prober.probe import Client
from prober.protocols import advice, names
from prober.protocols.http1 import Connections
from prober.target import Ask, NotServedError, asks_of
from tests.unit.prober.loopback import HERE, Target
from tests.unit.prober.servers import App, GrpcServer, Talk, bare, grpc_server, hypercorn

OK_ONLY = ((0, 0),)
HTTP_GOOD = ((200, 399),)


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client as streams have it, but patient: a loaded machine is no fault of a target."""
    monkeypatch.setattr(probe, "TIMEOUT_S", 15.0)
    with Connections() as connections:
        yield Client(connections, time.monotonic, HERE)


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    """A gRPC server whose health says SERVING."""
    with grpc_server() as running:
        running.health.set("", health_pb2.HealthCheckResponse.SERVING)
        yield running


def pod(at: int, protocol: Protocol, **changes: Any) -> Ask:
    """The one ask of an assignment whose only pod listens on this port."""
    known: dict[str, Any] = {
        "id": 1,
        "key": "",
        "namespace": "default",
        "service": "web",
        "route": "pods",
        "port": 8080,
        "rate_per_s": 1,
        "expect": OK_ONLY if protocol == "grpc" else HTTP_GOOD,
        "protocol": protocol,
        "addresses": (f"127.0.0.1:{at}",),
    }
    (ask,) = asks_of(Assign(**(known | changes)), "cluster.local", HERE)
    return ask


async def probed(client: Client, at: int, protocol: Protocol, **changes: Any) -> Outcome:
    """The outcome of one probe, due now."""
    return await client.probe(pod(at, protocol, **changes), time.monotonic())


# --- what is expected beyond the status, over each protocol that has headers -----------------------


@pytest.mark.parametrize("protocol", ["http", "h2c"])
@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "200"),
        ({"header": ("x-ready", "yes, all")}, "200"),
        ({"header": ("x-ready", "no")}, "wrong-header"),
        ({"header": ("x-other", "yes")}, "wrong-header"),
        ({"body": '"state": "ok"'}, "200"),
        ({"body": "grün"}, "200"),
        ({"body": "down"}, "wrong-body"),
        ({"cluster": ("x-cluster", "eks")}, "200"),
        ({"cluster": ("x-cluster", "legacy")}, "wrong-cluster"),
        ({"cluster": ("x-absent", "eks")}, "wrong-cluster"),
        ({"cluster": ("x-cluster", "legacy"), "header": ("x-ready", "no")}, "wrong-cluster"),
        ({"expect": ((404, 404),), "cluster": ("x-cluster", "legacy")}, "200"),
    ],
)
async def test_expectations(
    client: Client, protocol: Protocol, changes: dict[str, Any], answer: str
) -> None:
    """A good answer has the status, comes from the right cluster, and has the header and the body."""
    app = App(
        headers=[(b"x-ready", b"yes, all"), (b"x-cluster", b"eks")],
        body='{"state": "ok", "color": "grün"}'.encode(),
    )
    async with hypercorn(app) as port:
        outcome = await probed(client, port, protocol, **changes)
    assert outcome.answer == answer
    assert outcome.bad is (answer != "200" or "expect" in changes)
    assert outcome.answered_s is not None


async def test_a_body_is_looked_at_within_its_limit(client: Client, target: Target) -> None:
    """What a body says after its first 64 KiB is not looked at."""

    async def long(request: Any, writer: asyncio.StreamWriter) -> None:
        del request
        body = bytes(64 << 10) + b"ready"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    target.answer = long
    outcome = await probed(client, target.port, "http", body="ready")
    assert outcome.answer == "wrong-body"


async def test_a_body_in_pieces_is_one_body(client: Client, target: Target) -> None:
    """A part of the body is found where a chunk ends in its middle."""

    async def pieces(request: Any, writer: asyncio.StreamWriter) -> None:
        del request
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n")
        await writer.drain()
        writer.write(b"2\r\ndy\r\n0\r\n\r\n")

    target.answer = pieces
    assert (await probed(client, target.port, "http", body="ready")).answer == "200"


# --- h2c -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500, 503, 508])
async def test_h2c_gives_the_status(client: Client, status: int) -> None:
    """Over HTTP/2 a status is the answer as over HTTP/1.1."""
    app = App(status=status, body=b"")
    async with hypercorn(app) as port:
        outcome = await probed(client, port, "h2c", path="/ready?deep=1")
    assert (outcome.answer, outcome.bad) == (str(status), status >= 400)
    (scope,) = app.asked
    assert (scope["http_version"], scope["path"], scope["query_string"]) == (
        "2",
        "/ready",
        b"deep=1",
    )
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"web.default.svc.cluster.local:8080"
    assert headers[b"user-agent"] == USER_AGENT.encode()


async def test_a_long_body_over_http2_is_cut(client: Client) -> None:
    """Of a body of 5 MB a small part is read, and the answer is its status."""
    async with hypercorn(App(body=bytes(5 << 20))) as port:
        assert (await probed(client, port, "h2c")).answer == "200"


async def test_an_http1_server_is_no_h2c(client: Client, target: Target) -> None:
    """What answers HTTP/1.1 to HTTP/2 is garbled or ends, and is bad."""
    outcome = await probed(client, target.port, "h2c")
    assert outcome.bad
    assert outcome.answer in ("garbled", "reset")


def http2(*events: str, error: ErrorCodes = ErrorCodes.NO_ERROR) -> Talk:
    """A server that speaks HTTP/2 as far as these words say, by h2's own server side."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    stream = event.stream_id
                    if "headers" in events:
                        connection.send_headers(stream, [(":status", "200")])
                    if "reset" in events:
                        connection.reset_stream(stream, error)
                    if "goaway" in events:
                        connection.close_connection(error, last_stream_id=0)
                    writer.write(connection.data_to_send())
                    if "end" in events:
                        # Reading on, so that what is unread does not turn the end into a reset.
                        writer.write_eof()
                        await reader.read()
                        return
            writer.write(connection.data_to_send())

    return talk


@pytest.mark.parametrize(
    ("talk", "answer"),
    [
        (http2("reset", error=ErrorCodes.REFUSED_STREAM), "reset"),
        (http2("headers", "reset", error=ErrorCodes.INTERNAL_ERROR), "reset"),
        (http2("goaway", error=ErrorCodes.ENHANCE_YOUR_CALM), "reset"),
        (http2("end"), "reset"),
        (http2("headers", "end"), "truncated"),
    ],
)
@pytest.mark.parametrize("protocol", ["h2c", "grpc"])
async def test_an_exchange_that_breaks_off_has_a_kind(
    client: Client, protocol: Protocol, talk: Talk, answer: str
) -> None:
    """An HTTP/2 exchange that is refused or broken off is bad, each by its kind."""
    async with bare(talk) as port:
        outcome = await probed(client, port, protocol)
    assert (outcome.answer, outcome.bad, outcome.answered_s) == (answer, True, None)


@pytest.mark.parametrize(
    ("protocol", "talk", "body"),
    [
        ("h2c", http2("headers"), ""),
        ("h2c", http2(), ""),
        ("grpc", http2("headers"), ""),
        ("grpc", http2(), ""),
        ("tcp", http2(), "220"),
    ],
)
async def test_an_answer_that_does_not_end_times_out(
    client: Client, monkeypatch: pytest.MonkeyPatch, protocol: Protocol, talk: Talk, body: str
) -> None:
    """What has not ended in time, over whatever protocol, is a timeout, counted from the due time."""
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.3)
    async with bare(talk) as port:
        outcome = await probed(client, port, protocol, body=body)
    assert (outcome.answer, outcome.bad, outcome.answered_s) == ("timeout", True, None)
    assert outcome.ended_s >= outcome.due_s + 0.3


# --- gRPC -----------------------------------------------------------------------------------------

Health = health_pb2.HealthCheckResponse


async def test_a_serving_server_is_ok(client: Client, server: GrpcServer) -> None:
    """The health of grpc.health.v1, SERVING, is answered OK."""
    outcome = await probed(client, server.port, "grpc")
    assert (outcome.answer, outcome.bad) == ("OK", False)
    assert outcome.answered_s is not None


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("shop.Cart", "OK"),
        ("shop.Bin", "NOT_SERVING"),
        ("shop.Odd", "UNKNOWN"),
        ("shop.None", "NOT_FOUND"),
    ],
)
async def test_the_health_of_one_service_is_asked(
    client: Client, server: GrpcServer, service: str, answer: str
) -> None:
    """Another health than SERVING is bad by its name, and so is a status that is not expected."""
    server.health.set("shop.Cart", Health.SERVING)
    server.health.set("shop.Bin", Health.NOT_SERVING)
    server.health.set("shop.Odd", Health.UNKNOWN)
    outcome = await probed(client, server.port, "grpc", grpc_service=service)
    assert (outcome.answer, outcome.bad) == (answer, answer != "OK")


async def test_a_long_name_of_a_service_is_one(client: Client, server: GrpcServer) -> None:
    """A name whose length takes two bytes on the wire arrives as it was written."""
    server.health.set("s" * 200, Health.SERVING)
    assert (await probed(client, server.port, "grpc", grpc_service="s" * 200)).answer == "OK"


@pytest.mark.parametrize(
    ("code", "details", "expect", "answer", "bad"),
    [
        (grpc.StatusCode.OK, "", OK_ONLY, "OK", False),
        (grpc.StatusCode.NOT_FOUND, "no cart", OK_ONLY, "NOT_FOUND", True),
        (grpc.StatusCode.NOT_FOUND, "no cart", ((0, 0), (5, 5)), "NOT_FOUND", False),
        (grpc.StatusCode.UNAVAILABLE, "", OK_ONLY, "UNAVAILABLE", True),
        (grpc.StatusCode.ABORTED, "try again", OK_ONLY, "ABORTED", True),
        (grpc.StatusCode.ABORTED, "gateway loop detected", ((10, 10),), "508", True),
    ],
)
async def test_a_unary_call_gives_its_status(
    client: Client,
    server: GrpcServer,
    code: grpc.StatusCode,
    details: str,
    expect: tuple[tuple[int, int], ...],
    answer: str,
    bad: bool,
) -> None:
    """A method of the owner's is called once, and its status is the answer; a gateway's loop is 508."""
    server.code, server.details = code, details
    outcome = await probed(client, server.port, "grpc", path="/shop.Cart/Ping", expect=expect)
    assert (outcome.answer, outcome.bad) == (answer, bad)
    assert server.calls == 1


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"cluster": ("x-cluster", "eks"), "header": ("x-ready", "yes"), "body": "cart"}, "OK"),
        ({"cluster": ("x-cluster", "legacy")}, "wrong-cluster"),
        ({"header": ("x-ready", "no")}, "wrong-header"),
        ({"body": "basket"}, "wrong-body"),
    ],
)
async def test_a_call_is_held_to_metadata_and_message(
    client: Client, server: GrpcServer, changes: dict[str, Any], answer: str
) -> None:
    """Of gRPC the headers are its metadata and the body is its message."""
    server.metadata = (("x-cluster", "eks"), ("x-ready", "yes"))
    server.reply = b"\x0a\x04cart"
    outcome = await probed(client, server.port, "grpc", path="/shop.Cart/Ping", **changes)
    assert outcome.answer == answer


async def test_a_method_that_is_not_there_is_unimplemented(
    client: Client, server: GrpcServer
) -> None:
    """A server without the method says so, and that is the answer."""
    outcome = await probed(client, server.port, "grpc", path="/shop.Cart/Pong")
    assert (outcome.answer, outcome.bad) == ("UNIMPLEMENTED", True)


@pytest.mark.parametrize(("status", "answer"), [(503, "503"), (508, "508"), (200, "garbled")])
async def test_a_web_server_is_no_grpc_server(client: Client, status: int, answer: str) -> None:
    """An HTTP status other than 200 is told as it is; 200 without a gRPC status is garbled."""
    async with hypercorn(App(status=status)) as port:
        outcome = await probed(client, port, "grpc")
    assert (outcome.answer, outcome.bad) == (answer, True)


# --- TCP ------------------------------------------------------------------------------------------


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keep the connection and say nothing."""
    del writer
    await reader.read()


async def ending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection and end it, as a proxy does that reaches nobody."""
    del reader
    writer.close()


def saying(*pieces: bytes) -> Talk:
    """Speak first, in pieces, then keep the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    return talk


@pytest.mark.parametrize(
    ("talk", "body", "answer"),
    [
        (silent, "", "open"),
        (saying(b"220 mail\r\n"), "", "open"),
        (ending, "", "closed"),
        (saying(b"220 mail.", b"example ESMTP\r\n"), "mail.example", "open"),
        (saying(b"SSH-2.0-OpenSSH\r\n" + bytes(8 << 10)), "ESMTP", "wrong-body"),
        (ending, "220", "closed"),
    ],
)
async def test_tcp_connects_and_listens(client: Client, talk: Talk, body: str, answer: str) -> None:
    """A connection counts when it is kept, or when the server's first words are the expected ones."""
    async with bare(talk) as port:
        outcome = await probed(client, port, "tcp", body=body)
    assert (outcome.answer, outcome.bad) == (answer, answer != "open")


async def test_a_closed_tcp_port_is_refused(client: Client) -> None:
    """A port where nobody listens is an error of that kind, over each protocol."""
    async with bare(silent) as port:
        pass
    for protocol in ("tcp", "h2c", "grpc"):
        assert (await probed(client, port, protocol)).answer == "refused"


# --- names, and protocols that are not there ------------------------------------------------------


@pytest.mark.parametrize("protocol", ["h2c", "grpc", "tcp"])
async def test_a_name_is_looked_up_once(
    client: Client, monkeypatch: pytest.MonkeyPatch, protocol: Protocol
) -> None:
    """Probes that are due together share a lookup, and later ones its answer."""
    looked_up: list[str] = []
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.5)
    async with bare(silent) as port:

        async def resolve(_: Any, host: str, *__: Any) -> Any:
            looked_up.append(host)
            return [{"host": "127.0.0.1", "port": port}]

        monkeypatch.setattr(names.BoundedResolver, "resolve", resolve)
        assign = Assign(
            id=1,
            key="",
            namespace="default",
            service="web",
            route="mirror",
            port=port,
            rate_per_s=1,
            expect=OK_ONLY if protocol == "grpc" else HTTP_GOOD,
            mirror_of="eks",
            protocol=protocol,
        )
        (ask,) = asks_of(assign, "cluster.local", HERE)
        due = time.monotonic()
        outcomes = await asyncio.gather(*(client.probe(ask, due) for _ in range(3)))
        assert all(outcome.answer in ("open", "timeout") for outcome in outcomes)
        await client.probe(ask, time.monotonic())
    assert looked_up == ["web-eks.default.svc.cluster.local"]


@pytest.mark.parametrize("protocol", ["h2c", "grpc", "tcp"])
@pytest.mark.parametrize(
    ("code", "answer", "unsent"),
    [(socket.EAI_NONAME, "dns", ""), (socket.EAI_AGAIN, "", "unsent")],
)
async def test_dns_is_judged_as_with_http(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    protocol: Protocol,
    code: int,
    answer: str,
    unsent: str,
) -> None:
    """A name that does not exist is bad; a name that could not be looked up is unsent."""

    async def resolve(*_: Any) -> Any:
        raise socket.gaierror(code, "as told")

    monkeypatch.setattr(names.BoundedResolver, "resolve", resolve)
    outcome = await probed(client, 1, protocol, route="apex", addresses=())
    assert (outcome.answer, outcome.unsent) == (answer, unsent)


@pytest.mark.parametrize("protocol", ["http", "h2c", "grpc", "tcp"])
@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["fe80::1%eth0"],
        ["fd00:ec2::254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["10.0.0.1", "127.0.0.1"],
    ],
)
async def test_a_name_that_leads_where_probes_never_go_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol, found: list[str]
) -> None:
    """What a name resolves to is held to the same as an address: nothing is connected to, and nobody is blamed."""
    connected: list[object] = []

    async def resolve(_: object, host: str, port: int, __: object) -> list[ResolveResult]:
        return [_resolved(host, each, port) for each in found]

    async def connect(*where: object, **_: object) -> None:
        connected.append(where)
        raise OSError

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(asyncio, "open_connection", connect)
    monkeypatch.setattr(Connections, "take", connect)
    with Connections() as connections:
        client = Client(connections, time.monotonic)
        with capture_logs() as logs:
            outcomes = [
                await probed(client, 80, protocol, route="apex", addresses=()) for _ in range(2)
            ]
    assert [(one.unsent, one.answer, one.bad) for one in outcomes] == [("forbidden", "", False)] * 2
    assert not connected
    (told,) = logs
    assert told["message"].startswith(f"web.default.svc.cluster.local leads to {found[-1]}, ")


@pytest.mark.parametrize("protocol", ["http", "h2c", "grpc", "tcp"])
async def test_the_address_that_was_checked_is_the_one_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, server: GrpcServer, protocol: Protocol
) -> None:
    """A name that leads elsewhere a moment later (DNS rebinding) gains nothing: it is looked up once."""
    answers = iter(["127.0.0.1", "169.254.169.254"])

    async def resolve(_: object, host: str, port: int, __: object) -> list[ResolveResult]:
        return [_resolved(host, next(answers), port)]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    with Connections() as connections:
        client = Client(connections, time.monotonic, HERE)
        outcome = await probed(
            client, server.port, protocol, route="apex", addresses=(), port=server.port
        )
    assert not outcome.unsent
    assert outcome.answer not in ("dns", "refused", "timeout")
    assert next(answers) == "169.254.169.254"


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host, host=address, port=port, family=socket.AF_UNSPEC, proto=0, flags=0
    )


async def test_an_address_is_not_looked_up(
    client: Client, monkeypatch: pytest.MonkeyPatch, server: GrpcServer
) -> None:
    """Own pods are asked by address, and no thread is troubled for that."""
    monkeypatch.setattr(names.BoundedResolver, "resolve", None)
    assert (await probed(client, server.port, "grpc")).answer == "OK"


@pytest.mark.parametrize("protocol", ["h2c", "grpc", "tcp"])
async def test_through_an_http_proxy_only_http_is_spoken(protocol: Protocol) -> None:
    """A proxy that stands in for the sidecar speaks HTTP/1.1: the rest is refused with a reason."""
    with Connections("http://127.0.0.1:9") as connections:
        client = Client(connections, time.monotonic)
        client.check("http")
        with pytest.raises(NotServedError, match=f"{protocol}.*leave proxy_url out") as refused:
            client.check(protocol)
    assert refused.value.reason == PROTOCOL_UNSERVED


def test_without_h2_the_rest_is_served() -> None:
    """A prober without the extra starts, speaks HTTP/1.1 and TCP, and names what to install."""
    code = (
        "import asyncio, sys; sys.modules['h2'] = None\n"
        "from prober import protocols\n"
        "async def main(): print(*protocols.askings(protocols.http1.Connections(), None, None))\n"
        "asyncio.run(main())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == ["http", "tcp"]
    assert "install mesh-migrate[http2]" in advice("grpc", proxied=False)


# --- whatever comes -------------------------------------------------------------------------------


def test_no_bytes_make_a_probe_raise() -> None:
    """Whatever a target sends, over any protocol, there is an outcome and it is not our own fault."""
    with asyncio.Runner() as runner:

        async def exchange(protocol: Protocol, answer: bytes) -> None:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                del reader
                writer.write(answer)
                await writer.drain()
                writer.write_eof()
                await asyncio.sleep(0)

            async with bare(talk) as port:
                client = Client(Connections(), time.monotonic)
                outcome = await probed(client, port, protocol, body="x")
                assert (outcome.unsent, bool(outcome.answer)) == ("", True)

        frame = st.builds(
            lambda kind, flags, stream, payload: (
                len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
            ),
            st.integers(0, 10),
            st.integers(0, 255),
            st.sampled_from([0, 1, 2, 3]),
            st.binary(max_size=40),
        )
        settings_frame = b"\0\0\0\4\0\0\0\0\0"

        @settings(max_examples=120, deadline=None)
        @given(
            st.sampled_from(["h2c", "grpc", "tcp"]),
            st.sampled_from([b"", settings_frame]),
            st.lists(frame | st.binary(max_size=20), max_size=4),
        )
        def send(protocol: Protocol, head: bytes, pieces: list[bytes]) -> None:
            runner.run(exchange(protocol, head + b"".join(pieces)))

        send()
