"""Who may be rolled back in a revert, and who is better off where they are, row by row."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from controller.decide.gates import rollback_guard
from controller.decide.input import Input
from controller.domain import Endpoints, Hold, Reason, Side, Verdict
from tests.unit.decide.gates.inputs import BAD, given, said

LEGACY_TO_TARGET, LEGACY_BACK = ("legacy", Side.TARGET), ("legacy", Side.ORIGIN)
EKS_OWN, EKS_BACK = ("eks", Side.TARGET), ("eks", Side.ORIGIN)
NEVER = {"silent_s": float("inf")}
DEAD: dict[Any, Any] = {EKS_OWN: {"heard_s": 5.0}, LEGACY_TO_TARGET: {"unanswered_1s": True}}
FAILED = {"verdict": Verdict.FAIL, "reason": Reason.SUCCESS_MISSED}

shifted = partial(given, 100)

ROWS: list[tuple[rollback_guard.Guard, str, Input, str]] = [
    (
        rollback_guard.home_without_endpoints,
        "legacy",
        shifted(legacy={"endpoints": Endpoints()}),
        "page HomeWithoutEndpoints",
    ),
    (
        rollback_guard.home_without_endpoints,
        "eks",
        shifted(eks={"mirror_endpoints": Endpoints()}),
        "page HomeWithoutEndpoints",
    ),
    (rollback_guard.home_without_endpoints, "legacy", shifted(), ""),
    (
        rollback_guard.home_without_endpoints,
        "legacy",
        shifted(legacy={"endpoints": Endpoints(), "current": False}),
        "",
    ),
    (
        rollback_guard.both_ways_bad,
        "legacy",
        shifted(paths={LEGACY_TO_TARGET: BAD, LEGACY_BACK: BAD}),
        "page BothWaysBad",
    ),
    (
        rollback_guard.both_ways_bad,
        "eks",
        shifted(paths={EKS_BACK: {"all_bad_1s": True}}),
        "page BothWaysBad",
    ),
    (
        rollback_guard.both_ways_bad,
        "legacy",
        shifted(paths={LEGACY_BACK: {"all_bad_1s": True}}),
        "",
    ),
    (rollback_guard.both_ways_bad, "eks", shifted(), ""),
    (rollback_guard.link_suspect, "eks", shifted(paths=DEAD), "page LinkSuspect"),
    (rollback_guard.link_suspect, "legacy", shifted(paths=DEAD), ""),
    (rollback_guard.link_suspect, "eks", shifted(paths=DEAD, eks={"endpoints": Endpoints()}), ""),
    (
        rollback_guard.link_suspect,
        "eks",
        shifted(paths={EKS_OWN: {"back_for_s": 1.0}}),
        "wait LinkSuspect",
    ),
    (rollback_guard.link_suspect, "eks", shifted(), ""),
    (
        rollback_guard.link_suspect,
        "eks",
        shifted(paths={EKS_OWN: {"heard_s": 1.0}, LEGACY_TO_TARGET: FAILED}),
        "wait LinkSuspect",
    ),
    (
        rollback_guard.link_suspect,
        "eks",
        shifted(paths={EKS_OWN: {"heard_s": 5.0}, LEGACY_TO_TARGET: {**FAILED, "silent_s": 1.0}}),
        "wait LinkSuspect",
    ),
    (
        rollback_guard.link_suspect,
        "eks",
        shifted(paths={EKS_OWN: {"heard_s": 5.0}, LEGACY_TO_TARGET: FAILED}),
        "",
    ),
    (rollback_guard.link_suspect, "eks", shifted(paths={EKS_OWN: {"heard_s": 1.0}}), ""),
    (
        rollback_guard.first_slices,
        "legacy",
        shifted(started_s=0.4, paths={LEGACY_BACK: NEVER}),
        "wait FirstSlices",
    ),
    (rollback_guard.first_slices, "legacy", shifted(started_s=0.4), ""),
    (rollback_guard.first_slices, "legacy", shifted(started_s=1.0, paths={LEGACY_BACK: NEVER}), ""),
]


@pytest.mark.parametrize(("guard", "cluster", "observed", "answer"), ROWS)
def test_each_row_has_its_answer(
    guard: rollback_guard.Guard, cluster: str, observed: Input, answer: str
) -> None:
    """What is observed is answered by the guard, for one cluster's callers, as the row says."""
    assert said(guard(observed, cluster)) == answer


def test_each_guard_speaks_and_is_silent() -> None:
    """Every guard has a row in which it keeps callers, and one in which it lets them go."""
    for answered in (True, False):
        assert {row[0] for row in ROWS if bool(row[3]) is answered} == set(rollback_guard.GUARDS)


def test_the_first_guard_is_told() -> None:
    """Callers who may go have no ruling; of two reasons to stay the first in order is told."""
    assert rollback_guard.stays(shifted(), "legacy") is None
    both = shifted(
        legacy={"endpoints": Endpoints()},
        paths={LEGACY_TO_TARGET: BAD, LEGACY_BACK: BAD},
    )
    kept = rollback_guard.stays(both, "legacy")
    assert isinstance(kept, Hold)
    assert kept.reason is Reason.HOME_WITHOUT_ENDPOINTS


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"usual_answer": "503"}, "50 % of the probes of callers in legacy to legacy were bad"),
        ({"objective": "latency"}, "were slower than slo-latency in the last 3 s (25.0 points"),
        ({"wrong_cluster_3s": 4}, ", 4 of them answered by another cluster"),
    ],
)
def test_bad_probes_are_told_with_their_numbers(changed: dict[str, Any], told: str) -> None:
    """The sentence of a bad path has its share, what is wrong with it, and its points."""
    back = {f: getattr(BAD, f) for f in ("verdict", "reason", "points", "bad_share_3s")} | changed
    kept = rollback_guard.stays(shifted(paths={LEGACY_TO_TARGET: BAD, LEGACY_BACK: back}), "legacy")
    assert kept is not None
    assert told in kept.message
