"""The gates that roll shifted callers back, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide.gates import rollback
from controller.domain import Endpoints, Malformed, Reason, Revert, Reverted, Side
from controller.domain.fleet import FleetWord
from tests.unit.decide.gates.inputs import (
    BAD,
    DEAD_GATEWAY,
    NOW,
    REVERTED,
    Row,
    given,
    one_sided,
    said,
    spec,
    traffic,
)

LEGACY_TO_TARGET, LEGACY_BACK = ("legacy", Side.TARGET), ("legacy", Side.ORIGIN)
EKS_BACK = ("eks", Side.ORIGIN)
LOST: dict[Any, Any] = {
    LEGACY_TO_TARGET: {"heard_s": 1.5},
    LEGACY_BACK: {"heard_s": 1.5},
    EKS_BACK: {"all_bad_1s": True},
}
FAILING = traffic(points=25.0, threshold=20.0, bad_share=0.5, requests=90, failures=45)
EMPTY = {"endpoints": Endpoints()}
ASKED_BACK = FleetWord("f", "one", rollback="the annotation says so")

ROWS = [
    Row(rollback.latched, given(100, record={"reverted": REVERTED}), "revert TargetBad"),
    Row(rollback.latched, given(0, record={"reverted": REVERTED})),
    Row(rollback.latched, given(100)),
    Row(rollback.aborted, given(100, asked=spec(abort=True)), "revert Aborted"),
    Row(rollback.aborted, given(0, asked=Malformed((), abort=True)), "revert Aborted"),
    Row(rollback.aborted, given(100)),
    Row(rollback.aborted, given(asked=spec(abort=True))),
    Row(rollback.aborted, given(100, asked=None)),
    Row(rollback.fleet_rollback, given(100, fleet=ASKED_BACK), "revert FleetRollback"),
    Row(rollback.fleet_rollback, given(0, fleet=ASKED_BACK), "revert FleetRollback"),
    Row(rollback.fleet_rollback, given(fleet=ASKED_BACK)),
    Row(rollback.fleet_rollback, given(1000, record={"completed": NOW}, fleet=ASKED_BACK)),
    Row(rollback.fleet_rollback, given(100, fleet=FleetWord("f"))),
    Row(rollback.fleet_rollback, given(100)),
    Row(
        rollback.together_reverted,
        given(100, fleet=FleetWord("f", fallen="b was")),
        "revert TogetherReverted",
    ),
    Row(rollback.together_reverted, given(0, fleet=FleetWord("f", fallen="b was"))),
    Row(rollback.together_reverted, given(100, fleet=FleetWord("f"))),
    Row(rollback.together_reverted, given(100)),
    Row(rollback.target_changed, given(100, asked=spec(target="legacy")), "revert TargetChanged"),
    Row(
        rollback.target_changed,
        given(0, asked=Malformed((), target="legacy")),
        "revert TargetChanged",
    ),
    Row(rollback.target_changed, given(100)),
    Row(rollback.target_changed, given(100, asked=None)),
    Row(
        rollback.target_changed,
        given(1000, record={"completed": NOW}, asked=spec(target="legacy")),
    ),
    Row(
        rollback.gateway_loop,
        given(100, paths={LEGACY_BACK: {"reason": Reason.GATEWAY_LOOP}}),
        "revert GatewayLoop",
    ),
    Row(rollback.gateway_loop, given(100)),
    Row(rollback.gateway_loop, given(0, paths={LEGACY_BACK: {"reason": Reason.GATEWAY_LOOP}})),
    Row(rollback.target_without_endpoints, given(100, eks=EMPTY), "revert TargetWithoutEndpoints"),
    Row(rollback.target_without_endpoints, given(100)),
    Row(rollback.target_without_endpoints, given(0, eks=EMPTY)),
    Row(rollback.target_without_endpoints, given(100, eks={**EMPTY, "current": False})),
    Row(
        rollback.gateway_dead,
        given(100, paths={LEGACY_TO_TARGET: DEAD_GATEWAY}),
        "revert GatewayDead",
    ),
    Row(rollback.gateway_dead, given(100, paths={LEGACY_TO_TARGET: BAD})),
    Row(rollback.gateway_dead, given(100, paths={EKS_BACK: DEAD_GATEWAY})),
    Row(rollback.gateway_dead, given(0, paths={LEGACY_TO_TARGET: DEAD_GATEWAY})),
    Row(
        rollback.gateway_dead,
        given(100, paths={LEGACY_TO_TARGET: DEAD_GATEWAY, LEGACY_BACK: DEAD_GATEWAY}),
    ),
    Row(
        rollback.gateway_dead,
        given(100, record={"reverted": REVERTED}, paths={LEGACY_TO_TARGET: DEAD_GATEWAY}),
    ),
    Row(rollback.target_bad, given(100, paths={LEGACY_TO_TARGET: BAD}), "revert TargetBad"),
    Row(rollback.target_bad, given(100, paths={LEGACY_TO_TARGET: BAD, LEGACY_BACK: BAD})),
    Row(rollback.target_bad, given(0, paths={LEGACY_TO_TARGET: BAD})),
    Row(
        rollback.target_bad,
        given(100, record={"reverted": REVERTED}, paths={LEGACY_TO_TARGET: BAD}),
    ),
    Row(rollback.traffic_bad, given(100, traffic={"legacy": FAILING}), "revert TrafficBad"),
    Row(
        rollback.traffic_bad,
        given(100, traffic={"eks": replace(FAILING, origin_bad_share=0.1)}),
        "revert TrafficBad",
    ),
    Row(rollback.traffic_bad, given(100, traffic={"eks": replace(FAILING, origin_bad_share=0.5)})),
    Row(rollback.traffic_bad, given(100)),
    Row(rollback.traffic_bad, given(traffic={"legacy": FAILING})),
    Row(
        rollback.traffic_loop,
        given(100, traffic={"legacy": traffic(looped=True)}),
        "revert TrafficLoop",
    ),
    Row(rollback.traffic_loop, given(100, traffic={"legacy": traffic()})),
    Row(rollback.traffic_loop, given(traffic={"legacy": traffic(looped=True)})),
    Row(rollback.link_lost, given(100, paths=LOST), "revert LinkLost"),
    Row(rollback.link_lost, given(0, paths=LOST)),
    Row(rollback.link_lost, given(100, paths={**LOST, LEGACY_BACK: {"heard_s": 0.5}})),
    Row(rollback.link_lost, given(100, paths={**LOST, EKS_BACK: {}})),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, rollback.GATES) == set()


def test_a_revert_of_another_version_is_finished_under_its_own_name() -> None:
    """A latch with a reason that this version does not know is carried on as it was written."""
    strange = Reverted("TargetHaunted", "ghosts", NOW)
    ruling = rollback.latched(given(100, record={"reverted": strange}))
    assert isinstance(ruling, Revert)
    assert (ruling.reason, ruling.message, ruling.waits) == ("TargetHaunted", "ghosts", False)


def test_bad_requests_are_told_beside_those_to_the_origin() -> None:
    """The message of real traffic has both shares, the counts and the points."""
    ruling = rollback.traffic_bad(
        given(100, traffic={"legacy": replace(FAILING, origin_bad_share=0.1)})
    )
    assert ruling is not None
    assert ruling.message == (
        "50 % of the last requests of real callers in legacy to eks failed, and 10 % of those to legacy"
        " (45 of 90 in this attempt; 25.0 points, 20.0 allowed)"
    )
