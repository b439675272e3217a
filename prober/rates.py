"""How often each path of one stream is probed: what it asks for, under what the cap leaves. Time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

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
        at_once = self._capacity.claim(path.wanted(now).burst_per_s)
        if at_once:
            granted = self._shares.get(path.assign.priority, NOTHING)
            self._timers.pace(path.burst, path.schedules(Granted(granted.base, 1.0), now)[1], now)
        return at_once

    def end(self, path: ProbedPath, now: float) -> None:
        """Probe a path no more."""
        self._timers.pace(path.base, None, now)
        self._timers.pace(path.burst, None, now)
        for paths in (self._paths, self._bursting, self._unpaced):
            paths.discard(path)
        self.throttled.pop(path.assign.id, None)
        self._capacity.want(path, None)

    def follow(self, now: float) -> bool:
        """Follow the cap; return whether anybody is due otherwise than before."""
        for path in [path for path in self._bursting if not path.is_bursting(now)]:
            self._bursting.discard(path)
            self._want(path, now)
        self._capacity.settle(now)
        known, self._shares = self._shares, self._capacity.shares
        paced = self._unpaced.union(self._shared_otherwise(known))
        self._unpaced = set()
        for path in paced:
            self._pace(path, now)
        return bool(paced)

    def _want(self, path: ProbedPath, now: float) -> None:
        self._capacity.want(path, path.wanted(now))
        self._unpaced.add(path)

    def _shared_otherwise(self, known: Mapping[int, Granted]) -> Iterator[ProbedPath]:
        """Yield whom the cap leaves more or less than was known; another share of bursts concerns those that burst."""

        def changed(part: Callable[[Granted], float]) -> set[int]:
            now_and_then = (
                (at, share, known.get(at, NOTHING)) for at, share in self._shares.items()
            )
            return {at for at, share, before in now_and_then if part(share) != part(before)}

        base, burst = changed(lambda share: share.base), changed(lambda share: share.burst)
        if base:
            yield from (path for path in self._paths if path.assign.priority in base)
        if burst:
            yield from (path for path in self._bursting if path.assign.priority in burst)

    def _pace(self, path: ProbedPath, now: float) -> None:
        granted = self._shares.get(path.assign.priority, NOTHING)
        base, burst = path.schedules(granted, now)
        self._timers.pace(path.base, base, now)
        self._timers.pace(path.burst, burst, now)
        if granted.base < 1:
            self.throttled[path.assign.id] = path.assign.rate_per_s * granted.base
        else:
            self.throttled.pop(path.assign.id, None)
