"""HTTP/1.1, parsed by httptools. Connections are kept for a moment, as clients keep theirs.

A prober asks thousands of questions a second, most of them alike: a client library that does more for each than to
write the request and read the answer costs it four times as many (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self, cast

import httptools
from yarl import URL

from prober.contract import USER_AGENT
from prober.outcome import Answer
from prober.protocols.broken import BrokenError
from prober.protocols.names import Names
from prober.target import MAX_BODY_BYTES, Ask

KEEPALIVE_S = 1.5
"""How long an idle connection is used again: so that what is asked once a second need not connect each time.

Servers close idle connections after 2 s and more; as nothing is retried, a probe sent just then
would be a fault that no client sees.
"""

MAX_HEAD_BYTES = 64 << 10
"""Of what comes before a body: more is no answer."""

_SWITCHED = 101

Clock = Callable[[], float]
Where = tuple[str, int]


class _Leads(NamedTuple):
    """Where a connection leads, and whose it is there: through a proxy all lead to the proxy."""

    where: Where
    authority: str


class Exchange(asyncio.Protocol):
    """One connection, and what came back on it of the one request that is under way."""

    def __init__(self, clock: Clock) -> None:
        self.status = 0
        self.answered_s = 0.0
        self.body = bytearray()
        self.keeps = False
        """Whether the connection can be used again."""
        self._clock = clock
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._over: asyncio.Future[None] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._read = 0
        self._is_head = False

    async def ask(self, request: bytes, *, is_head: bool) -> None:
        """Send a request, and wait until its answer is whole. Raises ``OSError`` or :class:`BrokenError`."""
        self.status, self.body, self.keeps = 0, bytearray(), False
        self._headers, self._read, self._is_head = [], 0, is_head
        self._over = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            await self._over
        finally:
            self._over = None

    def values(self, name: str) -> Iterator[str]:
        """Yield the values of a header, by its name in lower case."""
        wanted = name.encode("latin-1")
        return (value.decode("latin-1") for known, value in self._headers if known == wanted)

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to."""
        return not self._transport.is_closing()

    def close(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    # --- what the connection says -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection: of TCP it is always one that can be read and written."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._over is None or self._over.done():
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end()
        except httptools.HttpParserError:
            self._fail(BrokenError("garbled"))
        self._read += len(data)
        if len(self.body) >= MAX_BODY_BYTES:
            self._end()
        elif not self.status and self._read > MAX_HEAD_BYTES:
            self._fail(BrokenError("garbled"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way by what is known of it."""
        del self._parser  # it refers to us, too
        if exc is not None:
            self._fail(exc)
        elif not self.status:
            self._fail(BrokenError("reset"))
        elif self._ends_with_connection:
            self._end()
        else:
            self._fail(BrokenError("truncated"))

    # --- what the parser says ----------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        """Take the status: that is when it was answered."""
        status = self._parser.get_status_code()
        if status < 200 and status != _SWITCHED:  # another follows
            self._headers.clear()
            return
        self.status, self.answered_s = status, self._clock()
        if self._is_head or status == _SWITCHED:  # nothing follows, whatever the headers say
            self._end()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, as far as it is looked at."""
        self.body += body[: MAX_BODY_BYTES - len(self.body)]

    def on_message_complete(self) -> None:
        """Note that the answer is whole, and whether the connection may be used again."""
        if self.status:
            self._end(keeps=self._parser.should_keep_alive())

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the body has no end of its own (RFC 9112, 6.3)."""
        return not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in self._headers
        )

    def _end(self, *, keeps: bool = False) -> None:
        if self._over is not None and not self._over.done():
            self.keeps = keeps
            self._over.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)


class Connections:
    """The connections of all streams, kept for :data:`KEEPALIVE_S` by where they lead. Use it as a context manager.

    A proxy is the settings' own choice, and resolves names by itself.
    """

    def __init__(self, proxy_url: str | None = None) -> None:
        proxy = URL(proxy_url) if proxy_url else None
        self.proxy: Where | None = (proxy.host or "", proxy.port or 80) if proxy else None
        self._idle: dict[_Leads, dict[Exchange, asyncio.TimerHandle]] = {}

    def __enter__(self) -> Self:
        """Begin with none."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close those that are idle; the others are closed by who uses them."""
        for leads, kept in list(self._idle.items()):
            for exchange in list(kept):
                self._take_idle(leads, exchange).close()

    async def take(self, leads: _Leads, clock: Clock) -> Exchange:
        """Return a connection for one exchange, of those that are kept the one used last. Raises ``OSError``."""
        while kept := self._idle.get(leads):
            exchange = self._take_idle(leads, next(reversed(kept)))
            if exchange.is_open:
                return exchange
        loop = asyncio.get_running_loop()
        _, opened = await loop.create_connection(lambda: Exchange(clock), *leads.where)
        return opened

    def give_back(self, exchange: Exchange, leads: _Leads) -> None:
        """Keep a connection for the next, or close it."""
        if not (exchange.keeps and exchange.is_open):
            exchange.close()
            return
        loop = asyncio.get_running_loop()
        expires = loop.call_later(KEEPALIVE_S, self._expire, leads, exchange)
        self._idle.setdefault(leads, {})[exchange] = expires

    def _expire(self, leads: _Leads, exchange: Exchange) -> None:
        self._take_idle(leads, exchange).close()

    def _take_idle(self, leads: _Leads, exchange: Exchange) -> Exchange:
        kept = self._idle[leads]
        kept.pop(exchange).cancel()
        if not kept:
            del self._idle[leads]
        return exchange


async def answer(ask: Ask, connections: Connections, names: Names, clock: Clock) -> Answer:
    """Ask once. The status says when it was answered; the body must then end, or be long, in time.

    Raises ``OSError``, :class:`BrokenError` or :class:`prober.aims.ForbiddenError`.
    """
    where = connections.proxy or await names.address(ask.url)
    leads = _Leads(where, ask.url.authority)
    exchange = await connections.take(leads, clock)
    try:
        await exchange.ask(
            _request(ask, through_proxy=connections.proxy is not None),
            is_head=ask.method == "HEAD",
        )
        word, bad = ask.expect.judge(exchange.status, exchange.values, bytes(exchange.body))
        return Answer(word, bad, exchange.answered_s)
    finally:
        connections.give_back(exchange, leads)


def _request(ask: Ask, *, through_proxy: bool) -> bytes:
    """Return the head of the request: a probe asks for nothing special."""
    url = ask.url
    path = str(url) if through_proxy else url.raw_path_qs
    others = "".join(
        f"{name}: {value}\r\n" for name, value in ask.headers.items() if name != "Host"
    )
    return (
        f"{ask.method} {path} HTTP/1.1\r\nHost: {ask.authority}\r\nUser-Agent: {USER_AGENT}\r\n"
        f"Accept: */*\r\nAccept-Encoding: identity\r\n{others}\r\n"
    ).encode("latin-1")
