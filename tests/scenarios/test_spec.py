"""Stories of what people write: annotations, splits, manual override, settings; and who may rise when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.decide import slots
from controller.decide.gates import evidence
from controller.decide.plan import plan
from controller.domain import Key, Phase, Plan, ReadSplits, SplitKind
from controller.kube.objects import Resource
from tests.scenarios.world import A, World, mirror_body, spelled
from tests.scenarios.world_kinds import MIXED, told_with

kinds = told_with([MIXED])

STEPS = [0, 10, 100, 250, 500, 999, 1000]
HOME = (0, 1000)


def risen(share: int = 250) -> World:
    """A world in which callers of both clusters have risen to this share."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_share(share)
    return world


def reasons(world: World) -> list[str]:
    """The reasons of all Events."""
    return [event.reason for _, _, event in world.events]


# --- annotations -----------------------------------------------------------------------------------------

WRONG = {
    "target": ("gke", "legacy"),
    "attempt": ("0", "999999"),
    "paused": ("yes", "true"),
    "abort": ("now", "true"),
    "steps": ("1,1", "1,10,25,50"),
    "dwell": ("60", "90s"),
    "soak": ("8d", "2h"),
    "probe-port": ("70000", "http"),
    "probe-path": ("health", "/healthz"),
    "probe-protocol": ("https", "grpc"),
    "probe-grpc-service": ("a b", "shop.Cart"),
    "probe-expect": ("200-508", "200-507"),
    "probe-expect-header": ("x-ready", "x-ready=yes"),
    "probe-expect-body": ("", "ready"),
    "probe-cluster-header": ("x cluster", "x-cluster"),
    "probe-rate": ("1000", "100"),
    "slo-success": ("100", "99.99"),
    "slo-latency": ("300ms", "ms"),
    "origin-floor": ("101", "100"),
    "split": ("smi", "trafficsplit"),
    "traffic": ("on", "required"),
    "tarjet": ("eks", "migrate.tradeshift/target"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_annotation_moves_nothing(key: str) -> None:
    """A value outside the grammar makes nothing and moves nothing; the answer names key and what to write."""
    value, instead = WRONG[key]
    world = World()
    world.ask()
    world.note("legacy", key, value)
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, "Malformed")
    assert f"migrate.tradeshift/{key}" in world.message
    assert instead in world.message
    assert [world.split(c) for c in world.clusters] == [None, None]
    assert reasons(world) == ["Malformed"]


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_annotation_above_home_stops_the_rise_only(key: str) -> None:
    """Written in mid-flight it stops the rise and nothing else; when it goes, the rise goes on."""
    value, _ = WRONG[key]
    world = risen(10)
    good = {"target": "eks", "dwell": "3s", "soak": "5s", "probe-rate": "50"}.get(key)
    world.note("legacy", key, value)
    world.run(12)
    assert (world.recorded(), world.phase) == ((10, 10), Phase.HOLDING)
    assert world.reason == "Malformed"
    world.note("legacy", key, "99" if key == "slo-success" else good)
    world.until_share(100)


def test_every_wrong_annotation_is_named() -> None:
    """All that is wrong is told at once, not one after another."""
    world = World()
    world.ask(dwell="60", steps="0", colour="red")
    world.run(1)
    assert all(f"migrate.tradeshift/{key}" in world.message for key in ("dwell", "steps", "colour"))


def test_a_conflict_of_two_clusters_is_told() -> None:
    """Where both Services say different things nothing moves; where they agree, it does."""
    world = World()
    world.ask()
    world.annotate("eks", target="eks", dwell="9s")
    world.run(10)
    assert world.reason == "Malformed"
    assert '"3s" in legacy and "9s" in eks' in world.message
    world.annotate("eks", dwell=None)
    world.until(lambda: world.recorded() == (10, 1000))


def test_a_mirror_that_carries_annotations_starts_nothing() -> None:
    """Linkerd copies annotations to mirrors: a mirror with a target is no spec, in neither cluster."""
    world = World()
    for cluster, far in (("legacy", "eks"), ("eks", "legacy")):
        world.apis[cluster].patch(
            Resource.SERVICES,
            "default",
            f"service-a-{far}",
            {"metadata": {"annotations": {"migrate.tradeshift/target": "eks"}}},
            manager="linkerd-service-mirror",
        )
    world.run(10)
    assert world.plan is None
    assert not world.replica.observed
    assert [world.split(c) for c in world.clusters] == [None, None]


@pytest.mark.parametrize(
    ("notes", "reason", "told"),
    [
        ({"probe-port": "admin"}, "NoPortToProbe", "http 80/TCP"),
        ({"traffic": "required"}, "TrafficUnavailable", "write advisory or off"),
        ({"steps": "now"}, "NowNotAllowed", "write steps such as 1,10,25,50"),
    ],
)
def test_a_wish_that_cannot_be_served_is_answered(
    notes: dict[str, str], reason: str, told: str
) -> None:
    """A spec that is well-formed and cannot be served makes nothing, and the answer says what to write."""
    world = World()
    world.ask()
    for note, value in notes.items():
        world.note("legacy", note, value)
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, reason)
    assert told in world.message
    assert world.split("legacy") is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"clusterIP": "None"}, "KindUnfit"),
        ({"type": "ExternalName"}, "KindUnfit"),
        ({"ports": [{"name": "http", "port": 81}]}, "PortsDiffer"),
        ({"ports": [{"name": "web", "port": 80}]}, "PortsDiffer"),
    ],
)
def test_a_service_that_is_unfit_is_answered(spec: dict[str, Any], reason: str) -> None:
    """Headless and ExternalName Services and ports that differ are refused, and nothing is made."""
    world = World()
    world.apis["eks"].patch(Resource.SERVICES, *A, {"spec": spec}, manager="kubectl")
    world.ask()
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, reason)
    assert world.split("legacy") is None


def test_two_protocols_of_one_port_are_answered() -> None:
    """Two appProtocols that differ are ports that differ; one that only one cluster tells is a warning."""
    world = World()
    spoken = {"legacy": "http", "eks": "kubernetes.io/h2c"}
    for cluster, protocol in spoken.items():
        ports = [{"name": "http", "port": 80, "appProtocol": protocol}]
        body = {"spec": {"ports": ports}}
        world.apis[cluster].patch(Resource.SERVICES, *A, body, manager="kubectl")
    world.ask()
    world.run(2)
    assert world.reason == "PortsDiffer"
    assert (
        "http in legacy, which is HTTP/1 to Linkerd, and kubernetes.io/h2c in eks" in world.message
    )
    bare = {"spec": {"ports": [{"name": "http", "port": 80}]}}
    world.apis["eks"].patch(Resource.SERVICES, *A, bare, manager="kubectl")
    world.run(2)
    assert world.reason != "PortsDiffer"
    assert "AppProtocolDiffers" in {reason for reason, _ in world.decided.warnings}


def test_404_everywhere_says_which_annotation_to_set() -> None:
    """Where each path gives the same unexpected answer, the message says which annotation to write."""
    world = World()
    for cluster in world.clusters:
        for pod in world.pods(cluster):
            pod.answer = "404"
    world.ask()
    world.run(15)
    assert (world.reason, world.aways()) == ("ProbeRejected", (0, 0))
    assert "set probe-path, or probe-expect=200-399,404" in world.message
    assert world.decided.ruling is not None
    assert not world.decided.ruling.alert
    world.annotate(probe_expect="200-399,404")
    world.until(lambda: world.recorded() == (10, 1000))


@pytest.mark.parametrize(
    ("cluster", "reason", "told"),
    [("eks", "TargetBad", "to eks"), ("legacy", "OriginBad", "write a lower slo-success")],
)
def test_bad_at_home_holds_and_ends(cluster: str, reason: str, told: str) -> None:
    """A side that is bad before anything moved holds the first step, and a full credit clears it."""
    world = World()
    world.ask()
    for pod in world.pods(cluster):
        pod.answer, pod.every = "500", 5
    world.run(15)
    assert (world.reason, world.aways()) == (reason, (0, 0))
    assert told in world.message
    for pod in world.pods(cluster):
        pod.answer = "200"
    world.until(lambda: world.recorded() == (10, 1000), limit_s=60)


# --- attempts ----------------------------------------------------------------------------------------------


def homes(world: World) -> set[str]:
    """Every home that was ever written, with its attempt; an attempt began once."""
    attempts = [w.record.attempt for w in world.writes if w.record.attempt]
    begun = {(a.target, a.number, a.started) for a in attempts}
    assert len(begun) == len({(a.target, a.number) for a in attempts})
    return {f"{a.target} {a.number}: {a.baseline}" for a in attempts}


@pytest.mark.parametrize("number", ["2", "7"])
def test_an_attempt_raised_above_home_waits(number: str) -> None:
    """A higher attempt in mid-flight changes nothing but a word in the status; it begins after a revert."""
    world = risen()
    world.annotate(attempt=number)
    world.until_share(500)
    assert homes(world) == {"eks 1: {'legacy': 0, 'eks': 0}"}
    warnings = [w["reason"] for w in world.status()["warnings"]]
    assert "AttemptWaits" in warnings
    world.fault("legacy", "target")
    world.until(lambda: world.aways() == HOME, limit_s=4)
    assert any(w.record.reverted and w.record.attempt.number == 1 for w in world.writes)  # type: ignore[union-attr]
    world.heal()
    world.until_share(1000)
    assert homes(world) == {
        "eks 1: {'legacy': 0, 'eks': 0}",
        f"eks {number}: {{'legacy': 0, 'eks': 0}}",
    }


def test_annotations_removed_and_put_back_stamp_no_home() -> None:
    """Annotations that go and come back in mid-flight go on where they were: home is never written again."""
    world = risen()
    world.forget_wish()
    world.run(10)
    assert (world.recorded(), world.phase, world.reason) == ((250, 250), Phase.HOLDING, "NoTarget")
    world.ask()
    world.until_share(1000)
    assert homes(world) == {"eks 1: {'legacy': 0, 'eks': 0}"}
    assert world.trail("legacy") == STEPS


def test_a_split_deleted_in_mid_flight_stamps_no_home() -> None:
    """A split that is deleted and made anew keeps the home of the attempt, and the step is made whole on PASS."""
    world = risen(500)
    world.delete_split("eks")
    world.tick()
    assert world.recorded() == (500, 500)
    world.delete_split("legacy")
    world.tick()
    assert world.recorded() == (0, 500)
    assert reasons_told(world).count("SplitRemade") == 2
    world.until_share(500)
    world.until_share(1000)
    assert homes(world) == {"eks 1: {'legacy': 0, 'eks': 0}"}


def reasons_told(world: World) -> list[str]:
    """The reasons of the Events that tell of a write."""
    return [told.reason for told in world.told]


def test_a_record_removed_by_hand_is_written_anew() -> None:
    """A record that somebody removed from one split comes back from the other's, with its home and share."""
    world = risen()
    world.unrecord("legacy", None)
    world.run(1)
    assert world.recorded() == (250, 250)
    world.until_share(1000)
    assert homes(world) == {"eks 1: {'legacy': 0, 'eks': 0}"}


@pytest.mark.parametrize("text", ["{", '{"kind":"trafficsplit","v":2}', '"eks"', "[]"])
@pytest.mark.parametrize("where", [("legacy",), ("eks",), ("legacy", "eks")])
def test_a_record_that_cannot_be_read_holds(text: str, where: tuple[str, ...]) -> None:
    """A record of a newer format, or that somebody wrote in, is never written over for a raise."""
    world = risen()
    for cluster in where:
        world.unrecord(cluster, text)
    world.run(20)
    assert world.aways() == (250, 750)
    assert world.reason == "RecordUnreadable"
    for cluster in where:
        world.unrecord(cluster, None)
        world.run(1)
    world.until(lambda: world.reason != "RecordUnreadable")


def test_a_lost_record_and_a_new_leader_are_no_trouble() -> None:
    """A new leader that finds one record gone writes both anew, in whatever order it finds them."""
    for cluster in ("legacy", "eks"):
        world = risen()
        world.unrecord(cluster, None)
        world.crash()
        world.until_share(1000)
        assert homes(world) == {"eks 1: {'legacy': 0, 'eks': 0}"}


@pytest.mark.parametrize("number", ["1", "2"])
def test_an_attempt_below_the_record_is_refused(number: str) -> None:
    """An attempt below the record's starts nothing and is told which to write; the record's own number does."""
    world = World()
    world.begin_on_legacy()
    world.ask(attempt="3")
    world.until_phase(Phase.COMPLETED)
    world.annotate(target="legacy", attempt=number)
    world.run(10)
    assert world.aways() == (1000, 0)
    assert world.reason == "AttemptTooLow"
    assert "write 3 or more" in world.message
    world.annotate(attempt="3")
    world.until(lambda: world.aways() == HOME)


def test_a_change_of_the_wish_is_recorded_before_the_next_raise() -> None:
    """Steps changed in mid-flight are in both records before a share rises by them."""
    world = risen(10)
    world.annotate(steps="30,60", dwell="1s")
    world.until_share(300)
    specs = {w.record.attempt.spec.steps for w in world.writes[-2:] if w.record.attempt}
    assert specs == {(300, 600)}
    world.until_share(1000)
    assert world.trail("legacy") == [0, 10, 300, 600, 999, 1000]


# --- other people's splits -------------------------------------------------------------------------------------


def test_the_articles_objects_are_taken_over_without_moving_traffic() -> None:
    """The article's splits name spec.service by FQDN, which Linkerd ignores: legacy is rewritten as it acts,
    told, and moves; callers in eks, local before, stay whole on eks."""
    world = World()
    fqdn = "service-a.default.svc.cluster.local"
    local = {"service": "service-a", "weight": 100}
    world.put_split("legacy", [{"service": "service-a-eks", "weight": 0}, local], service=fqdn)
    world.put_split("eks", [{"service": "service-a-legacy", "weight": 0}, local], service=fqdn)
    world.ask(paused="true")
    world.run(10)
    assert world.aways() == (0, 0)
    for cluster in world.clusters:
        found = world.split(cluster)
        assert found is not None
        assert spelled(found["spec"]) == "service-a"
    assert reasons_told(world) == ["SplitRewritten", "SplitRewritten"]
    assert "without moving traffic" in world.told[0].message
    world.annotate(paused=None)
    world.until_share(1000)
    assert (world.trail("legacy"), world.trail("eks")) == (STEPS, [1000])


@pytest.mark.parametrize(
    ("backends", "reason", "told"),
    [
        ([("service-a", -1), ("service-a-eks", 2)], "WeightsHarmful", "negative"),
        ([("service-a", "much")], "WeightsHarmful", "no number"),
        (
            [("service-a.default.svc.cluster.local", 100), ("service-a-eks", 0)],
            "BackendNotShort",
            "write service-a",
        ),
        ([("service-a", 90), ("service-a-canary", 10)], "BackendForeign", "service-a-canary"),
        ([("service-a", 100), ("service-a-canary", 0)], "BackendForeign", "another tool"),
    ],
)
def test_a_harmful_split_is_refused(
    backends: list[tuple[str, Any]], reason: str, told: str
) -> None:
    """A split that does harm, or that sends calls to a third side, is left as it is and told why."""
    world = World()
    body = [{"service": service, "weight": weight} for service, weight in backends]
    world.put_split("legacy", body, name="mine")
    before = world.apis["legacy"].get(world.resource("legacy"), "default", "mine")["spec"]
    world.ask()
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, reason)
    assert told in world.message
    assert world.apis["legacy"].get(world.resource("legacy"), "default", "mine")["spec"] == before


def test_an_ignored_split_that_would_move_traffic_is_refused() -> None:
    """A split that Linkerd ignores and whose weights say otherwise is not rewritten: that would move traffic."""
    world = World()
    backends = [{"service": "service-a", "weight": 50}, {"service": "service-a-eks", "weight": 50}]
    world.put_split("legacy", backends, service="service-a.default")
    world.ask()
    world.run(10)
    assert (world.reason, world.aways()) == ("SplitIgnored", (0, 0))
    assert "50 %" in world.message


@pytest.mark.parametrize(
    ("local", "mirror", "share"),
    [(70, 30, 300), (2, 1, 333), ("0.5", "0.5", 500), ("900m", "100m", 100), (1, 99_999, 999)],
)
def test_weights_that_sum_to_anything_are_shares(local: Any, mirror: Any, share: int) -> None:
    """Other people's weights are read as shares, whatever they sum to, and written as per mille."""
    world = World()
    backends = [
        {"service": "service-a", "weight": local},
        {"service": "service-a-eks", "weight": mirror},
    ]
    world.put_split("legacy", backends)
    world.mesh.away = lambda cluster, _key: share if cluster == "legacy" else 0
    world.ask()
    world.until(lambda: world.recorded()[0] is not None)
    assert world.recorded()[0] == share
    assert [w.away_permille for w in world.writes if w.cluster == "legacy"] == [share]


@pytest.mark.parametrize(
    ("where", "labels", "owners", "told"),
    [
        ("split", {"failover.linkerd.io/controlled-by": "x"}, [], "linkerd-failover"),
        ("split", {}, [{"kind": "Canary", "name": "x", "apiVersion": "v1"}], "Flagger"),
        ("split", {"rollouts.argoproj.io/gatewayapi-canary": "in-progress"}, [], "Argo Rollouts"),
        ("service", {}, [{"kind": "Rollout", "name": "x", "apiVersion": "v1"}], "Argo Rollouts"),
    ],
)
def test_a_foreign_owner_is_left_alone(
    where: str, labels: dict[str, str], owners: list[dict[str, str]], told: str
) -> None:
    """A Service or split that another controller moves is not touched, and the owner is named."""
    world = World()
    meta: dict[str, Any] = {"labels": labels, "ownerReferences": owners}
    if where == "split":
        world.put_split("eks", [{"service": "service-a", "weight": 1}], **meta)
    else:
        world.apis["eks"].patch(Resource.SERVICES, *A, {"metadata": meta}, manager="x")
    world.ask()
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, "ForeignOwner")
    assert told in world.message
    assert world.split("legacy") is None
    assert not world.writes


@pytest.mark.parametrize("manager", ["argocd-controller", "helm", "kustomize-controller"])
def test_who_keeps_manifests_is_no_foreign_owner(manager: str) -> None:
    """Argo CD, Flux and Helm keep manifests and shift no weights: they stop nothing."""
    world = World()
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    world.put_split("legacy", [{"service": "service-a", "weight": 1}], by=manager, labels=labels)
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))


def test_the_gateway_api_plugin_of_argo_rollouts_is_a_foreign_owner() -> None:
    """The plugin's Rollout owns a split's weights, also between its canaries; the canary's backend stays."""
    world = World()
    backends = [
        {"service": "service-a", "weight": 100},
        {"service": "service-a-canary", "weight": 0},
    ]
    world.put_split("eks", backends, by="gatewayAPI")
    before = world.split("eks")
    world.ask()
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, "ForeignOwner")
    assert "Gateway API plugin" in world.message
    assert world.split("eks") == before


def test_a_blue_green_rollout_is_no_foreign_owner() -> None:
    """A Rollout that only chooses among a Service's own pods, by its selector, moves no calls between clusters."""
    world = World()
    for name in world.clusters:
        blue = {"spec": {"selector": {"rollouts-pod-template-hash": "6f5d"}}}
        world.apis[name].patch(Resource.SERVICES, *A, blue, manager="rollouts-controller")
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))


def test_flagger_is_a_foreign_owner_of_a_service_whose_spec_it_writes() -> None:
    """Flagger points a Service at its primary pods and moves its calls by a split: both are its to write."""
    world = World()
    world.ask(paused="true")
    primary = {"spec": {"selector": {"app": "service-a-primary"}}}
    world.apis["legacy"].patch(Resource.SERVICES, *A, primary, manager="flagger")
    world.run(5)
    assert (world.phase, world.reason) == (Phase.PENDING, "ForeignOwner")
    assert "field manager flagger of spec" in world.message


# --- hands ---------------------------------------------------------------------------------------------------


def test_a_hand_edit_holds_and_names_the_editor() -> None:
    """Weights that somebody else wrote hold the rise, and say who, what was found and what was recorded."""
    world = risen()
    world.edit("legacy", 600, by="jane")
    world.run(20)
    assert (world.aways(), world.phase, world.reason) == (
        (600, 750),
        Phase.HOLDING,
        "HandEdited",
    )
    where = "spec.backends" if world.kinds["legacy"] is SplitKind.TRAFFICSPLIT else "spec.rules"
    for word in ("jane", "60 %", "25 %", where):
        assert word in world.message
    world.edit("legacy", 250)
    world.until_share(500)


@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_abort_ends_a_hand_edit(cluster: str) -> None:
    """Abort rolls back also what a hand has set."""
    world = risen()
    world.edit(cluster, 500)
    world.annotate(abort="true")
    world.run(1)
    assert (world.aways(), world.phase) == (HOME, Phase.REVERTED)


def test_a_hand_edit_is_not_raised_after_completion() -> None:
    """After Completed the weights are read and told, not fought."""
    world = risen(1000)
    world.edit("legacy", 700)
    world.run(10)
    assert (world.aways(), world.phase) == ((700, 0), Phase.COMPLETED)
    assert "MovedSince" in [w["reason"] for w in world.status()["warnings"]]


# --- slots ---------------------------------------------------------------------------------------------------

NAMES = tuple(f"service-{letter}" for letter in "abcd")


def context(size: int, order: str = "abcd") -> tuple[World, dict[str, Key]]:
    """Four Services that want to move, asked for in this order, 2 s apart; so many may rise at a time."""
    world = World(services=NAMES)
    world.replica.settle(max_in_progress=size)
    keys = {name[-1]: Key("default", name) for name in NAMES}
    for letter in order:
        world.ask(key=keys[letter])
        world.run(2)
    return world, keys


def test_only_so_many_rise_at_a_time() -> None:
    """No more than max_in_progress are between their first raise and the soak at any time; all get there."""
    world, keys = context(2)
    most = 0
    while not all(world.shares(key=key) == (1000, 1000) for key in keys.values()):
        world.tick()
        rising = [k for k in keys.values() if 0 < (world.recorded(k)[0] or 0) < 999]
        most = max(most, len(rising))
        assert world.now_s < 1600
    assert most == 2


def test_slots_come_by_the_time_of_asking() -> None:
    """Who asked first rises first, and the others are told their place."""
    world, keys = context(1, order="cabd")
    raised: list[str] = []
    while len(raised) < 4 and world.now_s < 1500:
        world.tick()
        for letter, key in keys.items():
            if letter not in raised and (world.recorded(key)[0] or 0) > 0:
                raised.append(letter)
        if raised == ["c"]:
            decided = world.replica.decided(keys["d"])
            assert decided is not None
            ruling = decided.ruling
            assert ruling is not None
            assert (ruling.reason, "place 3" in ruling.message) == ("NoSlot", True)
    assert raised == ["c", "a", "b", "d"]


def test_one_that_is_held_up_too_long_gives_its_slot_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that is held up for its time lets the next one go, stays armed, and comes again."""
    monkeypatch.setattr(slots, "HOLD_LIMIT_S", 60.0)
    world, keys = context(1, order="ab")
    world.until(lambda: world.recorded(keys["a"])[0] == 100)
    world.annotate(key=keys["a"], paused="true")
    world.run(55)
    assert (world.recorded(keys["b"])[0] or 0) == 0
    world.until(lambda: (world.recorded(keys["b"])[0] or 0) > 0, limit_s=15)
    assert keys["a"] not in world.replica.holders
    assert world.replica.orders(keys["a"])
    world.annotate(key=keys["a"], paused=None)
    world.until(lambda: world.shares(key=keys["a"]) == (1000, 1000))


def test_long_dwells_keep_nobody_out() -> None:
    """A Service that dwells for a week holds no slot meanwhile, and is probed and rolled back."""
    world, keys = context(1, order="")
    world.ask(key=A, steps="1,50", dwell="168h")
    world.until(lambda: world.recorded(A) == (10, 1000))
    world.ask(key=keys["b"])
    world.until(lambda: world.shares(key=keys["b"]) == (1000, 1000))
    assert world.reason == "Dwelling"
    world.fault("legacy", "target")
    world.until(lambda: world.recorded(A)[0] == 0, limit_s=5)


def test_a_long_dwell_that_is_over_waits_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next raise after a long dwell needs a slot again, and says so while there is none."""
    monkeypatch.setattr(evidence, "LONG_DWELL_S", 60.0)
    world, keys = context(1, order="")
    world.ask(key=A, steps="1,50", dwell="60s")
    world.until(lambda: world.recorded(A) == (10, 1000))
    world.ask(key=keys["b"], steps="1,50", dwell="59s")
    world.until(lambda: world.recorded(keys["b"]) == (10, 1000))
    world.until(lambda: world.reason == "NoSlot")
    assert world.recorded(A) == (10, 1000)
    world.until(lambda: world.shares(key=A) == (1000, 1000))


def test_no_slot_beyond_the_probers_cap() -> None:
    """A migration whose probes would exceed a prober's cap waits; one that fits behind it goes first."""
    world = World(services=NAMES)
    world.replica.probers.capacities = {"legacy": 200.0}
    keys = {name[-1]: Key("default", name) for name in NAMES}
    world.ask(key=keys["a"])
    world.run(6)
    world.ask(key=keys["b"])
    world.run(2)
    world.ask(key=keys["c"], probe_rate="10")
    world.run(2)
    assert world.replica.holders == {keys["a"], keys["c"]}
    assert world.replica.orders(keys["b"]) == ()
    world.until(lambda: world.shares(key=keys["b"]) == (1000, 1000))


def test_what_a_soak_no_longer_asks_is_given_to_the_next() -> None:
    """Where the cap is enough for one that rises, the next begins in the soak of the first, not after it."""
    world = World(services=NAMES)
    world.replica.probers.capacities = {"legacy": 120.0}
    keys = {name[-1]: Key("default", name) for name in NAMES}
    for name in ("a", "b"):
        world.ask(key=keys[name], soak="10m")
        world.run(2)
    world.until(lambda: world.shares(key=keys["a"])[0] == 999)
    assert world.replica.holders == frozenset()
    world.until(lambda: (world.shares(key=keys["b"])[0] or 0) > 0)
    assert world.shares(key=keys["a"])[0] == 999
    asked = {order.rate_per_s for order in world.replica.orders(keys["a"])}
    assert asked == {1.0, 3.0}


def test_those_that_soak_keep_nobody_out() -> None:
    """Two that soak take three quarters of the cap: the third, that needs more than the rest, begins beside them."""
    world = World(services=NAMES)
    world.replica.probers.capacities = {"legacy": 8.0}
    keys = {name[-1]: Key("default", name) for name in NAMES}
    for name in ("a", "b"):
        world.ask(key=keys[name], soak="1h", probe_rate="1")
        world.run(2)
    world.until(lambda: [world.shares(key=keys[name])[0] for name in ("a", "b")] == [999, 999])
    world.ask(key=keys["c"], probe_rate="1")
    world.until(lambda: (world.shares(key=keys["c"])[0] or 0) > 0)
    assert [world.shares(key=keys[name])[0] for name in ("a", "b")] == [999, 999]


# --- leaders ---------------------------------------------------------------------------------------------------


def test_a_new_leader_takes_over_before_it_raises() -> None:
    """A new fencing token stands in both records of an unfinished migration before a share rises under it."""
    world = risen(100)
    world.writes.clear()
    world.crash()
    world.until_share(250)
    epochs = [(w.cluster, w.record.fencing_token, w.share) for w in world.writes]
    assert epochs == [
        ("legacy", 2, 100),
        ("eks", 2, 100),
        ("legacy", 2, 250),
        ("eks", 2, 250),
    ]


def test_a_stalled_write_of_an_old_leader_meets_a_conflict() -> None:
    """A raise that the old leader sent and that lands after the takeover is refused by its version."""
    world = risen(100)
    for api in world.apis.values():
        api.delay_s = 5.0
    world.until(lambda: world.decided.actions)
    for api in world.apis.values():
        api.delay_s = 0.0
    world.crash()
    world.until_share(250)
    world.run(5)
    assert {w.record.fencing_token for w in world.writes if w.share == 250} == {2}
    assert len([w for w in world.writes if w.share == 250]) == 2


@pytest.mark.parametrize("leads", [True, False])
def test_who_has_an_older_epoch_writes_nothing(leads: bool) -> None:
    """A controller that finds a newer fencing token in a record makes and raises nothing, leader or not; a pin is put
    back by one that may roll back."""
    world = risen(100)
    old = world.replica
    new = world.crash()
    world.until(lambda: all(world.record(c).fencing_token == 2 for c in world.clusters))  # type: ignore[union-attr]
    world.kill(new)
    again = world.join("legacy", fencing_token=1, leads=leads)
    count = len(world.writes)
    world.delete_pin("eks")
    world.run(20)
    assert len(world.writes) == count
    assert (world.pin("eks") is not None) == leads
    assert world.replica is again
    assert world.reason == "NoLease"
    assert not old.alive


def test_without_the_lease_nothing_is_made() -> None:
    """A controller that does not lead makes no pin and no split."""
    world = World()
    world.replica.lead(leads=False)
    world.ask()
    world.run(10)
    assert [world.split(c) or world.pin(c) for c in world.clusters] == [None, None]


def test_a_paused_fleet_enrols_and_moves_nothing() -> None:
    """With the fleet paused pins and splits are made, and nobody rises; with that gone they do."""
    world = World()
    world.replica.settle(paused=True)
    world.ask()
    world.run(20)
    assert (world.phase, world.reason, world.aways()) == (Phase.PENDING, "FleetPaused", (0, 0))
    assert world.split("legacy") is not None
    world.replica.settle(paused=False)
    world.until_share(1000)


# --- ground ----------------------------------------------------------------------------------------------------


def test_an_origin_that_shrinks_holds() -> None:
    """Half of the origin's pods must stay, so that a revert finds them; the message says what to set."""
    world = risen(100)
    pods = world.pods("legacy")
    world.set_pods("legacy", pods[:1])
    world.run(10)
    assert (world.reason, world.recorded()) == ("OriginShrunk", (100, 100))
    assert "minReplicas to 2, or origin-floor to 33" in world.message
    world.annotate(origin_floor="33")
    world.until_share(1000)


def gateway_dead(world: World) -> None:
    """The service mirror found that the gateway of eks does not answer: the mirror's endpoint is not ready."""
    found = world.apis["legacy"].get(Resource.ENDPOINTSLICES, "default", "service-a-eks-slice")
    endpoints = [{"addresses": ["192.0.2.1"], "conditions": {"ready": False}}]
    world.apis["legacy"].put(Resource.ENDPOINTSLICES, {**found, "endpoints": endpoints})


def mirror_of_another(world: World) -> None:
    """The mirror in legacy that is named for eks leads to another cluster."""
    label = {"mirror.linkerd.io/cluster-name": "eks-test"}
    body = {"metadata": {"labels": label}}
    at = (Resource.SERVICES, "default", "service-a-eks")
    world.apis["legacy"].patch(*at, body, manager="service-mirror")


def link_of_another_name(world: World) -> None:
    """The Link in legacy gives eks another name than the settings do, and so do the mirrors."""
    api = world.apis["legacy"]
    service = api.get(Resource.SERVICES, *A)
    api.delete(Resource.SERVICES, "default", "service-a-eks")
    mirror = Key("default", "service-a-eks-prod")
    api.put(Resource.SERVICES, mirror_body(mirror, "eks-prod", service))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda world: world.set_pods("eks", []), "TargetWithoutEndpoints"),
        (
            lambda world: world.apis["legacy"].delete(
                Resource.SERVICES, "default", "service-a-eks"
            ),
            "MirrorMissing",
        ),
        (lambda world: world.set_pods("legacy", []), "MirrorEmpty"),
        (gateway_dead, "GatewayNotAlive"),
        (mirror_of_another, "MirrorOtherCluster"),
        (link_of_another_name, "MirrorOtherCluster"),
    ],
)
def test_ground_that_is_missing_holds_at_home(harm: Any, reason: str) -> None:
    """Without pods, or a mirror, nobody moves; it goes on by itself when they are there."""
    world = World()
    harm(world)
    world.ask()
    world.run(10)
    assert (world.phase, world.reason) == (Phase.PENDING, reason)
    assert world.recorded() == (None, None)


# --- telling -----------------------------------------------------------------------------------------------------


def test_history_is_of_ten() -> None:
    """The status keeps the last ten transitions, and a new process goes on with them."""
    world = risen(1000)
    world.annotate(target="legacy")
    world.until(lambda: world.shares("legacy") == (1000, 1000))
    world.crash()
    world.annotate(target="eks")
    world.until_share(100)
    history = world.status()["history"]
    assert len(history) == 10
    assert [entry["share"] for entry in history[-3:]] == ["0/0", "1/1", "10/10"]


def test_observed_names_target_and_attempt() -> None:
    """The status says which target and which attempt it is about, so that one can wait for the right one."""
    world = risen(1000)
    assert world.status()["observed"] == {"target": "eks", "attempt": 1}
    world.annotate(target="legacy", attempt="2")
    world.run(1)
    status = world.status()
    assert status["observed"] == {"target": "legacy", "attempt": 2}
    states = {c["type"]: c["status"] for c in status["conditions"]}
    assert (states["Completed"], states["Reverted"]) == ("False", "False")


def test_a_dwell_is_no_transition() -> None:
    """While nothing but time passes no Event is told, and a status is written every 10 s at most."""
    world = World()
    world.begin_on_legacy()
    world.ask(dwell="2m")
    world.until_share(10)
    world.run(2)
    world.events.clear()
    world.statuses.clear()
    world.run(100)
    assert world.events == []
    assert 1 <= len(world.statuses) <= 11


def test_no_probes_without_a_slot_or_above_home() -> None:
    """Only Services with a slot or above the baseline are probed; enrolled, completed and reverted ones are not."""
    world = risen(1000)
    assert world.replica.orders(A) == ()
    world.annotate(target="legacy", paused="true")
    world.run(2)
    assert world.replica.orders(A) == ()
    world.annotate(paused=None)
    world.run(2)
    assert len(world.replica.orders(A)) == 6
    world.annotate(abort="true")
    world.run(2)
    assert world.replica.orders(A) == ()


def test_different_trust_domains_are_told() -> None:
    """Where the gateways' identities have different trust domains a bounce looks good: MirrorUnproven."""
    world = World()
    found = world.apis["eks"].get(Resource.ENDPOINTSLICES, "default", "service-a-legacy-slice")
    identity = "gw.linkerd-multicluster.serviceaccount.identity.linkerd.other.domain"
    note = {"mirror.linkerd.io/remote-gateway-identity": identity}
    body = {**found, "metadata": {**found["metadata"], "annotations": note}}
    world.apis["eks"].put(Resource.ENDPOINTSLICES, body)
    world.ask()
    world.run(2)
    told = {w["reason"]: w["message"] for w in world.status()["warnings"]}
    assert "cluster.local and other.domain" in told["MirrorUnproven"]


def test_no_attempt_begins_while_anything_is_written() -> None:
    """After Completed the path back begins only when no hand is busy: a latch on its way may end it still."""
    world = World()
    world.ask(steps="50", dwell="1s", soak="1s")
    world.until_phase(Phase.COMPLETED)
    world.note("legacy", "target", "legacy")
    world.replica.watch()
    observed = replace(world.replica.observe(A), has_slot=True)
    assert ReadSplits(A) in plan(observed, world.now).actions
    for name, cluster in observed.clusters.items():
        busy = {**observed.clusters, name: replace(cluster, writing=True)}
        assert plan(replace(observed, clusters=busy), world.now).actions == ()


def test_who_asked_is_told() -> None:
    """The status says who asked for the migration, and when."""
    world = risen(10)
    asked = world.status()["asked"]
    assert asked["by"] == "kubectl-annotate"
    assert asked["at"].startswith("2026-01-01T00:16:4")


def test_planning_again_after_acting_is_quiet() -> None:
    """After everything that was decided is done, the same look asks for no further write, at every tick."""
    world = risen(10)
    loud: list[Plan] = []
    for _ in range(400):
        world.tick()
        observed = world.replica.observe(A)
        if any(c.writing for c in observed.clusters.values()):
            continue
        again = plan(observed, world.now)
        assert again == plan(observed, world.now)
        if again.actions:
            loud.append(again)
    assert loud == []
