"""Stories of migrations that move: there, back, on after a restart, one after another."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import PREFIX, Observed, Phase, Plan, Side, Verdict, WriteSplit
from controller.kube.objects import Resource
from tests.scenarios.world import QUICK, A, World, Written
from tests.scenarios.world_kinds import MIXED, told_with
from tests.scenarios.world_replica import Replica

kinds = told_with([MIXED])

STEPS = [0, 10, 100, 250, 500, 999, 1000]
DWELL_S, SOAK_S = 3.0, 5.0


def begun(at: str = "legacy") -> World:
    """A world whose callers are all on legacy, and a developer who wants them on eks."""
    world = World(at)
    world.begin_on_legacy()
    world.ask()
    return world


def moved() -> World:
    """A world in which service-a was moved to eks."""
    world = begun()
    world.until_phase(Phase.COMPLETED)
    return world


def raises(world: World, cluster: str) -> list[Written]:
    """The writes that changed a cluster's share, the first of each share."""
    found: list[Written] = []
    for one in world.writes:
        new = not found or found[-1].share != one.share
        if one.cluster == cluster and one.record.attempt and new:
            found.append(one)
    return found


def assert_no_haste(world: World, steps: list[int]) -> None:
    """Both clusters were at exactly these shares, and no step was left before its time."""
    for cluster in world.clusters:
        made = raises(world, cluster)
        assert steps == [one.share for one in made], cluster
        for one, after in pairwise(made[1:]):
            least_s = SOAK_S if one.share == 999 else DWELL_S
            assert one.record.since is not None
            assert after.record.since is not None
            between = after.record.since - one.record.since
            assert between.total_seconds() >= least_s, (cluster, one.share)


def test_one_record_is_completed_once_while_the_other_waits() -> None:
    """While one cluster's API server is away at the end, the other's record is not written again and again."""
    world = begun()
    world.until_share(999)
    world.apis["eks"].delay_s = 60.0
    world.until(lambda: world.record("legacy") and world.record("legacy").completed)  # type: ignore[union-attr]
    completed = world.record("legacy")
    before = len(world.writes)
    world.run(5.0)
    assert world.record("legacy") == completed
    assert [w for w in world.writes[before:] if w.cluster == "legacy"] == []


# --- there and back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["legacy", "eks"])
def test_there_through_all_steps(at: str) -> None:
    """Callers of both clusters are seen at exactly the steps, dwell and soak are kept, and it completes."""
    world = begun(at)
    world.until_phase(Phase.COMPLETED)
    assert_no_haste(world, STEPS)
    assert world.shares() == (1000, 1000)
    assert [world.record(c).completed is not None for c in world.clusters] == [True, True]  # type: ignore[union-attr]


def test_both_splits_are_raised_in_one_look() -> None:
    """A step is one write in each cluster, at one time: no step is made by half in the ordinary course."""
    world = moved()
    legacy, eks = (raises(world, cluster) for cluster in world.clusters)
    assert [(one.at_s, one.share) for one in legacy[1:]] == [
        (one.at_s, one.share) for one in eks[1:]
    ]


def test_back_through_all_steps() -> None:
    """After Completed the old origin as target brings the callers back step by step, with the same number."""
    world = moved()
    world.writes.clear()
    world.annotate(target="legacy")
    world.until(lambda: world.decided.ruling and world.reason != "Completed")
    world.until_phase(Phase.COMPLETED)
    assert_no_haste(world, STEPS)
    assert world.shares("legacy") == (1000, 1000)
    record = world.record("legacy")
    assert record is not None
    assert record.attempt is not None
    assert (
        record.attempt.number,
        record.attempt.origin,
        record.attempt.target,
    ) == (1, "eks", "legacy")


def test_back_at_once() -> None:
    """With steps=now the path back of a completed migration is one raise to 99.9 %, the soak, and the end."""
    world = moved()
    world.writes.clear()
    world.annotate(target="legacy", steps="now")
    world.until(lambda: world.shares("legacy") == (1000, 1000))
    world.until_phase(Phase.COMPLETED)
    assert_no_haste(world, [0, 999, 1000])


def test_there_and_back_and_there() -> None:
    """A migration may be turned round as often as it completed; each path is whole."""
    world = moved()
    for target in ("legacy", "eks"):
        world.writes.clear()
        world.annotate(target=target)
        world.until(lambda target=target: world.shares(target) == (1000, 1000))  # type: ignore[misc]
        world.until_phase(Phase.COMPLETED)
        assert_no_haste(world, STEPS)


@pytest.mark.parametrize("steps", ["0.1", "5,50.5,90", "1,2,3,4,5,6,7,8,9,10"])
def test_the_owners_steps_are_kept(steps: str) -> None:
    """What the owner writes in steps is what is seen, then 99.9 and 100."""
    world = World()
    world.begin_on_legacy()
    world.ask(steps=steps)
    world.until_phase(Phase.COMPLETED)
    asked = [round(float(step) * 10) for step in steps.split(",")]
    assert_no_haste(world, [0, *asked, 999, 1000])


def test_callers_that_were_on_the_target_stay_and_are_told() -> None:
    """Where a cluster's callers were on the target before, their share stays whole, and status says so."""
    world = World()
    world.ask()
    world.until_share(1000)
    assert (world.trail("eks"), world.trail("legacy")) == ([1000], STEPS)
    told = [w["reason"] for _, _, told in world.statuses for w in told["warnings"]]
    assert "ServedBefore" in told


@pytest.mark.parametrize(
    ("mirror", "trail"),
    [
        (300, [300, 500, 999, 1000]),
        (333, [333, 500, 999, 1000]),
        (100, [100, 250, 500, 999, 1000]),
    ],
)
def test_a_cluster_that_is_ahead_waits_for_the_other(mirror: int, trail: list[int]) -> None:
    """Going forward only raises: callers who start at 30 % wait, and the others make every step."""
    world = World()
    world.begin_on_legacy()
    backends = [
        {"service": "service-a", "weight": 1000 - mirror},
        {"service": "service-a-eks", "weight": mirror},
    ]
    world.put_split("legacy", backends)
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert trail == world.trail("legacy")
    assert world.trail("eks") == STEPS


def test_a_cluster_that_is_ahead_alone_goes_on() -> None:
    """Where the only callers that move start between two steps, the next step is the one above them."""
    world = World()
    backends = [{"service": "service-a", "weight": 70}, {"service": "service-a-eks", "weight": 30}]
    world.put_split("legacy", backends)
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert world.trail("legacy") == [300, 500, 999, 1000]


def test_nothing_moves_without_a_target() -> None:
    """Annotations without a target make nothing and move nothing, and say what to write."""
    world = World()
    world.annotate(dwell="90s")
    world.run(30)
    assert (world.reason, world.phase) == ("NoTarget", Phase.PENDING)
    assert "migrate.tradeshift/target" in world.message
    assert [world.split("legacy"), world.split("eks"), world.pin("legacy")] == [None] * 3


def test_paused_from_the_start_enrols() -> None:
    """Target with paused makes pins and splits that change nothing; it goes on when paused goes."""
    world = World()
    world.ask(paused="true")
    world.run(30)
    assert all(world.split(c) and world.pin(c) for c in world.clusters)
    assert (world.aways(), world.reason, world.phase) == ((0, 0), "Paused", Phase.PENDING)
    assert world.replica.orders(A) == ()
    world.annotate(paused=None)
    world.until_share(1000)
    assert world.trail("legacy") == STEPS


def test_paused_at_a_step_stays_armed() -> None:
    """Paused above the baseline stays at its share, and is rolled back when the target turns bad."""
    world = begun()
    world.until_share(250)
    world.annotate(paused="true")
    world.run(30)
    assert (world.recorded(), world.phase, world.reason) == ((250, 250), Phase.HOLDING, "Paused")
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED, limit_s=5)
    assert world.aways() == (0, 1000)


def test_the_service_may_come_later() -> None:
    """A Service that is in one cluster only is Pending without alarm, and goes on when it appears."""
    world = World(services=())
    world.add_service("service-a", ("legacy",))
    world.ask()
    world.run(10)
    assert (world.reason, world.phase) == ("ServiceMissing", Phase.PENDING)
    assert world.split("legacy") is None
    world.add_service("service-a", ("eks",))
    world.until_phase(Phase.COMPLETED)
    assert world.trail("legacy") == STEPS


# --- pins and settling --------------------------------------------------------------------------------


def test_nothing_moves_before_the_pins_are_old() -> None:
    """The first raise comes when both pins were made 5 s ago or more, and after PASS."""
    world = begun()
    world.until(lambda: world.pin("eks") is not None and world.pin("legacy") is not None)
    made_s = world.now_s
    world.until_share(10)
    assert world.now_s - made_s >= 4.0  # creation times are cut to whole seconds
    assert world.mesh.pinned("legacy", A)


def test_a_gateway_that_does_not_obey_its_pin_holds() -> None:
    """A mirror that answers 508 at the baseline holds the first step with GatewayNotPinned."""
    world = begun()
    world.mesh.pinned = lambda _cluster, _key: False
    world.run(20)
    assert world.reason in ("GatewayNotPinned", "TargetBad")
    assert any(event.reason == "GatewayNotPinned" for _, _, event in world.events)
    assert world.aways() == (0, 1000)
    assert world.trail("legacy") == [0]


# --- what a step costs ----------------------------------------------------------------------------------


def test_a_step_writes_four_objects() -> None:
    """A step is two patches of splits, one status and one Event, and nothing else is written."""
    world = begun()
    world.until_share(100)
    world.run(2)
    versions = _versions(world)
    writes, statuses, events = len(world.writes), len(world.statuses), len(world.events)
    world.until_share(250)
    world.run(0.5)
    assert len(world.writes) - writes == 2
    assert len(world.statuses) - statuses == 1
    assert len(world.events) - events == 1
    legacy, eks = (now - then for now, then in zip(_versions(world), versions, strict=True))
    assert (legacy, eks) == (3, 1)  # legacy also holds the Migration, and its Events


def _versions(world: World) -> list[int]:
    """Count the changes of each cluster, but for what the SMI adaptor makes of ours."""
    return [
        sum(event.stored.resource.plural != "serviceprofiles" for event in world.apis[c].log)
        for c in world.clusters
    ]


# --- restarts -------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 260), max_size=6, unique=True), st.booleans(), st.integers(0, 3))
def test_a_restart_at_any_point_continues(deaths: list[int], swap: bool, delay_ticks: int) -> None:
    """Whenever the controller dies, with writes on the path, no step is skipped, hastened or repeated."""
    world = begun()
    for api in world.apis.values():
        api.delay_s = delay_ticks / 10
    for _ in range(3000):
        world.tick()
        if world.ticks in deaths:
            world.crash("eks" if swap else "legacy")
        if world.recorded() == (1000, 1000):
            break
    world.run(5)
    assert world.phase is Phase.COMPLETED
    assert_no_haste(world, STEPS)


def test_a_restart_loses_no_soak() -> None:
    """A soak of five minutes ends five minutes after it began, however often the controller died in it."""
    world = World()
    world.begin_on_legacy()
    world.ask(soak="5m")
    world.until_share(999)
    began_s = world.now_s
    for _ in range(3):
        world.run(70)
        world.crash()
    world.until_share(1000, limit_s=120)
    assert 300 <= world.now_s - began_s <= 302


def test_an_unlucky_answer_is_looked_up() -> None:
    """A write whose answer is lost is neither done nor undone: it is read again, and no step repeats."""
    world = begun()
    for api in world.apis.values():
        api.lose = 4
    world.until_phase(Phase.COMPLETED)
    assert_no_haste(world, STEPS)
    assert [api.lose for api in world.apis.values()] == [0, 0]


def test_half_a_step_waits_for_the_other_half() -> None:
    """While one API server is away nobody rises further; back again, the half step is made whole first."""
    world = begun()
    world.until_share(10)
    world.on_write.append(_away_at(world, "eks", 100))
    world.until(lambda: world.recorded() == (100, 10))
    world.run(20)
    assert world.recorded() == (100, 10)
    assert world.reason == "ClusterStale"
    world.on_write.clear()
    world.apis["eks"].away = False
    world.until(lambda: world.recorded() != (100, 10))
    assert world.recorded() == (100, 100)
    world.until_phase(Phase.COMPLETED)
    assert (world.trail("legacy"), world.trail("eks")) == (STEPS, STEPS)


def _away_at(world: World, cluster: str, share: int):  # type: ignore[no-untyped-def]
    def check(write: Written) -> None:
        if write.cluster == cluster and write.share == share:
            world.apis[cluster].away = True

    return check


# --- the law of raises, over random runs ------------------------------------------------------------------


def passed(observed: Observed) -> bool:
    """Whether each of the four paths that decide was PASS at a look."""
    four = [e.verdict for path, e in observed.paths.items() if path.side is not Side.APEX]
    return len(four) == 4 and set(four) == {Verdict.PASS}


FAULTS = st.sampled_from(
    ["silent", "mute one", "void", "reference", "404", "slow way", "pod", "away", "deaf", "heal"]
)


def trouble(world: World, what: str) -> None:
    """Let something go wrong that proves nothing against the target, or end it all."""
    match what:
        case "silent":
            world.mute("eks")
        case "mute one":
            world.mute("legacy", 0)
        case "void":
            world.void["eks"] = "loop lag"
        case "reference":
            world.bad_references.add("legacy")
        case "404":
            world.fault("eks", "home", "404", every=200)
        case "slow way":
            world.fault("legacy", "target", "timeout", every=50)
        case "pod":
            world.pods("eks")[0].ready = not world.pods("eks")[0].ready
            world.sync("eks")
        case "away":
            world.apis["eks"].away = True
        case "deaf":
            world.deaf = {("eks", "legacy")}
        case _:
            world.deaf = set()
            world.heal()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(5, 60), FAULTS), max_size=8))
def test_no_share_rises_without_pass(troubles: list[tuple[int, str]]) -> None:
    """In any run, at each look that raised a share all four paths were PASS, and after a rest no look writes."""
    world = begun()
    raised: list[bool] = []

    def reconcile(_replica: Replica, observed: Observed, decided: Plan) -> None:
        for action in decided.actions:
            if isinstance(action, WriteSplit) and action.record.attempt and not action.revert:
                split = observed.clusters[action.cluster].split
                before = split.away_permille if split else 0
                rises = (action.away_permille - before) * (1 if action.cluster == "legacy" else -1)
                if rises > 0:
                    raised.append(passed(observed))

    world.on_look.append(reconcile)
    for ticks, what in troubles:
        world.run(ticks / 10)
        trouble(world, what)
    world.run(10)
    assert all(raised)
    if world.phase is not Phase.REVERTED:
        trouble(world, "heal")
        world.until(lambda: raised or world.phase is Phase.REVERTED, limit_s=300)


class SetBack(World):
    """A world whose API servers' clocks can be set back."""

    back_s = 0.0

    @property
    def now(self) -> datetime:
        """The time that they tell."""
        return super().now - timedelta(seconds=self.back_s)


@pytest.mark.parametrize("share", [0, 250, 999])
def test_a_clock_that_is_set_back_holds_nobody_for_that_long(share: int) -> None:
    """Where the lease's cluster loses an hour, pins and steps are as old as this process has seen them stand."""
    world = SetBack()
    world.begin_on_legacy()
    world.ask()
    world.run(1.0)
    if share:
        world.until_share(share)
    world.back_s = 3600.0
    world.until_phase(Phase.COMPLETED, limit_s=300.0)


def test_two_clusters_may_have_two_dns_domains() -> None:
    """Each pin has the name by which its own cluster's gateway asks, as mirrors tell it: what is in the domain
    of the settings, or of the other cluster, pins nobody. The move is made, and a pin that goes is put back."""
    world = World(domains={"legacy": "cluster.local", "eks": "eks.example.com"})
    world.ask(**QUICK)  # type: ignore[arg-type]  # no key is called key
    world.until_phase(Phase.COMPLETED)
    for cluster, api in world.apis.items():
        found = [body["metadata"] for body in api.bodies(Resource.SERVICEPROFILES)]
        pins = [meta["name"] for meta in found if PREFIX + "pin" in meta.get("annotations", {})]
        assert pins == [f"service-a.default.svc.{world.domains[cluster]}"]
    world.delete_pin("eks")
    world.until(lambda: world.pin("eks") is not None, 10)


# --- clocks ---------------------------------------------------------------------------------------------------


def set_clocks(world: World, ahead_s: float) -> None:
    """Set the clock of every API server."""
    for api in world.apis.values():
        api.clock = lambda: world.now + timedelta(seconds=ahead_s)


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_ends_no_soak(ahead_s: float, *, crashed: bool) -> None:
    """A soak lasts its time by the process's own clock, whatever the API servers' clocks are set to in it."""
    world = begun()
    world.annotate(soak="10m")
    world.until_share(999)
    if crashed:
        world.crash()
        world.run(20)
    began_s = world.now_s
    set_clocks(world, ahead_s)
    world.until_share(1000, limit_s=1300)
    assert world.now_s - began_s > 600 - 30


def test_a_clock_that_is_set_and_set_right_ends_no_dwell() -> None:
    """A dwell that began while the clocks were an hour behind lasts its time also when they are set right."""
    world = begun()
    world.annotate(dwell="5m")
    world.until_share(10)
    set_clocks(world, -3600.0)
    world.until_share(100, limit_s=700)
    began_s = world.now_s
    set_clocks(world, 0.0)
    world.until_share(250, limit_s=700)
    assert world.now_s - began_s > 300 - 5
