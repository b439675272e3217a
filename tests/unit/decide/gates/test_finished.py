"""The gates of an attempt that is over, or that may not start, row by row."""

from __future__ import annotations

import pytest

from controller.decide.gates import finished
from controller.domain import Malformed, Pin
from controller.domain.fleet import FleetWord
from tests.unit.decide.gates.inputs import (
    EARLIER,
    NOW,
    REVERTED,
    Row,
    given,
    latched_pin,
    one_sided,
    said,
    spec,
    split,
)

SILENT = {"current": False, "stale_reason": "it is late"}
UNSEEN = {**SILENT, "splits": ()}
OTHERWISE = {**SILENT, "splits": (split(0, in_force_permille=250),)}
BACK = {"reverted": REVERTED}
SERVED = {"baseline": {"legacy": 0, "eks": 1000}}

ROWS = [
    Row(finished.reverted, given(0, record={"reverted": REVERTED}), "hold TargetBad"),
    Row(finished.reverted, given(100)),
    Row(finished.reverted, given(0, record={"reverted": REVERTED}, asked=spec(attempt=2))),
    Row(finished.reverted, given(0, record=BACK, legacy=UNSEEN), "hold ClusterStale"),
    Row(finished.reverted, given(0, record=BACK, legacy=SILENT), "hold TargetBad"),
    Row(finished.reverted, given(0, record=BACK, legacy=OTHERWISE), "hold ClusterStale"),
    Row(finished.reverted, given(0, record=BACK, begun=SERVED, eks=UNSEEN), "hold TargetBad"),
    Row(finished.completed, given(1000, record={"completed": NOW}), "hold Completed"),
    Row(
        finished.completed,
        given(1000, record={"completed": NOW}, legacy=UNSEEN),
        "hold ClusterStale",
    ),
    Row(finished.completed, given(1000)),
    Row(finished.completed, given(1000, record={"completed": NOW}, asked=Malformed(()))),
    Row(finished.pin_latched, given(eks={"pin": latched_pin(1)}), "hold TargetBad"),
    Row(
        finished.pin_latched,
        given(eks={"pin": latched_pin(1)}, legacy=UNSEEN),
        "hold ClusterStale",
    ),
    Row(finished.pin_latched, given(eks={"pin": latched_pin(1)}, asked=spec(attempt=2))),
    Row(finished.pin_latched, given(100, eks={"pin": latched_pin(7)})),
    Row(finished.pin_latched, given(eks={"pin": Pin("1", EARLIER)})),
    Row(finished.aborted, given(asked=spec(abort=True)), "hold Aborted"),
    Row(finished.aborted, given(asked=Malformed((), abort=True)), "hold Aborted"),
    Row(finished.aborted, given()),
    Row(finished.aborted, given(asked=None)),
    Row(
        finished.fleet_rollback, given(fleet=FleetWord("f", rollback="said")), "hold FleetRollback"
    ),
    Row(finished.fleet_rollback, given(fleet=FleetWord("f"))),
    Row(finished.fleet_rollback, given()),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, finished.GATES) == set()


def test_it_says_how_to_try_again() -> None:
    """A reverted attempt names the number that begins another."""
    ruling = finished.reverted(given(0, record={"reverted": REVERTED}))
    assert ruling is not None
    assert ruling.message == "attempt 1 was reverted: 500s; to try again set attempt to 2"


def test_it_says_of_whom_nobody_knows() -> None:
    """Of a cluster that fell silent before it was seen to be back the message names the cluster, and why."""
    ruling = finished.reverted(given(0, record=BACK, legacy=UNSEEN))
    assert ruling is not None
    assert ruling.message == (
        "attempt 1 was reverted: 500s; whether callers in legacy are rolled back is not known: it is late"
    )


def test_an_abort_that_comes_too_late_is_told() -> None:
    """After Completed abort moves nobody, and the message says what does."""
    ruling = finished.completed(given(1000, record={"completed": NOW}, asked=spec(abort=True)))
    assert ruling is not None
    assert ruling.message.endswith("; abort comes too late: set target to legacy")
