"""A stream of bytes cut into lines, however its chunks fall."""

from __future__ import annotations


class LineTooLongError(Exception):
    """A line above the limit: no event of an API server is (etcd holds 1.5 MiB per object)."""


class Lines:
    """Collects chunks; ``limit`` is in bytes per line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, without their ends and without empty ones."""
        first, *rest = chunk.split(b"\n")
        lines: list[bytes] = []
        self._hold(first)
        for part in rest:
            if self._held:
                lines.append(b"".join(self._parts))
            self._parts, self._held = [], 0
            self._hold(part)
        return lines

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._limit:
            raise LineTooLongError(f"a line of more than {self._limit} bytes")
        if part:
            self._parts.append(part)
