"""Whose turn it is to write to one cluster: so many at a time, the most pressing first.

An API server that is asked for everything at once turns away whom it likes, so a herd of rollbacks is sent in an
order of ours. One cluster's pause is no matter of the other's: each has a lane of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import IntEnum
from math import inf

AT_ONCE = 32
"""Writes in flight: a small part of what an API server grants one client (API Priority and Fairness)."""

KEPT_FREE = 16
"""Of these, for rollbacks alone."""

LULL_S = 0.1
"""What only tells (statuses, Events) waits until no rollback has landed for so long."""


class Pressing(IntEnum):
    """What goes first: callers that go back, then what keeps them served, then what moves, then what tells."""

    ROLLBACK = 0
    PIN = 1
    MOVE = 2
    TELL = 3


class Lane:
    """One cluster's. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[tuple[Pressing, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._in_flight = 0
        self._opens_s = dict.fromkeys(Pressing, -inf)
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, pressing: Pressing) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for the block."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (pressing, next(self._count), mine))
        self._let_in()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():  # else it was given up while it waited
                self._in_flight -= 1
                self._let_in()

    def landed(self) -> None:
        """Note that a rollback was written: what only tells waits for those that are likely to follow."""
        self._keep_shut((Pressing.TELL,), LULL_S)

    def pause(self, for_s: float) -> None:
        """Send nothing but rollbacks for so long: the API server asks for it. A rollback that it turns away rests
        for itself, and the next one is tried."""
        self._keep_shut((p for p in Pressing if p is not Pressing.ROLLBACK), for_s)

    def _keep_shut(self, whom: Iterable[Pressing], for_s: float) -> None:
        opens_s = self._clock() + for_s
        for pressing in whom:
            self._opens_s[pressing] = max(self._opens_s[pressing], opens_s)

    def _let_in(self) -> None:
        """Let in who is first, while there is room. Who comes after never opens sooner, nor has more room."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._waiting:
            pressing, _, first = self._waiting[0]
            room = AT_ONCE if pressing is Pressing.ROLLBACK else AT_ONCE - KEPT_FREE
            if first.cancelled():
                heapq.heappop(self._waiting)
                continue
            shut_s = self._opens_s[pressing] - self._clock()
            if shut_s > 0:
                loop = asyncio.get_running_loop()
                self._alarm = loop.call_later(shut_s, self._let_in)
                return
            if self._in_flight >= room:
                return
            heapq.heappop(self._waiting)
            self._in_flight += 1
            first.set_result(None)
