"""When evidence is folded: about every 100 ms, soon after the reports, which come as often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from controller.evidence.path import TICK_S

SOONEST_S = 0.08
"""Two ticks are no nearer: what the streams of a path report of one time is one observation."""

GATHER_S = 0.02
"""How long a report waits for those of the other streams, which are made at the same time."""


class Ticks:
    """The ticks of one process, by a ``clock`` of monotonic seconds. What comes just after a tick waits long for the
    next, and what comes just before one is parted from what belongs to it: so they come to follow the reports."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_s = clock()
        self._due_s = self._last_s + TICK_S
        self._first_s = inf
        """When the first report came that waits for the next tick."""
        self._moved = asyncio.Event()

    def heard(self) -> None:
        """Note that a report has come: the next tick is soon after it, as far as that is near enough to the last."""
        now_s = self._clock()
        self._first_s = min(self._first_s, now_s)
        latest_s = min(self._last_s + TICK_S + GATHER_S, self._first_s + TICK_S)
        due_s = min(max(now_s + GATHER_S, self._last_s + SOONEST_S), latest_s)
        if due_s < self._due_s:
            self._moved.set()
        self._due_s = due_s

    async def wait(self) -> None:
        """Wait for the next tick; late ones are not caught up."""
        while (left_s := self._due_s - self._clock()) > 0:
            self._moved.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._moved.wait()
            except TimeoutError:
                continue
        self._first_s = inf
        self._last_s = max(self._due_s, self._clock() - TICK_S)
        self._due_s = self._last_s + TICK_S
