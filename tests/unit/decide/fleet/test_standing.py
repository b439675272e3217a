"""What a decision says of its Service, as far as Fleets ask."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.decide.decision import decide
from controller.decide.fleet.standing import standing_of
from controller.domain import Pin, Reason
from controller.domain.fleet import FleetWord, MemberState, Standing
from tests.unit.decide.gates.inputs import (
    EARLIER,
    NOW,
    REVERTED,
    given,
    latched_pin,
    spec,
)

WISH = FleetWord("f", "one", wish={"target": "eks"})


def standing(share: int | None = None, **changed: Any) -> Standing:
    """Return where a Service stands of which this is observed."""
    return standing_of(decide(given(share, **changed).observed, NOW))


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        (standing(fleet=FleetWord("f", waits="for a")), MemberState.WAITING, ""),
        (standing(100), MemberState.UNDER_WAY, ""),
        (standing(0), MemberState.UNDER_WAY, ""),
        (standing(100, fleet=FleetWord("f", closed="night")), MemberState.UNDER_WAY, ""),
        (standing(100, fleet=FleetWord("f", unclear="two")), MemberState.BLOCKED, "FleetUnclear"),
        (standing(1000, record={"completed": NOW}), MemberState.COMPLETED, ""),
        (standing(0, record={"reverted": REVERTED}), MemberState.REVERTED, "TargetBad"),
        (standing(100, asked=spec(abort=True)), MemberState.REVERTED, "Aborted"),
    ],
)
def test_a_state_is_what_was_decided(found: Standing, state: MemberState, reason: str) -> None:
    """Where a Service counts is by its phase, and by whether a person is needed; that one is told why."""
    assert (found.state, found.reason) == (state, reason)
    assert bool(found.message) == bool(reason)


def test_its_attempt_is_told_with_its_times() -> None:
    """When an attempt began, was raised and completed is taken from its records."""
    found = standing(1000, record={"completed": NOW})
    assert (found.target, found.started, found.completed, found.rose) == (
        "eks",
        EARLIER,
        NOW,
        EARLIER,
    )


def test_an_owner_who_names_another_cluster_is_told_of() -> None:
    """Whoever names the cluster that its Fleet wishes, or hears no Fleet, names no other."""
    assert standing(asked=spec(target="legacy"), fleet=WISH).own_target
    assert not standing(fleet=WISH).own_target
    assert not standing(asked=None, fleet=WISH).own_target
    assert not standing(asked=spec(target="legacy")).own_target


def test_what_evidence_ended_counts_until_it_is_another() -> None:
    """A fall is known by the records, and by the pins when another attempt has begun; what people ended is none."""
    at = REVERTED.at
    assert standing(0, record={"reverted": REVERTED}).fell == at
    assert standing(0, asked=spec(attempt=2), eks={"pin": latched_pin(1)}).fell == at
    assert standing(100, eks={"pin": Pin("1", EARLIER)}).fell is None
    for reason in (Reason.ABORTED, Reason.FLEET_ROLLBACK, Reason.TOGETHER_REVERTED):
        by_people = msgspec.structs.replace(REVERTED, reason=reason.value)
        assert standing(0, record={"reverted": by_people}).fell is None
