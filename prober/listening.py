"""Who is let in: so many connections, and none that says nothing.

Connections take the same file descriptors as probes. Without a bound whoever reaches the port could take
them all, and a prober without sockets has no data.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

MAX_CONNECTIONS = 256
"""Streams, the control probes of every prober of the cluster, scrapes and the kubelet, many times over."""

IDLE_S = 15.0
"""How long a connection may be open without a whole request: above a kubelet's, below a scrape's, interval."""


def runner_of(app: web.Application, shutdown_timeout_s: float) -> web.AppRunner:
    """Return a runner whose idle connections end."""
    return web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=shutdown_timeout_s,
        keepalive_timeout=IDLE_S,
    )


async def listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Serve what was set up at this address until closed. Raises OSError where it is taken."""
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")

    def admit() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < MAX_CONNECTIONS else _Full()

    return await asyncio.get_running_loop().create_server(admit, host, port)


def url_of(listener: asyncio.Server) -> str:
    """Return where it listens."""
    host, port = listener.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Full(asyncio.Protocol):
    """Hangs up at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
