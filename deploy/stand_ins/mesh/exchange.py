"""Requests and answers passed between two connections, without decoding what they carry.

A Downstream is a client's connection to a proxy, an Upstream the proxy's to an endpoint; while a
request is under way they hold each other. Nothing is tried twice: what breaks halfway is answered
502, or cut off where the answer had begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.config import Endpoint
from deploy.stand_ins.mesh.http1 import (
    HEAD_END,
    HOP_BY_HOP,
    MAX_HEAD_BYTES,
    BadHeadError,
    Body,
    Request,
    Response,
    first,
    head,
    parse_request,
    parse_response,
    request_body,
    response_body,
)

PROXY_ERROR: Final = b"l5d-proxy-error"
"""The response header by which a proxy says that the mesh, not the application, answered."""

GREETING: Final = b"L5D/1 "
GREETED: Final = b"L5D/1 OK\r\n"
"""What stands for the mutual TLS handshake with a gateway: the client's identity, and the consent."""

CONNECT_TIMEOUT_S: Final = 1.0
"""Linkerd's outbound connect timeout; the handshake counts."""

_MAX_IDLE: Final = 64
_REASONS: Final = {
    400: b"Bad Request",
    404: b"Not Found",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    508: b"Loop Detected",
}

Serve = Callable[["Downstream", Request], None]


class Downstream(asyncio.Protocol):
    """A client's connection. ``serve`` is called with each request, and must in the end call
    :meth:`forward`, :meth:`reply` or :meth:`drop`; ``work`` is the task that does so later, if any.
    """

    def __init__(self, serve: Serve, connections: set[Downstream]) -> None:
        self.request: Request | None = None
        self.work: asyncio.Task[None] | None = None
        self.counted: Callable[[int], None] | None = None
        """Hears the status of the answer, where an endpoint gives one."""
        self.opaque = False
        """Whether nobody reads what it carries: what cannot be sent on ends the connection."""
        self.leads_to: Endpoint | None = None
        """Where an opaque connection stays until it ends."""
        self._serve = serve
        self._connections = connections
        self._buffer = bytearray()
        self._body: Body | None = None
        self._upstream: Upstream | None = None
        self._tunnel = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio.Protocol)."""
        if self._tunnel and self._upstream is not None:
            self._upstream.write(data)
            return
        self._buffer += data
        if self.request is None:
            self._read_request()
        elif self._upstream is not None:
            self._pass_body()
        elif len(self._buffer) > MAX_HEAD_BYTES:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio.Protocol)."""
        self._connections.discard(self)
        if self.work is not None:
            self.work.cancel()
        if self._upstream is not None:
            upstream, self._upstream = self._upstream, None
            if self._tunnel:
                upstream.hang_up()
            else:
                upstream.abandon()

    def pause_writing(self) -> None:
        """Hold the other side back (asyncio.Protocol)."""
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side go on (asyncio.Protocol)."""
        if self._upstream is not None:
            self._upstream.resume_reading()

    def pause_reading(self) -> None:
        """Stop taking the client's bytes: they cannot be passed on."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take the client's bytes again."""
        self._transport.resume_reading()

    def forward(self, upstream: Upstream, request_head: bytes) -> None:
        """Send the request on; the answer comes back by itself."""
        if self.request is None or self._transport.is_closing():
            upstream.abandon()
            return
        self.work = None
        self._upstream = upstream
        upstream.start(self, request_head, to_head=self.request.method == b"HEAD")
        self._transport.resume_reading()
        self._pass_body()

    def reply(self, status: int, reason: str) -> None:
        """Answer for the mesh: a 4xx or 5xx, marked with its reason. A 508 ends the connection."""
        if self.opaque:
            self.drop()
            return
        self.work = None
        unread = self._body is None or not self._body.done
        close = unread or status == 508 or self.request is None or not self.request.keep_alive
        fields = [(PROXY_ERROR, reason.encode()), (b"content-length", b"0")]
        if close:
            fields.append((b"connection", b"close"))
        line = b"HTTP/1.1 %d %s" % (status, _REASONS[status])
        self.write(head(line, fields))
        self._end(close=close)

    def drop(self) -> None:
        """Close without an answer."""
        self.work = None
        self._transport.abort()

    def write(self, data: bytes) -> None:
        """Pass on bytes of the answer."""
        self._transport.write(data)

    def upgraded(self) -> None:
        """From here on bytes go both ways as they come."""
        self._tunnel = True
        if self._buffer and self._upstream is not None:
            self._upstream.write(bytes(self._buffer))
            self._buffer.clear()

    def answered(self, *, close: bool) -> None:
        """The whole answer has been passed on."""
        self._upstream = None
        unread = self._body is None or not self._body.done
        self._end(close=close or unread or self.request is None or not self.request.keep_alive)

    def upstream_lost(self, *, begun: bool) -> None:
        """The answer will not come, or not to its end."""
        self._upstream = None
        if self._tunnel:
            self._transport.close()
        elif begun:
            self._transport.abort()
        else:
            self.reply(502, "connection closed before an answer")

    def _end(self, *, close: bool) -> None:
        self.request = self._body = self.counted = None
        if close:
            self._transport.close()
            return
        self._transport.resume_reading()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._read_request)

    def _read_request(self) -> None:
        if self.request is not None or self._transport.is_closing():
            return
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self.reply(431, "head too long")
            return
        block = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        try:
            request = parse_request(block)
            self._body = request_body(request)
        except BadHeadError as bad:
            self.reply(400, str(bad))
            return
        self.request = request
        self._serve(self, request)

    def _pass_body(self) -> None:
        body, upstream = self._body, self._upstream
        if body is None or body.done or not self._buffer or upstream is None:
            return
        try:
            taken = body.take(self._buffer)
        except BadHeadError:
            self.drop()
            return
        upstream.write(bytes(self._buffer[:taken]))
        del self._buffer[:taken]


class Upstream(asyncio.Protocol):
    """A proxy's connection to an endpoint, back in its pool after each whole exchange."""

    def __init__(self, pool: Pool) -> None:
        self.greeted: asyncio.Future[None] | None = None
        self._pool = pool
        self._buffer = b""
        self._downstream: Downstream | None = None
        self._to_head = False
        self._begun = False
        self._body: Body | None = None
        self._keep_alive = False
        self._tunnel = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio.Protocol)."""
        if self.greeted is not None:
            self._greet(data)
        elif self._downstream is None:
            self._transport.abort()
        elif self._tunnel:
            self._downstream.write(data)
        else:
            try:
                self._read_answer(self._downstream, data)
            except BadHeadError:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio.Protocol)."""
        self._pool.forget(self)
        if self.greeted is not None and not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError("closed in the handshake"))
        if self._downstream is None:
            return
        downstream, self._downstream = self._downstream, None
        if type(self._body) is Body and exc is None:
            downstream.answered(close=True)
        else:
            downstream.upstream_lost(begun=self._begun)

    def pause_writing(self) -> None:
        """Hold the other side back (asyncio.Protocol)."""
        if self._downstream is not None:
            self._downstream.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side go on (asyncio.Protocol)."""
        if self._downstream is not None:
            self._downstream.resume_reading()

    def pause_reading(self) -> None:
        """Stop taking the endpoint's bytes: they cannot be passed on."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take the endpoint's bytes again."""
        self._transport.resume_reading()

    def start(self, downstream: Downstream, request_head: bytes, *, to_head: bool) -> None:
        """Begin an exchange."""
        self._downstream = downstream
        self._to_head = to_head
        self._begun = False
        self._transport.write(request_head)

    def write(self, data: bytes) -> None:
        """Pass on bytes of the request."""
        self._transport.write(data)

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        self._downstream = None
        self._transport.abort()

    def hang_up(self) -> None:
        """The client closed the tunnel: send what it still said, and close."""
        self._downstream = None
        self._transport.close()

    def usable(self) -> bool:
        """Whether a request can be sent on it."""
        return not self._transport.is_closing()

    def greet(self, identity: bytes) -> asyncio.Future[None]:
        """Begin the handshake; the result is set when the other side has consented."""
        self.greeted = asyncio.get_running_loop().create_future()
        self._transport.write(GREETING + identity + b"\r\n")
        return self.greeted

    def _greet(self, data: bytes) -> None:
        self._buffer += data
        if self.greeted is not None and self._buffer == GREETED:
            self._buffer = b""
            if not self.greeted.done():
                self.greeted.set_result(None)
            self.greeted = None

    def _read_answer(self, downstream: Downstream, data: bytes) -> None:
        if self._body is None:
            data = self._buffer + data
            while True:
                end = data.find(HEAD_END)
                if end < 0:
                    self._buffer = data
                    if len(data) > MAX_HEAD_BYTES:
                        raise BadHeadError("head too long")
                    return
                block, data = data[: end + 4], data[end + 4 :]
                self._buffer = b""
                response = parse_response(block[:-4])
                if response.status == 101:
                    self._switch(downstream, block, data)
                    return
                if response.status >= 200:
                    break
                downstream.write(block)
            if downstream.counted is not None:
                downstream.counted(response.status)
            self._body = response_body(response, to_head=self._to_head)
            self._keep_alive = response.keep_alive and type(self._body) is not Body
            taken = self._body.take(data)
            downstream.write(self._head(response, block) + data[:taken])
        else:
            taken = self._body.take(data)
            downstream.write(data if taken == len(data) else data[:taken])
        self._begun = True
        if self._body.done:
            self._finish(downstream, clean=taken == len(data))

    def _head(self, response: Response, block: bytes) -> bytes:
        if self._keep_alive and first(response.fields, b"keep-alive") is None:
            return block
        fields = [f for f in response.fields if f[0] not in HOP_BY_HOP]
        if type(self._body) is Body:
            fields.append((b"connection", b"close"))
        return head(response.line, fields)

    def _switch(self, downstream: Downstream, block: bytes, rest: bytes) -> None:
        self._tunnel = self._begun = True
        downstream.write(block + rest)
        downstream.upgraded()

    def _finish(self, downstream: Downstream, *, clean: bool) -> None:
        self._body = self._downstream = None
        self._transport.resume_reading()
        downstream.answered(close=False)
        if self._keep_alive and clean:
            self._pool.give_back(self)
        else:
            self._transport.close()


class Pool:
    """A proxy's connections to one endpoint; to a gateway each begins with a handshake."""

    def __init__(self, endpoint: Endpoint, identity: bytes) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._idle: list[Upstream] = []
        self._all: set[Upstream] = set()

    def take(self) -> Upstream | None:
        """Return an idle connection, the one used last, or None."""
        while self._idle:
            upstream = self._idle.pop()
            if upstream.usable():
                return upstream
        return None

    async def connect(self) -> Upstream:
        """Return a new connection within CONNECT_TIMEOUT_S. Raises OSError, TimeoutError included."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, upstream = await loop.create_connection(
                lambda: Upstream(self), wire(self._endpoint.ip), self._endpoint.port
            )
            self._all.add(upstream)
            if self._endpoint.remote is not None:
                try:
                    await upstream.greet(self._identity)
                except (OSError, asyncio.CancelledError):
                    upstream.abandon()
                    raise
        return upstream

    def give_back(self, upstream: Upstream) -> None:
        """Keep a connection for the next request."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(upstream)
        else:
            upstream.abandon()

    def forget(self, upstream: Upstream) -> None:
        """Stop counting a connection that is gone."""
        self._all.discard(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)

    def close(self) -> None:
        """Abort every connection."""
        for upstream in tuple(self._all):
            upstream.abandon()
