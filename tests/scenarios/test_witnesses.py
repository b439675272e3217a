"""Endpoints are one witness and probes the other: nobody is moved, in either direction, for want of a look."""

from __future__ import annotations

import pytest

from controller.domain import Phase, Reason
from controller.kube.objects import Listed, Resource
from tests.scenarios.test_rollback import HOME, assert_home, latches, risen
from tests.scenarios.world import A, World, slice_body
from tests.scenarios.world_kinds import MIXED, told_with

kinds = told_with([MIXED])

BLIP_S = 0.3
SLICE = slice_body(A, [], "http")["metadata"]["name"]


def hide_pods(world: World, cluster: str) -> None:
    """Let the slices of a cluster show no ready pod, though all of them serve."""
    world.apis[cluster].put(Resource.ENDPOINTSLICES, slice_body(A, [], "http"))


def delete_slice(world: World, cluster: str) -> None:
    """Delete the slice of a Service; its pods serve on."""
    world.apis[cluster].delete(Resource.ENDPOINTSLICES, A.namespace, SLICE)


def list_nothing(world: World, cluster: str, resource: Resource = Resource.ENDPOINTSLICES) -> None:
    """Let the controller be given one empty list by a confused API server."""
    world.replica.reconciler.apply(Listed(cluster, resource, ()))


def assert_nobody_was_moved(world: World, share: int = 250) -> None:
    """Assert that no share fell and nothing was latched, and that the migration goes on to its end."""
    assert latches(world) == [None, None], world.describe()
    assert min(world.trail("legacy")[-1], world.trail("eks")[-1]) >= share
    world.until_phase(Phase.COMPLETED)
    assert not any(write.revert for write in world.writes)


# --- the target ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hide", [hide_pods, delete_slice], ids=["unready", "replaced"])
@pytest.mark.parametrize("share", [250, 999])
def test_pods_out_of_sight_for_a_moment_move_nobody(hide: object, share: int) -> None:
    """A slice that is replaced, and pods unready for 0.3 s, revert nothing while every probe is good."""
    world = risen(share)
    assert callable(hide)
    hide(world, "eks")
    world.run(BLIP_S)
    assert world.reason == Reason.TARGET_WITHOUT_ENDPOINTS
    world.sync("eks")
    assert_nobody_was_moved(world, share)


def test_a_slice_replaced_at_once_is_not_seen_to_be_away() -> None:
    """A slice that is deleted and made again within a tick reverts nothing."""
    world = risen()
    delete_slice(world, "eks")
    world.rest()
    world.sync("eks")
    assert_nobody_was_moved(world)


@pytest.mark.parametrize("muted", [(), ("legacy", "eks")], ids=["probed", "no prober is heard"])
def test_one_empty_list_moves_nobody(muted: tuple[str, ...]) -> None:
    """A list that an API server got wrong is checked by reading the Service's slices, which shows the pods again."""
    world = risen()
    for cluster in muted:
        world.mute(cluster)
    world.run(1.0)
    list_nothing(world, "eks")
    world.run(0.2)
    assert world.decided.ruling is None or world.reason != Reason.TARGET_WITHOUT_ENDPOINTS
    world.heal()
    assert_nobody_was_moved(world)


def test_good_probes_contradict_endpoints_as_long_as_they_last() -> None:
    """While no pod is seen ready and every probe is good nobody rises or reverts, and it says so; once a probe is
    bad as well, the target is left within two seconds."""
    world = risen()
    hide_pods(world, "eks")
    world.run(60)
    assert world.recorded() == (250, 250)
    assert (world.phase, world.reason) == (Phase.HOLDING, Reason.TARGET_WITHOUT_ENDPOINTS)
    assert "its probes are answered well all the same" in world.message
    world.set_pods("eks", [])
    world.until(lambda: world.aways() == HOME, limit_s=2)
    world.run(1)
    assert_home(world, "TargetWithoutEndpoints")


def test_what_is_out_of_sight_is_read_now_and_then_only() -> None:
    """A target that is contradicted for long costs a list every few seconds, and not one for each decision."""
    world = risen()
    hide_pods(world, "eks")
    world.run(2)
    before = world.apis["eks"].requests
    world.run(60)
    assert world.apis["eks"].requests - before < 60


def test_a_target_without_pods_is_left_though_no_prober_is_heard() -> None:
    """Endpoints that are gone, as the API server confirms, end the attempt where no probe says anything."""
    world = risen()
    world.mute("legacy")
    world.mute("eks")
    world.run(5)
    world.set_pods("eks", [])
    world.until(lambda: all(latches(world)), limit_s=1)
    assert {latch.reason for latch in latches(world) if latch} == {"TargetWithoutEndpoints"}


def test_an_api_server_that_is_slow_keeps_nobody_in_an_empty_target() -> None:
    """Where the API server that told that nobody is ready answers no read, its word holds after a second."""
    world = risen()
    world.mute("legacy")
    world.mute("eks")
    world.run(5)
    world.set_pods("eks", [])
    world.rest()
    world.apis["eks"].delay_s = 30.0
    world.until(lambda: latches(world)[0] is not None, limit_s=2)


# --- the way back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_an_origin_out_of_sight_keeps_nobody(cluster: str) -> None:
    """Callers whose target fails are rolled back though one list shows no endpoint behind the path back."""
    world = risen()
    world.fault("legacy", "target")
    world.fault("eks", "target")
    list_nothing(world, cluster)
    world.until(lambda: world.aways() == HOME, limit_s=3)
    world.run(2)
    assert_home(world, "TargetBad")


def test_good_probes_lead_back_to_an_origin_out_of_sight() -> None:
    """Where slices show nobody in the origin for good, and its probes are answered well, callers go back there."""
    world = risen()
    hide_pods(world, "legacy")
    world.run(3)
    world.annotate(abort="true")
    world.until(lambda: world.aways() == HOME, limit_s=2)
    world.run(1)
    assert_home(world, "Aborted")


# --- before an attempt ----------------------------------------------------------------------------------


def test_no_split_is_made_by_an_empty_list() -> None:
    """A Service whose pods one list does not show gets a split that leaves its callers where they are."""
    world = World()
    world.tick()
    list_nothing(world, "eks")
    world.ask(paused="true")
    world.until(lambda: all(world.split(name) is not None for name in world.clusters))
    assert world.aways() == (0, 0)
