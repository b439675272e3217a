"""The gates of lease, caches, pins and record, row by row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controller.decide.gates import safety
from controller.domain import Defect, Pin, Reason, Side
from tests.unit.decide.gates.inputs import NOW, Row, given, one_sided, said, spec, split

DEFECT = Defect(Reason.SPLIT_IGNORED, "spec.service is long", repairable=True)


def pinned(seconds_ago: float) -> dict[str, object]:
    """Return what changes a cluster whose pin was made so long ago."""
    return {"pin": Pin("1", NOW - timedelta(seconds=seconds_ago))}


ROWS = [
    Row(safety.cluster_stale, given(eks={"current": False}), "hold ClusterStale"),
    Row(safety.cluster_stale, given()),
    Row(
        safety.object_unreadable,
        given(eks={"current": False, "unreadable": "services web in shop cannot be read: no name"}),
        "hold ObjectUnreadable",
    ),
    Row(safety.object_unreadable, given(eks={"current": False})),
    Row(safety.no_lease, given(context={"leads": False}), "hold NoLease"),
    Row(safety.no_lease, given(record={"fencing_token": 2}), "hold NoLease"),
    Row(
        safety.no_lease,
        given(record={"fencing_token": 1, "lease": "b"}, context={"lease": "a"}),
        "hold NoLease",
    ),
    Row(safety.no_lease, given(record={"fencing_token": 0, "lease": "b"}, context={"lease": "a"})),
    Row(safety.no_lease, given(record={"lease": "a"}, context={"lease": "a"})),
    Row(safety.no_lease, given()),
    Row(safety.two_leases, given(100, other_lease="b"), "hold TwoLeases"),
    Row(safety.two_leases, given(100)),
    Row(safety.no_lease, given(legacy={"splits": ()}, eks={"splits": ()})),
    Row(safety.pin_missing, given(eks={"pin": None}), "wait PinMissing"),
    Row(safety.pin_missing, given()),
    Row(safety.split_missing, given(legacy={"splits": ()}), "wait SplitMissing"),
    Row(safety.split_missing, given()),
    Row(
        safety.split_flawed,
        given(legacy={"splits": (split(defects=(DEFECT,)),)}),
        "wait SplitFlawed",
    ),
    Row(safety.split_flawed, given()),
    Row(safety.split_flawed, given(legacy={"splits": ()})),
    Row(safety.beginning, given(), "wait Beginning"),
    Row(safety.beginning, given(100, eks={"splits": (split(),)}), "wait Beginning"),
    Row(safety.beginning, given(0)),
    Row(safety.taking_over, given(100, context={"fencing_token": 2}), "wait TakingOver"),
    Row(
        safety.taking_over,
        given(100, record={"lease": "b"}, context={"lease": "a"}),
        "wait TakingOver",
    ),
    Row(safety.taking_over, given(100, listens_s=3.0), "wait TakingOver"),
    Row(safety.taking_over, given(100)),
    Row(safety.recording, given(100, asked=spec(soak_s=60.0)), "wait Recording"),
    Row(safety.recording, given(100)),
    Row(safety.recording, given(100, asked=spec(paused=True))),
    Row(safety.recording, given(asked=None)),
    Row(safety.recording, given()),
    Row(safety.pin_young, given(eks=pinned(1)), "wait PinYoung"),
    Row(safety.pin_young, given(eks=pinned(-60), settled_s=2.0, started_s=1.0), "wait PinYoung"),
    Row(safety.pin_young, given(eks=pinned(-60), settled_s=9.0, started_s=8.0)),
    Row(safety.pin_young, given(eks=pinned(5))),
    Row(safety.pin_young, given(eks={"pin": None})),
    Row(
        safety.gateway_not_pinned,
        given(paths={("legacy", Side.TARGET): {"loop_s": 0.5}}),
        "hold GatewayNotPinned",
    ),
    Row(
        safety.gateway_not_pinned,
        given(paths={("eks", Side.ORIGIN): {"loop_s": 0.5}}),
        "hold GatewayNotPinned",
    ),
    Row(safety.gateway_not_pinned, given(paths={("eks", Side.TARGET): {"loop_s": 0.5}})),
    Row(safety.gateway_not_pinned, given()),
    Row(safety.settling, given(settled_s=0.4), "wait Settling"),
    Row(safety.settling, given(settled_s=1.0)),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, safety.GATES) == set()


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("", "eks is not known well enough to raise: it was not listed yet"),
        ("pods broke off", "eks is not known well enough to raise: pods broke off"),
    ],
)
def test_a_stale_cluster_is_told_with_why(why: str, told: str) -> None:
    """A cluster that is not current says what is missing, or that nothing was listed yet."""
    ruling = safety.cluster_stale(given(eks={"current": False, "stale_reason": why}))
    assert ruling is not None
    assert ruling.message == told


@pytest.mark.parametrize(
    ("seconds_ago", "again_s"),
    [(1.0, 4.0), (-60.0, 3.0)],
)
def test_a_young_pin_is_looked_at_again_in_time(seconds_ago: float, again_s: float) -> None:
    """A pin is asked for again when it is 5 s old, by our own clock where its stamp is of the future."""
    ruling = safety.pin_young(given(eks=pinned(seconds_ago), settled_s=2.0, started_s=9.0))
    assert ruling is not None
    assert ruling.requeue_after_s == pytest.approx(again_s)
