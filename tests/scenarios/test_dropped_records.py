"""A split that somebody writes anew without its record, in mid-attempt: a manual override like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.domain import Phase, SplitKind
from controller.mesh.splits import RECORD, mirror_name
from tests.scenarios.world import FAR, A, World

KINDS = (SplitKind.TRAFFICSPLIT, SplitKind.HTTPROUTE)
BOTH = ("legacy", "eks")


def replaced(world: World, cluster: str, away: int) -> None:
    """``kubectl replace`` a split by one with these weights and nothing else."""
    backends: list[dict[str, Any]] = [
        {"service": A.service, "weight": 1000 - away},
        {"service": mirror_name(A.service, FAR[cluster]), "weight": away},
    ]
    world.put_split(cluster, backends, by="kubectl-replace")


def made_again(world: World, cluster: str, away: int) -> None:
    """``kubectl delete`` and ``kubectl create`` a split before any watch has told of either."""
    world.delete_split(cluster)
    replaced(world, cluster, away)


Deed = Callable[[World, str, int], None]
DEEDS = pytest.mark.parametrize("drop", [replaced, made_again])
OF_EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def risen(kind: SplitKind = SplitKind.TRAFFICSPLIT) -> World:
    """A migration to eks with both clusters' callers at 25 %, whose dwell is long."""
    world = World(kinds=dict.fromkeys(BOTH, kind))
    world.begin_on_legacy()
    world.ask(steps="25,50", dwell="1m")
    world.until_share(250)
    world.run(2)
    return world


@OF_EACH_KIND
@DEEDS
@pytest.mark.parametrize(("cluster", "away"), [("legacy", 0), ("eks", 1000), ("legacy", 900)])
def test_a_split_written_anew_without_its_record_is_held(
    kind: SplitKind, drop: Deed, cluster: str, away: int
) -> None:
    """It is left where it was put, for as long as it stands there, and who did it is told."""
    world = risen(kind)
    writes = len(world.writes)
    drop(world, cluster, away)
    world.run(120)
    assert world._away(cluster, A) == away
    assert (world.reason, len(world.writes)) == ("HandEdited", writes)
    assert world.message.startswith(f"kubectl-replace wrote the split in {cluster} anew")
    assert "set its weights to 25 %, or set abort" in world.message
    assert all(world.serves(callers) for callers in BOTH)


@OF_EACH_KIND
@DEEDS
def test_both_written_anew_are_held(kind: SplitKind, drop: Deed) -> None:
    """With neither record left the pins know the attempt: it is held where it was put, and told."""
    world = risen(kind)
    drop(world, "legacy", 100)
    drop(world, "eks", 1000)
    world.run(120)
    assert (world.reason, world.aways()) == ("HandEdited", (100, 1000))
    assert "put the record of one of the splits back, or set abort" in world.message


@OF_EACH_KIND
@DEEDS
@pytest.mark.parametrize("dropped", [("legacy",), ("eks",), BOTH])
def test_a_dropped_record_disarms_nothing(
    kind: SplitKind, drop: Deed, dropped: tuple[str, ...]
) -> None:
    """A target that FAILs rolls everybody back, also the callers of the split without a record."""
    world = risen(kind)
    for cluster in dropped:
        drop(world, cluster, 500)
    world.run(5)
    assert world.reason == "HandEdited"
    for callers in BOTH:
        world.fault(callers, "target")
    world.until_phase(Phase.REVERTED)
    assert world.shares() == (0, 0)
    world.heal()
    world.run(60)
    assert (world.phase, world.shares()) == (Phase.REVERTED, (0, 0))


@pytest.mark.parametrize("dropped", [("legacy",), BOTH])
def test_an_abort_rolls_back_what_has_no_record(dropped: tuple[str, ...]) -> None:
    """What the message asks for, abort, ends it: everybody is rolled back."""
    world = risen()
    for cluster in dropped:
        replaced(world, cluster, 500)
    world.run(5)
    world.annotate(abort="true")
    world.until_phase(Phase.REVERTED)
    assert world.shares() == (0, 0)


@OF_EACH_KIND
def test_weights_put_back_let_it_go_on(kind: SplitKind) -> None:
    """What else the message asks for, the attempt's weights, lets the record be written again, and is told."""
    world = risen(kind)
    replaced(world, "legacy", 0)
    world.run(5)
    world.edit("legacy", 250)
    world.until(lambda: world.record("legacy"))
    assert world.shares() == (250, 250)
    assert [e.message for _, _, e in world.events if e.reason == "RecordRemade"] == [
        "kubectl-edit wrote service-a in legacy anew without the record: it is written again, and nobody moves"
    ]
    world.until_phase(Phase.COMPLETED)


@OF_EACH_KIND
def test_a_record_dropped_at_the_same_weights_moves_nobody(kind: SplitKind) -> None:
    """A split written anew as it stood is no override: its record is written again, and that is told."""
    world = risen(kind)
    replaced(world, "legacy", 250)
    world.until(lambda: world.record("legacy"))
    assert world.shares() == (250, 250)
    assert "RecordRemade" in [e.reason for _, _, e in world.events]


@OF_EACH_KIND
@pytest.mark.parametrize("dropped", [("legacy",), ("eks",), BOTH])
def test_after_completed_nothing_begins_by_itself(
    kind: SplitKind, dropped: tuple[str, ...]
) -> None:
    """A split that is written anew after Completed is anybody's: it stays Completed, and nothing is written."""
    world = World(kinds=dict.fromkeys(BOTH, kind))
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    world.run(5)
    writes = len(world.writes)
    for cluster in dropped:
        replaced(world, cluster, 300)
    world.run(120)
    assert (world.phase, len(world.writes)) == (Phase.COMPLETED, writes)


def test_another_target_begins_from_where_a_dropped_split_stands() -> None:
    """After Completed a dropped record is no override: another target begins an attempt as ever."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    for cluster in BOTH:
        replaced(world, cluster, 1000 if cluster == "legacy" else 0)
    world.annotate(target="legacy")
    world.until(lambda: world.phase is Phase.COMPLETED and world.decided.target == "legacy")
    assert world.shares("legacy") == (1000, 1000)


@pytest.mark.parametrize("restart", [False, True])
def test_an_older_record_put_back_is_held(restart: bool) -> None:
    """A split from a backup, with the record of the attempt before, is one without a record; also after a restart."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    split = world.split("eks")
    assert split is not None
    old = split["metadata"]["annotations"][RECORD]
    world.annotate(target="legacy", steps="25,50", dwell="1m")
    world.until(lambda: world.shares("legacy") == (250, 250))
    replaced(world, "eks", 0)
    world.unrecord("eks", old)
    if restart:
        world.crash()
    world.run(30)
    assert (world.reason, world.shares("legacy")) == ("HandEdited", (250, 0))


@pytest.mark.parametrize("text", ["{", "[]", '{"kind":"trafficsplit","v":2}'])
def test_malformed_records_on_both_splits_disarm_nothing(text: str) -> None:
    """With no record that can be read the pins know the attempt: a target that FAILs rolls everybody back."""
    world = risen()
    for cluster in BOTH:
        world.unrecord(cluster, text)
    world.run(5)
    assert world.reason == "RecordUnreadable"
    for callers in BOTH:
        world.fault(callers, "target")
    world.until_phase(Phase.REVERTED)
    assert world.shares() == (0, 0)


@OF_EACH_KIND
def test_a_record_of_another_service_is_not_taken_for_its_own(kind: SplitKind) -> None:
    """A split that was copied with its record says of which Service that is: it is held, and told."""
    world = risen(kind)
    found = world.split("legacy")
    assert found is not None
    text = found["metadata"]["annotations"][RECORD]
    assert '"service":"default/service-a"' in text
    world.unrecord("legacy", text.replace("service-a", "service-b"))
    world.run(120)
    assert (world.reason, world.shares()) == ("RecordUnreadable", (250, 250))
    assert "that of default/service-b: it was copied with its split" in world.message
