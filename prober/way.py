"""One assignment under way: what it asks next, and how often it wants to."""

from __future__ import annotations

import itertools

from prober.contract import Assign
from prober.schedule import (
    BURST_EXTRA,
    BURST_S,
    Cadence,
    Granted,
    Wanted,
    base_cadence,
    burst_cadence,
)
from prober.slices import Ledger
from prober.target import Ask


class Way:
    """One assignment under way. Time is an argument."""

    def __init__(self, assign: Assign, asks: tuple[Ask, ...], now: float) -> None:
        self.assign = assign
        self.asks = asks
        """What is asked in turn; a Service without ready pods has nothing to ask."""
        self.ledger = Ledger(assign.id, now)
        self.base = Track(self, burst=False)
        self.burst = Track(self, burst=True)
        self.is_over = False
        """No more is sent; what is in flight is still told."""
        self._cadence = base_cadence(assign.key, assign.rate_per_s, assign.part, assign.parts)
        self._burst_until = now
        self._turn = itertools.count(assign.part)

    def next_ask(self) -> Ask:
        """Take the next in turn; there must be one."""
        return self.asks[next(self._turn) % len(self.asks)]

    def is_bursting(self, now: float) -> bool:
        """Whether a probe was bad in the last 10 s."""
        return now < self._burst_until

    def note_bad(self, now: float) -> None:
        """Burst from now on: each bad probe restarts the 10 s."""
        self._burst_until = now + BURST_S

    def wanted(self, now: float) -> Wanted:
        """Say what this way asks of the cap."""
        base = self._cadence.rate_per_s
        extra = BURST_EXTRA * base if self.is_bursting(now) else 0.0
        return Wanted(self.assign.priority, base, extra)

    def cadences(self, granted: Granted, now: float) -> tuple[Cadence | None, Cadence | None]:
        """Compute the base and the burst schedule under what the cap leaves."""
        base = burst = None
        if granted.base > 0 and not self.is_over:
            base = self._cadence.slowed(granted.base)
        if granted.burst > 0 and not self.is_over and self.is_bursting(now):
            burst = burst_cadence(self._cadence).slowed(granted.burst)
        return base, burst


class Track:
    """One of the two schedules of a way; without a way, that of the reference."""

    __slots__ = ("burst", "way")

    def __init__(self, way: Way | None, *, burst: bool) -> None:
        self.way = way
        self.burst = burst
