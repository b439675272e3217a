"""What of a rollback was put off, because others may have to be rolled back: not for ever."""

from __future__ import annotations

from collections.abc import Iterator

from controller.domain import Key

LONGEST_S = 10.0
"""So long at the most: a herd is over by then, and whoever is not has waited for his latch on the pins long enough."""


class PutOff:
    """By migration, since when. ``now_s`` is monotonic."""

    def __init__(self) -> None:
        self._since_s: dict[Key, float] = {}

    def may(self, key: Key, now_s: float) -> bool:
        """Return whether a migration can be put off, again."""
        return now_s - self._since_s.setdefault(key, now_s) < LONGEST_S

    def over(self, key: Key) -> None:
        """Note that nothing of a migration is put off any more."""
        self._since_s.pop(key, None)

    def overdue(self, now_s: float) -> Iterator[Key]:
        """Yield those that can wait no longer."""
        return (key for key, since_s in self._since_s.items() if now_s - since_s >= LONGEST_S)
