"""The bearer tokens, one a line, of a file that may change under way."""

from __future__ import annotations

import hmac
from pathlib import Path

import structlog

MAX_FILE_BYTES = 64 << 10


class TokenFile:
    """Several tokens are accepted, so that they can be rotated: add the new, then drop the old."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[bytes, ...] = ()

    def is_usable(self) -> bool:
        """Return whether any token would be accepted now."""
        self._refresh()
        return bool(self._tokens)

    def accepts(self, authorization: str) -> bool:
        """Return whether an ``Authorization`` header carries one of the tokens.

        Every token is compared in constant time, so that the answer's time reveals nothing.
        """
        self._refresh()
        scheme, _, given = authorization.partition(" ")
        offered = given.strip().encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(offered, token) for token in self._tokens]
        return scheme.lower() == "bearer" and any(matches)

    def revokes(self, authorization: str) -> bool:
        """Return whether a header that was accepted is not any more, because the file holds other tokens now.

        A file that is missing, unreadable or empty says nothing of the streams that stand.
        """
        return not self.accepts(authorization) and bool(self._tokens)

    def _refresh(self) -> None:
        """Read the file again if it is another one than last time.

        A mounted Secret is replaced by another file, hence the inode beside the time.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                lines = file.read(MAX_FILE_BYTES).splitlines()
        except OSError as error:
            if self._tokens or self._seen is None:
                structlog.get_logger().warning(
                    "token_file_unreadable", path=str(self._path), error=str(error)
                )
            self._seen, self._tokens = (0, 0, 0), ()
            return
        self._seen = seen
        self._tokens = tuple(line.strip() for line in lines if line.strip())
        structlog.get_logger().info("token_file_read", tokens=len(self._tokens))
