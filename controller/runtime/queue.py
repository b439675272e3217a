"""A queue of keys with timers: duplicates merge, the earliest time wins, whoever may have to be rolled back is first.

What is queued is which migration to reconcile, never what happened to it: that is observed in its turn.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from controller.domain import Key

AT_RISK, URGENT, ROUTINE, NOT_DUE = range(4)


class Queue:
    """At most one entry per key is due, and one is timed. ``clock`` gives monotonic seconds.

    Who is ``at_risk`` overtakes everybody, whatever made it due: it may have to be rolled back.
    """

    def __init__(
        self, clock: Callable[[], float], at_risk: Callable[[Key], bool] = lambda _: False
    ) -> None:
        self._clock = clock
        self._at_risk = at_risk
        self._due: list[tuple[int, int, Key]] = []
        self._rank: dict[Key, int] = {}
        self._timed: list[tuple[float, Key]] = []
        self._timers: dict[Key, float] = {}
        self._count = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Count the keys that are due."""
        return len(self._rank)

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Make a key due now. A key that is due already is only moved forward."""
        rank = AT_RISK if self._at_risk(key) else URGENT if urgent else ROUTINE
        if self._rank.get(key, NOT_DUE) <= rank:
            return
        self._rank[key] = rank
        heapq.heappush(self._due, (rank, next(self._count), key))
        self._changed.set()

    def add_in(self, key: Key, delay_s: float) -> None:
        """Make a key due in ``delay_s``, unless it is so sooner."""
        when = self._clock() + max(delay_s, 0.0)
        if self._timers.get(key, float("inf")) <= when:
            return
        self._timers[key] = when
        heapq.heappush(self._timed, (when, key))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Let go of a key's timer: its migration has ended."""
        self._timers.pop(key, None)

    async def get(self) -> Key:
        """Wait for the next key: those at risk first, then the urgent, each in the order in which they came."""
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
            if self._timers.get(key) == when:
                del self._timers[key]
                self.add(key)
