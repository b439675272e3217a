"""What a decision writes: nothing forward without an attempt or a split, and never against a law."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf

import pytest
from msgspec.structs import replace as replaced

from controller.decide import repair
from controller.decide.advance import advance, next_step, rewrite_records
from controller.decide.decision import Decision, lawful
from controller.decide.plan import planned
from controller.decide.roll_back import roll_back
from controller.decide.writes import write_share
from controller.domain import (
    WHOLE,
    CallPath,
    Endpoints,
    PathEvidence,
    Phase,
    Plan,
    ReadEndpoints,
    Reason,
    Revert,
    Side,
    Verdict,
    WritePin,
    WriteSplit,
)
from tests.unit.decide.gates.inputs import NOW, given, spec


def test_nothing_rises_before_an_attempt() -> None:
    """Without an attempt there is no step to make, and without a spec none but the end."""
    before = given()
    assert advance(before) == []
    assert next_step(replace(before.state, spec=None)) == WHOLE


def test_a_cluster_without_a_split_has_no_record_to_rewrite() -> None:
    """Where a split is missing, its record is not written: making it is another matter."""
    assert (
        rewrite_records(given(100, legacy={"splits": ()}), "legacy", lambda _part, _share: 250, NOW)
        == []
    )


def test_without_an_attempt_no_record_is_rewritten() -> None:
    """A split that is only enrolled keeps its record: there is no attempt to bring it up to."""
    assert rewrite_records(given(), "legacy", lambda _part, _share: 250, NOW) == []


def test_nobody_is_rolled_back_beside_another_leader() -> None:
    """A process that neither leads nor may roll back writes nothing, and the ruling is told as it is."""
    ruling = Revert(Reason.ABORTED, "abort")
    assert roll_back(given(100), ruling)[0] != []
    assert roll_back(given(100, context={"leads": False, "may_roll_back": False}), ruling) == (
        [],
        ruling,
    )


@pytest.mark.parametrize(
    ("empty_s", "read_s", "made"),
    [
        (29.0, 0.0, []),
        (31.0, inf, [ReadEndpoints]),
        (31.0, 2.0, [ReadEndpoints]),
        (31.0, 1.0, [WriteSplit]),
    ],
)
def test_nobody_ready_makes_a_split_once_it_lasted_and_was_read_since(
    empty_s: float, read_s: float, made: list[type]
) -> None:
    """Where nobody is ready the first split leads to the mirror, after 30 s that a read at their end confirms."""
    nobody = {
        "splits": (),
        "endpoints": Endpoints(),
        "empty_s": empty_s,
        "endpoints_read_s": read_s,
    }
    assert [type(action) for action in repair.make(given(legacy=nobody))] == made


def test_steps_that_wait_are_planned_without_a_write() -> None:
    """A migration that a gate holds has a plan, and nothing in it is written."""
    held = planned(given(100, asked=spec(paused=True)))
    assert held.phase is Phase.HOLDING
    assert held.actions == ()


def test_what_breaks_a_law_is_dropped_and_pins_stay() -> None:
    """Of a plan that raises without the lease only what moves nobody is left, and the law is named."""
    before = given(100, context={"leads": False})
    cluster = before.observed.clusters["legacy"]
    raised = write_share(before, cluster, before.state.records["legacy"], 250)
    pin = WritePin("eks", before.observed.key, None)
    decided = lawful(Decision(before, Plan(Phase.PROGRESSING, {}, None, (raised, pin))))
    assert decided.plan.actions == (pin,)
    assert "rises_on_proof" in decided.broken


def test_a_revert_that_raises_is_dropped() -> None:
    """A write that is called a rollback and gives the target more is not written either."""
    before = given(100)
    cluster = before.observed.clusters["legacy"]
    raised = write_share(before, cluster, before.state.records["legacy"], 250, revert=True)
    decided = lawful(Decision(before, Plan(Phase.REVERTING, {}, None, (raised,))))
    assert (decided.plan.actions, decided.now - NOW) == ((), timedelta())


def test_all_are_brought_back_where_every_shifted_cluster_goes_to_its_baseline() -> None:
    """Not where one of them is written by nobody, or only latched where it stands; nobody who began nothing is."""
    shifted = given(250)
    writes, _ = roll_back(shifted, Revert(Reason.ABORTED, "abort"))
    splits = [write for write in writes if isinstance(write, WriteSplit)]
    assert {write.cluster for write in splits} == {"legacy", "eks"}

    def brings_all(*actions: WriteSplit) -> bool:
        plan = Plan(Phase.REVERTING, {}, None, actions=actions)
        return Decision(shifted, plan).brings_all_back

    record = replaced(splits[0].record, share_permille=250)
    stays = replace(splits[0], record=record)
    assert brings_all(*splits)
    assert not brings_all(splits[0])
    assert not brings_all(stays, splits[1])
    assert not brings_all(*(replace(write, revert=False) for write in splits))
    assert not Decision(given(), Plan(Phase.REVERTING, {}, None)).brings_all_back


def test_by_a_dead_gateway_those_whose_calls_fail_are_brought_back_before_the_others() -> None:
    """Of whoever goes through it, and whoever FAILs otherwise; for another reason all are in the same hurry."""
    shifted = given(250)
    writes, _ = roll_back(shifted, Revert(Reason.GATEWAY_DEAD, "dead"))
    failed = PathEvidence(Verdict.FAIL, Reason.GATEWAY_DEAD)

    def pressing(reason: Reason, *failing: tuple[str, Side]) -> set[str]:
        paths = {CallPath(*at): failed for at in failing}
        before = replace(shifted, observed=replace(shifted.observed, paths=paths))
        plan = Plan(Phase.REVERTING, {}, Revert(reason, "bad"), actions=tuple(writes))
        return {write.cluster for write in Decision(before, plan).pressing}

    across, own = ("legacy", Side.TARGET), ("eks", Side.TARGET)
    assert pressing(Reason.GATEWAY_DEAD, across) == {"legacy"}
    assert pressing(Reason.GATEWAY_DEAD, across, own) == {"legacy", "eks"}
    assert pressing(Reason.GATEWAY_DEAD, across, ("eks", Side.ORIGIN)) == {"legacy"}
    assert pressing(Reason.TARGET_BAD, across) == {"legacy", "eks"}
    assert not Decision(shifted, Plan(Phase.PENDING, {}, None)).pressing
