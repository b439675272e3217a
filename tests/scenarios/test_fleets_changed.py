"""Fleets that come, go and turn round while they move a Service."""

from __future__ import annotations

from controller.domain import Phase
from controller.kube.objects import Resource
from tests.scenarios.test_fleets import key, phase, put, reason, wave
from tests.scenarios.world import World


def test_the_second_fleet_of_a_service_is_deleted_and_it_goes_on() -> None:
    """While two Fleets name a Service it stands still; when one of them is deleted it moves by the other."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: world.shares(key=key("a"))[0] >= 100)
    put(world, wave("one", "a"), name="another")
    world.run(5)
    stood = world.shares(key=key("a"))
    world.run(120)
    assert (world.shares(key=key("a")), reason(world, "a")) == (stood, "FleetUnclear")
    world.apis["legacy"].delete(Resource.FLEETS, "", "another")
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)


def test_a_fleet_that_turns_round_is_told_of_in_the_same_migration() -> None:
    """Where a Fleet's target becomes the other cluster its Service is told of where it was before, and nowhere else."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    put(world, wave("one", "a"), target="legacy")
    world.until(lambda: world.shares(key=key("a"))[0] >= 100, limit_s=5000)
    world.run(30)
    told = world.apis["legacy"].get(Resource.MIGRATIONS, "default", "a")["status"]
    assert told["observed"]["target"] == "legacy"
    assert not world.apis["eks"].has(Resource.MIGRATIONS, "default", "a")
