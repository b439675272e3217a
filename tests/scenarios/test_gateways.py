"""One dead gateway is one cause: who goes through it is told at once, and nobody is sent into it."""

from __future__ import annotations

import pytest

from controller.domain import Key, Phase
from tests.scenarios.world import World

NAMES = ("service-a", "service-b", "service-c")
KEYS = tuple(Key("default", name) for name in NAMES)
HOME = (0, 1000)


def risen(at: str = "legacy", rate: str = "50") -> World:
    """A world in which three Services stand at 25 % for the callers of both clusters, probed so often from then on."""
    world = World(at, services=NAMES)
    world.export_probers()
    for key in KEYS:
        world.begin_on_legacy(key)
        world.ask(key=key)
    rising = set(KEYS)
    while rising:
        world.tick()
        for key in [key for key in rising if world.recorded(key) == (250, 250)]:
            world.annotate(key=key, probe_rate=rate, dwell="1h")
            rising.remove(key)
    world.run(5)
    return world


def back_after(world: World, limit_s: float) -> list[float]:
    """By Service after how many seconds the callers of legacy are served by legacy again."""
    began_s, found = world.now_s, dict.fromkeys(KEYS, 0.0)
    while not all(found.values()):
        assert world.now_s - began_s < limit_s, world.describe()
        world.tick()
        for key in KEYS:
            if world.aways(key)[0] == 0:
                found[key] = found[key] or world.now_s - began_s
    return list(found.values())


def told(world: World, key: Key) -> str:
    """Why a Service does not go on."""
    plan = world.replica.decided(key)
    assert plan is not None
    return plan.ruling.reason if plan.ruling else ""


def test_a_dead_gateway_takes_all_back_at_once() -> None:
    """Probed once a second each would need 5 s by itself; all are back after one probe each and its timeout, 2 s,
    and each names the gateway."""
    world = risen(rate="1")
    world.mesh.dead_gateways.add("eks")
    assert max(back_after(world, 6.0)) < 2.15
    assert {told(world, key) for key in KEYS} == {"GatewayDead"}
    world.heal()
    world.run(6)
    assert {world.aways(key) for key in KEYS} == {HOME}


@pytest.mark.parametrize("rate", ["1", "50"])
def test_a_prober_that_restarts_moves_nobody(rate: str) -> None:
    """The control path fails with the prober behind it, and every Service is answered through the same gateway."""
    world = risen(rate=rate)
    world.restart_prober("eks", up=False)
    world.run(20)
    assert {world.aways(key) for key in KEYS} == {(250, 750)}
    assert "GatewayDead" not in {told(world, key) for key in KEYS}
    world.restart_prober("eks", up=True)
    world.run(20)
    assert {world.aways(key) for key in KEYS} == {(250, 750)}


def test_a_dead_service_behind_a_good_gateway_goes_alone() -> None:
    """One Service of three fails: it is rolled back for itself, and the others stay."""
    world = risen()
    for pod in world.pods("eks", KEYS[0]):
        pod.answer = "503"
    world.run(8)
    assert [world.aways(key) for key in KEYS] == [HOME, (250, 750), (250, 750)]
    assert told(world, KEYS[0]) == "TargetBad"


@pytest.mark.parametrize("at", ["legacy", "eks"])
def test_a_cut_link_takes_back_who_needs_none(at: str) -> None:
    """Cut both ways: callers in legacy are served by legacy, those in eks stay until the link is whole."""
    world = risen(at)
    world.mesh.link_up = False
    world.run(20)
    assert {world.aways(key) for key in KEYS} == {(0, 750)}
    world.heal()
    world.run(8)
    assert {world.aways(key) for key in KEYS} == {HOME}


def test_nobody_is_sent_back_through_a_dead_gateway() -> None:
    """The origin's gateway is dead: nobody rises, and in a rollback callers in eks stay until it is well."""
    world = risen()
    world.mesh.dead_gateways.add("legacy")
    world.run(5)
    assert {told(world, key) for key in KEYS} == {"GatewayDead"}
    assert world.phase is Phase.HOLDING
    for key in KEYS:
        world.annotate(key=key, abort="true")
    world.run(5)
    assert {world.aways(key) for key in KEYS} == {(0, 750)}
    assert "the gateway of legacy answers nobody in eks" in world.message
    world.heal()
    world.run(5)
    assert {world.aways(key) for key in KEYS} == {HOME}


def test_without_a_mirror_of_the_probers_each_service_has_its_own_verdict() -> None:
    """Not exported: the gateway's death is seen by the Services' own probes, as it always was."""
    world = risen()
    for name in world.clusters:
        world.mesh.pods[name, Key("migrate", "prober")] = []
    world.crash()
    world.run(8)
    world.mesh.dead_gateways.add("eks")
    assert max(back_after(world, 5.0)) < 3.0
    assert {told(world, key) for key in KEYS} == {"TargetBad"}
