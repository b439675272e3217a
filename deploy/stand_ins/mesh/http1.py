"""Just enough of HTTP/1.1 for a proxy: heads, and where a body ends (RFC 9112).

A proxy passes bodies on as they came, so nothing is decoded here: a body only says how many of the
next bytes still belong to it. What two parties could read differently (two lengths, a folded line)
is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEAD_END: Final = b"\r\n\r\n"
MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 4096
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")

Fields = list[tuple[bytes, bytes]]
"""Header fields in order: name in lower case, value without surrounding blanks."""

HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization"}
)
"""What concerns one connection only and is not passed on (RFC 9110 section 7.6.1)."""


class BadHeadError(ValueError):
    """A head or a chunk that is not HTTP/1.1, or could be read in two ways."""


class Request:
    """The head of a request. ``fields`` as :data:`Fields`."""

    __slots__ = ("fields", "keep_alive", "method", "target", "upgrade")

    def __init__(self, method: bytes, target: bytes, version: bytes, fields: Fields) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        tokens = connection_tokens(fields)
        self.keep_alive = version == b"HTTP/1.1" and b"close" not in tokens
        self.upgrade = b"upgrade" in tokens


class Response:
    """The head of a response. ``fields`` as :data:`Fields`."""

    __slots__ = ("fields", "keep_alive", "line", "status")

    def __init__(self, line: bytes, status: int, fields: Fields) -> None:
        self.line = line
        self.status = status
        self.fields = fields
        self.keep_alive = line.startswith(b"HTTP/1.1") and b"close" not in connection_tokens(fields)


def parse_request(block: bytes) -> Request:
    """Read a head without its blank line. Raises BadHeadError."""
    lines = block.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"} or not parts[0].isalpha():
        raise BadHeadError("the first line is not that of an HTTP/1 request")
    return Request(parts[0], parts[1], parts[2], _fields(lines))


def parse_response(block: bytes) -> Response:
    """Read a head without its blank line. Raises BadHeadError."""
    lines = block.split(b"\r\n")
    parts = lines[0].split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise BadHeadError("the first line is not that of an HTTP/1 response")
    return Response(lines[0], int(parts[1]), _fields(lines))


def _fields(lines: Sequence[bytes]) -> Fields:
    fields: Fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or b" " in name or b"\t" in name or b"\n" in line:
            raise BadHeadError("a header field is malformed")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def first(fields: Fields, name: bytes) -> bytes | None:
    """Return the value of the first field of that name (lower case), or None."""
    for key, value in fields:
        if key == name:
            return value
    return None


def connection_tokens(fields: Fields) -> set[bytes]:
    """Return the options of all Connection fields, in lower case."""
    found: set[bytes] = set()
    for key, value in fields:
        if key == b"connection":
            found.update(token.strip().lower() for token in value.split(b","))
    return found


def head(line: bytes, fields: Fields) -> bytes:
    """Return a head with its blank line."""
    rows = [line]
    rows += [name + b": " + value for name, value in fields]
    return b"\r\n".join(rows) + HEAD_END


class Body:
    """Where a message body ends."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def take(self, data: bytes | bytearray) -> int:
        """Return how many of these next bytes belong to the body; sets ``done`` at its end."""
        return len(data)


class LengthBody(Body):
    """A body of known length, in bytes; of length 0 it is done from the start."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._left = length
        self.done = length == 0

    def take(self, data: bytes | bytearray) -> int:
        """As :meth:`Body.take`."""
        taken = min(self._left, len(data))
        self._left -= taken
        self.done = self._left == 0
        return taken


class ChunkedBody(Body):
    """A body in chunks, with trailers. ``take`` raises BadHeadError on a malformed size."""

    __slots__ = ("_left", "_line", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._left = 0  # of the present chunk, with the line end that follows it
        self._line = b""
        self._trailers = False

    def take(self, data: bytes | bytearray) -> int:
        """As :meth:`Body.take`."""
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at)
            self._line += data[at : end if end >= 0 else len(data)]
            if len(self._line) > _MAX_LINE_BYTES:
                raise BadHeadError("a chunk's size line is too long")
            if end < 0:
                return len(data)
            at = end + 1
            line, self._line = self._line.rstrip(b"\r"), b""
            self._end_line(line)
        return at

    def _end_line(self, line: bytes) -> None:
        if self._trailers:
            self.done = not line
            return
        digits = line.partition(b";")[0].strip()
        if not digits or not _HEX.issuperset(digits):
            raise BadHeadError("a chunk's size is not a number")
        size = int(digits, 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = True


def request_body(request: Request) -> Body:
    """Return where a request's body ends (RFC 9112 section 6.3). Raises BadHeadError."""
    chunked, length = _framing(request.fields)
    if chunked:
        return ChunkedBody()
    return LengthBody(length or 0)


def response_body(response: Response, *, to_head: bool) -> Body:
    """Return where a response's body ends; a plain Body ends with the connection.

    ``to_head``: it answers a HEAD. Raises BadHeadError.
    """
    if to_head or response.status in {204, 304} or response.status < 200:
        return LengthBody(0)
    chunked, length = _framing(response.fields)
    if chunked:
        return ChunkedBody()
    return Body() if length is None else LengthBody(length)


def _framing(fields: Fields) -> tuple[bool, int | None]:
    chunked = False
    length: int | None = None
    for name, value in fields:
        if name == b"content-length":
            if not value.isdigit() or (length is not None and length != int(value)):
                raise BadHeadError("content-length is not one number")
            length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or chunked:
                raise BadHeadError("the only transfer coding understood is chunked")
            chunked = True
    if chunked and length is not None:
        raise BadHeadError("both content-length and transfer-encoding")
    return chunked, length
