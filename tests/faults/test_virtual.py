"""The virtual loop and its wires: time jumps, a killed process runs nothing more, a stopped one later."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from tests.faults.virtual import Process, QuiescentError, VirtualLoop


@pytest.fixture(autouse=True)
def _freed() -> Iterator[None]:
    """Free what a test killed at its end, and not in the middle of another test."""
    yield
    gc.collect()


def test_time_jumps() -> None:
    """An hour's sleep takes an hour of the loop's time, and is over at once."""
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(3600.0))
    assert loop.time() == pytest.approx(3600.0, abs=0.01)


def test_waiting_for_nothing_is_told() -> None:
    """A loop in which nothing will ever happen says so instead of hanging."""
    loop = VirtualLoop()
    with pytest.raises(QuiescentError):
        loop.run_until_complete(loop.create_future())


def test_a_killed_process_cleans_nothing_up() -> None:
    """After a kill neither the rest of a coroutine nor its finally runs; its peer reads the end."""
    loop = VirtualLoop()
    done: list[str] = []

    async def world() -> None:
        on_report: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            on_report.put_nowait(await reader.read(100))
            on_report.put_nowait(await reader.read(100))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def life() -> None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"alive")
                await asyncio.sleep(10.0)
                done.append("slept")
            finally:
                done.append("cleaned up")

        process = Process(loop, "p")
        process.start(life)
        assert await on_report.get() == b"alive"
        process.kill()
        assert await on_report.get() == b""
        await asyncio.sleep(20.0)

    loop.run_until_complete(world())
    assert done == []


def test_a_stopped_process_goes_on_where_it_was() -> None:
    """What is due while a process is stopped is done when it goes on."""
    loop = VirtualLoop()
    done: list[float] = []

    async def world() -> None:
        async def life() -> None:
            await asyncio.sleep(1.0)
            done.append(loop.time())

        process = Process(loop, "p")
        process.start(life)
        await asyncio.sleep(0.5)
        process.stop()
        await asyncio.sleep(5.0)
        assert done == []
        process.go_on()
        await asyncio.sleep(0.1)

    loop.run_until_complete(world())
    assert done == [pytest.approx(5.5, abs=0.01)]
