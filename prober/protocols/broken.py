"""What a protocol raises when an exchange ends without an answer."""

from __future__ import annotations


class BrokenError(Exception):
    """The other side broke off, or did not speak the protocol; ``kind`` is how reports count it."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
