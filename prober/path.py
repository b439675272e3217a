"""One path that is probed: what it asks next, and how often it wants to."""

from __future__ import annotations

import itertools

from prober.contract import SAMPLE_S, Assign
from prober.samples import SampleLog
from prober.schedule import (
    BURST_EXTRA,
    BURST_S,
    Granted,
    Schedule,
    Wanted,
    base_schedule,
    burst_schedule,
)
from prober.target import Ask
from prober.telemetry import Route

ENOUGH_PER_S = 1.0 / SAMPLE_S
"""What is needed of a burst where many burst: a probe in each sample shows an outage as soon as five do."""


class ProbedPath:
    """One assignment under way: a path and how it is probed. Time is an argument."""

    def __init__(self, assign: Assign, asks: tuple[Ask, ...], now: float) -> None:
        self.assign = assign
        self.asks = asks
        """What is asked in turn; a Service without ready pods has nothing to ask."""
        self.samples = SampleLog(assign.id, now)
        self.base = Timer(self, burst=False)
        self.burst = Timer(self, burst=True)
        self.is_over = False
        """No more is sent; what is in flight is still reported."""
        asked = assign.burst_per_s
        extra = BURST_EXTRA if asked is None else asked / assign.rate_per_s
        whole = base_schedule(assign.key, assign.rate_per_s)
        self._base_schedule = whole.part(assign.part, assign.parts)
        self._burst_schedule = burst_schedule(whole, extra).part(assign.part, assign.parts)
        self._burst_until = now
        self._turn = itertools.count(assign.part)

    @property
    def route(self) -> Route:
        """The labels of its metrics: namespace, Service, route."""
        return self.assign.namespace, self.assign.service, self.assign.route

    def next_ask(self) -> Ask:
        """Return the next in turn; there must be one."""
        return self.asks[next(self._turn) % len(self.asks)]

    def is_bursting(self, now: float) -> bool:
        """Return whether a probe was bad in the last 10 s."""
        return now < self._burst_until

    def note_bad(self, now: float) -> None:
        """Burst from now on: each bad probe restarts the 10 s."""
        self._burst_until = now + BURST_S

    def wanted(self, now: float) -> Wanted:
        """Return what this path asks of the cap."""
        burst_per_s = self._burst_schedule.rate_per_s if self.is_bursting(now) else 0.0
        base_per_s = self._base_schedule.rate_per_s
        whole = self.assign.key
        return Wanted(self.assign.priority, base_per_s, burst_per_s, ENOUGH_PER_S, whole)

    def schedules(self, granted: Granted, now: float) -> tuple[Schedule | None, Schedule | None]:
        """Return the base and the burst schedule under what the cap leaves."""
        base = burst = None
        if granted.base > 0 and not self.is_over:
            base = self._base_schedule.slowed(granted.base)
        if granted.burst > 0 and not self.is_over and self.is_bursting(now):
            burst = self._burst_schedule.slowed(granted.burst)
        return base, burst


class Timer:
    """One of the two schedules of a path; without a path, that of the control probe."""

    __slots__ = ("burst", "path")

    def __init__(self, path: ProbedPath | None, *, burst: bool) -> None:
        self.path = path
        self.burst = burst
