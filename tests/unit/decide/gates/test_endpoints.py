"""Endpoints that show nobody, beside what probes say: believed, doubted, contradicted; row by row."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from controller.decide import doubts
from controller.decide.gates import preconditions, rollback, rollback_guard
from controller.decide.gates.endpoints import target_emptiness
from controller.domain import Endpoints, Hold, Key, PathEvidence, ReadEndpoints, Side
from tests.unit.decide.gates.inputs import GOOD, given

RATED = replace(GOOD, rate_per_s=10.0)
ANSWERED = replace(RATED, good_sent_s=0.2, bad_sent_s=60.0)
BEFORE = replace(RATED, good_sent_s=0.6, silent_s=0.1)
BAD = replace(RATED, good_sent_s=0.6, bad_sent_s=0.3)
MIXED = replace(RATED, good_sent_s=0.3, bad_sent_s=0.3)
BETTER = replace(RATED, good_sent_s=0.2, bad_sent_s=0.3)
OLD = replace(ANSWERED, good_sent_s=5.0, silent_s=5.0)
SELDOM = replace(BEFORE, rate_per_s=0.5, good_sent_s=2.0)
SILENT = replace(RATED, good_sent_s=9.0, silent_s=9.0)
UNRATED = replace(GOOD, good_sent_s=0.2)
A = Key("default", "service-a")


def empty(empty_s: float = 0.5, read_s: float = 0.4) -> dict[str, Any]:
    """Return what changes a cluster in which nobody is seen ready, also behind the mirror."""
    return {
        "endpoints": Endpoints(),
        "mirror_endpoints": Endpoints(),
        "empty_s": empty_s,
        "mirror_empty_s": empty_s,
        "endpoints_read_s": read_s,
    }


def to_target(one: Any = None, other: Any = None) -> dict[tuple[str, Side], Any]:
    """Return what is known of the paths to the target, of the callers of either cluster."""
    found = {("legacy", Side.TARGET): one, ("eks", Side.TARGET): other}
    return {path: known for path, known in found.items() if known is not None}


ROWS: dict[str, tuple[dict[str, Any], dict[tuple[str, Side], Any], bool, bool]] = {
    "contradicted by callers of the origin": (empty(), to_target(ANSWERED), False, True),
    "contradicted by callers of the target": (empty(), to_target(None, ANSWERED), False, True),
    "the first answer is due": (empty(), to_target(BEFORE), False, False),
    "the first answer is overdue": (
        empty(0.8),
        to_target(replace(BEFORE, good_sent_s=0.9)),
        True,
        False,
    ),
    "no probe is heard": (empty(), to_target(SILENT), True, False),
    "nothing is known of any path": (empty(), {}, True, False),
    "a probe is bad": (empty(), to_target(BAD), True, False),
    "a probe is bad on one of two paths": (empty(), to_target(ANSWERED, BAD), True, False),
    "good and bad in one moment": (empty(), to_target(MIXED), True, False),
    "the last probe is good": (empty(), to_target(BETTER), False, True),
    "bad before, and long ago": (empty(), to_target(replace(BEFORE, bad_sent_s=2.0)), False, False),
    "bad just before": (empty(), to_target(replace(BEFORE, bad_sent_s=0.6)), True, False),
    "good, and not any more": (empty(60.0), to_target(OLD), True, False),
    "a path that is probed seldom": (
        empty(1.4, 1.0),
        to_target(replace(SELDOM, silent_s=1.5)),
        False,
        False,
    ),
    "a path that is probed seldom, late": (
        empty(1.6, 1.0),
        to_target(replace(SELDOM, silent_s=1.7)),
        True,
        False,
    ),
    "a path of which nothing was sent": (empty(), to_target(UNRATED), True, False),
    "not read yet": (empty(0.5, inf), {}, False, False),
    "not read since": (empty(0.5, 0.6), {}, False, False),
    "not to be read": (empty(1.0, inf), {}, True, False),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_is_believed_or_doubted(row: str) -> None:
    """What slices show is believed or doubted, and contradicted, as the row says; only belief rolls anybody back."""
    cluster, paths, believed, contradicted = ROWS[row]
    asked = given(100, eks=cluster, paths=paths)
    found = target_emptiness(asked)
    assert found is not None
    assert (found.doubted_s == 0, found.is_contradicted) == (believed, contradicted)
    assert (rollback.target_without_endpoints(asked) is not None) == believed
    ruling = preconditions.target_without_endpoints(asked)
    assert ruling is not None
    assert ("answered well all the same" in ruling.message) == contradicted


@pytest.mark.parametrize("callers", ["legacy", "eks"])
def test_who_depends_on_an_origin_out_of_sight(callers: str) -> None:
    """Callers stay while their origin has nobody, for a moment while that is doubted, and go where probes are good."""
    hidden: Any = {callers: empty()}

    def ruling(*found: PathEvidence) -> Hold | None:
        known = {("eks", Side.ORIGIN): each for each in found}  # noqa: B035 - there is one at the most
        return rollback_guard.home_without_endpoints(given(100, paths=known, **hidden), callers)

    believed, doubted = ruling(), ruling(BEFORE)
    assert believed is not None
    assert doubted is not None
    assert (believed.waits, believed.alert) == (False, True)
    assert (doubted.waits, doubted.alert, doubted.requeue_after_s is not None) == (
        True,
        False,
        True,
    )
    assert ruling(ANSWERED) is None


def test_own_pods_of_the_origin_say_nothing_of_its_mirror() -> None:
    """An empty mirror is contradicted only by who comes through it; the origin's own callers do not."""
    paths = {("legacy", Side.ORIGIN): ANSWERED}
    assert rollback_guard.home_without_endpoints(given(100, paths=paths, eks=empty()), "eks")
    assert not rollback_guard.home_without_endpoints(
        given(100, paths=paths, legacy=empty()), "legacy"
    )


@pytest.mark.parametrize(
    ("share", "read_s", "reads", "again_s"),
    [(100, inf, True, 0.5), (100, 0.4, False, 4.6), (100, 5.0, True, 0.5), (0, inf, False, None)],
)
def test_what_somebody_depends_on_is_read(
    share: int, read_s: float, reads: bool, again_s: float | None
) -> None:
    """Slices that show nobody are read once they do, and every five seconds, where callers are shifted."""
    asked = given(share, eks=empty(0.5, read_s))
    assert (ReadEndpoints("eks", A) in doubts.reads(asked)) == reads
    found = doubts.ends_s(asked)
    assert found is None if again_s is None else found == pytest.approx(again_s)


def test_what_is_in_sight_is_not_doubted() -> None:
    """Where somebody is ready on both sides nothing is read, and nothing is waited for."""
    assert (doubts.reads(given(100)), doubts.ends_s(given(100))) == ([], None)
