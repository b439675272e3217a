"""From outcomes to slices: the counts of the probes that were due in one stretch of 100 ms. Pure.

The laws:

1. A probe counts in the slice of its due time, whenever it ends.
2. A slice is told once, when its time is over and its last probe has ended.
3. A slice the prober does not stand behind is void and says why; it is told, never hidden.
4. A slice in which nothing was due is not told: it counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator

from prober.contract import LOOP, SLICE_S, Counts, Slice
from prober.outcome import Outcome

Doubt = Callable[[float, float], str]
"""Why the prober does not trust itself anywhere between two times, or nothing."""


def slot_of(moment: float) -> int:
    """Number the stretch of 100 ms that ``moment`` lies in, on the engine's clock."""
    return math.floor(moment / SLICE_S)


class Count:
    """Counts that grow: of base probes, of burst probes, or of those of one pod."""

    __slots__ = ("bad", "sent", "slow")

    def __init__(self) -> None:
        self.sent = self.bad = self.slow = 0

    def add(self, *, bad: bool, slow: bool) -> None:
        """One more probe that was sent."""
        self.sent += 1
        self.bad += bad
        self.slow += slow

    def frozen(self) -> Counts:
        """Give the counts as the contract has them."""
        return Counts(self.sent, self.bad, self.slow)


class Tally:
    """The probes of one assignment in one slot, while some of them are still under way."""

    __slots__ = ("_answers", "_counts", "_faults", "_last_s", "_loops", "_void", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._counts = (Count(), Count())
        self._answers: dict[str, int] = {}
        self._faults: dict[str, tuple[Count, Count]] = {}
        self._loops = 0
        self._last_s = 0.0
        self._void = ""

    def end(self, outcome: Outcome, *, burst: bool, slow: bool, address: str) -> None:
        """Count one of the pending probes as ended."""
        bad = outcome.bad
        self._end_one(outcome)
        self._counts[burst].add(bad=bad, slow=slow)
        self._answers[outcome.answer] = self._answers.get(outcome.answer, 0) + 1
        self._loops += outcome.answer == LOOP
        if address and (bad or slow):
            faults = self._faults.setdefault(address, (Count(), Count()))
            faults[burst].add(bad=bad, slow=slow)

    def end_unsent(self, outcome: Outcome) -> None:
        """Count one of the pending probes as not sent, by the prober's own fault."""
        self._end_one(outcome)
        self._void = self._void or outcome.unsent

    def _end_one(self, outcome: Outcome) -> None:
        self.pending -= 1
        self._last_s = max(self._last_s, outcome.ended_s)

    def told(self, assignment: int, number: int, slot: int, now: float, doubt: Doubt) -> Slice:
        """Make the slice, at the time ``now`` of its report."""
        start, end = slot * SLICE_S, (slot + 1) * SLICE_S
        return Slice(
            assignment=assignment,
            number=number,
            age_s=round(max(0.0, now - end), 4),
            base=self._counts[False].frozen(),
            burst=self._counts[True].frozen(),
            void=self._void or doubt(start, max(end, self._last_s)),
            answers=self._answers,
            loops=self._loops,
            faults={
                address: (base.frozen(), burst.frozen())
                for address, (base, burst) in self._faults.items()
            },
        )


class Ledger:
    """The slices of one assignment; number 0 is the one that ``now`` lies in when it is made."""

    def __init__(self, assignment: int, now: float) -> None:
        self._assignment = assignment
        self._first = slot_of(now)
        self._open: dict[int, Tally] = {}

    @property
    def is_settled(self) -> bool:
        """Whether every probe that was due has been told."""
        return not self._open

    def is_pending(self, now: float) -> bool:
        """Whether a slice is over whose word is still to come."""
        return any(slot < slot_of(now) for slot in self._open)

    def plan(self, due: float) -> Tally:
        """Open the tally for a probe due now; every call is answered by one ``end`` on it."""
        tally = self._open.setdefault(slot_of(due), Tally())
        tally.pending += 1
        return tally

    def take(self, now: float, waiting: Container[int], doubt: Doubt) -> Iterator[Slice]:
        """Yield the slices that ended and were not told before, oldest first.

        Everything due until ``now`` must have been planned. ``waiting`` holds the slots whose
        reference probe is still under way: their word is not known yet.
        """
        if not self._open:
            return
        over = [
            slot
            for slot, tally in self._open.items()
            if not tally.pending and slot < slot_of(now) and slot not in waiting
        ]
        for slot in sorted(over):
            tally = self._open.pop(slot)
            yield tally.told(self._assignment, slot - self._first, slot, now, doubt)
