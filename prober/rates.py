"""How often each path of one stream is probed: what it asks for, under what the cap leaves. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prober.capacity import Capacity
from prober.path import ProbedPath, Timer
from prober.schedule import NOTHING, Granted
from prober.timers import Timers


class Rates:
    """The paths of one stream, each paced by ``timers``. What the cap leaves is followed once a report, however much is
    asked, and only by whom it is another for."""

    def __init__(self, capacity: Capacity, timers: Timers[Timer]) -> None:
        self.throttled: dict[int, float] = {}
        """By assignment, the base rate that the cap leaves the whole path, where that is less than it asks for."""
        self._capacity = capacity
        self._timers = timers
        self._paths: set[ProbedPath] = set()
        self._bursting: set[ProbedPath] = set()
        self._granted: dict[ProbedPath, Granted] = {}
        """By which share each is paced."""
        self._unpaced: set[ProbedPath] = set()
        self._shares: Mapping[int, Granted] = {}

    def begin(self, path: ProbedPath, now: float) -> None:
        """Probe a path, from the next report on."""
        self._paths.add(path)
        self._want(path, now)

    def burst(self, path: ProbedPath, now: float) -> bool:
        """Ask for more of a path for a while: a probe of it was bad. Returns whether it gets that at once, and not only
        from the next report on: each further probe may be the one that brings callers back."""
        path.note_bad(now)
        if path in self._bursting:
            return False
        self._bursting.add(path)
        self._want(path, now)
        claimed = self._capacity.claim(path)
        if claimed.burst:
            self._pace(path, claimed, now)
        return claimed.burst > 0

    def end(self, path: ProbedPath, now: float) -> None:
        """Probe a path no more."""
        self._timers.pace(path.base, None, now)
        self._timers.pace(path.burst, None, now)
        self._paths.discard(path)
        self._bursting.discard(path)
        self._unpaced.discard(path)
        self._granted.pop(path, None)
        self.throttled.pop(path.assign.id, None)
        self._capacity.want(path, None)

    def follow(self, now: float) -> bool:
        """Follow the cap; return whether anybody is due otherwise than before."""
        for path in [path for path in self._bursting if not path.is_bursting(now)]:
            self._bursting.discard(path)
            self._want(path, now)
        self._capacity.settle(now)
        if self._shares is self._capacity.shares:
            return False
        known, self._shares = self._shares, self._capacity.shares
        otherwise = list(self._otherwise(known))
        for path, granted in otherwise:
            self._pace(path, granted, now)
        return bool(otherwise)

    def _otherwise(self, known: Mapping[int, Granted]) -> Iterator[tuple[ProbedPath, Granted]]:
        """Yield who asks for another rate, or whom the cap leaves more or less than was known, with what it leaves."""
        concerned = self._unpaced | self._bursting
        if any(share.base != known.get(at, NOTHING).base for at, share in self._shares.items()):
            concerned = self._paths
        for path in concerned:
            granted = self._capacity.granted(path)
            if path in self._unpaced or granted != self._granted.get(path):
                yield path, granted

    def _want(self, path: ProbedPath, now: float) -> None:
        self._capacity.want(path, path.wanted(now))
        self._unpaced.add(path)

    def _pace(self, path: ProbedPath, granted: Granted, now: float) -> None:
        self._granted[path] = granted
        self._unpaced.discard(path)
        base, burst = path.schedules(granted, now)
        self._timers.pace(path.base, base, now)
        self._timers.pace(path.burst, burst, now)
        if granted.base < 1:
            self.throttled[path.assign.id] = path.assign.rate_per_s * granted.base
        else:
            self.throttled.pop(path.assign.id, None)
