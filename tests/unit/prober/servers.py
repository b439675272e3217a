"""Real servers on loopback for each protocol but HTTP/1.1: hypercorn, grpcio's, and bare sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from hypercorn.asyncio import serve
from hypercorn.config import Config

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class App:
    """An ASGI application that answers as it is told and remembers who asked."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b"ok"
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; the lifespan protocol is declined by raising, as ASGI has it."""
        del receive
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.asked.append(scope)
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


@asynccontextmanager
async def hypercorn(app: App) -> AsyncIterator[int]:
    """Serve an application over HTTP/2 in clear text, and HTTP/1.1; give the port."""
    ended = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]
        config.graceful_timeout = 0.1
        config.shutdown_timeout = 1.0
        port = _port_of(config)
        serving = asyncio.create_task(serve(app, config, shutdown_trigger=ended.wait))
        try:
            yield port
        finally:
            ended.set()
            await serving


def _port_of(config: Config) -> int:
    with socket.socket(fileno=socket.dup(int(config.bind[0].removeprefix("fd://")))) as same:
        port: int = same.getsockname()[1]
    return port


@dataclass
class GrpcServer:
    """grpcio's own server with its health servicer, and one more method, ``/shop.Cart/Ping``."""

    health: health.HealthServicer
    port: int = 0
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    reply: bytes = b""
    metadata: tuple[tuple[str, str], ...] = ()
    calls: int = 0

    def ping(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer as told."""
        del request
        self.calls += 1
        context.send_initial_metadata(self.metadata)
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, self.details)
        return self.reply


@contextmanager
def grpc_server() -> Iterator[GrpcServer]:
    """Run it in threads of its own."""
    known = GrpcServer(health.HealthServicer())
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(known.health, server)
    ping = grpc.unary_unary_rpc_method_handler(known.ping)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("shop.Cart", {"Ping": ping}),)
    )
    known.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield known
    finally:
        server.stop(None).wait(5)


@asynccontextmanager
async def bare(talk: Talk) -> AsyncIterator[int]:
    """Accept connections and talk on each as told; give the port."""
    talking: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await talk(reader, writer)
            writer.close()
        except (asyncio.CancelledError, ConnectionError):
            writer.transport.abort()
        finally:
            talking.discard(task)

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talking):
            task.cancel()
        await asyncio.gather(*talking)
