"""What is told: statuses, Events and conditions, where the stories do not reach."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Phase
from controller.report import status
from tests.controller.world import A, World

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["history", "conditions", "type", "status", "phase", "share"]), inner
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["history", "conditions", "phase"]), JSON))
def test_whatever_stands_in_a_status_is_taken_up(found: dict[str, Any]) -> None:
    """A status that somebody wrote in is for display only: what is not of our shape is left out."""
    story = status.remember(found)
    assert len(story.history) <= 10
    assert all(isinstance(entry["type"], str) for entry in story.conditions if entry)


def test_a_spoiled_status_stops_nothing() -> None:
    """A migration goes on, and tells, over a status of another shape."""
    world = World()
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))
    found = world.apis["legacy"].get(status_of(world), *A)
    spoiled = {"history": [7, {"phase": 3}], "conditions": [{"type": "Completed"}], "phase": 9}
    world.apis["legacy"].put(status_of(world), {**found, "status": spoiled})
    world.crash()
    world.until_phase(Phase.COMPLETED)
    assert world.status()["phase"] == "Completed"


def status_of(world: World) -> Any:
    """The resource that statuses are written to."""
    (resource,) = {k for k, _, _ in world.apis["legacy"]._objects if k.value == "migrations"}
    return resource


def test_a_condition_keeps_its_time_while_it_stays() -> None:
    """A condition's time is that of its last change, also over a restart of the controller."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    first = _times(world)
    world.crash()
    world.until_share(250)
    assert _times(world) == first
    world.annotate(abort="true")
    world.run(2)
    after = _times(world)
    assert (after["Completed"], after["Reverted"] > first["Reverted"]) == (first["Completed"], True)


def _times(world: World) -> dict[str, str]:
    return {c["type"]: c["lastTransitionTime"] for c in world.status()["conditions"]}


@pytest.mark.parametrize(
    ("harm", "condition"),
    [
        (lambda world: world.annotate(paused="true"), "Blocked"),
        (lambda world: world.annotate(steps="x"), "Blocked"),
        (lambda world: world.annotate(abort="true"), "Reverted"),
        (lambda world: world.until_share(1000), "Completed"),
        (lambda _world: None, "Progressing"),
    ],
)
def test_exactly_one_condition_is_true(harm: Any, condition: str) -> None:
    """Of Progressing, Blocked, Reverted and Completed one is True, and says why."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(10)
    harm(world)
    world.run(2)
    true = {c["type"]: c for c in world.status()["conditions"] if c["status"] == "True"}
    assert set(true) == {condition}
    assert true[condition]["reason"]
    assert true[condition]["message"]


def test_a_restart_tells_nothing_twice() -> None:
    """A new process that finds all as it was told writes no Event."""
    world = World()
    world.begin_on_legacy()
    world.ask(soak="10m")
    world.until_share(999)
    world.run(3)
    world.events.clear()
    world.crash()
    world.run(30)
    assert world.events == []


def test_what_is_not_known_is_a_question_mark() -> None:
    """A share that is not known is told as "?", never as a number."""
    assert [status.percent(share) for share in (None, 0, 1, 999, 1000)] == [
        "?",
        "0",
        "0.1",
        "99.9",
        "100",
    ]


def test_the_verdict_needs_all_four_ways() -> None:
    """PASS is told only where all four paths pass; any FAIL is FAIL; without probes nothing is told."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.run(1)
    assert world.status()["verdict"] in ("", "UNKNOWN")
    world.until_share(10)
    world.run(2.9)
    observed, decided = world.shell.observed[A], world.decided
    assert status.verdict_of(observed, decided) in ("PASS", "UNKNOWN")
    for side in ("target", "home"):
        world.fault("eks", side)
    world.run(3)
    assert status.verdict_of(world.shell.observed[A], world.decided) == "FAIL"
    world.heal()
    world.annotate(abort="true")
    world.run(6)
    assert world.status()["verdict"] == ""
