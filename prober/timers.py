"""What is due next: one heap for all schedules of a stream. Pure: time is an argument."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from prober.schedule import Schedule

T = TypeVar("T", bound=Hashable)


class Timers(Generic[T]):
    """Items, each with its schedule, in the order in which they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._paces: dict[T, tuple[int, Schedule]] = {}
        self._serial = itertools.count()

    def pace(self, item: T, schedule: Schedule | None, now: float) -> None:
        """Let ``item`` be due by ``schedule`` from now on, or no more.

        An entry in the heap whose serial is not the item's is out of date, and is dropped when its
        time comes; finding and removing it would cost more.
        """
        known = self._paces.get(item)
        if known is not None and known[1] == schedule:
            return
        if schedule is None:
            self._paces.pop(item, None)
            return
        serial = next(self._serial)
        self._paces[item] = serial, schedule
        heapq.heappush(self._heap, (schedule.due_after(now), serial, item))

    def take(self, now: float) -> Iterator[tuple[float, T]]:
        """Yield what is due until ``now``, each due time once, in their order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, serial, item = heap[0]
            known = self._paces.get(item)
            if known is None or known[0] != serial:
                heapq.heappop(heap)
                continue
            heapq.heapreplace(heap, (known[1].due_after(due), serial, item))
            yield due, item

    @property
    def next_due(self) -> float | None:
        """Return when the next is due; None where nothing is."""
        return self._heap[0][0] if self._heap else None
