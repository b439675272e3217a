"""What a plan tells of: what stands, for every way in which that differs from what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.decide.plan import planned
from controller.domain import WHOLE, Malformed, Phase, Plan, Problem, Reason
from tests.unit.decide.gates.inputs import BAD, NOW, REVERTED, given, spec

WRONG = (Problem("migrate.tradeshift/dwell", "", "dwell is two things"),)
TO_EKS = spec(target="eks")
TO_LEGACY = spec(target="legacy")
CONFLICT = Malformed(WRONG, target=None)
WRONG_TO_EKS = Malformed(WRONG, target="eks")
WRONG_TO_LEGACY = Malformed(WRONG, target="legacy")
NOTHING_NAMED = spec(target=None)

ALL = {"legacy": WHOLE, "eks": WHOLE}
NONE = {"legacy": 0, "eks": 0}
QUARTER = {"legacy": 250, "eks": 250}
UNKNOWN = {"legacy": None, "eks": None}
DONE = {"completed": NOW}
LATCHED = {"reverted": REVERTED}


@dataclass(frozen=True, slots=True)
class Row:
    """What stands (a share of the attempt to eks, None: none began) and is asked for; what is told."""

    share: int | None
    asked: Any
    target: str
    phase: Phase
    shares: dict[str, int] | dict[str, None]
    record: dict[str, Any] | None = None

    def told(self) -> Plan:
        """Return the plan."""
        return planned(given(self.share, asked=self.asked, record=self.record))


ROWS = [
    # Completed: all calls are served by eks, whatever is written afterwards, until another attempt may begin.
    *(
        Row(WHOLE, asked, "eks", Phase.COMPLETED, ALL, DONE)
        for asked in (TO_EKS, None, NOTHING_NAMED, CONFLICT, WRONG_TO_EKS, WRONG_TO_LEGACY)
    ),
    Row(WHOLE, TO_LEGACY, "legacy", Phase.PENDING, NONE, DONE),
    # Under way: what is written wrongly, or removed, changes nothing that is told of the share.
    *(
        Row(250, asked, "eks", Phase.HOLDING, QUARTER)
        for asked in (None, NOTHING_NAMED, CONFLICT, WRONG_TO_EKS)
    ),
    # Under way, and the origin is asked for: that attempt is rolled back, and it is the one that is told of.
    Row(250, TO_LEGACY, "eks", Phase.REVERTING, QUARTER),
    Row(250, WRONG_TO_LEGACY, "eks", Phase.REVERTING, QUARTER),
    # Rolled back: over for eks, whatever else is asked for without another number.
    *(
        Row(0, asked, "eks", Phase.REVERTED, NONE, LATCHED)
        for asked in (TO_EKS, TO_LEGACY, None, NOTHING_NAMED, CONFLICT, WRONG_TO_LEGACY)
    ),
    Row(0, spec(target="legacy", attempt=2), "legacy", Phase.PENDING, ALL, LATCHED),
    # Nothing began: what is asked for, as far as it names one cluster.
    Row(None, TO_EKS, "eks", Phase.PENDING, NONE),
    Row(None, TO_LEGACY, "legacy", Phase.PENDING, ALL),
    Row(None, WRONG_TO_LEGACY, "legacy", Phase.PENDING, ALL),
    *(Row(None, asked, "", Phase.PENDING, UNKNOWN) for asked in (None, NOTHING_NAMED, CONFLICT)),
]


@pytest.mark.parametrize("row", ROWS)
def test_what_stands_is_told(row: Row) -> None:
    """Target, phase and shares are of one attempt, and of no other than the one that stands."""
    told = row.told()
    assert (told.target, told.phase, dict(told.shares)) == (row.target, row.phase, row.shares)


def test_a_bad_target_is_told_as_the_one_that_is_left() -> None:
    """A revert for evidence is told of the attempt's target, also where another one is asked for by then."""
    found = given(250, asked=WRONG_TO_EKS)
    observed = replace(found.observed, paths=dict.fromkeys(found.observed.paths, BAD))
    told = planned(replace(found, observed=observed))
    assert told.target == "eks"
    assert told.ruling is not None
    assert told.ruling.reason is not Reason.COMPLETED
