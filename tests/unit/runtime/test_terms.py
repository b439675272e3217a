"""Whose terms the records tell of: tokens that outlive a Lease, and the leader of another one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import zip_longest

import pytest

from controller.domain import (
    BELIEVED_TOKEN,
    Attempt,
    Key,
    MigrationSpec,
    ObservedCluster,
    Record,
    SplitKind,
    Unreadable,
)
from controller.runtime.terms import Terms
from tests.unit.decide.gates.inputs import split

KEY = Key("default", "service-a")
OURS, THEIRS = "legacy/migrate/one", "eks/migrate/one"
DURATION_S = 15.0
QUIET_S = 30.0


def record(token: int, lease: str = OURS, share: int = 0) -> Record:
    """Return a record that was written under a lease."""
    return Record(SplitKind.TRAFFICSPLIT, fencing_token=token, lease=lease, share_permille=share)


def seen(*records: Record | Unreadable) -> dict[str, ObservedCluster]:
    """Return a cluster whose split has a record, for each."""
    return {
        name: ObservedCluster(name, current=True, splits=(split(0, found),) if found else ())
        for name, found in zip_longest(("legacy", "eks"), records)
    }


def not_listed() -> dict[str, ObservedCluster]:
    """Return clusters of which it is not known yet what they hold."""
    return {name: ObservedCluster(name, current=False) for name in ("legacy", "eks")}


def told(*moments: dict[str, ObservedCluster]) -> Terms:
    """Return the terms after these, a second apart from 0 on."""
    terms = Terms(OURS, DURATION_S)
    for now_s, moment in enumerate(moments):
        terms.notice(KEY, moment, now_s)
    return terms


@pytest.mark.parametrize(
    ("records", "newest"),
    [
        ((), 0),
        ((record(7), record(9)), 9),
        ((record(7, ""),), 7),
        ((record(7, THEIRS), record(7)), 8),
        ((record(7), Unreadable("junk")), 7),
        ((record(7), record(BELIEVED_TOKEN + 1)), 7),
        ((record(BELIEVED_TOKEN),), BELIEVED_TOKEN),
    ],
)
def test_the_newest_token_is_that_of_every_record(
    records: tuple[Record | Unreadable, ...], newest: int
) -> None:
    """No record is above it, and none of another lease as high; a number that nobody counts to is not believed."""
    assert told(seen(*records)).newest == newest


def test_the_newest_token_never_goes_down() -> None:
    """A record that is gone, or taken back by a restore, is still counted above."""
    assert told(seen(record(7)), seen(), seen(record(3))).newest == 7


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((seen(record(7, THEIRS)),) * 3, id="one that was always there"),
        pytest.param((seen(record(7, THEIRS)), seen(record(9))), id="one that we took over"),
        pytest.param((seen(record(7)), seen(record(8))), id="an ordinary takeover"),
        pytest.param((seen(record(7)), seen(record(7, ""))), id="one of an older release"),
        pytest.param((seen(record(7, THEIRS)), seen()), id="one that was deleted"),
        pytest.param((not_listed(), seen(record(7, THEIRS))), id="one that is listed"),
    ],
)
def test_a_former_leader_is_no_other_one(moments: tuple[dict[str, ObservedCluster], ...]) -> None:
    """Records that do not change into another lease's show nobody: their writer is gone, or of this lease."""
    assert told(*moments).other_lease(len(moments)) == ""


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((seen(record(7)), seen(record(8, THEIRS))), id="over one of ours"),
        pytest.param((seen(record(7, THEIRS)), seen(record(7, THEIRS, 250))), id="a step"),
        pytest.param((seen(), seen(record(1, THEIRS))), id="a first one"),
    ],
)
def test_a_record_that_changes_into_another_leases_shows_its_leader(
    moments: tuple[dict[str, ObservedCluster], ...],
) -> None:
    """Only a leader writes records: one that was just written under another lease shows another, for two durations."""
    terms = told(*moments)
    assert terms.other_lease(1 + QUIET_S - 0.1) == THEIRS
    assert terms.other_lease(1 + QUIET_S) == ""


@pytest.mark.parametrize(("origin", "shows"), [("legacy", THEIRS), ("us", "")])
def test_the_leader_of_another_pair_is_no_other_one(origin: str, shows: str) -> None:
    """A record of an attempt of other clusters than ours tells of a pair that shares one with us, and of no rival."""
    spec = MigrationSpec(target="eks")
    attempt = Attempt(1, origin, "eks", {origin: 0, "eks": 0}, 2, spec, datetime.now(UTC))
    theirs = Record(SplitKind.TRAFFICSPLIT, fencing_token=7, lease=THEIRS, attempt=attempt)
    terms = told(seen(), seen(theirs))
    assert terms.other_lease(1) == shows
    assert terms.newest == (8 if shows else 0)


def test_who_takes_over_from_another_lease_listens() -> None:
    """The leader whose records were taken over has two durations to answer, and only of that migration."""
    terms = told(seen(record(7, THEIRS)), seen(record(9)))
    assert terms.listens_s(KEY, 1) == QUIET_S
    assert terms.listens_s(KEY, 1 + QUIET_S) == 0
    assert terms.listens_s(Key("default", "service-b"), 1) == 0
    terms.forget(KEY)
    assert terms.listens_s(KEY, 1) == 0


def test_an_ordinary_takeover_listens_to_nobody() -> None:
    """Records of one lease are taken over at once: its Lease object says who leads."""
    assert told(seen(record(7)), seen(record(8))).listens_s(KEY, 1) == 0
