"""One request over HTTP/2 with prior knowledge, on a connection of its own.

A connection per probe, so that a probe's outcome is its own: no neighbour's GOAWAY ends it, no kept
connection is closed under it, and no limit on streams keeps it waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from prober.contract import USER_AGENT
from prober.protocols.broken import BrokenError
from prober.target import MAX_BODY_BYTES, Ask

MAX_BYTES = 4 * MAX_BODY_BYTES
"""Of everything that is read: h2 keeps a frame until it is whole, and may be told of one of 16 MB."""

_READ_BYTES = 64 << 10

_SETTINGS = 4
"""The type of the frame that a server sends first (RFC 9113, 3.4); what does not, does not speak HTTP/2."""


@dataclass(slots=True)
class Exchange:
    """What came back: while it is under way, and whole."""

    status: int = 0
    answered_s: float = 0.0
    headers: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    over: bool = False

    def values(self, name: str) -> Iterable[str]:
        """Return the values of a header, or of a trailer, by its name in lower case."""
        return [value for known, value in (*self.headers, *self.trailers) if known == name]


async def exchange(ask: Ask, where: tuple[str, int], clock: Callable[[], float]) -> Exchange:
    """Ask once. Raises ``OSError`` or :class:`BrokenError`."""
    reader, writer = await asyncio.open_connection(*where)
    connection = H2Connection(H2Configuration(header_encoding=None))
    got = Exchange()
    try:
        _ask(ask, connection)
        writer.write(connection.data_to_send())
        async for data in _read(reader, got):
            try:
                for event in connection.receive_data(data):
                    _take(event, got, connection, clock)
            except ProtocolError as error:
                raise BrokenError("garbled") from error
            writer.write(connection.data_to_send())
        connection.close_connection()
        writer.write(connection.data_to_send())
        return got
    finally:
        if got.over:
            writer.close()
        else:
            writer.transport.abort()


def _ask(ask: Ask, connection: H2Connection) -> None:
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, _headers(ask), end_stream=not ask.message)
    if ask.message:
        connection.send_data(stream, ask.message, end_stream=True)


async def _read(reader: asyncio.StreamReader, got: Exchange) -> AsyncIterator[bytes]:
    """Yield what comes until ``got`` is whole. Raises :class:`BrokenError` for an end before that, for what
    does not begin as HTTP/2 does, and for too much of it.
    """
    read = 0
    while not got.over:
        data = await reader.read(_READ_BYTES)
        if not data:
            raise BrokenError("truncated" if got.status else "reset")
        if (read < 4 <= read + len(data) and data[3 - read] != _SETTINGS) or read > MAX_BYTES:
            raise BrokenError("garbled")
        read += len(data)
        yield data


def _headers(ask: Ask) -> list[tuple[str, str]]:
    return [
        (":method", ask.method),
        (":scheme", "http"),
        (":authority", ask.authority),
        (":path", ask.url.raw_path_qs),
        ("user-agent", USER_AGENT),
        *((name, value) for name, value in ask.headers.items() if name != "Host"),
    ]


def _take(
    event: Event, got: Exchange, connection: H2Connection, clock: Callable[[], float]
) -> None:
    if isinstance(event, ResponseReceived):
        got.answered_s = clock()
        got.headers = _pairs(event.headers)
        got.status = int(next(iter(got.values(":status")), "0"))
    elif isinstance(event, DataReceived):
        got.body += event.data[: MAX_BODY_BYTES - len(got.body)]
        if len(got.body) == MAX_BODY_BYTES:
            got.over = True
        elif event.stream_ended is None and event.flow_controlled_length:
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, TrailersReceived):
        got.trailers = _pairs(event.headers)
    elif isinstance(event, StreamEnded):
        got.over = True
    elif isinstance(event, StreamReset | ConnectionTerminated) and not got.over:
        raise BrokenError("reset")


def _pairs(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    # Latin-1 reads every byte; nothing that is compared lies outside ASCII.
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
