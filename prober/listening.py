"""Who is let in: so many connections, and none that says nothing. Both the prober and the controller listen so.

Connections take the same file descriptors as probes. Without a bound whoever reaches the port could take
them all, and a prober without sockets has no data. With one, whoever says nothing must not keep the others out: a
newcomer takes the place of the oldest connection that has not asked anything yet.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

MAX_CONNECTIONS = 256
"""Streams, the control probes of every prober of the cluster, scrapes and the kubelet, many times over."""

IDLE_S = 15.0
"""How long a connection may be kept between requests: above a kubelet's, below a scrape's, interval."""

HEADER_S = 5.0
"""How long a new connection may take for its first whole header."""


class Door:
    """Which connections have asked nothing yet, each with its time's end, and which are being answered."""

    def __init__(self) -> None:
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._answered: set[web.RequestHandler] = set()

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection has a whole request, for as long as it is answered."""
        if asked := self._silent.pop(request.protocol, None):
            asked.cancel()
        self._answered.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._answered.discard(request.protocol)

    def admit(self, server: web.Server) -> asyncio.BaseProtocol:
        """Return what serves a new connection; where there are too many, one that is idle goes for it."""
        standing = [handler for handler in server.connections if _is_open(handler)]
        if len(standing) >= MAX_CONNECTIONS:
            idle = [handler for handler in standing if handler not in self._answered]
            if not idle:
                return _Full()
            # min takes the first of its kind, and they are in the order in which they came
            _hang_up(min(idle, key=lambda handler: handler not in self._silent))
        new = server()
        loop = asyncio.get_running_loop()
        self._silent[new] = loop.call_later(HEADER_S, self._expire, new)
        return new

    def _expire(self, handler: web.RequestHandler) -> None:
        del self._silent[handler]
        _hang_up(handler)


def _is_open(handler: web.RequestHandler) -> bool:
    return handler.transport is not None and not handler.transport.is_closing()


def _hang_up(handler: web.RequestHandler) -> None:
    if isinstance(handler.transport, asyncio.Transport):
        handler.transport.abort()


DOOR: web.AppKey[Door] = web.AppKey("door", Door)


def runner_of(
    app: web.Application, shutdown_timeout_s: float, *, handler_cancellation: bool = False
) -> web.AppRunner:
    """Return a runner whose idle connections end."""
    app[DOOR] = Door()
    app.middlewares.append(app[DOOR].note)
    return web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        handler_cancellation=handler_cancellation,
        shutdown_timeout=shutdown_timeout_s,
        keepalive_timeout=IDLE_S,
    )


class Site(web.BaseSite):
    """Where a runner of :func:`runner_of` listens."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        super().__init__(runner)
        self._of = runner
        self._at = (host, port)

    @property
    def name(self) -> str:
        """The address that was asked for."""
        return f"http://{self._at[0]}:{self._at[1]}"

    async def start(self) -> None:
        """Listen until the runner's ``cleanup()`` is awaited. Raises ``OSError`` where the address is taken."""
        await super().start()
        self._server = await listen(self._of, *self._at)


async def listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Serve what was set up at this address until closed. Raises OSError where it is taken."""
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")
    door = runner.app[DOOR]
    return await asyncio.get_running_loop().create_server(lambda: door.admit(server), host, port)


def url_of(listener: asyncio.Server) -> str:
    """Return where it listens."""
    host, port = listener.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Full(asyncio.Protocol):
    """Hangs up at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
