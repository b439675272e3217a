"""From outcomes to samples: the counts of the probes that were due in one stretch of 100 ms. Pure.

The laws:

1. A probe counts in the sample of its due time, whenever it ends.
2. A sample is reported once, when its time is over and its last probe has ended.
3. A sample the prober does not stand behind is discarded and says why; it is reported, never hidden.
4. A sample in which nothing was due is not reported: it counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator

from prober.contract import LOOP, SAMPLE_S, Counts, Sample
from prober.outcome import Outcome

WhyDiscarded = Callable[[float, float], str]
"""Why the prober does not trust itself anywhere between two times, or nothing."""


def slot_of(moment: float) -> int:
    """Return the number of the stretch of 100 ms that ``moment`` lies in, on the engine's clock."""
    return math.floor(moment / SAMPLE_S)


NONE = Counts()
LATE = "late"
"""Why a probe was not sent whose time had passed."""


class OpenSample:
    """The probes of one assignment in one slot, while some of them are still under way."""

    __slots__ = ("_answers", "_counts", "_discarded", "_faults", "_last_s", "_loops", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._counts = [NONE, NONE]
        self._answers: dict[str, int] = {}
        self._faults: dict[str, tuple[Counts, Counts]] = {}
        self._loops = 0
        self._last_s = 0.0
        self._discarded = ""

    def end(self, outcome: Outcome, *, burst: bool, slow: bool, address: str) -> None:
        """Count one of the pending probes as ended."""
        one = Counts(1, int(outcome.bad), int(slow))
        self._end_one(outcome)
        self._counts[burst] += one
        self._answers[outcome.answer] = self._answers.get(outcome.answer, 0) + 1
        self._loops += outcome.answer == LOOP
        if address and (one.bad or one.slow):
            of_base, of_burst = self._faults.get(address, (NONE, NONE))
            self._faults[address] = (
                (of_base, of_burst + one) if burst else (of_base + one, of_burst)
            )

    def end_unsent(self, outcome: Outcome) -> None:
        """Count one of the pending probes as not sent, by the prober's own fault.

        Whether one is late is known before it is asked, so the others are as true without it. Not so one that
        could not be sent: what a target holds open may be why.
        """
        self._end_one(outcome)
        if self._discarded in ("", LATE):
            self._discarded = outcome.unsent

    def _end_one(self, outcome: Outcome) -> None:
        self.pending -= 1
        self._last_s = max(self._last_s, outcome.ended_s)

    def closed(
        self, assignment: int, number: int, slot: int, now: float, why_discarded: WhyDiscarded
    ) -> Sample:
        """Return the sample, at the time ``now`` of its report."""
        start, end = slot * SAMPLE_S, (slot + 1) * SAMPLE_S
        return Sample(
            assignment=assignment,
            number=number,
            age_s=round(max(0.0, now - end), 4),
            base=self._counts[False],
            burst=self._counts[True],
            discarded=self._why_own() or why_discarded(start, max(end, self._last_s)),
            answers=self._answers,
            loops=self._loops,
            faults=self._faults,
        )

    def _why_own(self) -> str:
        asked = any(counts.sent for counts in self._counts)
        return "" if asked and self._discarded == LATE else self._discarded


class SampleLog:
    """The samples of one assignment; number 0 is the one that ``now`` lies in when it is made."""

    def __init__(self, assignment: int, now: float) -> None:
        self._assignment = assignment
        self._first = slot_of(now)
        self._open: dict[int, OpenSample] = {}

    @property
    def is_settled(self) -> bool:
        """Return whether every probe that was due has been reported."""
        return not self._open

    def is_pending(self, now: float) -> bool:
        """Return whether a sample is over whose word is still to come."""
        return any(slot < slot_of(now) for slot in self._open)

    def plan(self, due: float) -> OpenSample:
        """Open the tally for a probe due now; every call is answered by one ``end`` on it."""
        sample = self._open.setdefault(slot_of(due), OpenSample())
        sample.pending += 1
        return sample

    def take(
        self, now: float, waiting: Container[int], why_discarded: WhyDiscarded
    ) -> Iterator[Sample]:
        """Yield the samples that ended and were not reported before, oldest first.

        Everything due until ``now`` must have been planned. ``waiting`` holds the slots whose
        control probe is still under way: their word is not known yet.
        """
        if not self._open:
            return
        over = [
            slot
            for slot, sample in self._open.items()
            if not sample.pending and slot < slot_of(now) and slot not in waiting
        ]
        for slot in sorted(over):
            sample = self._open.pop(slot)
            yield sample.closed(self._assignment, slot - self._first, slot, now, why_discarded)
