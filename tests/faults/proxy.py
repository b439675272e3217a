"""The fault proxy: stands between a controller and one API server, and does to each call what it is told.

It speaks HTTP/1.1 on plain asyncio streams, so it runs over real sockets as well as in the virtual loop, and
can do what no decent server does: half a body, two answers, none. It knows what a call and a watch event are,
and nothing of Kubernetes beyond that. What is done to a call or an event is asked of ``Plan``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

HEAD_LIMIT = 1 << 16
LINE_LIMIT = 1 << 22
HOP_S = 0.001
"""What one path through the proxy takes: without it, everything would happen at one moment."""

KEEPALIVE_S = 14.0
"""After this long without an answer from the peer's kernel a connection breaks (5 + 3 * 3 s)."""


@dataclass(slots=True)
class Call:
    """One request of a controller. ``number`` counts the calls of a run from 1, over all proxies."""

    number: int
    at_s: float
    cluster: str
    by: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def is_watch(self) -> bool:
        """Whether it opens a watch."""
        return parse_qs(urlsplit(self.target).query).get("watch") == ["1"]

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.method in {"POST", "PATCH", "PUT", "DELETE"}

    def document(self) -> dict[str, Any]:
        """Return the body as JSON, {} where there is none."""
        found = json.loads(self.body or b"{}")
        return found if isinstance(found, dict) else {}

    def __str__(self) -> str:
        """Return it for a line of the story."""
        return (
            f"{self.by} {self.method}{' watch' if self.is_watch else ''} {self.cluster}{self.path}"
        )


@dataclass(slots=True)
class Reply:
    """What the server answered, or what is to be answered in its place."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class Event:
    """One line of a watch on its way to a controller. ``number`` counts those of a run from 1."""

    number: int
    at_s: float
    cluster: str
    by: str
    resource: str
    line: bytes

    def __str__(self) -> str:
        """Return it for a line of the story."""
        found = json.loads(self.line)
        about = found.get("object", {}).get("metadata", {})
        what = f"{about.get('name', '')}@{about.get('resourceVersion', '')}"
        return f"{self.by} <- {self.cluster}/{self.resource} {found.get('type')} {what}"


@dataclass
class Exchange:
    """One call and the two connections that it is on: what a fault may do to it."""

    call: Call
    proxy: FaultProxy
    reader: asyncio.StreamReader
    client: asyncio.StreamWriter
    upstream: Upstream

    async def forward(self) -> Reply:
        """Pass the call on, and give the server's whole answer (of a watch: its head)."""
        reply = await self.upstream.ask(self.call)
        self.proxy.counter.remember(self.call, reply)
        return reply

    async def reply(self, reply: Reply) -> None:
        """Answer the controller."""
        await self.proxy.answer(self.client, reply)

    def reset(self) -> None:
        """Break the controller's connection."""
        self.client.transport.abort()

    async def stall(self) -> None:
        """Return nothing more until the controller leaves."""
        await self.left()

    async def left(self) -> None:
        """Wait until the controller has left. It sends nothing while it waits for an answer."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read(1)


class Broken(Exception):  # noqa: N818 - named by the finding
    """A connection that is not to be used again."""


CallFault = Callable[[Exchange], Awaitable[None]]
"""Does all that happens to a call."""

EventFault = Callable[["Feed", Event], Awaitable[None]]
"""Does all that happens to an event of a watch."""


class Plan(Protocol):
    """What is to happen. Asked once for each call and for each event; None is: as usual."""

    def at_call(self, call: Call) -> CallFault | None:
        """Return what happens to this call."""

    def at_event(self, event: Event) -> EventFault | None:
        """Return what happens to this event."""

    def replied(self, call: Call, reply: Reply | None) -> None:
        """Take note of how a call ended."""


@dataclass
class Cut:
    """What does not pass, both for what is there and for what comes. ``to`` and ``back`` are paths.

    ``only`` limits it to calls whose path holds this text. A cut that ``refuses`` breaks connections and takes
    no new ones; else bytes vanish, as in a network that drops packets.
    """

    to: bool = True
    back: bool = True
    refuses: bool = False
    only: str = ""
    mended: asyncio.Event = field(default_factory=asyncio.Event)

    def hits(self, path: str) -> bool:
        """Return whether it is about this path."""
        return self.only in path


class Upstream:
    """A connection to the API server, made when needed."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._address = (host, port)
        self._tls = tls
        self.reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, call: Call) -> Reply:
        """Send a call and read its answer. Raises OSError, Broken."""
        if self._writer is None:
            self.reader, self._writer = await asyncio.open_connection(
                *self._address, ssl=self._tls, limit=LINE_LIMIT
            )
        lines = [f"{call.method} {call.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in call.headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + call.body)
        return await self._read(whole=not call.is_watch)

    async def _read(self, *, whole: bool) -> Reply:
        reader = self.reader
        if reader is None:
            raise Broken
        first, headers = await read_head(reader)
        _, status, *reason = first.split(" ", 2)
        reply = Reply(int(status), " ".join(reason), headers)
        if whole or reply.status != 200:
            reply.body = await _body(reader, headers)
        return reply

    async def chunk(self) -> bytes:
        """Return the next piece of a watch, b"" at its end."""
        if self.reader is None:
            raise Broken
        return await _chunk(self.reader)

    def another(self) -> Upstream:
        """Return a connection of its own to the same server."""
        return Upstream(*self._address, self._tls)

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None and self._tls is not None:
            self._writer.transport.abort()  # a server that tells on would not close in good order
        elif self._writer is not None:
            self._writer.close()
        self.reader = self._writer = None


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """Read a request's or an answer's first line and headers (names in lower case). Raises Broken."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Broken from error
    first, *rest = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts: list[bytes] = []
        while part := await _chunk(reader):
            parts.append(part)
        return b"".join(parts)
    try:
        return await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        raise Broken from error


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    try:
        size = int((await reader.readline()).split(b";")[0] or b"0", 16)
        data = await reader.readexactly(size)
        await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise Broken from error
    return data


@dataclass
class Feed:
    """A watch on its way to a controller: what a fault may do to its events."""

    exchange: Exchange
    resource: str
    late: list[asyncio.Task[None]] = field(default_factory=list)
    ended: bool = False
    muted: bool = False

    async def pass_on(self, *lines: bytes) -> None:
        """Send lines, or parts of such, in one chunk."""
        data = b"".join(lines)
        if not self.ended and not self.muted and data:
            self.exchange.client.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self.exchange.client.drain()

    async def end(self) -> None:
        """End the watch in good order."""
        if not self.ended and not self.muted:
            self.exchange.client.write(b"0\r\n\r\n")
        self.ended = True

    def mute(self) -> None:
        """Return nothing more, and stay open."""
        self.muted = True

    def half_close(self) -> None:
        """Send FIN in the middle of the stream."""
        self.ended = True
        self.exchange.client.close()

    def pass_later(self, delay_s: float, *lines: bytes) -> None:
        """Send lines after a while; what comes after them is not held up."""

        async def later() -> None:
            await asyncio.sleep(delay_s)
            with contextlib.suppress(ConnectionError):
                await self.pass_on(*lines)

        self.late.append(asyncio.create_task(later()))


class Counter:
    """Numbers of calls and events, and what was answered before, shared by all proxies of a run."""

    def __init__(self) -> None:
        self.calls = 0
        self.events = 0
        self._bodies: dict[tuple[str, str], list[bytes]] = {}

    def remember(self, call: Call, reply: Reply) -> None:
        """Take note of an answer that shows what stands at the call's path."""
        if reply.status == 200 and not call.is_watch and call.method != "POST":
            known = self._bodies.setdefault((call.cluster, call.path), [])
            if reply.body not in known[-1:]:
                known.append(reply.body)

    def before(self, call: Call) -> bytes | None:
        """Return what stood at the call's path before what was answered last, None where nobody knows."""
        known = self._bodies.get((call.cluster, call.path), [])
        return known[-2] if len(known) > 1 else None


class FaultProxy:
    """Between the controller named ``by`` and the API server of ``cluster`` at ``host:port``.

    ``now`` gives the server's time, put into every answer in place of its own; None leaves it.
    """

    def __init__(
        self,
        cluster: str,
        by: str,
        upstream: tuple[str, int],
        plan: Plan,
        counter: Counter,
        *,
        now: Callable[[], datetime] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.cluster = cluster
        self.by = by
        self.url = ""
        self.cut: Cut | None = None
        self._upstream = upstream
        self._plan = plan
        self.counter = counter
        self._now = now
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, str] = {}
        self._late: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Listen on a free port of loopback; give the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LINE_LIMIT)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self.url

    async def stop(self) -> None:
        """Stop listening, and break what is open."""
        if self._server is not None:
            self._server.close()
        for task in self._late:
            task.cancel()
        for writer in list(self._open):
            writer.transport.abort()

    def again_later(self, exchange: Exchange, delay_s: float) -> None:
        """Pass a call on once more after a while, unheard; what comes behind it is not held up."""
        again = replace(exchange, upstream=exchange.upstream.another())

        async def later() -> None:
            await asyncio.sleep(delay_s)
            with contextlib.suppress(OSError, Broken):
                await again.forward()
            again.upstream.close()

        self._late.append(asyncio.create_task(later()))

    def break_off(self, cut: Cut) -> None:
        """Cut from now on."""
        self.cut = cut
        loop = asyncio.get_running_loop()
        for writer, path in list(self._open.items()):
            if cut.hits(path):
                if cut.refuses:
                    writer.transport.abort()
                elif cut.to and cut.back:  # a one-way cut still carries the acknowledgements of TCP
                    loop.call_later(KEEPALIVE_S, self._keepalive, writer, cut)

    def mend(self) -> None:
        """Let everything pass again."""
        if self.cut is not None:
            self.cut.mended.set()
        self.cut = None

    def _keepalive(self, writer: asyncio.StreamWriter, cut: Cut) -> None:
        if self.cut is cut and writer in self._open:
            writer.transport.abort()

    async def answer(self, client: asyncio.StreamWriter, reply: Reply) -> None:
        """Write a whole answer."""
        client.write(self.head(reply) + reply.body)
        await client.drain()

    def head(self, reply: Reply, *, length: int | None = None, chunked: bool = False) -> bytes:
        """Return the head of an answer; ``length`` where the body is not what it says."""
        dropped = {"content-length", "transfer-encoding", "date", "connection"}
        lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
        lines += [f"{k}: {v}" for k, v in reply.headers.items() if k not in dropped]
        if self._now is not None:
            lines.append(f"date: {format_datetime(self._now(), usegmt=True)}")
        elif "date" in reply.headers:
            lines.append(f"date: {reply.headers['date']}")
        if chunked:
            lines.append("transfer-encoding: chunked")
        else:
            lines.append(f"content-length: {len(reply.body) if length is None else length}")
        return "\r\n".join([*lines, "", ""]).encode()

    # --- how it is done --------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = Upstream(*self._upstream, self._tls)
        self._open[writer] = ""
        try:
            if not (self.cut and self.cut.refuses and self.cut.hits("")):
                while await self._one(reader, writer, upstream):
                    pass
        except (Broken, ConnectionError):
            pass
        finally:
            self._open.pop(writer, None)
            upstream.close()
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Upstream
    ) -> bool:
        first, headers = await read_head(reader)
        body = await _body(reader, headers)
        method, target, _ = first.split(" ", 2)
        self.counter.calls += 1
        call = Call(
            self.counter.calls,
            asyncio.get_running_loop().time(),
            self.cluster,
            self.by,
            method,
            target,
            headers,
            body,
        )
        self._open[writer] = call.path
        exchange = Exchange(call, self, reader, writer, upstream)
        fault = self._plan.at_call(call)
        if not await self._passes_to(exchange):
            return False
        await asyncio.sleep(HOP_S)
        if fault is not None:
            await fault(exchange)
            self._plan.replied(call, None)
            return not writer.is_closing()
        await self.usual(exchange)
        return not writer.is_closing()

    async def usual(self, exchange: Exchange) -> None:
        """Do what a call is usually done: pass it on and answer."""
        try:
            reply = await exchange.forward()
        except OSError:
            exchange.reset()
            return
        await asyncio.sleep(HOP_S)
        await self.deliver(exchange, reply)

    async def deliver(self, exchange: Exchange, reply: Reply) -> None:
        """Return the server's answer to the controller, of a watch the stream."""
        if await self._passes_back(exchange):
            self._plan.replied(exchange.call, reply)
            if exchange.call.is_watch and reply.status == 200:
                await self._feed(exchange, reply)
            else:
                await self.answer(exchange.client, reply)

    async def _passes_to(self, exchange: Exchange) -> bool:
        """Wait or refuse where calls do not pass; False: the connection is not to be used again."""
        cut = self.cut
        if cut is None or not cut.hits(exchange.call.path) or not (cut.refuses or cut.to):
            return True
        return await self._held_up(exchange, cut)

    async def _passes_back(self, exchange: Exchange) -> bool:
        cut = self.cut
        if cut is None or not cut.hits(exchange.call.path) or not (cut.refuses or cut.back):
            return True
        return await self._held_up(exchange, cut)

    async def _held_up(self, exchange: Exchange, cut: Cut) -> bool:
        """Hold what was to pass until the cut is mended, as TCP does; False where somebody gave up before."""
        if not cut.refuses:
            left = asyncio.create_task(exchange.left())
            mended = asyncio.create_task(cut.mended.wait())
            limit_s = KEEPALIVE_S if cut.to and cut.back else None
            done, _ = await asyncio.wait(
                {left, mended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (left, mended):
                task.cancel()
            await asyncio.wait([left])
            if done == {mended}:
                return True
        exchange.reset()
        return False

    async def _feed(self, exchange: Exchange, reply: Reply) -> None:
        """Pass a watch on, line by line."""
        resource = exchange.call.path.rsplit("/", 1)[-1]
        feed = Feed(exchange, resource)
        exchange.client.write(self.head(reply, chunked=True))
        left = asyncio.create_task(self._close_when_left(exchange))
        rest = b""
        try:
            while not feed.ended:
                piece = await exchange.upstream.chunk()
                if not piece:
                    await feed.end()
                    break
                await asyncio.sleep(HOP_S)
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    await self._one_event(feed, line + b"\n")
        finally:
            left.cancel()
            await asyncio.wait([left])
            for task in feed.late:
                task.cancel()
            exchange.upstream.close()  # the server may still be telling

    async def _close_when_left(self, exchange: Exchange) -> None:
        """A controller that leaves a watch is noticed only by its connection."""
        await exchange.left()
        exchange.upstream.close()

    async def _one_event(self, feed: Feed, line: bytes) -> None:
        cut = self.cut
        if cut is not None and cut.back and cut.hits(feed.exchange.call.path):
            await cut.mended.wait()
        self.counter.events += 1
        now_s = asyncio.get_running_loop().time()
        event = Event(self.counter.events, now_s, self.cluster, self.by, feed.resource, line)
        fault = self._plan.at_event(event)
        if fault is not None:
            await fault(feed, event)
        else:
            await feed.pass_on(line)
