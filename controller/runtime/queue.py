"""A queue of keys with timers: duplicates merge, the earliest time wins, what may be a rollback is first.

What is queued is which migration to reconcile, never what happened to it: that is observed in its turn.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from enum import IntEnum
from math import inf

from controller.domain import Key


class Rank(IntEnum):
    """What made a migration due, most pressing first.

    ``WITNESS``: evidence, endpoints or a wish, so that it may have to be rolled back. ``ECHO``: something else that
    changed, for the most part what was written itself. ``ROUTINE``: time, and lists.
    """

    WITNESS = 0
    ECHO = 1
    ROUTINE = 2


NOT_DUE = len(Rank)


class Queue:
    """At most one entry per key is due, and one is timed. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: list[tuple[int, int, Key]] = []
        self._rank: dict[Key, int] = {}
        self._timed: list[tuple[float, Key]] = []
        self._timers: dict[Key, tuple[float, Rank]] = {}
        self._count = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Count the keys that are due."""
        return len(self._rank)

    def is_due(self, rank: Rank) -> bool:
        """Return whether any key of this rank, or a more pressing one, is due."""
        return any(known <= rank for known in self._rank.values())

    def add(self, key: Key, rank: Rank = Rank.ROUTINE) -> None:
        """Make a key due now. A key that is due already is only moved forward."""
        if self._rank.get(key, NOT_DUE) <= rank:
            return
        self._rank[key] = rank
        heapq.heappush(self._due, (rank, next(self._count), key))
        self._changed.set()

    def add_in(self, key: Key, delay_s: float, rank: Rank = Rank.ROUTINE) -> None:
        """Make a key due in ``delay_s``, unless it is so sooner."""
        when = self._clock() + max(delay_s, 0.0)
        known_s, _ = self._timers.get(key, (inf, rank))
        if known_s <= when:
            return
        self._timers[key] = when, rank
        heapq.heappush(self._timed, (when, key))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Let go of a key's timer: its migration has ended."""
        self._timers.pop(key, None)

    async def get(self) -> Key:
        """Wait for the next key: by rank, and of one rank in the order in which they came."""
        while True:
            self._ripen()
            while self._due:
                rank, _, key = heapq.heappop(self._due)
                if self._rank.get(key) == rank:
                    del self._rank[key]
                    return key
            self._changed.clear()
            timeout = self._timed[0][0] - self._clock() if self._timed else None
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ripen(self) -> None:
        now_s = self._clock()
        while self._timed and self._timed[0][0] <= now_s:
            when, key = heapq.heappop(self._timed)
            known_s, rank = self._timers.get(key, (inf, Rank.ROUTINE))
            if known_s == when:
                del self._timers[key]
                self.add(key, rank)
