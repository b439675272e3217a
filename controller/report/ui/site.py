"""The page over HTTP: GET and HEAD only, nothing from elsewhere, nothing that changes anything.

/                       the page; board.css, its scripts and icon.svg beside it
/events                 server-sent events: every row and Fleet, then what changes, once a second at most
/migrations/{ns}/{name} all that is known of one migration, as JSON
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import msgspec
from aiohttp import web

from controller.domain import Key
from controller.report.ui.feed import Feed, Reader
from prober import listening

MAX_READERS = 32
"""Pages open at a time; one more is told to come back later."""

PACE_S = 1.0
"""How often a reader is told at most: changes in between become one."""

BEAT_S = 15.0
"""How often a reader hears something at the least, so that proxies keep the connection."""

SEND_S = 10.0
END_S = 0.5
"""A reader that does not take what it was sent within this is gone; its page dials again."""

FILES = {
    "/": ("index.html", "text/html"),
    "/board.css": ("board.css", "text/css"),
    "/parts.js": ("parts.js", "text/javascript"),
    "/lanes.js": ("lanes.js", "text/javascript"),
    "/board.js": ("board.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The handlers. ``loopback``: only names of this machine are answered, so that a page of somebody else's
    whose name leads here cannot read the page through its visitor's browser."""

    def __init__(self, feed: Feed, *, loopback: bool, pace_s: float = PACE_S) -> None:
        self._feed = feed
        self._loopback = loopback
        self._pace_s = pace_s
        page = resources.files("controller.report.ui") / "page"
        self._files = {
            path: (page.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()
        }

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(middlewares=[self._guard])
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/migrations/{namespace}/{name}", self._details)
        app.router.add_get("/events", self._events, allow_head=False)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._loopback and not _is_local(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest(
                text="This page is served on this machine only: open it as http://localhost.\n",
                headers=HEADERS,
            )
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _details(self, request: web.Request) -> web.Response:
        key = Key(request.match_info["namespace"], request.match_info["name"])
        told = self._feed.details(key)
        if told is None:
            raise web.HTTPNotFound(text=f"No migration {key} is known here.\n")
        return web.Response(body=told, content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._feed.readers >= MAX_READERS:
            raise web.HTTPServiceUnavailable(
                text=f"{MAX_READERS} boards are open already: try again later.\n",
                headers={"Retry-After": "10"},
            )
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        with self._feed.reading() as reader:
            await response.prepare(request)
            try:
                await self._tell(response, reader)
            except (TimeoutError, ConnectionError):
                # What waits in the connection would stay there for as long as nobody reads it.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _tell(self, response: web.StreamResponse, reader: Reader) -> None:
        """Return one reader everything, and then what changes, for as long as it listens."""
        event = "all"
        while True:
            rows, gone = await reader.take()
            fleets = reader.take_fleets()
            if reader.take_head() or rows or gone or fleets:
                await _send(response, event, self._message(rows, gone, fleets))
                event = "some"
            await asyncio.sleep(self._pace_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await reader.changed.wait()
                    continue
            await _send(response, "beat", b"{}")

    def _message(self, rows: list[bytes], gone: list[Key], fleets: bytes | None) -> bytes:
        head: dict[str, Any] = {
            "now": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **self._feed.head(),
            "gone": [list(key) for key in gone],
        }
        if fleets:
            head["fleets"] = msgspec.Raw(fleets)
        return msgspec.json.encode({**head, "rows": [msgspec.Raw(row) for row in rows]})


async def _send(response: web.StreamResponse, event: str, data: bytes) -> None:
    """Send one event; JSON has no line breaks of its own."""
    async with asyncio.timeout(SEND_S):
        await response.write(b"event: %s\ndata: %s\n\n" % (event.encode(), data))


def _is_local(host: str) -> bool:
    """Return whether a Host header names this machine: by localhost or by a loopback address."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name == "localhost":
        return True
    return is_loopback(name.removeprefix("[").removesuffix("]"))


def is_loopback(address: str) -> bool:
    """Return whether an address is one of this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def serve_board(listen: tuple[str, int], feed: Feed) -> web.AppRunner:
    """Listen at (host, port) until the runner's ``cleanup()`` is awaited. Raises ``OSError``."""
    site = Site(feed, loopback=is_loopback(listen[0]) or listen[0] == "localhost")
    runner = listening.runner_of(site.app(), END_S, handler_cancellation=True)
    await runner.setup()
    try:
        await listening.Site(runner, *listen).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
