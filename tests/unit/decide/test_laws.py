"""Each law of ``plan`` on its own: what keeps it, what breaks it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from controller.decide import laws
from controller.decide.input import Input, input_of
from controller.domain import (
    WHOLE,
    Attempt,
    CallPath,
    Endpoints,
    GlobalContext,
    Hold,
    Key,
    Latch,
    MigrationSpec,
    Observed,
    ObservedCluster,
    ObservedService,
    PathEvidence,
    Phase,
    Pin,
    Plan,
    Reason,
    Record,
    Reverted,
    Ruling,
    Side,
    Split,
    SplitKind,
    Verdict,
    Weights,
    WritePin,
    WriteSplit,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = Key("default", "service-a")
SPEC = MigrationSpec(target="eks")
ATTEMPT = Attempt(1, "legacy", "eks", {"legacy": 0, "eks": 0}, 3, SPEC, NOW)
LATCHED = Reverted("TargetBad", "it was bad", NOW)
KIND = SplitKind.TRAFFICSPLIT
PASSED = {
    CallPath(callers, side): PathEvidence(Verdict.PASS, Reason.MET)
    for callers in ("legacy", "eks")
    for side in (Side.TARGET, Side.ORIGIN)
}


def record(share: int = 100, **differs: Any) -> Record:
    """A record of the attempt."""
    made = Record(KIND, fencing_token=1, attempt=ATTEMPT, share_permille=share, since=NOW)
    return msgspec.structs.replace(made, **differs)


def split(away: int, found: Record | None) -> Split:
    """A split with these weights."""
    return Split(KIND, "service-a", "7", away, Weights(Decimal(1), Decimal(1)), record=found)


def cluster(
    name: str, away: int | None, found: Record | None = None, **more: Any
) -> ObservedCluster:
    """A cluster that has the Service, a pin, and a split unless ``away`` is None."""
    known: dict[str, Any] = {
        "service": ObservedService("uid", ()),
        "endpoints": Endpoints(ready=3),
        "pin": Pin("1", NOW),
        "splits": () if away is None else (split(away, found),),
    }
    return ObservedCluster(name, current=True, **known | more)


def given(
    legacy: ObservedCluster | None = None, eks: ObservedCluster | None = None, **differs: Any
) -> Input:
    """Both clusters at 10 %, every path PASSed, and this process leads."""
    clusters = {
        "legacy": legacy or cluster("legacy", 100, record()),
        "eks": eks or cluster("eks", 900, record()),
    }
    context = GlobalContext(("legacy", "eks"), leads=True, may_roll_back=True, fencing_token=1)
    observed = Observed(KEY, context, clusters, SPEC, PASSED, has_slot=True)
    return input_of(replace(observed, **differs), NOW)


def write(cluster: str, away: int, found: Record, **more: Any) -> WriteSplit:
    """A write of a split that is there."""
    made = WriteSplit(cluster, KEY, KIND, away, found, "7", "service-a")
    return replace(made, **more)


def acting(*actions: WriteSplit | WritePin, ruling: Ruling | None = None) -> Plan:
    """A plan that does this."""
    return Plan(Phase.PROGRESSING, {}, ruling, tuple(actions))


HOLDS = Hold(Reason.COLLECTING, "it collects")
RAISE = write("legacy", 250, record(250))
BACK = write("legacy", 0, record(0, reverted=LATCHED), revert=True)
LEADS_NOT = GlobalContext(("legacy", "eks"), leads=False, may_roll_back=True, fencing_token=1)
OVER = cluster("eks", 900, record(reverted=LATCHED))
PINNED_OVER = cluster("eks", 900, record(), pin=Pin("1", NOW, Latch("eks", 1, LATCHED)))
UNHEARD = {**PASSED, CallPath("eks", Side.ORIGIN): PathEvidence(Verdict.UNKNOWN, Reason.NO_STREAM)}
AWAY = cluster("eks", 900, record(), stale_reason="is away")
UNOBEYED = replace(AWAY, splits=(replace(AWAY.splits[0], not_in_force="nobody acts"),))


@pytest.mark.parametrize(
    ("before", "plan"),
    [
        pytest.param(given(), acting(), id="nothing to do"),
        pytest.param(given(), acting(RAISE), id="one step"),
        pytest.param(given(), acting(BACK, ruling=HOLDS), id="to the baseline"),
        pytest.param(
            given(),
            acting(write("legacy", 100, record(reverted=LATCHED), revert=True)),
            id="latched where it is",
        ),
        pytest.param(
            given(context=LEADS_NOT, paths={}), acting(BACK), id="rolled back without a lease"
        ),
        pytest.param(
            given(legacy=cluster("legacy", None)),
            acting(write("legacy", 0, record(0), resource_version=None)),
            id="recreated",
        ),
        pytest.param(
            given(cluster("legacy", None, endpoints=Endpoints()), cluster("eks", 0), paths={}),
            acting(write("legacy", WHOLE, Record(KIND), resource_version=None), ruling=HOLDS),
            id="made at the mirror where nobody is ready",
        ),
        pytest.param(
            given(cluster("legacy", 0, pin=None), cluster("eks", 0)),
            acting(WritePin("legacy", KEY, None), ruling=HOLDS),
            id="pinned",
        ),
    ],
)
def test_a_lawful_plan_breaks_none(before: Input, plan: Plan) -> None:
    """What the product does in each of these breaks no law."""
    assert laws.broken(before, plan) == ()


@pytest.mark.parametrize(
    ("before", "plan", "law"),
    [
        pytest.param(
            given(),
            acting(write("legacy", 250, record(250, reverted=LATCHED), revert=True)),
            "rolls_back_first",
            id="a revert that raises",
        ),
        pytest.param(
            given(), acting(replace(BACK, record=record(0))), "rolls_back_first", id="no latch"
        ),
        pytest.param(
            given(),
            acting(replace(BACK, record=Record(KIND, reverted=LATCHED))),
            "rolls_back_first",
            id="a revert of no attempt",
        ),
        pytest.param(given(eks=OVER), acting(RAISE), "rolls_back_first", id="a record is latched"),
        pytest.param(
            given(eks=PINNED_OVER), acting(RAISE), "rolls_back_first", id="a pin is latched"
        ),
        pytest.param(given(context=LEADS_NOT), acting(RAISE), "rises_on_proof", id="no lease"),
        pytest.param(given(paths=UNHEARD), acting(RAISE), "rises_on_proof", id="one path unknown"),
        pytest.param(given(paths={}), acting(RAISE), "rises_on_proof", id="no path known"),
        pytest.param(given(), acting(RAISE, ruling=HOLDS), "rises_on_proof", id="a gate holds"),
        pytest.param(
            given(eks=UNOBEYED), acting(RAISE), "rises_on_proof", id="a split is not in force"
        ),
        pytest.param(
            given(eks=replace(AWAY, current=False)),
            acting(RAISE),
            "rises_on_proof",
            id="not current",
        ),
        pytest.param(
            given(),
            acting(write("eks", 950, record(50))),
            "only_raises",
            id="lowered in the target",
        ),
        pytest.param(given(), acting(write("legacy", 50, record(50))), "only_raises", id="lowered"),
        pytest.param(
            given(context=LEADS_NOT),
            acting(write("legacy", 100, record(made=NOW))),
            "only_raises",
            id="written without the lease",
        ),
        pytest.param(
            given(),
            acting(
                write(
                    "legacy",
                    250,
                    record(
                        attempt=msgspec.structs.replace(
                            ATTEMPT, baseline={"legacy": WHOLE, "eks": 0}
                        )
                    ),
                )
            ),
            "only_raises",
            id="another baseline",
        ),
        pytest.param(
            given(cluster("legacy", None), cluster("eks", None), spec=None),
            acting(write("legacy", 0, Record(KIND), resource_version=None)),
            "makes_what_can_be_served",
            id="made for no spec",
        ),
        pytest.param(
            given(cluster("legacy", None, service=None), cluster("eks", None)),
            acting(write("legacy", 0, Record(KIND), resource_version=None)),
            "makes_what_can_be_served",
            id="made for no Service",
        ),
        pytest.param(
            given(),
            acting(write("legacy", 100, record())),
            "settles",
            id="a write that changes nothing",
        ),
        pytest.param(
            given(), acting(WritePin("eks", KEY, "1")), "settles", id="a pin that is as it is"
        ),
        pytest.param(
            given(other_lease="b"), acting(RAISE), "rises_on_proof", id="beside another leader"
        ),
    ],
)
def test_a_plan_that_breaks_a_law_is_named(before: Input, plan: Plan, law: str) -> None:
    """A plan like this breaks this law, by the name that the log and the alert say."""
    assert law in laws.broken(before, plan)


def test_a_cluster_that_was_never_seen_is_taken_for_its_own_pods() -> None:
    """Where a cluster's share is not known, a write above what its own pods serve counts as a raise."""
    unknown = cluster("legacy", None)
    assert laws.raises(given(legacy=replace(unknown, current=False)), RAISE)
