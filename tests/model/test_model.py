"""Every story with one trouble keeps every promise, and a plan with a bug is told by its shortest story."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest

from controller.decide.plan import plan
from controller.domain import WHOLE, MigrationSpec, Observed, Plan, Verdict, WritePin, WriteSplit
from tests.model.__main__ import ONE, explore
from tests.model.search import BrokenError, Budget, Step, search
from tests.model.weather import GOOD
from tests.model.world import Bounds, Decide, Scene

ONE_WEATHER, TWO_WEATHERS = Scene(Bounds(weathers=1)), Scene(Bounds(weathers=2))
ONE_WISH = Scene(Bounds(specs=1))


@pytest.mark.parametrize("scene", ONE, ids=lambda scene: scene.title)
def test_no_story_with_one_trouble_breaks_a_promise(scene: Scene) -> None:
    """All moments that one trouble can lead to were looked at, and every promise holds in each."""
    found = explore(scene)
    assert (found.broken, found.story) == ("", [])
    assert found.complete
    assert found.states > 200


# --- planted bugs ---------------------------------------------------------------------------------


def changed(change: Callable[[WriteSplit], WriteSplit]) -> Decide:
    """The plan, with its writes of splits changed."""

    def decide(observed: Observed, now: datetime) -> Plan:
        decided = plan(observed, now)
        actions = [change(a) if isinstance(a, WriteSplit) else a for a in decided.actions]
        return replace(decided, actions=tuple(actions))

    return decide


def without_latch(write: WriteSplit) -> WriteSplit:
    """Write everything but that the attempt is over, and no word that it is a revert."""
    record = msgspec.structs.replace(write.record, reverted=None)
    return replace(write, record=record, revert=False)


def with_home_of_now(write: WriteSplit) -> WriteSplit:
    """Take where callers have got to for their home."""
    attempt, share = write.record.attempt, write.record.share_permille
    if attempt is None or share < WHOLE // 2:
        return write
    attempt = msgspec.structs.replace(attempt, baseline=dict.fromkeys(attempt.baseline, WHOLE))
    return replace(write, record=msgspec.structs.replace(write.record, attempt=attempt))


def all_at_once(write: WriteSplit) -> WriteSplit:
    """Go from nothing to everything."""
    if write.revert or not write.record.since:
        return write
    away = WHOLE if write.cluster == "legacy" else 0
    record = msgspec.structs.replace(write.record, share_permille=WHOLE)
    return replace(write, away_permille=away, record=record)


def trusting(observed: Observed, now: datetime) -> Plan:
    """Take what is not known for good."""
    known = {w: GOOD if e.verdict is Verdict.UNKNOWN else e for w, e in observed.paths.items()}
    return plan(replace(observed, paths=known), now)


def deaf(observed: Observed, now: datetime) -> Plan:
    """Take what is bad for good."""
    return plan(replace(observed, paths=dict.fromkeys(observed.paths, GOOD)), now)


def leading(observed: Observed, now: datetime) -> Plan:
    """Take itself for the leader, whoever is."""
    return plan(replace(observed, context=replace(observed.context, leads=True)), now)


def forgetful(observed: Observed, now: datetime) -> Plan:
    """Return no pin of a revert."""
    decided = plan(observed, now)
    kept = [a for a in decided.actions if not (isinstance(a, WritePin) and a.latch)]
    return replace(decided, actions=tuple(kept))


def blind(observed: Observed, now: datetime) -> Plan:
    """Do not look at the annotation paused."""
    spec = observed.spec
    bare = msgspec.structs.replace(spec, paused=False) if isinstance(spec, MigrationSpec) else spec
    return plan(replace(observed, spec=bare), now)


@pytest.mark.parametrize(
    ("decide", "scene", "promise"),
    [
        (changed(without_latch), TWO_WEATHERS, "a share rises in an attempt that is over"),
        (changed(with_home_of_now), Scene(Bounds()), "home changes within an attempt"),
        (changed(all_at_once), Scene(Bounds()), "more than one step"),
        (trusting, ONE_WEATHER, "a share rises while the evidence is: nothing is heard"),
        (deaf, ONE_WEATHER, "a share rises while the evidence is"),
        (leading, Scene(Bounds(takeovers=1), controllers=2), "a share rises without the lease"),
        (forgetful, ONE_WEATHER, "no pin remembers the revert"),
        (blind, ONE_WISH, "share rises while the annotations say"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_bug_is_found(decide: Decide, scene: Scene, promise: str) -> None:
    """A plan with this bug breaks a promise within the same bounds, and the story that does it is told."""
    found = explore(scene, decide)
    assert promise in found.broken
    assert found.story


# --- the search itself ----------------------------------------------------------------------------


def climbing(highest: int) -> Callable[[int, Budget], Iterator[Step[int]]]:
    """A world of numbers: one up is free, doubling costs."""

    def steps(at: int, _: Budget) -> Iterator[Step[int]]:
        if at < highest:
            yield Step("one up", (0,), lambda: at + 1)
            yield Step("twice", (1,), lambda: min(2 * at, highest))

    return steps


def test_the_shortest_story_is_told() -> None:
    """Of the paths to a broken promise the one with the fewest steps within the budget is told."""

    def check(at: int) -> None:
        if at == 12:
            raise BrokenError("twelve")

    found = search(3, (2,), climbing(20), check)
    assert (found.broken, found.story) == ("twelve", ["twice", "twice"])
    assert search(3, (0,), climbing(20), check).story == ["one up"] * 9


def test_every_state_is_looked_at_once() -> None:
    """Without a broken promise each state within the budget is checked, and none again for less budget."""
    observed: list[int] = []
    found = search(1, (1,), climbing(9), observed.append)
    assert found.complete
    assert set(observed) == set(range(1, 10))
    assert found.states == len(observed) <= 2 * 9


def test_a_limit_is_told() -> None:
    """A search that was cut short says that it did not see everything."""
    found = search(1, (0,), climbing(100), lambda _: None, limit=10)
    assert (found.complete, found.states) == (False, 10)
