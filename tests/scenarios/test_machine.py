"""Everything at once: people, faults, crashes and outages in any order, with the laws checked at every look.

The laws are those at the head of ``controller/decide/plan.py``. They are checked from the outside: against what a
decision saw and what it asked for, and against what was on the API servers when a write was done.
"""

from __future__ import annotations

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controller.decide import laws
from controller.decide.input import input_of
from controller.decide.plan import plan
from controller.decide.resolve import share_of
from controller.domain import (
    SOAK_SHARE,
    WHOLE,
    Attempt,
    Observed,
    Phase,
    Plan,
    Record,
    Side,
    Verdict,
    WriteSplit,
)
from tests.scenarios.world import World, Written, weights_of
from tests.scenarios.world_kinds import MIXED, ROUTES, SMI, Pair
from tests.scenarios.world_mesh import Pod
from tests.scenarios.world_replica import Replica

CLUSTERS = st.sampled_from(["legacy", "eks"])
SIDES = st.sampled_from(["target", "home", "apex"])
ANSWERS = st.sampled_from(["500", "404", "timeout", "508"])
NOTES = st.sampled_from(
    [
        ("target", "eks"),
        ("target", "legacy"),
        ("target", "gke"),
        ("target", None),
        ("attempt", "2"),
        ("attempt", "3"),
        ("attempt", None),
        ("paused", "true"),
        ("paused", None),
        ("abort", "true"),
        ("abort", None),
        ("steps", "now"),
        ("steps", "10,50"),
        ("steps", "5,20,90"),
        ("steps", "oops"),
        ("slo-success", "99.5"),
        ("slo-success", "99"),
    ]
)


class Laws:
    """What must be so at every look and at every write."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.homes: dict[str, dict[str, int]] = {}
        world.on_look.append(self.reconcile)
        world.on_write.append(self.write)

    def reconcile(self, replica: Replica, observed: Observed, decided: Plan) -> None:
        """A decision is the same when asked again, and raises only what may rise."""
        assert plan(observed, self.world.now) == decided
        assert laws.broken(input_of(observed, self.world.now), decided) == ()
        for action in decided.actions:
            if not isinstance(action, WriteSplit):
                continue
            attempt = action.record.attempt
            if attempt is None:
                continue
            known = share_of(
                observed.clusters[action.cluster], is_target=action.cluster == attempt.target
            )
            assert known is not None, "a share that is not known was written over"
            if action.revert:
                assert action.record.reverted is not None
                assert action.record.share_permille <= max(known, attempt.baseline[action.cluster])
            elif action.record.share_permille > known:
                self.raised(replica, observed, decided, action, attempt)

    def raised(
        self,
        replica: Replica,
        observed: Observed,
        decided: Plan,
        action: WriteSplit,
        attempt: Attempt,
    ) -> None:
        """A share rises only on PASS of all four paths, with the lease, without a latch, by one step."""
        event("a share rose")
        four = [e.verdict for path, e in observed.paths.items() if path.side is not Side.APEX]
        assert four == [Verdict.PASS] * 4
        assert replica.leads
        assert decided.ruling is None
        assert all(cluster.current for cluster in observed.clusters.values())
        found = [c.split.record for c in observed.clusters.values() if c.split]
        records = [r for r in found if isinstance(r, Record)]
        assert len(records) == 2
        assert max(r.fencing_token for r in records) <= replica.fencing_token
        assert not any(r.reverted for r in records)
        latches = [c.pin.latch for c in observed.clusters.values() if c.pin and c.pin.latch]
        assert (attempt.target, attempt.number) not in [(x.target, x.attempt) for x in latches]
        reached = max(
            r.share_permille for r in records if attempt.baseline[r_cluster(observed, r)] < WHOLE
        )
        steps = attempt.spec.steps
        schedule = (SOAK_SHARE, WHOLE) if steps == "now" else (*steps, SOAK_SHARE, WHOLE)
        following = next(step for step in (*schedule, WHOLE) if step > reached or step == WHOLE)
        assert action.record.share_permille <= following

    def write(self, write: Written) -> None:
        """Weights are sane, home is written once, and what is latched stays latched and does not rise."""
        weights = weights_of(write.spec).values()
        assert all(0 <= weight <= WHOLE for weight in weights)
        assert sum(weights) == WHOLE
        attempt = write.record.attempt
        if attempt is None:
            return
        name = f"{attempt.target} {attempt.number} {attempt.started}"
        assert self.homes.setdefault(name, attempt.baseline) == attempt.baseline
        for known in filter(None, map(self.world.record, self.world.clusters)):
            running = None if known.reverted or known.completed else known.attempt
            if running and (running.target, running.number) == (attempt.target, attempt.number):
                assert (running.started, running.baseline) == (attempt.started, attempt.baseline)
        before = self.world.record(write.cluster)
        split = self.world.split(write.cluster)
        lands = split and split["metadata"]["resourceVersion"] == write.version
        same = before and before.attempt and before.attempt.started == attempt.started
        if lands and same and before and before.reverted:
            assert write.record.reverted is not None
            assert write.share <= before.share_permille


def r_cluster(observed: Observed, record: Record) -> str:
    """Return the name of the cluster on whose split this record is."""
    return next(n for n, c in observed.clusters.items() if c.split and c.split.record is record)


class Machine(RuleBasedStateMachine):
    """Any order of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.laws = Laws(self.world)

    @initialize(
        before=st.booleans(),
        head=st.sampled_from([0, 0, 300]),
        kinds=st.sampled_from([SMI, ROUTES, MIXED]),
        exported=st.booleans(),
    )
    def begin(self, before: bool, head: int, kinds: Pair, exported: bool) -> None:
        """Ask for a migration, from one of the states in which people begin."""
        self.world = World(kinds=kinds)
        self.laws = Laws(self.world)
        if exported:
            self.world.export_probers()
        if not before:
            self.world.begin_on_legacy()
        if head:
            local = {"service": "service-a", "weight": WHOLE - head}
            self.world.put_split("legacy", [local, {"service": "service-a-eks", "weight": head}])
        self.ask()

    def ask(self) -> None:
        """Ask for eks, with two steps."""
        self.world.ask(steps="10,50", dwell="1s", soak="2s")

    @rule(ticks=st.integers(1, 60))
    def time_passes(self, ticks: int) -> None:
        """Let up to 6 s pass."""
        self.world.run(ticks / 10)

    @rule()
    def a_step_is_reached(self) -> None:
        """Let 12 s pass: enough for PASS, were nothing wrong."""
        self.world.run(12)

    @rule(note=NOTES, cluster=CLUSTERS)
    def somebody_writes(self, note: tuple[str, str | None], cluster: str) -> None:
        """Write or remove an annotation."""
        key, value = note
        self.world.note(cluster, key, value)

    @rule(cluster=CLUSTERS)
    def somebody_removes_the_wish(self, cluster: str) -> None:
        """Remove all annotations."""
        self.world.forget_wish(cluster)

    @rule()
    def somebody_asks_anew(self) -> None:
        """Put the annotations back."""
        self.world.forget_wish("eks")
        self.world.forget_wish("legacy")
        self.ask()

    @rule(cluster=CLUSTERS, mirror=st.sampled_from([0, 1, 300, 999, 1000]))
    def somebody_edits(self, cluster: str, mirror: int) -> None:
        """Set weights by hand."""
        if self.world.split(cluster):
            self.world.edit(cluster, mirror)

    @rule(cluster=CLUSTERS)
    def somebody_deletes_a_split(self, cluster: str) -> None:
        """Delete a split."""
        self.world.delete_split(cluster)

    @rule(cluster=CLUSTERS)
    def somebody_deletes_a_pin(self, cluster: str) -> None:
        """Delete a pin."""
        self.world.delete_pin(cluster)

    @rule(cluster=CLUSTERS, text=st.sampled_from([None, "{"]))
    def somebody_spoils_a_record(self, cluster: str, text: str | None) -> None:
        """Remove a record, or write something else there."""
        if self.world.split(cluster):
            self.world.unrecord(cluster, text)

    @rule(callers=CLUSTERS, side=SIDES, answer=ANSWERS, every=st.sampled_from([1, 1, 5, 200]))
    def a_way_is_bad(self, callers: str, side: str, answer: str, every: int) -> None:
        """Let a path answer badly."""
        self.world.fault(callers, side, answer, every)

    @rule(cluster=CLUSTERS, pods=st.integers(0, 3))
    def a_deployment_changes(self, cluster: str, pods: int) -> None:
        """Replace the pods."""
        base = self.world.ticks % 250
        self.world.set_pods(cluster, [Pod(f"10.200.{base}.{n}:8080") for n in range(pods)])

    @rule(cluster=CLUSTERS, streams=st.sampled_from([(0,), (1,), (0, 1)]))
    def a_prober_is_silent(self, cluster: str, streams: tuple[int, ...]) -> None:
        """Let streams fall silent."""
        self.world.mute(cluster, *streams)

    @rule()
    def the_link_breaks(self) -> None:
        """Cut the link."""
        self.world.mesh.link_up = False

    @rule(cluster=CLUSTERS)
    def a_gateway_dies(self, cluster: str) -> None:
        """Kill a gateway."""
        self.world.mesh.dead_gateways.add(cluster)

    @rule(cluster=CLUSTERS)
    def an_api_server_goes(self, cluster: str) -> None:
        """Let an API server be away."""
        self.world.apis[cluster].away = True

    @rule(cluster=CLUSTERS, delay=st.integers(0, 9), lose=st.integers(0, 2))
    def an_api_server_is_slow(self, cluster: str, delay: int, lose: int) -> None:
        """Let an API server be slow, and lose answers."""
        self.world.apis[cluster].delay_s = delay / 10
        self.world.apis[cluster].lose = lose

    @rule(at=CLUSTERS, cluster=CLUSTERS)
    def a_watch_is_cut(self, at: str, cluster: str) -> None:
        """Let a controller in one cluster hear nothing of a cluster that it can still write to."""
        self.world.deaf.add((cluster, at))

    @rule(cluster=CLUSTERS, void=st.booleans())
    def a_prober_distrusts_itself(self, cluster: str, void: bool) -> None:
        """Let a prober say that its slices are void, or its reference fail."""
        if void:
            self.world.void[cluster] = "lag"
        else:
            self.world.bad_references.add(cluster)

    @rule()
    def all_is_well(self) -> None:
        """End every fault and outage."""
        self.world.heal()
        self.world.deaf.clear()

    @rule(at=CLUSTERS)
    def the_controller_dies(self, at: str) -> None:
        """Kill the controller; the next one may be in the other cluster."""
        self.world.crash(at)

    @rule(at=CLUSTERS)
    def another_takes_the_lease(self, at: str) -> None:
        """Let a second controller lead from now on, while the one before it lives on and does not know."""
        world = self.world
        before = world.replica
        before.lead(leads=False)
        for other in world.replicas[:-1]:
            world.kill(other)
        world.join(at, fencing_token=before.fencing_token + 1)

    @rule(leads=st.booleans())
    def the_lease_changes(self, leads: bool) -> None:
        """Lose or gain the lease."""
        self.world.replica.lead(leads=leads)

    @rule(paused=st.booleans())
    def the_fleet_is_paused(self, paused: bool) -> None:
        """Pause the fleet, or go on."""
        self.world.replica.settle(paused=paused)

    def teardown(self) -> None:
        """With all well again, abort brings everyone to the home of the attempt, and it is remembered."""
        world = self.world
        world.heal()
        world.deaf.clear()
        for name in world.clusters:
            world.apis[name].delay_s, world.apis[name].lose = 0.0, 0
            world.set_pods(name, [Pod(f"10.201.0.{n}:8080") for n in range(3)])
        world.forget_wish("eks")
        world.forget_wish("legacy")
        world.annotate(target="eks", abort="true")
        world.run(16)
        assert world.phase in (Phase.REVERTED, Phase.COMPLETED, Phase.PENDING), world.describe()
        for name in world.clusters:
            record = world.record(name)
            if record and record.attempt and record.reverted:
                event(f"ended {record.reverted.reason}")
                assert record.share_permille <= record.attempt.baseline[name], world.describe()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=50,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
