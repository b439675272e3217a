"""A real target on loopback, and waiting that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from prober.aims import Aims

HERE = Aims([IPv4Network("127.0.0.0/8")])
"""What the tests probe, and a prober in a cluster does not."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"

Answer = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """One request as the target saw it."""

    line: str
    headers: dict[str, str]


@dataclass
class Target:
    """A server that answers as it is told and remembers what it was asked."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answer: Answer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; ``answer`` may close it."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.rstrip("\r\n").split("\r\n")
                headers = dict(text.split(": ", 1) for text in fields)
                request = Request(line, headers)
                self.requests.append(request)
                if self.answer is None:
                    writer.write(OK.removesuffix(b"ok\n") if line.startswith("HEAD") else OK)
                else:
                    await self.answer(request, writer)
        writer.close()


@asynccontextmanager
async def running_target() -> AsyncIterator[Target]:
    """Run a target for a while."""
    target = Target()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await target.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving)


async def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Look until ``condition`` holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        await asyncio.sleep(0.01)
