"""The gates of a person, the settings and the queue, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.decide.gates import operator
from controller.decide.input import Input
from controller.domain import (
    BELIEVED_TOKEN,
    Begun,
    Endpoints,
    Malformed,
    Pin,
    Record,
    Split,
    SplitKind,
    Unreadable,
)
from controller.domain.fleet import FleetWord
from tests.unit.decide.gates.inputs import (
    EARLIER,
    NOW,
    Row,
    attempt,
    given,
    one_sided,
    said,
    spec,
    split,
)

ELSEWHERE = Record(
    SplitKind.TRAFFICSPLIT,
    attempt=attempt(target="moon", baseline={"legacy": 0, "moon": 0}),
)


def with_record(record: Record | Unreadable) -> dict[str, object]:
    """Return what changes a cluster whose split has this record."""
    return {"splits": (split(0, record),)}


def by_hand(**changed: object) -> dict[str, object]:
    """Return what changes a cluster whose split somebody has set to 300, of an attempt at 100."""
    record = Record(SplitKind.TRAFFICSPLIT, fencing_token=1, attempt=attempt(), share_permille=100)
    return {"splits": (split(300, record, **changed),)}


OLDER = Record(SplitKind.TRAFFICSPLIT, attempt=attempt(started=EARLIER - timedelta(days=1)))
"""A record of an attempt before this one."""


def dropped(away: int, record: Record | None = None, **changed: object) -> dict[str, object]:
    """Return what changes a cluster whose split somebody wrote anew: without a record, or with an old one."""
    return {"splits": (replace(split(away, **changed), record=record),)}


def dropped_route() -> tuple[Split, ...]:
    """Return the two HTTPRoutes of a split, of which the second was written anew."""
    kept = Record(
        SplitKind.HTTPROUTE, fencing_token=1, attempt=attempt(), share_permille=100, since=EARLIER
    )
    first = split(100, kept, kind=SplitKind.HTTPROUTE, name="a")
    return first, replace(first, record=None, name="b", away_permille=0)


def knows(*routes: str) -> Pin:
    """Return a pin that remembers the attempt, on these routes in legacy."""
    return Pin("1", EARLIER, begun=Begun(attempt(), {"legacy": routes}))


BACK = FleetWord("f", "one", wish={"target": "legacy"}, returns=True)


def moved(ready: int) -> Input:
    """Return the input of a Service that completed a move, and whose wave goes back: so many pods are ready there."""
    return given(
        1000,
        record={"completed": NOW},
        asked=spec(target="legacy"),
        legacy={"endpoints": Endpoints(ready)},
        fleet=BACK,
    )


ROWS = [
    Row(
        operator.record_unreadable,
        given(legacy=with_record(Unreadable("it is no JSON"))),
        "hold RecordUnreadable",
    ),
    Row(operator.record_unreadable, given(eks=with_record(ELSEWHERE)), "hold RecordUnreadable"),
    Row(
        operator.record_unreadable,
        given(100, record={"fencing_token": BELIEVED_TOKEN + 1}),
        "hold RecordUnreadable",
    ),
    Row(
        operator.record_unreadable,
        given(
            100,
            record={"fencing_token": BELIEVED_TOKEN + 1},
            context={"fencing_token": BELIEVED_TOKEN + 1},
        ),
    ),
    Row(operator.record_unreadable, given(100)),
    Row(operator.record_unreadable, given(legacy={"splits": ()})),
    Row(operator.hand_edited, given(100, legacy=by_hand()), "hold HandEdited"),
    Row(operator.hand_edited, given(100, record={"share_permille": 300}), "hold HandEdited"),
    Row(operator.hand_edited, given(100, legacy=dropped(0)), "hold HandEdited"),
    Row(operator.hand_edited, given(100, legacy=dropped(100), eks=dropped(900)), "hold HandEdited"),
    Row(operator.hand_edited, given(100, legacy=dropped(100))),
    Row(operator.hand_edited, given(100, legacy=dropped(100, OLDER))),
    Row(
        operator.hand_edited,
        given(100, legacy=dropped(100, OLDER), eks=dropped(900)),
        "hold HandEdited",
    ),
    Row(operator.hand_edited, given(100, legacy=dropped(0, OLDER)), "hold HandEdited"),
    Row(operator.hand_edited, given(100, legacy={"splits": dropped_route(), "pin": knows("a")})),
    Row(operator.hand_edited, given(100, record={"completed": NOW}, legacy=dropped(0))),
    Row(operator.hand_edited, given(100)),
    Row(operator.hand_edited, given(100, record={"completed": NOW, "share_permille": 300})),
    Row(operator.hand_edited, given()),
    Row(operator.paused, given(100, asked=spec(paused=True)), "hold Paused"),
    Row(operator.paused, given(asked=spec(paused=True)), "hold Paused"),
    Row(operator.paused, given(100)),
    Row(operator.paused, given(100, asked=Malformed(()))),
    Row(operator.fleet_paused, given(100, context={"paused": True}), "hold FleetPaused"),
    Row(operator.fleet_paused, given(100)),
    Row(operator.fleet_paused, given(100, fleet=FleetWord("f", paused="said")), "hold FleetPaused"),
    Row(operator.fleet_paused, given(fleet=FleetWord("f", paused="said")), "wait FleetPaused"),
    Row(operator.fleet_paused, given(999, fleet=FleetWord("f", paused="said")), "hold FleetPaused"),
    Row(operator.fleet_paused, given(fleet=FleetWord("f"))),
    Row(operator.wave_waits, given(fleet=FleetWord("f", waits="for a")), "wait WaveWaits"),
    Row(operator.wave_waits, given(0, fleet=FleetWord("f", waits="for a")), "wait WaveWaits"),
    Row(operator.wave_waits, given(100, fleet=FleetWord("f", waits="for a"))),
    Row(operator.wave_waits, given(fleet=FleetWord("f", fallen="b was")), "wait WaveWaits"),
    Row(operator.wave_waits, given(fleet=FleetWord("f"))),
    Row(operator.wave_waits, given()),
    Row(operator.wave_waits, given(fleet=BACK), "wait WaveWaits"),
    Row(operator.wave_waits, given(0, fleet=BACK)),
    Row(operator.wave_waits, moved(ready=3)),
    Row(operator.wave_waits, moved(ready=2)),
    Row(operator.wave_waits, moved(ready=1), "wait WaveWaits"),
    Row(operator.wave_waits, given(100, record={"completed": EARLIER}, fleet=BACK)),
    Row(operator.window_closed, given(fleet=FleetWord("f", closed="night")), "wait WindowClosed"),
    Row(
        operator.window_closed,
        given(100, fleet=FleetWord("f", closed="night")),
        "hold WindowClosed",
    ),
    Row(operator.window_closed, given(999, fleet=FleetWord("f", closed="night"))),
    Row(
        operator.window_closed,
        given(999, legacy={"splits": (split(500),)}, fleet=FleetWord("f", closed="night")),
        "hold WindowClosed",
    ),
    Row(operator.window_closed, given(fleet=FleetWord("f"))),
    Row(operator.window_closed, given()),
    Row(operator.line_stopped, given(fleet=FleetWord("f", stopped="3")), "wait LineStopped"),
    Row(operator.line_stopped, given(100, fleet=FleetWord("f", stopped="3")), "hold LineStopped"),
    Row(operator.line_stopped, given(999, fleet=FleetWord("f", stopped="3"))),
    Row(operator.line_stopped, given(fleet=FleetWord("f"))),
    Row(operator.line_stopped, given()),
    Row(operator.no_slot, given(has_slot=False), "wait NoSlot"),
    Row(operator.no_slot, given()),
    Row(operator.no_slot, given(999, has_slot=False)),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_has_its_answer(row: Row) -> None:
    """What is observed is answered by the gate as the row says."""
    assert said(row.gate(row.given)) == row.answer


def test_each_gate_speaks_and_is_silent() -> None:
    """Every gate of the module has a row in which it speaks, and one in which it is silent."""
    assert one_sided(ROWS, (*operator.GATES, operator.no_slot)) == set()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"editor": "argocd"}, "argocd set the share in legacy to 30 %, the record says 10 %"),
        ({}, "somebody set the share"),
        ({"kind": SplitKind.TRAFFICSPLIT}, "ignore spec.backends there"),
        ({"kind": SplitKind.HTTPROUTE}, "ignore spec.rules there"),
    ],
)
def test_drift_is_told_with_who_and_what(changed: dict[str, object], told: str) -> None:
    """A hand edit names who made it, both shares, and what to leave to the controller in Git."""
    ruling = operator.hand_edited(given(100, legacy=by_hand(**changed)))
    assert ruling is not None
    assert told in ruling.message


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"legacy": dropped(0, editor="kubectl-replace")},
            "kubectl-replace wrote the split in legacy",
        ),
        (
            {"legacy": dropped(0)},
            "anew, at 0 %, without the record of attempt 1: set its weights to 10 %",
        ),
        ({"legacy": dropped(0)}, "ignore spec.backends and the annotation there"),
        (
            {"legacy": dropped(100), "eks": dropped(900)},
            "put the record of one of the splits back, or set abort",
        ),
        (
            {"legacy": {"splits": dropped_route(), "pin": knows("a", "b")}},
            "wrote the HTTPRoute b in legacy anew, at 0 %, without the record of attempt 1",
        ),
    ],
)
def test_a_dropped_record_is_told_with_who_and_what(changed: dict[str, Any], told: str) -> None:
    """A split that was written anew names who did it, where it stands, and what to write instead."""
    ruling = operator.hand_edited(given(100, **changed))
    assert ruling is not None
    assert told in ruling.message


@pytest.mark.parametrize(
    ("share", "told"), [(100, "it stays at 10 %"), (None, "it stays at the baseline, enrolled")]
)
def test_a_pause_says_where_callers_stay(share: int | None, told: str) -> None:
    """A paused migration says at which share it stays, or that nothing has moved."""
    ruling = operator.paused(given(share, asked=spec(paused=True)))
    assert ruling is not None
    assert ruling.message.endswith(told)


@pytest.mark.parametrize(
    ("place", "told"),
    [(3, "all slots are in use, place 3 in the queue"), (0, "all slots are in use")],
)
def test_a_slot_is_waited_for_in_a_place(place: int, told: str) -> None:
    """Who is queued for a slot is told the place; who is not queued yet has none."""
    ruling = operator.no_slot(given(has_slot=False, slot_place=place))
    assert ruling is not None
    assert ruling.message == told
