"""Whoever knocks at a prober, on real sockets: too many, too fast, without a word, with a word that is none."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from prober import contract, listening
from prober import server as server_module
from prober.contract import Assign, Refused, Report, Withdraw
from prober.listening import listen, runner_of, url_of
from prober.server import Server
from prober.settings import Settings
from prober.telemetry import Metrics, new_metrics
from tests.unit.prober.loopback import Target, eventually

TOKEN = "a-token"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Door:
    """A prober as its own command serves it."""

    url: str
    metrics: Metrics
    session: aiohttp.ClientSession

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])

    def metric(self, name: str) -> float:
        """One number of its metrics."""
        return self.metrics.registry.get_sample_value(f"migrate_prober_{name}") or 0.0

    async def is_well(self) -> bool:
        """Whether it still answers others."""
        async with self.session.get(f"{self.url}/healthz") as response:
            return response.status == 200


@pytest.fixture
async def door(tmp_path: Path, target: Target) -> AsyncIterator[Door]:
    """A prober whose sidecar, and everything behind it, is the target."""
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    metrics = new_metrics("eks")
    settings = Settings(cluster="eks", token_file=str(tokens), name="p", proxy_url=target.url)
    server = Server(settings, metrics)
    runner = runner_of(server.app(), 1.0)
    await runner.setup()
    listener = await listen(runner, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield Door(url_of(listener), metrics, session)
    await server.drain()
    listener.close()
    await runner.cleanup()


def path(number: int) -> Assign:
    """One of many Services."""
    return Assign(
        id=number,
        key=f"default/s{number}",
        namespace="default",
        service=f"s{number}",
        route="apex",
        port=80,
        rate_per_s=0.1,
        expect=((200, 399),),
    )


async def test_a_thousand_targets_come_and_go_at_once(door: Door) -> None:
    """A thousand assignments in one breath, and their withdrawals in the next, are all taken; nothing of
    them stays, and the reports go on all the while."""
    async with door.session.ws_connect(door.url + contract.PATH, headers=AUTHORIZED) as stream:
        for number in range(1, 1001):
            await stream.send_str(contract.encode(path(number)).decode())
        async with asyncio.timeout(30):
            while door.metric("assignments") < 1000:
                message = contract.decode_from_prober(await stream.receive_str())
                assert not isinstance(message, Refused)
            for number in range(1, 1001):
                await stream.send_str(contract.encode(Withdraw(number)).decode())
            numbers: list[int] = []
            while door.metric("assignments") > 0 or len(numbers) < 3:
                message = contract.decode_from_prober(await stream.receive_str())
                assert not isinstance(message, Refused)
                if isinstance(message, Report):
                    numbers.append(message.number)
            while (report := contract.decode_from_prober(await stream.receive_str())) and (
                isinstance(report, Report) and (report.samples or report.pending)
            ):
                pass
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await eventually(lambda: door.metric("probes_in_flight") == 0)
    assert door.metric("rate_wanted_per_second") == 0


async def test_connections_are_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are being answered, one connection more is hung up on; those there are go on, and one that ends
    makes room."""
    monkeypatch.setattr(listening, "MAX_CONNECTIONS", 8)
    async with AsyncExitStack() as stack:
        held = [
            await door.session.ws_connect(door.url + contract.PATH, headers=AUTHORIZED)
            for _ in range(8)
        ]
        for each in held:
            stack.push_async_callback(each.close)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        stack.callback(writer.close)
        async with asyncio.timeout(10):
            assert await _all_of(reader) == b""
        for each in held:
            assert await each.receive_str()
        await held[0].close()
        async with asyncio.timeout(10):
            while not await _is_let_in(door.port):  # noqa: ASYNC110 - hanging up has no event here
                await asyncio.sleep(0.01)


async def test_half_requests_do_not_keep_the_door_shut(door: Door) -> None:
    """However many connections have begun a request and do not end it, who asks is answered at once, and a stream
    that stands goes on; the oldest of them make room."""
    async with (
        AsyncExitStack() as stack,
        door.session.ws_connect(door.url + contract.PATH, headers=AUTHORIZED) as standing,
    ):
        assert await door.is_well()  # this connection is kept
        readers = []
        for _ in range(listening.MAX_CONNECTIONS + 20):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            stack.callback(writer.close)
            writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n")
            readers.append(reader)
        assert await _is_let_in(door.port)
        assert await door.is_well()
        assert await standing.receive_str()
        async with asyncio.timeout(10):
            for reader in readers[:20]:
                assert await _all_of(reader) == b""
        assert not any(reader.at_eof() for reader in readers[-100:])


async def test_a_header_that_is_slow_has_an_end(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection that trickles its first header is hung up on, whatever else it may still say."""
    monkeypatch.setattr(listening, "HEADER_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    async with asyncio.timeout(10):
        ended = asyncio.create_task(_all_of(reader))
        while not ended.done():
            writer.write(b"X: y\r\n")
            await asyncio.wait([ended], timeout=0.01)
    assert ended.result() == b""
    writer.close()


async def test_a_stream_whose_token_was_rotated_out_ends(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its token is one of several a stream stands, without a file too; once others are there alone, it ends,
    told, and is let in no more."""
    monkeypatch.setattr(server_module, "TOKENS_S", 0.01)
    tokens = tmp_path / "tokens"
    async with door.session.ws_connect(door.url + contract.PATH, headers=AUTHORIZED) as stream:
        for text in (f"another\n{TOKEN}\n", None, ""):
            tokens.unlink(missing_ok=True)
            if text is not None:
                tokens.write_text(text)
            for _ in range(3):
                assert await stream.receive_str()
        assert door.metric("streams") == 1
        tokens.write_text("another\n")
        async with asyncio.timeout(10):
            while (message := await stream.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert message.data == aiohttp.WSCloseCode.GOING_AWAY
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await door.session.ws_connect(door.url + contract.PATH, headers=AUTHORIZED)


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def _is_let_in(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return b"200" in await reader.read(20)
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n"])
async def test_who_says_nothing_is_hung_up_on(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """A connection on which no whole request comes does not stay."""
    monkeypatch.setattr(listening, "IDLE_S", 0.1)
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    settings = Settings(cluster="eks", token_file=str(tokens), proxy_url=target.url)
    runner = runner_of(Server(settings, new_metrics("eks")).app(), 1.0)
    await runner.setup()
    listener = await listen(runner, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    listener.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer " + "x" * 4000},
        {"Authorization": "Bearer \xff\xfe"},
    ],
)
async def test_a_bad_token_opens_nothing(door: Door, headers: dict[str, str]) -> None:
    """Whatever is shown for a token, without one of the tokens there is no stream, and the answer says why."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await door.session.ws_connect(door.url + contract.PATH, headers=headers)
    assert raised.value.status == 401
    assert door.metric("streams") == 0


@pytest.mark.parametrize(
    "request_line",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/stream HTTP/9.9\r\n\r\n",
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["bytes", "half", "version", "headers", "path", "http2"],
)
async def test_what_is_no_request_is_answered_and_dropped(door: Door, request_line: bytes) -> None:
    """Bytes that are no HTTP, or too much of it, end their connection and nothing else."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request_line)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1:2] == [b"400"]
    assert await door.is_well()


async def test_streams_that_come_and_go_leave_nothing(door: Door) -> None:
    """After hundreds of streams that probed and broke, a prober holds as many objects as before."""

    async def rounds(count: int) -> int:
        for number in range(count):
            async with door.session.ws_connect(
                door.url + contract.PATH, headers=AUTHORIZED
            ) as stream:
                await stream.send_str(contract.encode(path(number)).decode())
                await stream.receive_str()
        await eventually(lambda: door.metric("streams") == door.metric("probes_in_flight") == 0)
        gc.collect()
        return len(gc.get_objects())

    before = await rounds(50)
    assert await rounds(300) - before < 300
