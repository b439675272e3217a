"""What came of one path and was not observed yet.

What the streams of a path report of the same 100 ms shares one fate, and is one observation. A sample whose last probe
was still under way at its end comes with a later report: it is of another time than the one that it comes with.
"""

from __future__ import annotations

from controller.evidence.path import Tick
from prober.contract import SAMPLE_S


class Pending:
    """The observations to be, in the order of their times."""

    def __init__(self) -> None:
        self._ticks: list[tuple[float, Tick]] = []

    def __bool__(self) -> bool:
        """Report whether anything came."""
        return bool(self._ticks)

    def of(self, end_s: float) -> Tick:
        """Return what samples that ended at this time, by the receiver's clock, are added to."""
        for known_s, tick in self._ticks:
            if abs(known_s - end_s) < SAMPLE_S / 2:
                return tick
        made = Tick()
        self._ticks.append((end_s, made))
        self._ticks.sort(key=lambda one: one[0])
        return made

    def take(self) -> list[Tick]:
        """Return them all, and begin anew."""
        taken = [tick for _, tick in self._ticks]
        self._ticks.clear()
        return taken
