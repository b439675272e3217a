"""Values that refuse what nothing could be made of, and what they say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from controller.domain import LatencySpec, MigrationSpec
from controller.domain.status import MigrationStatus, Transition

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("percent", ["49.99", "99.991", "100"])
def test_an_objective_that_cannot_be_judged_is_refused(percent: str) -> None:
    """An objective below 50 % or above 99.99 % is no spec, for success and for latency."""
    with pytest.raises(ValueError, match=r"not within 50 to 99\.99"):
        MigrationSpec(success_percent=Decimal(percent))
    with pytest.raises(ValueError, match=r"not within 50 to 99\.99"):
        MigrationSpec(latency=LatencySpec(0.3, Decimal(percent)))


def test_a_share_stands_since_it_was_first_noted() -> None:
    """A share is as old as the first entry of the history's end that has it."""
    later = NOW.replace(hour=1)
    history = (Transition(NOW, share="10/10"), Transition(later, share="10/10"))
    assert MigrationStatus(share="10/10", history=history).step_since == NOW
    moved = (Transition(NOW, share="0/0"), Transition(later, share="10/10"))
    assert MigrationStatus(share="10/10", history=moved).step_since == later
