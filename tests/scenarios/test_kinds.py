"""Stories of the kind of split: which one is made, which one is kept, and what beats it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import Phase, Reason, SplitKind
from controller.kube.objects import Resource
from controller.mesh.splits.kinds import PROVIDERS
from tests.scenarios.world import DOMAIN, GATEWAYS, PORTS, A, World
from tests.scenarios.world_kinds import MIXED, ROUTES, SMI

BOTH = tuple(SplitKind)
SPLIT, ROUTE = SplitKind.TRAFFICSPLIT, SplitKind.HTTPROUTE


def kinds(world: World) -> list[list[SplitKind]]:
    """The kinds of split that stand in each cluster."""
    return [
        [kind for kind, p in PROVIDERS.items() if world.apis[name].has(p.RESOURCE, *A)]
        for name in world.clusters
    ]


def set_ports(world: World, ports: list[dict[str, Any]], **metadata: Any) -> None:
    """Return the Service these ports in both clusters."""
    for name in world.clusters:
        spec = {"spec": {"ports": ports}, "metadata": metadata}
        world.apis[name].patch(Resource.SERVICES, *A, spec, manager="kubectl")


def put_profile(world: World, cluster: str, namespace: str, **spec: Any) -> None:
    """Write somebody's ServiceProfile for the Service."""
    name = f"service-a.default.svc.{DOMAIN}"
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    world.apis[cluster].put(Resource.SERVICEPROFILES, body)


@pytest.mark.parametrize(
    ("context", "asked", "made"),
    [
        ("auto", None, ROUTE),
        ("auto", "trafficsplit", SPLIT),
        ("auto", "httproute", ROUTE),
        ("trafficsplit", None, SPLIT),
        ("trafficsplit", "auto", ROUTE),
        ("httproute", None, ROUTE),
    ],
)
def test_what_is_asked_for_is_made(context: Any, asked: str | None, made: SplitKind) -> None:
    """The annotation comes before the fleet's settings; auto is an HTTPRoute where both are served."""
    world = World(serving=BOTH, split=context)
    world.ask(paused="true")
    world.note("legacy", "split", asked)
    world.run(2)
    assert kinds(world) == [[made], [made]]


def test_auto_takes_what_each_cluster_serves() -> None:
    """Clusters of one pair may have different kinds, and the Service moves all the same."""
    world = World(kinds=MIXED)
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert kinds(world) == [[ROUTE], [SPLIT]]
    assert world.shares() == (1000, 1000)


def test_auto_keeps_the_kind_that_is_there() -> None:
    """A split that the Service has is taken over, whatever else is served."""
    world = World(kinds=SMI, serving=BOTH)
    world.begin_on_legacy()
    world.ask(paused="true")
    world.run(2)
    assert kinds(world) == [[ROUTE], [SPLIT]]


def test_the_fleets_kind_is_for_new_splits() -> None:
    """A fleet that wants HTTPRoutes does not stop a Service that has a TrafficSplit."""
    world = World(kinds=SMI, serving=BOTH, split="httproute")
    for name in world.clusters:
        world.put_split(name, [{"service": "service-a", "weight": 1}])
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))
    assert kinds(world) == [[SPLIT], [SPLIT]]


def test_another_kind_is_refused_where_one_is() -> None:
    """An annotation that wants another kind than the Service has holds, and names convert."""
    world = World(kinds=SMI, serving=BOTH)
    world.put_split("legacy", [{"service": "service-a", "weight": 1}])
    world.ask(split="httproute")
    world.run(5)
    assert (world.phase, world.reason) == (Phase.PENDING, "SplitKindFixed")
    assert "kubectl migrate convert" in world.message
    assert kinds(world) == [[SPLIT], []]


@pytest.mark.parametrize(
    ("pair", "asked", "told"),
    [
        (SMI, "httproute", "legacy serves no HTTPRoute (gateway.networking.k8s.io)"),
        (ROUTES, "trafficsplit", "legacy serves no TrafficSplit (split.smi-spec.io)"),
    ],
)
def test_a_kind_that_is_not_served_is_refused(pair: Any, asked: str, told: str) -> None:
    """What a cluster does not serve is not made, and the answer says what to install or to write."""
    world = World(kinds=pair)
    world.ask(split=asked)
    world.run(5)
    assert (world.phase, world.reason) == (Phase.PENDING, "SplitKindUnserved")
    assert told in world.message
    assert kinds(world) == [[], []]


def test_neither_kind_served_is_told() -> None:
    """A cluster without both is answered with both groups."""
    world = World()
    world.apis["eks"].unserved = {provider.RESOURCE for provider in PROVIDERS.values()}
    world.crash()
    world.ask()
    world.run(5)
    assert (world.phase, world.reason) == (Phase.PENDING, "SplitKindUnserved")
    assert "eks serves neither" in world.message


def test_a_kind_not_yet_known_is_not_unserved() -> None:
    """Where the routes could not be listed nothing is made: they are unknown, not "not served"."""
    world = World(kinds=SMI)
    world.deaf.add(("legacy", "legacy"))
    world.crash()
    world.ask(cluster="eks")
    world.run(5)
    assert world.reason == "ClusterStale"
    assert kinds(world) == [[], []]


OPAQUE = {"config.linkerd.io/opaque-ports": "80"}


@pytest.mark.parametrize(
    ("ports", "notes", "told"),
    [
        (PORTS, OPAQUE, "port 80 is TCP to Linkerd by config.linkerd.io/opaque-ports"),
        ([{**PORTS[0], "appProtocol": "http2"}], {}, "write kubernetes.io/h2c, or none"),
    ],
)
def test_auto_is_a_trafficsplit_where_a_route_cannot_carry_it(
    ports: list[dict[str, Any]], notes: dict[str, str], told: str
) -> None:
    """A Service of an opaque port gets a TrafficSplit; asked for an HTTPRoute it is refused."""
    for asked, made in ((None, [[SPLIT], [SPLIT]]), ("httproute", [[], []])):
        world = World(serving=BOTH)
        set_ports(world, ports, annotations=notes)
        world.ask(paused="true")
        world.note("legacy", "split", asked)
        world.run(2)
        assert kinds(world) == made
    assert (world.phase, world.reason) == (Phase.PENDING, "RouteUnfit")
    assert told in world.message


@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_a_deleted_split_is_made_anew_as_it_was(cluster: str) -> None:
    """In mid-flight a TrafficSplit stays a TrafficSplit: its busy callers would not follow an HTTPRoute."""
    world = World(kinds=SMI, serving=BOTH)
    for name in world.clusters:
        world.put_split(name, [{"service": "service-a", "weight": 1}])
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    world.delete_split(cluster)
    world.run(2)
    assert kinds(world) == [[SPLIT], [SPLIT]]


@pytest.mark.parametrize("namespace", ["default", "shop"])
@pytest.mark.parametrize(
    "spec", [{"dstOverrides": [{"weight": 1}]}, {"routes": [{"name": "a", "condition": {}}]}]
)
def test_a_profile_that_beats_a_route_is_refused(namespace: str, spec: dict[str, Any]) -> None:
    """A ServiceProfile with overrides or routes beats an HTTPRoute: both are named, and nothing is made."""
    world = World(kinds=ROUTES)
    put_profile(world, "eks", namespace, **spec)
    world.ask()
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "TwoMechanisms")
    for word in ("in eks", "ServiceProfile service-a.default", next(iter(spec)), "HTTPRoute"):
        assert word in world.message
    assert kinds(world) == [[], []]
    put_profile(world, "eks", namespace, routes=[])
    world.until(lambda: world.recorded() == (10, 1000))


def test_a_route_of_a_clients_namespace_is_refused() -> None:
    """An HTTPRoute in a client's namespace beats ours for the callers there: it is named."""
    world = World(kinds=ROUTES)
    parent = {"group": "", "kind": "Service", "name": "service-a", "namespace": "default"}
    body = {
        "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"parentRefs": [parent], "rules": []},
    }
    world.apis["legacy"].put(Resource.HTTPROUTES, body)
    world.ask()
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "TwoMechanisms")
    assert "the HTTPRoute mine in shop" in world.message
    world.apis["legacy"].delete(Resource.HTTPROUTES, "shop", "mine")
    world.until(lambda: world.recorded() == (10, 1000))


@pytest.mark.parametrize(
    ("pair", "namespace"), [(SMI, "default"), (SMI, "shop"), (ROUTES, GATEWAYS)]
)
def test_what_beats_nothing_is_let_be(pair: Any, namespace: str) -> None:
    """The adaptor's profile of a TrafficSplit stops nothing, and neither do the pins of an HTTPRoute."""
    world = World(kinds=pair)
    put_profile(world, "eks", namespace, routes=[{"name": "a", "condition": {}}])
    world.ask()
    world.until(lambda: world.recorded() == (10, 1000))


def test_a_rival_that_appears_holds_the_rise_and_not_the_way_home() -> None:
    """In mid-flight a profile that beats the route holds, and a bad target is left all the same."""
    world = World(kinds=ROUTES)
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    put_profile(world, "legacy", "default", routes=[{"name": "a", "condition": {}}])
    world.run(10)
    assert (world.phase, world.reason) == (Phase.HOLDING, "TwoMechanisms")
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    assert world.aways() == (0, 1000)


@pytest.mark.parametrize("resource", [Resource.POLICY_HTTPROUTES, Resource.GRPCROUTES])
def test_a_route_that_was_there_before_ours_is_refused(resource: Resource) -> None:
    """An older route of Linkerd's own group, as people set timeouts with, and a GRPCRoute hold until they are gone."""
    world = World(kinds=ROUTES)
    world.apis["eks"].put(resource, somebodys_route())
    world.ask()
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "TwoMechanisms")
    assert "mine in default" in world.message
    assert kinds(world) == [[], []]
    world.apis["eks"].delete(resource, "default", "mine")
    world.until(lambda: world.recorded() == (10, 1000))


def test_a_younger_route_loses_and_a_grpcroute_wins() -> None:
    """In mid-flight a younger route of Linkerd's own group is told and holds nothing; a GRPCRoute holds the rise."""
    world = World(kinds=ROUTES)
    world.begin_on_legacy()
    world.ask()
    world.until_share(100)
    world.apis["legacy"].put(Resource.POLICY_HTTPROUTES, somebodys_route())
    world.until_share(250)
    told = dict(world.decided.warnings)
    assert "HTTPRoute of policy.linkerd.io mine in default" in told[Reason.ROUTES_MERGED]
    world.apis["legacy"].put(Resource.GRPCROUTES, somebodys_route())
    world.run(10)
    assert (world.phase, world.reason) == (Phase.HOLDING, "TwoMechanisms")


def somebodys_route() -> dict[str, Any]:
    """A route that takes every request to the Service."""
    parent = {"group": "", "kind": "Service", "name": "service-a"}
    metadata = {"name": "mine", "namespace": "default"}
    return {"metadata": metadata, "spec": {"parentRefs": [parent], "rules": [{}]}}


def test_a_second_split_of_another_kind_is_named() -> None:
    """A TrafficSplit beside an HTTPRoute is a second split: both are named with their kinds."""
    world = World(kinds=SMI, serving=BOTH)
    world.begin_on_legacy()
    body = {
        "metadata": {"name": "routed", "namespace": "default"},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "service-a"}]},
    }
    world.apis["eks"].put(Resource.HTTPROUTES, body)
    world.ask()
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "SecondSplit")
    assert "the TrafficSplit service-a and the HTTPRoute routed" in world.message


def test_new_routes_have_no_callers_that_may_not_follow() -> None:
    """Busy callers follow a new HTTPRoute and not a new TrafficSplit: only the latter is warned of."""
    for pair, warned in ((ROUTES, set()), (MIXED, {"eks"}), (SMI, {"legacy", "eks"})):
        world = World(kinds=pair)
        world.ask(paused="true")
        world.run(2)
        told = [m for reason, m in world.decided.warnings if reason == "CallersMayNotFollow"]
        assert {name for name in world.clusters if any(f"in {name}" in m for m in told)} == warned
