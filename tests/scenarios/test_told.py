"""Stories of what is told: what stands, whatever is asked for, and the measured share beside the claimed one."""

from __future__ import annotations

from typing import Any

from controller.domain import Phase
from prober.contract import Counts
from tests.scenarios.test_traffic import risen_with_callers
from tests.scenarios.world import World


def told(world: World) -> tuple[str, str, str, str]:
    """The target, phase and shares of the status, and the target that it says is asked for."""
    status = world.status()
    target, asked = status["observed"]["target"], status["asked"]["target"]
    return target, status["phase"], status["share"], asked


def completed() -> World:
    """A world in which eks serves every call."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    return world


def test_annotations_in_conflict_with_a_new_target_change_nothing_that_stands() -> None:
    """Completed stays that of eks while the annotations ask for legacy and say two things; corrected, it begins."""
    world = completed()
    world.annotate("eks", target="legacy", dwell="9s")
    world.annotate("legacy", target="legacy")
    world.run(2)
    assert world.reason == "Malformed"
    assert told(world) == ("eks", "Completed", "100/100", "legacy")
    world.annotate("eks", target="eks", dwell=None)
    world.run(2)
    assert told(world) == ("eks", "Completed", "100/100", "")
    world.annotate("eks", target=None)
    world.until(lambda: world.shares("legacy") == (1000, 1000))
    assert told(world) == ("legacy", "Completed", "100/100", "legacy")


def test_a_target_that_is_removed_changes_nothing_that_stands() -> None:
    """Without any annotation it still is eks that serves every call."""
    world = completed()
    world.forget_wish()
    world.annotate("legacy", dwell="5s")
    world.run(2)
    assert told(world) == ("eks", "Completed", "100/100", "")


def test_a_path_back_is_told_of_the_attempt_that_ends() -> None:
    """Asked for the origin in mid-flight, it is the attempt to eks that is rolled back, and told so to the end."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    world.annotate(target="legacy")
    world.until_phase(Phase.REVERTED)
    world.run(0.3)  # what only tells waits until no rollback has landed for a moment
    assert told(world) == ("eks", "Reverted", "0/0", "legacy")


def traffic_of(world: World, cluster: str) -> dict[str, Any]:
    """What the status says of the real callers of a cluster."""
    (found,) = (one for one in world.status()["traffic"] if one["callers"] == cluster)
    return dict(found)


def test_claimed_and_measured_stand_side_by_side() -> None:
    """At rest the measured share is that of the split, with the requests behind it, and is not marked."""
    world, callers = risen_with_callers(dwell="1h")
    callers.run(400)
    found = traffic_of(world, "legacy")
    assert (found["claimedPercent"], found["sharePercent"]) == (25.0, 25.0)
    assert found["measuredRequests"] >= 10_000
    assert not found["strays"]


def test_callers_who_go_elsewhere_are_marked_once_the_split_is_at_rest() -> None:
    """What chance does not explain is marked; not so soon after a step, when the window holds requests of before."""
    world, callers = risen_with_callers(dwell="1h")
    callers.per_tick = 0
    callers.extra = {"legacy": {"here": Counts(980, 0), "across": Counts(20, 0)}}
    callers.run(60)
    assert not traffic_of(world, "legacy")["strays"]
    callers.run(340)
    found = traffic_of(world, "legacy")
    assert (found["claimedPercent"], found["sharePercent"], found["strays"]) == (25.0, 2.0, True)
    assert "sharePercent" not in traffic_of(world, "eks")
