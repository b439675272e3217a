"""Stories of the path back: armed in every state, each cluster by itself, finished whatever dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.decide.plan import plan
from controller.domain import PREFIX, Phase, Reverted, Side
from controller.kube.objects import Resource
from controller.mesh.splits import encode_record
from tests.scenarios.world import A, World, Written, path
from tests.scenarios.world_kinds import MIXED, told_with
from tests.scenarios.world_mesh import Pod

kinds = told_with([MIXED])

HOME = (0, 1000)
"""Of each cluster's calls, what goes to the mirror when everyone is on legacy."""


def risen(share: int = 250, at: str = "legacy") -> World:
    """A world in which callers of both clusters have risen to this share."""
    world = World(at)
    world.begin_on_legacy()
    world.ask()
    world.until_share(share)
    return world


def latches(world: World) -> list[Reverted | None]:
    """The latch in each record."""
    records = [world.record(name) for name in world.clusters]
    return [record.reverted if record else None for record in records]


def assert_home(world: World, reason: str) -> None:
    """Everyone is home, and both records and both pins say that the attempt is over, and why."""
    assert world.aways() == HOME, world.describe()
    one, other = latches(world)
    assert one == other
    assert one is not None
    assert one.reason == reason
    for name in world.clusters:
        pinned = world.pin(name)
        assert pinned is not None
        assert reason in pinned["metadata"]["annotations"][PREFIX + "latch"]
    assert (world.phase, world.reason) == (Phase.REVERTED, reason)


# --- armed in every state -----------------------------------------------------------------------------


def _half_step(world: World) -> None:
    def check(write: Written) -> None:
        world.apis["eks"].away |= write.cluster == "eks" and write.share == 500

    world.on_write.append(check)
    world.until(lambda: world.recorded() == (500, 250))
    world.on_write.clear()
    world.apis["eks"].away = False


def _second_split(world: World) -> None:
    world.put_split("eks", [{"service": "service-a", "weight": 1}], name="another")


def _foreign(world: World) -> None:
    labels = {"metadata": {"labels": {"failover.linkerd.io/controlled-by": "somebody"}}}
    for resource in (Resource.SERVICES, world.resource("eks")):
        world.apis["eks"].patch(resource, *A, labels, manager="helm")


def _other_ports(world: World) -> None:
    spec = {"spec": {"ports": [{"name": "http", "port": 8080}]}}
    world.apis["legacy"].patch(Resource.SERVICES, *A, spec, manager="kubectl")


def _no_lease(world: World) -> None:
    world.replica.lead(leads=False)


def _fleet_paused(world: World) -> None:
    world.replica.settle(paused=True)


def _no_slot(world: World) -> None:
    world.replica.settle(max_in_progress=0)
    world.run(6)


STATES: dict[str, Callable[[World], None]] = {
    "as it is": lambda _world: None,
    "malformed": lambda world: world.annotate(steps="oops"),
    "unknown key": lambda world: world.annotate(stepps="1,2"),
    "conflict": lambda world: world.annotate("eks", dwell="9s"),
    "unknown target": lambda world: world.annotate(target="gke"),
    "changed": lambda world: world.annotate(steps="40,60", dwell="9s"),
    "target removed": lambda world: world.annotate(target=None),
    "removed": lambda world: world.forget_wish(),
    "paused": lambda world: world.annotate(paused="true"),
    "fleet paused": _fleet_paused,
    "no slot": _no_slot,
    "no lease": _no_lease,
    "half a step": _half_step,
    "legacy split deleted": lambda world: world.delete_split("legacy"),
    "eks split deleted": lambda world: world.delete_split("eks"),
    "pin deleted": lambda world: world.delete_pin("eks"),
    "second split": _second_split,
    "foreign owner": _foreign,
    "other ports": _other_ports,
    "hand edit": lambda world: world.edit("legacy", 600),
    "hand edit below": lambda world: world.edit("legacy", 100),
    "record lost": lambda world: world.unrecord("eks", None),
    "record unreadable": lambda world: world.unrecord("legacy", "{"),
    "soaking": lambda world: world.until_share(999),
    "origin shrunk": lambda world: world.set_pods("legacy", world.pods("legacy")[:1]),
    "another kind of split": lambda world: world.annotate(split="httproute"),
}


@pytest.mark.parametrize("callers", ["legacy", "eks"])
@pytest.mark.parametrize("store", STATES)
def test_the_way_home_is_armed(store: str, callers: str) -> None:
    """Whatever somebody writes, breaks or forgets: a path to the target that FAILs rolls back."""
    world = risen()
    STATES[store](world)
    world.run(0.5)
    if store == "legacy split deleted":
        callers = "eks"  # callers in legacy are home without it
    world.fault(callers, "target")
    world.until(lambda: world.aways() == HOME, limit_s=4)
    world.run(2)
    assert_home(world, "TargetBad")


@pytest.mark.parametrize("store", ["legacy split deleted", "eks split deleted", "pin deleted"])
def test_what_is_deleted_in_the_same_moment_disarms_nothing(store: str) -> None:
    """A split or pin that is deleted again and again while the target FAILs keeps nobody there."""
    world = risen()
    world.fault("eks", "target")
    for _ in range(20):
        if not any(latches(world)):
            STATES[store](world)
        world.tick()
    world.run(2)
    assert world.aways() == HOME
    assert any(latches(world))
    assert world.phase is Phase.REVERTED


def test_an_outage_is_left_within_two_seconds() -> None:
    """A target that answers nothing good any more is left within 2 s, by the callers of both clusters."""
    world = World()
    world.begin_on_legacy()
    world.ask(probe_rate="10")
    world.until_share(500)
    for pod in world.pods("eks"):
        pod.answer = "500"
    began_s = world.now_s
    world.until(lambda: world.aways() == HOME)
    assert world.now_s - began_s <= 2.0


def test_a_target_without_pods_is_left() -> None:
    """A target whose last ready endpoint goes is left, whatever its probes say."""
    world = risen()
    world.set_pods("eks", [])
    world.run(1)
    assert_home(world, "TargetWithoutEndpoints")


def test_abort_brings_home_and_is_latched() -> None:
    """Abort rolls back, and removing it starts nothing: only a higher attempt does."""
    world = risen()
    world.annotate(abort="true")
    world.run(1)
    assert_home(world, "Aborted")
    world.annotate(abort=None)
    world.run(30)
    assert_home(world, "Aborted")
    assert "set attempt to 2" in world.message
    world.annotate(attempt="2")
    world.until_share(1000)


def test_abort_of_malformed_annotations_is_obeyed() -> None:
    """abort=true rolls back though another annotation is malformed."""
    world = risen()
    world.annotate(abort="true", dwell="soon")
    world.run(1)
    assert world.aways() == HOME
    assert all(latches(world))


def test_the_old_target_brings_home() -> None:
    """The target changed back to the origin in mid-flight is an abort of this attempt."""
    world = risen()
    world.annotate(target="legacy")
    world.run(1)
    assert_home(world, "TargetChanged")
    world.annotate(target="eks")
    world.run(20)
    assert_home(world, "TargetChanged")


def test_a_revert_is_told_twice() -> None:
    """A revert is two transitions, Reverting and Reverted, each with one Event, and conditions to wait for."""
    world = risen()
    world.events.clear()
    world.annotate(abort="true")
    world.run(3)
    assert [(e.reason, e.kind, e.message.partition(":")[0]) for _, _, e in world.events] == [
        ("Aborted", "Warning", "Reverting"),
        ("Aborted", "Warning", "Reverted"),
    ]
    conditions = {c["type"]: c["status"] for c in world.status()["conditions"]}
    assert conditions == {
        "Progressing": "False",
        "Blocked": "False",
        "Reverted": "True",
        "Completed": "False",
    }


# --- each cluster to its own home ------------------------------------------------------------------------


def test_callers_who_were_there_before_stay() -> None:
    """On FAIL callers go where they came from: those of eks, who were on eks before, stay there."""
    world = World()
    world.ask()
    world.until(lambda: world.recorded() == (250, 1000))
    world.fault("legacy", "target")
    world.run(2)
    assert world.aways() == (0, 0)
    assert world.recorded() == (0, 1000)
    assert all(latches(world))
    assert world.phase is Phase.REVERTED


def test_a_cluster_at_its_home_is_not_judged() -> None:
    """A way that FAILs for callers who were on the target before reverts nothing: it holds."""
    world = World()
    world.ask()
    world.until(lambda: world.recorded() == (250, 1000))
    world.fault("eks", "target")
    world.run(20)
    assert world.recorded() == (250, 1000)
    assert (world.phase, world.reason) == (Phase.HOLDING, "WayBad")


@settings(max_examples=20, deadline=None)
@given(
    delays=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    away=st.sampled_from(["", "legacy", "eks"]),
    lose=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    death=st.integers(0, 30),
    touch=st.booleans(),
    before=st.booleans(),
)
def test_both_go_home_however_the_writes_fall(
    delays: tuple[int, int],
    away: str,
    lose: tuple[int, int],
    death: int,
    touch: bool,
    before: bool,
) -> None:
    """With slow, lost and refused writes, an API server away and a dead controller: one latch, each at the baseline."""
    world = World()
    if not before:
        world.begin_on_legacy()
    world.ask()
    world.until(lambda: world.recorded()[0] == 250)
    for name, delay, lost in zip(world.clusters, delays, lose, strict=True):
        world.apis[name].delay_s, world.apis[name].lose = delay / 10, lost
    if away:
        world.apis[away].away = True
    world.fault("legacy", "target")
    for tick in range(60):
        world.tick()
        if tick == death:
            world.crash()
        if touch and tick in (2, 9, 16):
            label = {"metadata": {"labels": {"touched": str(tick)}}}
            world.apis["legacy"].patch(world.resource("legacy"), *A, label, manager="argocd")
    for api in world.apis.values():
        api.away = False
    world.run(15)
    assert world.aways() == ((0, 0) if before else HOME)
    one, other = latches(world)
    assert one == other
    assert one is not None
    assert world.phase is Phase.REVERTED


@pytest.mark.parametrize("away", ["legacy", "eks"])
def test_reverted_is_told_when_both_clusters_are_known_to_be_back(away: str) -> None:
    """A controller that starts while a cluster is away does not know whether its callers are back, and says so."""
    world = risen(250, at="eks" if away == "legacy" else "legacy")
    world.apis[away].away = True
    world.annotate("eks" if away == "legacy" else "legacy", abort="true")
    here = next(name for name in world.clusters if name != away)
    world.until(lambda: latched_in(world, here))
    world.crash()
    world.run(30)
    assert world.phase is Phase.REVERTING
    assert f"callers in {away} are rolled back is not known" in world.message
    assert world.decided.shares[away] is None
    world.apis[away].away = False
    world.until_phase(Phase.REVERTED, limit_s=60)
    assert_home(world, "Aborted")


def test_a_pin_alone_tells_of_no_revert_where_a_cluster_is_not_known() -> None:
    """With one split deleted after a revert and the other's cluster away, nobody knows where callers are."""
    world = risen(250)
    world.annotate(abort="true")
    world.until_phase(Phase.REVERTED)
    world.delete_split("eks")
    world.apis["legacy"].away = True
    world.annotate("eks", target="eks")
    world.crash()
    world.run(30)
    assert world.phase is Phase.REVERTING
    assert "callers in legacy are rolled back is not known" in world.message


def test_completed_is_told_when_both_clusters_are_known_to_have_arrived() -> None:
    """A controller that starts after the end while a cluster is away does not claim that cluster's calls."""
    world = risen()
    world.until_phase(Phase.COMPLETED, limit_s=3000)
    world.apis["eks"].away = True
    world.crash()
    world.run(30)
    assert (world.phase, world.reason) == (Phase.HOLDING, "ClusterStale")
    world.apis["eks"].away = False
    world.until_phase(Phase.COMPLETED, limit_s=60)


def latched_in(world: World, cluster: str) -> bool:
    """Whether the record there says that the attempt is over."""
    record = world.record(cluster)
    return record is not None and record.reverted is not None


@pytest.mark.parametrize("away", ["legacy", "eks"])
def test_an_api_server_that_is_away_delays_nobody_else(away: str) -> None:
    """With one cluster's API server away the other's callers are rolled back at once, and those when it is back."""
    world = risen()
    world.apis[away].away = True
    world.fault("eks", "target")
    world.run(3)
    here = next(name for name in world.clusters if name != away)
    share = dict(zip(world.clusters, world.recorded(), strict=True))
    assert (share[here], share[away]) == (0, 250)
    world.run(60)
    world.apis[away].away = False
    world.heal()
    world.run(7)
    assert_home(world, "TargetBad")


# --- the link ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eks_api", ["there", "away"])
def test_broken_link_seen_from_the_origin(eks_api: str) -> None:
    """Link broken, controller in the origin: its callers are rolled back, the target's are not thrown at the link,
    and go when it is whole again."""
    world = risen(500)
    world.mesh.link_up = False
    world.apis["eks"].away = eks_api == "away"
    world.until(lambda: world.aways()[0] == 0, limit_s=3)
    world.run(60)
    assert world.aways() == (0, 500)
    assert world.serves("legacy")
    assert world.phase is Phase.REVERTING
    assert world.decided.ruling is not None
    assert world.decided.ruling.alert
    assert "callers in eks stay" in world.message
    world.heal()
    world.run(6)
    assert_home(world, "TargetBad")
    assert world.serves("eks")


@pytest.mark.parametrize("blip_s", [0.2, 1, 20])
def test_broken_link_seen_by_a_prober_out_of_breath(blip_s: float) -> None:
    """Link broken, and the origin's prober doubts itself for a while: no answer is no reason to go there."""
    world = risen(500)
    world.mesh.link_up = False
    world.until(lambda: world.aways()[0] == 0, limit_s=3)
    world.run(10)
    world.bad_references.add("legacy")
    world.run(blip_s)
    world.bad_references.clear()
    world.run(5)
    assert world.aways() == (0, 500)
    world.heal()
    world.run(6)
    assert_home(world, "TargetBad")


@pytest.mark.parametrize("legacy_api", ["there", "away"])
def test_broken_link_seen_from_the_target(legacy_api: str) -> None:
    """Link broken, controller in the target: the origin's callers are rolled back as LinkLost, the others stay."""
    world = risen(500, at="eks")
    world.mesh.link_up = False
    world.apis["legacy"].away = legacy_api == "away"
    world.run(5)
    if legacy_api == "there":
        assert world.aways() == (0, 500)
        assert world.serves("legacy")
    world.run(30)
    assert world.aways()[1] == 500
    world.heal()
    world.run(6)
    assert_home(world, "LinkLost")


@pytest.mark.parametrize("at", ["legacy", "eks"])
def test_dead_gateway_of_the_target(at: str) -> None:
    """The target's gateway is dead: callers in the origin are rolled back at once; those in the target go when their
    prober can be heard."""
    world = risen(500, at)
    world.mesh.dead_gateways.add("eks")
    world.until(lambda: world.aways()[0] == 0, limit_s=3)
    world.run(10)
    assert world.serves("legacy")
    assert world.aways() == ((0, 500) if at == "legacy" else HOME)
    world.heal()
    world.run(6)
    assert_home(world, "TargetBad")


@pytest.mark.parametrize("at", ["legacy", "eks"])
def test_dead_gateway_of_the_origin(at: str) -> None:
    """The origin's gateway is dead: nobody is sent through it, and nobody rises."""
    world = risen(500, at)
    world.mesh.dead_gateways.add("legacy")
    world.run(20)
    assert world.aways()[1] == 500
    if at == "legacy":
        assert (world.phase, world.reason) == (Phase.HOLDING, "WayBad")
        assert world.aways()[0] == 500
    else:
        assert world.aways()[0] == 0
        assert "LinkLost" in {r.reason for r in latches(world) if r}
    world.heal()
    world.run(10)
    assert world.aways() == ((500, 500) if at == "legacy" else HOME)
    world.annotate(abort="true")
    world.run(1)
    assert world.aways() == HOME


def test_a_silent_prober_alone_does_not_keep_its_callers() -> None:
    """Callers in the target whose prober is silent are rolled back in a revert as long as the origin's side answers."""
    world = risen()
    world.mute("eks")
    world.fault("legacy", "target", "500")
    world.run(5)
    assert_home(world, "TargetBad")


# --- both paths bad -----------------------------------------------------------------------------------------


def test_a_shared_fault_moves_nobody() -> None:
    """Where a database fails both sides alike nobody is thrown about: it holds, and asks for a person."""
    world = risen()
    for pods in (world.pods("legacy"), world.pods("eks")):
        for pod in pods:
            pod.answer = "500"
    world.run(10)
    assert world.recorded() == (250, 250)
    assert (world.phase, world.reason) == (Phase.HOLDING, "BothWaysBad")
    assert world.decided.ruling is not None
    assert world.decided.ruling.alert
    assert latches(world) == [None, None]


def test_a_cluster_whose_way_home_is_as_bad_stays_until_that_ends() -> None:
    """In a revert callers whose path back is as bad stay, also after the controller died, and go when it ends."""
    world = risen()
    for side in ("target", "home"):
        world.fault("eks", side)
    world.run(3)
    world.fault("legacy", "target")
    world.run(3)
    assert world.aways() == (0, 750)
    assert all(latches(world))
    assert (world.phase, "callers in eks stay" in world.message) == (Phase.REVERTING, True)
    world.crash()
    world.run(5)
    assert world.aways() == (0, 750)
    del world.mesh.faults[path("eks", "home")]
    world.until(lambda: world.aways() == HOME, limit_s=5)
    world.run(1)
    assert_home(world, "TargetBad")


def test_a_home_without_pods_is_no_home() -> None:
    """Callers are not sent to an origin that has no ready pod: they stay, loudly, and go when it has one."""
    world = risen()
    pods = world.pods("legacy")
    world.set_pods("legacy", [])
    world.annotate(abort="true")
    world.run(5)
    assert world.aways() == (250, 750)
    assert all(latches(world))
    assert "nothing is ready" in world.message
    world.set_pods("legacy", pods)
    world.run(5)
    assert_home(world, "Aborted")


# --- finished, whatever dies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["legacy", "eks"])
def test_half_a_revert_is_finished_by_the_next_process(away: str) -> None:
    """A revert that reached one cluster is finished by a controller that knows only what stands there."""
    world = risen()
    world.apis[away].away = True
    world.annotate("eks" if away == "legacy" else "legacy", abort="true")
    world.run(2)
    assert sum(r is not None for r in latches(world)) == 1
    world.crash()
    world.run(20)
    world.apis[away].away = False
    world.run(2)
    assert world.aways() == HOME
    assert len({str(r) for r in latches(world)}) == 1


def test_a_follower_goes_home_without_the_lease() -> None:
    """Going home needs no lease: only that no newer leader has shown itself."""
    world = risen()
    world.replica.lead(leads=False)
    world.fault("legacy", "target")
    world.run(2)
    assert_home(world, "TargetBad")


def test_an_ex_leader_writes_nothing_after_a_newer_epoch() -> None:
    """Once a newer fencing token stands in a record, the older leader raises nothing and reverts nothing."""
    world = risen()
    old = world.replica
    new = world.join("eks", fencing_token=2)
    old.lead(leads=False)
    world.until(lambda: all(world.record(c).fencing_token == 2 for c in world.clusters))  # type: ignore[union-attr]
    world.kill(new)
    count = len(world.writes)
    world.fault("legacy", "target")
    world.run(10)
    assert world.phase is Phase.REVERTING
    assert (len(world.writes), world.recorded()) == (count, (250, 250))


# --- never forgotten ---------------------------------------------------------------------------------------------


def test_a_latch_outlives_both_splits() -> None:
    """With both splits deleted after a revert the pins remember it, and nothing starts below the next attempt."""
    world = risen()
    world.annotate(abort="true")
    world.run(2)
    world.annotate(abort=None)
    world.forget_wish()
    for name in world.clusters:
        world.delete_split(name)
    world.run(2)
    world.crash()
    world.ask()
    world.run(20)
    assert (world.phase, world.reason) == (Phase.REVERTED, "Aborted")
    assert "set attempt to 2" in world.message
    assert world.trail("legacy")[-1] == 0
    world.annotate(attempt="2")
    world.until_phase(Phase.COMPLETED)


def test_a_latch_outlives_both_splits_and_another_target() -> None:
    """After a revert nothing starts until the attempt is raised, whatever else changes: not by the target."""
    world = risen()
    world.annotate(abort="true")
    world.run(2)
    world.annotate(abort=None)
    world.forget_wish()
    for name in world.clusters:
        world.delete_split(name)
    world.run(2)
    world.annotate(target="legacy")
    world.run(20)
    assert (world.phase, world.reason) == (Phase.REVERTED, "Aborted")


@pytest.mark.parametrize("wrong", [["legacy"], ["eks"], ["legacy", "eks"]])
def test_a_latch_outlives_the_pins(wrong: list[str]) -> None:
    """With pins deleted after a revert the records remember it, and the new pins get their copy."""
    world = risen()
    world.annotate(abort="true")
    world.run(2)
    world.annotate(abort=None)
    world.replica.lead(leads=False)
    for name in wrong:
        world.delete_pin(name)
    world.crash()
    world.run(20)
    assert_home(world, "Aborted")
    assert {w.share for w in world.writes if w.record.reverted} == {0}


def test_a_latch_in_one_record_binds_both() -> None:
    """A revert that is told by one record alone, the pins knowing nothing, is finished in the other cluster."""
    world = risen()
    world.apis["eks"].away = True
    world.annotate(abort="true")
    world.run(2)
    world.annotate(abort=None)
    world.replica.kill()
    world.delete_pin("legacy")
    world.apis["eks"].away = False
    world.crash()
    world.run(5)
    assert_home(world, "Aborted")


def test_a_deleted_split_of_a_reverted_attempt_is_made_at_home() -> None:
    """A split deleted after the revert is recreated at the baseline: else callers in the target would stay there."""
    world = risen()
    world.annotate(abort="true")
    world.run(2)
    world.delete_split("eks")
    world.run(2)
    assert_home(world, "Aborted")


def test_what_a_person_does_after_a_revert_is_theirs() -> None:
    """A manual override after everyone came home is not fought."""
    world = risen()
    world.annotate(abort="true")
    world.run(2)
    world.edit("legacy", 300)
    world.run(10)
    assert world.aways() == (300, 1000)
    assert world.phase is Phase.REVERTED


# --- rollouts, silence, pins -------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_a_rolling_deploy_reverts_nothing(cluster: str) -> None:
    """Pods that leave or are just ready answer badly at their address for a moment: that is no fault."""
    world = risen()
    for generation in range(3):
        for index in range(3):
            pods = world.pods(cluster)
            pods[0].leaving = True
            world.run(0.4)
            young = Pod(f"10.9{generation}.{index}.1:8080", leaving=True)
            world.set_pods(cluster, [*pods[1:], young])
            world.run(0.3)
            young.leaving = False
            world.run(1.5)
    assert latches(world) == [None, None]
    assert not any(e.reason == "WayBad" for _, _, e in world.events)
    world.until_share(1000)


def test_a_pod_that_stays_and_is_bad_is_a_fault() -> None:
    """One of three ready pods that goes on failing is no rollout: everyone is rolled back."""
    world = risen()
    world.pods("eks")[1].answer = "500"
    world.run(5)
    assert_home(world, "TargetBad")


@pytest.mark.parametrize("callers", ["legacy", "eks"])
def test_one_stream_of_two_silent_only_slows(callers: str) -> None:
    """With one of two streams silent the rate is half, and the migration goes on to its end."""
    world = risen(10)
    world.mute(callers, 1)
    world.until_phase(Phase.COMPLETED)


@pytest.mark.parametrize("silent", [["legacy"], ["eks"], ["legacy", "eks"]])
def test_silent_probers_move_nobody(silent: list[str]) -> None:
    """Missing evidence reverts nothing and raises nothing; it asks for a person after 30 s, and then goes on."""
    world = risen(100)
    for name in silent:
        world.mute(name)
    world.run(20)
    assert (world.recorded(), world.reason) == ((100, 100), "Blind")
    assert world.decided.ruling is not None
    assert not world.decided.ruling.alert
    world.run(20)
    assert (world.recorded(), world.phase) == ((100, 100), Phase.HOLDING)
    assert world.decided.ruling is not None
    assert world.decided.ruling.alert
    world.heal()
    world.until_share(1000)


def test_a_prober_that_never_spoke_is_not_called_silent() -> None:
    """Before the first slice the answer is that nothing was heard yet, which is no silence."""
    world = World()
    world.mute("eks")
    world.ask()
    world.run(10)
    assert world.reason == "Blind"
    assert world.decided.ruling is not None
    assert world.decided.ruling.message == "nothing was heard yet of the prober in eks"


def test_a_prober_that_distrusts_itself_is_not_believed() -> None:
    """Void slices raise nothing and revert nothing, however bad they look."""
    world = risen(100)
    world.void["legacy"] = "loop lag"
    world.fault("legacy", "target")
    world.run(20)
    assert (world.recorded(), world.reason) == ((100, 100), "Blind")


def test_link_lost_needs_a_clean_reference() -> None:
    """A prober whose own reference is bad does not prove that the link is lost."""
    world = risen(100)
    world.mute("legacy")
    world.bad_references.add("eks")
    world.fault("eks", "home", "timeout")
    world.run(10)
    assert latches(world) == [None, None]


@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_a_pin_is_mended_at_the_next_look(cluster: str) -> None:
    """A deleted pin is put back at once and told, and PASS is earned anew."""
    world = World()
    world.begin_on_legacy()
    world.ask(dwell="20s")
    world.until_share(100)
    world.run(8)
    assert _clean(world) == 100
    world.delete_pin(cluster)
    world.tick()
    assert world.pin(cluster) is not None
    assert [told.reason for told in world.told][1:] == ["PinRemade"]
    world.tick()
    assert _clean(world) <= 10
    assert latches(world) == [None, None]
    world.until_phase(Phase.COMPLETED)


def _clean(world: World) -> int:
    paths = world.replica.observe(A).paths
    return min(found.clean for at, found in paths.items() if at.side is not Side.APEX)


def test_508_while_the_pin_is_missing_is_void() -> None:
    """Requests bounce while a pin is gone: that reverts nothing, and is over a second after it was re-made."""
    world = risen(500)
    world.apis["eks"].delay_s = 3.0
    world.delete_pin("eks")
    world.run(10)
    assert world.pin("eks") is not None
    assert latches(world) == [None, None]
    world.apis["eks"].delay_s = 0.0
    world.until_phase(Phase.COMPLETED)


def test_508_above_home_otherwise_reverts() -> None:
    """A gateway that does not obey its pin makes a loop: one 508 above the baseline is enough to be rolled back."""
    world = risen(250)
    world.mesh.pinned = lambda _cluster, _key: False
    world.run(2)
    assert_home(world, "GatewayLoop")


def test_a_latch_ends_an_attempt_that_two_controllers_began() -> None:
    """Where each of two controllers began the attempt on one split, what ended the one ended the other."""
    world = risen(250)
    world.annotate(abort="true")
    world.until_phase(Phase.REVERTED)
    world.annotate(abort=None)
    record = world.record("eks")
    assert record is not None
    assert record.attempt is not None
    later = record.attempt.started + timedelta(seconds=1)
    attempt = msgspec.structs.replace(record.attempt, started=later)
    other = msgspec.structs.replace(record, attempt=attempt, reverted=None)
    world.unrecord("eks", encode_record(other))
    world.replica.watch()
    observed = world.replica.observe(A)
    bare = {
        name: replace(cluster, pin=cluster.pin and replace(cluster.pin, latch=None))
        for name, cluster in observed.clusters.items()
    }
    assert plan(replace(observed, clusters=bare), world.now).phase is Phase.REVERTING
    world.run(30)
    assert world.phase is Phase.REVERTED
    assert world.shares() == (0, 0)
