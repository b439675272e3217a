"""The prober as a controller meets it: real sockets, a real WebSocket, a target on loopback."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given, settings
from hypothesis import strategies as st

from prober import contract
from prober.contract import Assign, Hello, Readdress, Refused, Report, Sample, Withdraw
from prober.server import Server
from prober.settings import Settings
from prober.telemetry import Metrics, new_metrics
from tests.unit.prober.loopback import OK, Request, Target, eventually, running_target

TOKEN = "a-token"


@dataclass
class Prober:
    """A prober that runs in this process."""

    server: Server
    metrics: Metrics
    port: int
    tokens: Path
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str) -> float:
        """One number of its metrics."""
        return self.metrics.registry.get_sample_value(f"migrate_prober_{name}") or 0.0

    @asynccontextmanager
    async def dial(self, token: str = TOKEN) -> AsyncIterator[Controller]:
        """Open a stream and read its Hello."""
        async with self.session.ws_connect(
            self.url + contract.PATH, headers={"Authorization": f"Bearer {token}"}
        ) as websocket:
            controller = Controller(websocket)
            controller.hello = await controller.receive(Hello)
            yield controller

    async def status(self, path: str, **headers: str) -> int:
        """What a plain GET is answered."""
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status


class Controller:
    """The other side of a stream."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.hello: Any = None
        self.reports: list[Report] = []

    async def say(self, *messages: contract.ToProber) -> None:
        """Send messages."""
        for message in messages:
            await self.websocket.send_str(contract.encode(message).decode())

    async def receive(self, kind: type) -> Any:
        """Read until a message of this kind comes; remember the reports."""
        async with asyncio.timeout(10):
            while True:
                message = contract.decode_from_prober(await self.websocket.receive_str())
                if isinstance(message, Report):
                    self.reports.append(message)
                if isinstance(message, kind):
                    return message

    async def samples(self, count: int) -> list[Sample]:
        """Read until so many samples have been told."""
        told: list[Sample] = []
        while len(told) < count:
            told += (await self.receive(Report)).samples
        return told


@asynccontextmanager
async def running_prober(
    folder: Path, target: Target, listening: socket.socket | None = None
) -> AsyncIterator[Prober]:
    """Run a prober whose sidecar, and everything behind it, is the target."""
    tokens = folder / "tokens"
    tokens.write_text(f"{TOKEN}\nanother-token\n")
    metrics = new_metrics("eks")
    server = Server(
        Settings(cluster="eks", token_file=str(tokens), name="prober-1", proxy_url=target.url),
        metrics,
    )
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    if listening is None:
        listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    async with aiohttp.ClientSession() as session:
        port = listening.getsockname()[1]
        try:
            yield Prober(server, metrics, port, tokens, session)
        finally:
            await server.drain()
            await runner.cleanup()


@pytest.fixture
async def prober(tmp_path: Path, target: Target) -> AsyncIterator[Prober]:
    """A prober that runs."""
    async with running_prober(tmp_path, target) as running:
        yield running


def path(assignment: int = 1, **changes: Any) -> Assign:
    """An assignment of 50 probes a second."""
    known: dict[str, Any] = {
        "id": assignment,
        "key": f"way-{assignment}",
        "namespace": "default",
        "service": f"web{assignment}",
        "route": "apex",
        "port": 80,
        "rate_per_s": 50.0,
        "expect": ((200, 399),),
    }
    return Assign(**(known | changes))


def asked(target: Target, host: str) -> int:
    """How many requests for this Host the target saw."""
    return sum(request.headers["Host"] == host for request in target.requests)


async def test_a_stream_begins_with_hello_and_then_reports(prober: Prober) -> None:
    """The first message says who answers; then reports come, numbered, with nothing asked too."""
    async with prober.dial() as controller:
        assert controller.hello == Hello(contract.VERSION, "eks", "prober-1", 400.0)
        for number in range(5):
            assert (await controller.receive(Report)).number == number
    assert sum(report.control.sent for report in controller.reports) > 0


@pytest.mark.parametrize(
    ("changes", "line", "host"),
    [
        ({}, "GET http://web1.default.svc.cluster.local/ HTTP/1.1", "web1"),
        (
            {"route": "mirror", "mirror_of": "legacy", "path": "/ready", "method": "HEAD"},
            "HEAD http://web1-legacy.default.svc.cluster.local/ready HTTP/1.1",
            "web1-legacy.default.svc.cluster.local",
        ),
        (
            {"route": "pods", "addresses": ("10.0.0.1:8080",)},
            "GET http://10.0.0.1:8080/ HTTP/1.1",
            "web1.default.svc.cluster.local",
        ),
    ],
)
async def test_each_route_asks_what_its_callers_would(
    prober: Prober, target: Target, changes: dict[str, Any], line: str, host: str
) -> None:
    """Mirror, own pods and apex are asked by their computed names, and answers are counted."""
    async with prober.dial() as controller:
        await controller.say(path(**changes))
        told = await controller.samples(5)
    of_way = [one for one in target.requests if "/reference" not in one.line]
    assert {request.line for request in of_way} == {line}
    assert {request.headers["Host"] for request in of_way} == {host}
    assert {request.headers["User-Agent"] for request in of_way} == {contract.USER_AGENT}
    assert {one.assignment for one in told} == {1}
    assert sum(one.base.sent for one in told) == sum(sum(one.answers.values()) for one in told)
    assert sum(one.base.bad for one in told) == 0


async def test_a_token_is_needed(prober: Prober) -> None:
    """Without one of the tokens there is no stream."""
    assert await prober.status(contract.PATH) == 401
    assert await prober.status(contract.PATH, Authorization="Bearer wrong") == 401
    async with prober.dial("another-token") as controller:
        await controller.receive(Report)


async def test_a_token_can_be_rotated(prober: Prober) -> None:
    """A stream that is open outlives its token; a new one needs a token that is there."""
    async with prober.dial() as controller:
        prober.tokens.write_text("fresh\n")
        assert await prober.status(contract.PATH, Authorization=f"Bearer {TOKEN}") == 401
        async with prober.dial("fresh") as another:
            await another.receive(Report)
        await controller.receive(Report)


async def test_streams_are_bounded(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream more than the bound is refused; those there are go on."""
    monkeypatch.setattr("prober.server.MAX_STREAMS", 1)
    async with prober.dial() as controller:
        status = await prober.status(contract.PATH, Authorization=f"Bearer {TOKEN}")
        assert status == 503
        await controller.receive(Report)


@pytest.mark.parametrize(
    ("text", "sentence", "assignment"),
    [
        ("", "the message is not of the contract", None),
        ("[]", "the message is not of the contract", None),
        ('{"type":"hello"}', "the message is not of the contract", None),
        ('{"type":"withdraw","id":"x"}', "Expected `int`", None),
        ('{"type":"withdraw","id":7}', "there is no assignment 7", 7),
        ('{"type":"withdraw","id":7,"more":1}', "unknown field", 7),
        ('{"type":"assign","id":8}', "missing required field", 8),
    ],
)
async def test_a_message_that_cannot_be_served_is_answered(
    prober: Prober, text: str, sentence: str, assignment: int | None
) -> None:
    """A malformed message is answered with a sentence, and the stream lives on."""
    async with prober.dial() as controller:
        await controller.websocket.send_str(text)
        refused = await controller.receive(Refused)
        assert sentence in refused.message
        assert refused.id == assignment
        await controller.receive(Report)


async def test_a_refused_assignment_is_not_probed(prober: Prober, target: Target) -> None:
    """An assignment outside the contract is answered with its id, and nothing is asked."""
    async with prober.dial() as controller:
        await controller.say(path(1, service="web.other"), path(2))
        refused = await controller.receive(Refused)
        assert refused.id == 1
        await controller.samples(3)
    assert asked(target, "web2") > 0
    assert not any("web.other" in request.line for request in target.requests)


async def test_a_binary_frame_is_answered(prober: Prober) -> None:
    """Only text is a message."""
    async with prober.dial() as controller:
        await controller.websocket.send_bytes(contract.encode(path()))
        assert "text frame" in (await controller.receive(Refused)).message


async def test_too_long_a_message_ends_the_stream(prober: Prober) -> None:
    """A frame beyond the contract's bound closes this stream with 1009, and no other."""
    async with prober.dial() as other, prober.dial() as controller:
        await controller.websocket.send_str("x" * (contract.MAX_MESSAGE_BYTES + 1))
        async with asyncio.timeout(10):
            async for frame in controller.websocket:
                assert frame.type is WSMsgType.TEXT
        assert controller.websocket.close_code == 1009
        await other.receive(Report)


def test_no_garbage_ends_a_stream(tmp_path: Path) -> None:
    """Whatever text a controller sends, it is answered, and the stream lives on."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> Controller:
            target = await stack.enter_async_context(running_target())
            prober = await stack.enter_async_context(running_prober(tmp_path, target))
            return await stack.enter_async_context(prober.dial())

        controller = runner.run(start())

        async def exchange(text: str) -> None:
            await controller.websocket.send_str(text)
            await controller.say(Withdraw(-1))
            while (await controller.receive(Refused)).id != -1:
                pass

        fields = st.dictionaries(
            st.sampled_from(["id", "key", "route", "port", "addresses", "expect", "rate_per_s"]),
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers())),
        )
        types = st.sampled_from(["assign", "readdress", "withdraw", "hello", ""])
        objects = st.builds(
            lambda kind, known: str({"type": kind, **known}).replace("'", '"'), types, fields
        )

        @settings(max_examples=150, deadline=None)
        @given(st.one_of(st.text(), objects))
        def send(text: str) -> None:
            runner.run(exchange(text))

        try:
            send()
        finally:
            runner.run(stack.aclose())


async def test_the_end_of_a_stream_ends_its_probes(prober: Prober, target: Target) -> None:
    """When a stream has ended nothing more is asked for it, in flight or due."""
    async with prober.dial() as other:
        async with prober.dial() as controller:
            await controller.say(path(1))
            await controller.samples(2)
        await eventually(lambda: prober.metric("streams") == 1)
        before = asked(target, "web1")
        assert before > 0
        await other.say(path(2))
        await other.samples(5)
    assert asked(target, "web1") == before
    await eventually(lambda: prober.metric("probes_in_flight") == 0)


async def test_a_stream_that_is_cut_ends_its_probes(prober: Prober, target: Target) -> None:
    """A connection that breaks without a word ends the stream as well."""

    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        del request, writer
        await asyncio.Event().wait()

    target.answer = hang
    async with prober.dial() as controller:
        await controller.say(path())
        await eventually(lambda: prober.metric("probes_in_flight") > 5)
        connection = controller.websocket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()
        await eventually(lambda: prober.metric("streams") == 0)
    assert prober.metric("probes_in_flight") == 0
    assert prober.metric("assignments") == 0


async def test_withdrawn_and_readdressed_over_the_wire(prober: Prober, target: Target) -> None:
    """A controller changes the pods of an assignment, and ends it, on a running stream."""
    async with prober.dial() as controller:
        await controller.say(path(route="pods", addresses=("10.0.0.1:80",)))
        first = await controller.samples(2)
        await controller.say(Readdress(1, ("10.0.0.2:80",)))
        await eventually(lambda: any("10.0.0.2" in one.line for one in target.requests))
        second = await controller.samples(3)
        assert second[-1].number > first[-1].number
        await controller.say(Withdraw(1))
        while (await controller.receive(Report)).samples:
            pass
        before = asked(target, "web1")
        for _ in range(3):
            assert (await controller.receive(Report)).samples == ()
    assert asked(target, "web1") == before


async def test_a_failing_reference_voids_over_the_wire(prober: Prober, target: Target) -> None:
    """When the prober's own control probe fails, samples are discarded although their probes are good."""

    async def only_reference_fails(request: Request, writer: asyncio.StreamWriter) -> None:
        bad = "/reference" in request.line
        writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n" if bad else OK)

    target.answer = only_reference_fails
    async with prober.dial() as controller:
        await controller.say(path())
        await controller.samples(2)
        later = await controller.samples(4)
    assert {one.discarded for one in later} == {"reference"}
    assert all(one.base.bad == 0 for one in later)
    assert controller.reports[-1].discarded == "reference"


async def dial_raw(port: int) -> socket.socket:
    """Open a stream with a socket that takes little, and read nothing but the handshake."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {contract.PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
    assert b" 101 " in await loop.sock_recv(raw, 40)
    return raw


async def test_a_controller_that_never_reads_is_dropped(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that takes nothing any more loses its stream, and what waited is dropped."""
    monkeypatch.setattr("prober.stream.SEND_S", 0.2)
    monkeypatch.setattr("prober.server.PING_S", 60.0)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    async with running_prober(tmp_path, target, listening) as prober:
        with await dial_raw(prober.port) as raw:
            await eventually(lambda: prober.metric("streams") == 1)
            # Each of these masked text frames of one character is answered with a sentence.
            frames = b"\x81\x81\x00\x00\x00\x00x" * 4_000

            async def flood() -> None:
                while True:
                    await asyncio.get_running_loop().sock_sendall(raw, frames)

            sending = asyncio.create_task(flood())
            await eventually(lambda: prober.metric("streams") == 0)
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(10):
                    await sending
        assert prober.metric("probes_in_flight") == 0


async def test_a_dead_controller_is_dropped(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that answers no ping loses its stream."""
    monkeypatch.setattr("prober.server.PING_S", 0.1)
    with await dial_raw(prober.port) as raw:
        async with asyncio.timeout(10):
            while await asyncio.get_running_loop().sock_recv(raw, 4096):
                pass
        await eventually(lambda: prober.metric("streams") == 0)


async def test_the_pages_say_how_it_is(prober: Prober) -> None:
    """The loop answers, the control probe answers, and metrics are there for Prometheus."""
    assert await prober.status("/healthz") == 200
    assert await prober.status(contract.CONTROL_PATH) == 200
    async with prober.dial() as controller:
        await controller.say(path())
        await controller.samples(2)
        async with prober.session.get(prober.url + "/metrics") as response:
            text = await response.text()
    assert re.search(
        r'^migrate_prober_probes_sent_total\{.*route="apex"\} [1-9]', text, re.MULTILINE
    )
    assert re.search(r"^migrate_prober_rate_wanted_per_second\{.*\} 50\.0", text, re.MULTILINE)
    assert re.search(r"^migrate_prober_streams\{.*\} 1\.0", text, re.MULTILINE)


async def test_a_prober_is_ready_when_it_can_be_trusted(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tokens, with a lagging loop, and while ending a prober is not ready."""
    monkeypatch.setattr("prober.server.READY_S", 0.0)
    assert await prober.status("/readyz") == 200
    prober.tokens.write_text("")
    assert await prober.status("/readyz") == 503
    prober.tokens.write_text(TOKEN)
    assert await prober.status("/readyz") == 200
    monkeypatch.setattr("prober.server.READY_S", 3.0)
    now = prober.server._clock()
    prober.server._lag.self_check.failed(now - 1, now, "lag")
    assert await prober.status("/readyz") == 503
    monkeypatch.setattr("prober.server.READY_S", 0.0)
    await prober.server.drain()
    assert await prober.status("/readyz") == 503
    assert await prober.status(contract.PATH, Authorization=f"Bearer {TOKEN}") == 503
