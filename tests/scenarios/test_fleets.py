"""Fleets: many Services as one programme, with the reconciler that ships."""

from __future__ import annotations

from typing import Any

from controller.domain import PREFIX, WHOLE, Key, Phase
from controller.kube.objects import Resource
from tests.scenarios.world import QUICK, World

NAME = "to-eks"
DEFAULTS = {key: value for key, value in QUICK.items() if key != "target"}


def wave(name: str, *services: str, **more: Any) -> dict[str, Any]:
    """Return a wave of these Services."""
    return {"name": name, "services": [{"namespace": "default", "names": [*services]}], **more}


def put(world: World, *waves: dict[str, Any], name: str = NAME, **spec: Any) -> None:
    """Write a Fleet as a platform team does."""
    annotations = spec.pop("annotations", {})
    world.apis["legacy"].put(
        Resource.FLEETS,
        {
            "metadata": {"name": name, "namespace": "", "annotations": annotations},
            "spec": {"target": "eks", "defaults": DEFAULTS, "waves": [*waves], **spec},
        },
    )


def by_hand(world: World, key: str, value: str | None, name: str = NAME) -> None:
    """Write an annotation of a Fleet, or take it away."""
    body = {"metadata": {"annotations": {PREFIX + key: value}}}
    world.apis["legacy"].patch(Resource.FLEETS, "", name, body, manager="kubectl-annotate")


def key(service: str) -> Key:
    """Return a Service's key."""
    return Key("default", service)


def phase(world: World, service: str) -> Phase | None:
    """Return what was decided last for a Service."""
    plan = world.replica.decided(key(service))
    return plan.phase if plan else None


def reason(world: World, service: str) -> str:
    """Return why it does not advance."""
    plan = world.replica.decided(key(service))
    return plan.ruling.reason.value if plan and plan.ruling else ""


def test_services_that_say_nothing_move_wave_by_wave() -> None:
    """What no annotation asks for moves as its Fleet says, and the second wave begins when the first is completed."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)
    assert (world.shares(key=key("b"))[0], reason(world, "b")) == (0, "WaveWaits")
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    world.until(lambda: world.shares(key=key("b")) == (WHOLE, WHOLE), limit_s=5000)
    record = world.record("legacy", key("b"))
    assert record is not None
    assert record.attempt is not None
    assert record.attempt.asked_by == "fleet/to-eks/two"


def test_a_wave_that_opens_by_hand_waits_for_a_person() -> None:
    """A wave that opens by hand begins when an annotation of its Fleet names it, and not before."""
    world = World(services=("a",))
    put(world, wave("one", "a", opens="byHand"))
    world.run(120)
    assert (world.shares(key=key("a"))[0], reason(world, "a")) == (0, "WaveWaits")
    by_hand(world, "open", "one")
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)


def test_a_rollback_of_the_fleet_takes_everybody_back() -> None:
    """Who is shifted goes back to the baseline at one annotation of the Fleet, and stays when it is taken away."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"))
    by_hand(world, "rollback", "all")
    world.until(lambda: all(phase(world, s) is Phase.REVERTED for s in "ab"), limit_s=30)
    assert {world.shares(key=key(s))[0] for s in "ab"} == {0}
    by_hand(world, "rollback", None)
    world.run(60)
    assert {(world.shares(key=key(s))[0], reason(world, s)) for s in "ab"} == {(0, "FleetRollback")}


def test_a_paused_fleet_stands_still_and_goes_on() -> None:
    """While the annotation paused is there no share of the Fleet rises; a bad target is still left."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b"))
    world.until(lambda: all(world.shares(key=key(s))[0] == 100 for s in "ab"))
    by_hand(world, "paused", "true")
    world.run(2)
    before = {s: world.shares(key=key(s)) for s in "ab"}
    world.run(120)
    assert {s: world.shares(key=key(s)) for s in "ab"} == before
    assert {reason(world, s) for s in "ab"} == {"FleetPaused"}
    by_hand(world, "paused", None)
    world.until(lambda: all(world.shares(key=key(s))[0] == 999 for s in "ab"), limit_s=3000)


def test_one_of_a_wave_that_moves_together_takes_the_others_back() -> None:
    """Where one of a wave that moves together is rolled back, so is every other one that is shifted."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a", "b", together=True))
    world.until(lambda: all(world.shares(key=key(s))[0] >= 100 for s in "ab"))
    world.annotate(key=key("a"), abort="true")
    world.until(lambda: all(phase(world, s) is Phase.REVERTED for s in "ab"), limit_s=30)
    assert (reason(world, "a"), reason(world, "b")) == ("Aborted", "TogetherReverted")
    assert world.shares(key=key("b"))[0] == 0


def status(world: World, name: str = NAME) -> dict[str, Any]:
    """Return the status of a Fleet as it was written."""
    found = world.apis["legacy"].get(Resource.FLEETS, "", name)
    told: dict[str, Any] = found.get("status", {})
    return told


def test_the_status_says_how_far_it_is_and_what_opens_next() -> None:
    """The status counts who stands where, names the wave that is under way, and says what the next one waits for."""
    world = World(services=("a", "b", "c"))
    put(world, wave("one", "a"), wave("two", "b", "c", opens="byHand", bake="1h"))
    world.until(lambda: status(world).get("counts", {}).get("underWay") == 1)
    told = status(world)
    assert (told["state"], told["wave"], told["moved"]) == ("Open", "1/2 one", "0/3")
    assert (told["origin"], told["waves"][1]["state"]) == ("legacy", "Waiting")
    assert told["opensNext"]["how"] == "byHand"
    assert told["waves"][1]["message"] == (
        "Waits for one (1 left: default/a), then for a person: kubectl migrate fleet open two"
    )
    world.until(lambda: status(world)["wave"] == "2/2 two", limit_s=5000)
    by_hand(world, "open", "two")
    world.until(lambda: status(world)["moved"] == "3/3", limit_s=9000)
    world.until(lambda: status(world)["waves"][1]["state"] == "Baking")
    world.run(3700)
    told = status(world)
    assert (told["state"], told["wave"], told["waves"][1]["message"]) == ("Completed", "", "Completed")
    assert {c["type"]: c["status"] for c in told["conditions"]} == {
        "Valid": "True",
        "Progressing": "False",
        "Completed": "True",
    }


def test_what_comes_to_be_otherwise_is_told_once() -> None:
    """Each wave that opens and is completed has one Event on the Fleet, also over a restart."""
    world = World(services=("a", "b"))
    put(world, wave("one", "a"), wave("two", "b"))
    world.until(lambda: status(world).get("wave") == "2/2 two", limit_s=5000)
    world.crash()
    world.until(lambda: status(world)["moved"] == "2/2", limit_s=5000)
    world.run(30)
    told = [
        (body["reason"], body.get("count", 1), body["involvedObject"]["kind"])
        for body in world.apis["legacy"].bodies(Resource.EVENTS)
        if body["involvedObject"]["name"] == NAME
    ]
    assert sorted(told) == [
        *[("WaveCompleted", 1, "Fleet")] * 2,
        *[("WaveOpened", 1, "Fleet")] * 2,
    ]
