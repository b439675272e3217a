"""A Service of several ports moves by an HTTPRoute for each, which begin, rise, hold and go back as one."""

from __future__ import annotations

from typing import Any

import pytest

from controller.decide.input import input_of
from controller.decide.laws import broken
from controller.domain import WHOLE, Observed, Phase, Plan, Record
from controller.kube.objects import Resource
from controller.mesh.splits import RECORD, decode_record, mirror_name
from tests.scenarios.test_kinds import kinds as kinds_of
from tests.scenarios.test_kinds import set_ports
from tests.scenarios.world import FAR, A, World, split_spec, weights_of
from tests.scenarios.world_cluster import Json
from tests.scenarios.world_kinds import MIXED, ROUTES, SMI, Pair
from tests.scenarios.world_replica import Replica

HTTP = {"name": "http", "port": 80}
GRPC = {"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"}
MYSQL = {"name": "mysql", "port": 3306}
PORTS = [HTTP, GRPC]
FIRST, SECOND = "service-a", "service-a.9090"


def world_of(ports: list[Json], pair: Pair = ROUTES, **settings: Any) -> World:
    """A world in which service-a has these ports, all callers on legacy, and every plan keeps the laws."""
    world = World(kinds=pair, **settings)
    set_ports(world, ports)
    for name in world.clusters:
        world.sync(name)
    world.on_look.append(lawful)
    return world


def lawful(replica: Replica, observed: Observed, decided: Plan) -> None:
    """Raise where a plan breaks a law."""
    assert broken(input_of(observed, replica.world.now), decided) == ()


def put_route(
    world: World, cluster: str, name: str, port: int | None, mirror: int = 0, **rule: Any
) -> None:
    """Write somebody's HTTPRoute of one port (None: of all) that sends this much to the mirror."""
    far = mirror_name(A.service, FAR[cluster])
    backends = [
        {"name": A.service, "port": port or 80, "weight": WHOLE - mirror},
        {"name": far, "port": port or 80, "weight": mirror},
    ]
    parent: Json = {"group": "", "kind": "Service", "name": A.service}
    if port is not None:
        parent |= {"port": port}
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": backends, **rule}]}
    body = {"metadata": {"name": name, "namespace": A.namespace}, "spec": spec}
    world.apis[cluster].put(Resource.HTTPROUTES, body)


def routes(world: World, cluster: str) -> dict[str, int]:
    """What each route of the Service sends to the mirror, by its name."""
    mirror = mirror_name(A.service, FAR[cluster])
    return {
        body["metadata"]["name"]: round(weights_of(body["spec"]).get(mirror, 0))
        for body in of_the_service(world, cluster)
    }


def of_the_service(world: World, cluster: str) -> list[Json]:
    """The routes in the Service's namespace."""
    found = world.apis[cluster].bodies(Resource.HTTPROUTES)
    return [body for body in found if body["metadata"]["namespace"] == A.namespace]


def records(world: World, cluster: str) -> dict[str, Record | None]:
    """The record of each route."""
    found = {}
    for body in of_the_service(world, cluster):
        record = decode_record(body["metadata"].get("annotations", {}))
        found[body["metadata"]["name"]] = record if isinstance(record, Record) else None
    return found


def both(share: int) -> dict[str, int]:
    """Both routes, sending this much to the mirror."""
    return {FIRST: share, SECOND: share}


def risen(share: int = 250, **settings: Any) -> World:
    """A world in which all callers were on legacy, and both ports of service-a have risen to this share."""
    world = world_of(PORTS, **settings)
    put_route(world, "eks", FIRST, 80, WHOLE)
    put_route(world, "eks", SECOND, 9090, WHOLE)
    world.ask()
    world.until_share(share)
    world.until(lambda: routes(world, "legacy") == both(share))
    return world


def test_every_port_moves_and_its_route_has_the_record() -> None:
    """A route is made for each port, each with its port in parentRefs, and all are at 100 % when it is Completed."""
    world = risen()
    world.until_phase(Phase.COMPLETED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(WHOLE), both(0))
    for name in world.clusters:
        assert all(record and record.completed for record in records(world, name).values())
    for route, port in ((FIRST, 80), (SECOND, 9090)):
        spec = world.apis["legacy"].get(Resource.HTTPROUTES, A.namespace, route)["spec"]
        assert spec["parentRefs"][0]["port"] == port
        assert {b["port"] for b in spec["rules"][0]["backendRefs"]} == {port}


def test_all_ports_stand_at_one_share_after_each_step() -> None:
    """The routes of a cluster are written in one go: at no decision that raises does one stand behind."""
    world = risen(10)
    seen: list[set[int]] = []
    world.on_look.append(lambda *_: seen.append(set(routes(world, "legacy").values())))
    world.until_phase(Phase.COMPLETED)
    assert all(len(shares) == 1 for shares in seen)


def test_an_abort_brings_every_port_back() -> None:
    """A rollback writes each route's baseline and its latch."""
    world = risen()
    world.annotate(abort="true")
    world.until_phase(Phase.REVERTED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(0), both(WHOLE))
    for name in world.clusters:
        assert all(record and record.reverted for record in records(world, name).values())


@pytest.mark.parametrize("route", [FIRST, SECOND])
@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_a_route_that_is_not_written_keeps_all_from_rising(cluster: str, route: str) -> None:
    """While one route's write is refused its port lags, nobody rises further, and it is told; then it catches up."""
    world = risen(100)
    world.apis[cluster].refused.add(route)
    world.until(lambda: WHOLE - 250 in routes(world, "eks").values() or cluster == "legacy")
    world.run(30)
    aways = {name: routes(world, name) for name in world.clusters}
    left, risen_to = (100, 250) if cluster == "legacy" else (900, 750)
    other = SECOND if route == FIRST else FIRST
    assert aways[cluster] == {route: left, other: risen_to}
    assert "a webhook denied the request" in str(world.status()["warnings"])
    world.apis[cluster].refused.clear()
    world.until_phase(Phase.COMPLETED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(WHOLE), both(0))


def test_a_rollback_goes_on_until_the_last_route_is_back() -> None:
    """Where one route's write is refused in a rollback the others go, and it stays Reverting until that one does."""
    world = risen()
    world.apis["legacy"].refused.add(SECOND)
    world.annotate(abort="true")
    world.run(20)
    assert (routes(world, "legacy"), routes(world, "eks")) == ({FIRST: 0, SECOND: 250}, both(WHOLE))
    assert world.phase is Phase.REVERTING
    world.apis["legacy"].refused.clear()
    world.until_phase(Phase.REVERTED)
    assert routes(world, "legacy") == both(0)


def test_a_target_that_turns_bad_is_left_on_every_port() -> None:
    """Probes ask one port, and their word moves all of them."""
    world = risen()
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(0), both(WHOLE))


def test_one_route_edited_by_hand_holds_all() -> None:
    """Weights that a person wrote on one port hold the rise of both, and are left alone; put back, it goes on."""
    world = risen()
    weights = split_spec(
        world.kinds["legacy"],
        A.service,
        [{"service": A.service, "weight": 1}, {"service": "service-a-eks", "weight": 1}],
    )["rules"]
    at = (Resource.HTTPROUTES, A.namespace, SECOND)
    before = world.apis["legacy"].get(*at)["spec"]["rules"]
    world.apis["legacy"].patch(*at, {"spec": {"rules": weights}}, manager="jane")
    world.run(20)
    assert (world.phase, world.reason) == (Phase.HOLDING, "HandEdited")
    assert f"jane set the share of the HTTPRoute {SECOND} in legacy to 50 %" in world.message
    assert routes(world, "legacy")[FIRST] == 250
    world.apis["legacy"].patch(*at, {"spec": {"rules": before}}, manager="jane")
    world.until_phase(Phase.COMPLETED)


@pytest.mark.parametrize("route", [FIRST, SECOND])
@pytest.mark.parametrize("cluster", ["legacy", "eks"])
def test_a_route_deleted_in_mid_flight_is_made_anew(cluster: str, route: str) -> None:
    """One port's route that is deleted is put back no higher than its callers are then, and catches up on PASS."""
    world = risen()
    world.apis[cluster].delete(Resource.HTTPROUTES, A.namespace, route)
    world.until(lambda: route in routes(world, cluster))
    assert routes(world, cluster)[route] == (0 if cluster == "legacy" else 750)
    (told,) = [event for event in world.told if event.reason == "SplitRemade"]
    assert f"in {cluster} was deleted during the attempt" in told.message
    world.until_phase(Phase.COMPLETED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(WHOLE), both(0))


def test_a_restart_in_a_step_made_by_half_finishes_it() -> None:
    """A controller that dies with one of two routes written leaves what its successor brings up."""
    world = risen(100)
    world.apis["legacy"].refused.add(SECOND)
    world.until(lambda: routes(world, "legacy")[FIRST] == 250)
    world.crash()
    world.apis["legacy"].refused.clear()
    world.until_phase(Phase.COMPLETED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(WHOLE), both(0))


def test_a_port_that_comes_later_gets_a_route() -> None:
    """A Service that gets a second port in mid-flight gets its route, which begins where its callers are."""
    world = world_of([HTTP])
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    set_ports(world, PORTS)
    for name in world.clusters:
        world.sync(name)
    world.until_phase(Phase.COMPLETED)
    assert (routes(world, "legacy"), routes(world, "eks")) == (both(WHOLE), both(0))


# --- which ports move --------------------------------------------------------------------------------


def warned(world: World, reason: str) -> str:
    """What is told under a reason."""
    return " ".join(message for why, message in world.decided.warnings if why == reason)


def test_the_annotation_names_the_ports_that_move() -> None:
    """Only the port that is named gets a route; the other is told to stay, and nobody's route of it is touched."""
    world = world_of(PORTS)
    put_route(world, "legacy", "theirs", 9090, 0)
    world.ask(ports="http")
    world.until_phase(Phase.COMPLETED)
    assert routes(world, "legacy") == {FIRST: WHOLE, "theirs": 0}
    assert records(world, "legacy")["theirs"] is None
    assert "9090 grpc (the annotation ports does not name it)" in warned(world, "PortsStay")
    assert warned(world, "PortsNotProbed") == ""


def test_ports_that_move_unproven_are_told() -> None:
    """Of each kind of split: the ports that move beside the one that is probed."""
    for pair in (ROUTES, SMI, MIXED):
        world = world_of(PORTS, pair)
        world.ask(paused="true")
        world.run(2)
        assert "with it move 9090 grpc" in warned(world, "PortsNotProbed")


def test_auto_is_a_trafficsplit_where_a_route_would_leave_a_port() -> None:
    """A port that Linkerd takes for TCP moves with a TrafficSplit; without SMI it stays, and that is told."""
    ports = [HTTP, MYSQL]
    world = world_of(ports, serving=tuple(SMI.values()) + tuple(ROUTES.values()))
    world.ask(paused="true")
    world.run(2)
    assert kinds_of(world) == [[SMI["legacy"]], [SMI["eks"]]]
    world = world_of(ports)
    world.ask(paused="true")
    world.run(2)
    assert routes(world, "legacy") == {FIRST: 0}
    assert "3306 mysql" in warned(world, "PortsStay")


def test_auto_is_a_route_where_a_trafficsplit_would_switch_off_retries() -> None:
    """A Service with retries gets HTTPRoutes, which leave them alone; one that has a TrafficSplit is warned of."""
    notes = {"retry.linkerd.io/http": "5xx"}
    for existing in (False, True):
        world = world_of([HTTP, MYSQL], SMI, serving=tuple(ROUTES.values()))
        set_ports(world, [HTTP, MYSQL], annotations=notes)
        if existing:
            world.put_split("legacy", [{"service": A.service, "weight": 1}])
        world.ask(paused="true")
        world.run(2)
        (kind,) = kinds_of(world)[0]
        assert kind is (SMI if existing else ROUTES)["legacy"]
        assert ("retry.linkerd.io/http" in warned(world, "PoliciesOff")) is existing


def test_named_ports_that_cannot_move_by_themselves_are_refused() -> None:
    """A TrafficSplit moves every port: an annotation that leaves one out holds, and nothing is made."""
    world = world_of(PORTS, SMI)
    world.ask(ports="http")
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "PortsUnfit")
    assert "leaves out 9090" in world.message
    assert kinds_of(world) == [[], []]
    world.note("legacy", "ports", "http,grpc")
    world.until(lambda: world.recorded() == (10, 1000))


# --- somebody's routes ---------------------------------------------------------------------------------


def test_somebodys_routes_of_ports_are_taken_over() -> None:
    """Routes that people made for each port are the split: they keep their names, and none is made beside them."""
    world = world_of(PORTS)
    for name in world.clusters:
        put_route(world, name, "web", 80)
        put_route(world, name, "api", 9090)
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert routes(world, "legacy") == {"web": WHOLE, "api": WHOLE}


def test_somebodys_routes_of_paths_are_taken_over() -> None:
    """Two routes of one port, by path, move together, and their matches stay as they were."""
    world = world_of([HTTP])
    by_path: Json = {"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}]}
    put_route(world, "legacy", "all", 80)
    put_route(world, "legacy", "paths", 80, **by_path)
    world.ask()
    world.until_phase(Phase.COMPLETED)
    assert routes(world, "legacy") == {"all": WHOLE, "paths": WHOLE}
    rules = world.apis["legacy"].get(Resource.HTTPROUTES, A.namespace, "paths")["spec"]["rules"]
    assert rules[0]["matches"] == by_path["matches"]


def test_somebodys_routes_at_different_shares_are_refused() -> None:
    """Routes that do not stand at one share are none that can move as one: each is named with its share."""
    world = world_of(PORTS)
    put_route(world, "legacy", "web", 80, 0)
    put_route(world, "legacy", "api", 9090, 300)
    world.ask()
    world.run(5)
    assert (world.phase, world.reason) == (Phase.PENDING, "RulesDiffer")
    assert "api 30 % and web 0 %" in world.message
    assert "delete" not in world.message


def test_somebodys_route_of_every_port_is_told() -> None:
    """A route whose parent names no port takes the calls to every port to one: what to write is told."""
    world = world_of(PORTS)
    put_route(world, "legacy", "web", None)
    world.ask()
    world.run(3)
    assert (world.phase, world.reason) == (Phase.PENDING, "RouteUnfit")
    assert "the HTTPRoute web names no port in its parentRefs" in world.message
    put_route(world, "legacy", "web", 80)
    world.until_phase(Phase.COMPLETED)
    assert routes(world, "legacy") == {"web": WHOLE, FIRST: WHOLE}


def test_a_route_that_somebody_adds_in_mid_flight_is_taken_in() -> None:
    """It gets the record at the share that it has, and rises with the others from there."""
    world = risen(100)
    put_route(world, "legacy", "paths", 80)
    world.until(lambda: records(world, "legacy").get("paths") is not None)
    assert routes(world, "legacy")["paths"] == 0
    world.until_phase(Phase.COMPLETED)
    assert routes(world, "legacy") == {**both(WHOLE), "paths": WHOLE}


def test_a_record_that_is_removed_from_one_route_is_put_back() -> None:
    """A route without its record is adopted again at the share that it has: nobody is moved by that."""
    world = risen()
    gone = {"metadata": {"annotations": {RECORD: None}}}
    at = (Resource.HTTPROUTES, A.namespace, SECOND)
    world.apis["legacy"].patch(*at, gone, manager="kubectl-edit")
    world.until(lambda: records(world, "legacy")[SECOND] is not None)
    assert routes(world, "legacy") == both(250)
    world.until_phase(Phase.COMPLETED)
