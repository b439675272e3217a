"""What else routes the calls to a Service, and which of it beats its HTTPRoute."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from controller.domain import Key, Port
from controller.kube.objects import (
    DECODERS,
    Backend,
    HTTPRouteObject,
    KubeObject,
    Resource,
    ServiceProfileObject,
)
from controller.kube.objects.values import Metadata as Meta
from controller.kube.objects.values import MigrationObject
from controller.mesh.conflicts import Judged, judge, of

A = Key("default", "service-a")
DOMAIN = "cluster.local"
PROFILE = Meta("service-a.default.svc.cluster.local", "shop")
HTTP, GRPC, POLICY = Resource.HTTPROUTES, Resource.GRPCROUTES, Resource.POLICY_HTTPROUTES
PORTS = (Port("http", 80),)
EVERYTHING: list[Any] = [
    {},
    {"matches": None},
    {"matches": [{}]},
    {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]},
]
SOME: list[Any] = [
    {"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}]},
    {"matches": [{"path": {"type": "Exact", "value": "/"}}]},
    {"matches": [{"path": {"type": "RegularExpression", "value": "/"}}]},
    {"matches": [{"path": {"value": "/"}, "headers": []}, {"method": "GET"}]},
    {"matches": [{"headers": [{"name": "x", "value": "y"}]}]},
    {"matches": [{"queryParams": [{"name": "x", "value": "y"}]}]},
]


def profile(
    name: str = PROFILE.name, *, overrides: bool = False, routes: bool = False
) -> KubeObject:
    """A ServiceProfile in a client's namespace."""
    backends = (Backend("b.default.svc.cluster.local", Decimal(1), "1"),) if overrides else ()
    return ServiceProfileObject(Meta(name, "shop"), backends, routes)


def parent(**changed: Any) -> dict[str, Any]:
    """A parentRef of the Service."""
    return {
        "group": "core",
        "kind": "Service",
        "name": "service-a",
        "namespace": "default",
    } | changed


def route(
    resource: Resource,
    *parents: dict[str, Any],
    rules: Any = ({},),
    namespace: str = "default",
    second: int = 2,
    name: str = "other",
    status: Any = None,
) -> Any:
    """A route of this kind, as it is read; it was made in this second of a minute."""
    meta = {
        "name": name,
        "namespace": namespace,
        "creationTimestamp": f"2026-01-01T00:00:{second:02}Z",
    }
    spec = {"parentRefs": parents or [parent()], "rules": rules}
    body = {"metadata": meta, "spec": spec} | ({"status": status} if status else {})
    return DECODERS[resource](json.dumps(body).encode())


def own(**changed: Any) -> HTTPRouteObject:
    """The HTTPRoute that splits the Service."""
    found = route(HTTP, **({"name": "service-a"} | changed))
    assert isinstance(found, HTTPRouteObject)
    return found


def refused(**changed: Any) -> dict[str, Any]:
    """A status in which Linkerd does not accept a route for this parent."""
    condition = {"type": "Accepted", "status": "False"}
    name = "linkerd.io/policy-controller"
    refusal = {"parentRef": parent(**changed), "controllerName": name, "conditions": [condition]}
    return {"parents": [refusal]}


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (profile(routes=True), "the ServiceProfile {} in shop, with routes"),
        (profile(overrides=True), "the ServiceProfile {} in shop, with dstOverrides"),
        (profile(), ""),
        (profile("other.example", routes=True), ""),
        (
            route(
                HTTP,
                parent(),
                parent(namespace="shop", name="own"),
                parent(kind="Server", group="policy.linkerd.io"),
                namespace="shop",
            ),
            "the HTTPRoute other in shop, for callers there,",
        ),
        (route(HTTP), ""),
        (route(POLICY), "the HTTPRoute of policy.linkerd.io other in default"),
        (
            route(POLICY, namespace="shop"),
            "the HTTPRoute of policy.linkerd.io other in shop, for callers there,",
        ),
        (route(POLICY, parent(kind="Server", group="policy.linkerd.io")), ""),
        (route(POLICY, status=refused()), ""),
        (
            route(POLICY, status=refused(name="another")),
            "the HTTPRoute of policy.linkerd.io other in default",
        ),
        (route(GRPC), "the GRPCRoute other in default"),
        (route(GRPC, namespace="shop"), "the GRPCRoute other in shop, for callers there,"),
        (MigrationObject(PROFILE, {}), ""),
    ],
)
def test_who_takes_the_calls_of_which_services(found: KubeObject, what: str) -> None:
    """A profile with routes or overrides takes its Service's calls; so do routes of other kinds, and of elsewhere."""
    taken = {key: conflict.what for key, conflict in of(found, DOMAIN).items()}
    assert taken == ({A: what.format(PROFILE.name)} if what else {})


def test_a_route_is_for_the_ports_that_its_parents_name() -> None:
    """Of several parents all ports count, and one without a port is for all of them."""
    some = of(route(POLICY, parent(port=80), parent(port=81)), DOMAIN)[A]
    every = of(route(POLICY, parent(port=80), parent(), parent(port=81)), DOMAIN)[A]
    assert some.ports == frozenset({80, 81})
    assert every.ports is None


def judged(found: KubeObject, *mine: HTTPRouteObject, ports: Any = PORTS) -> str:
    """Whether this wins or loses against the Service's own routes; "" where it does neither."""
    judgement = judge(of(found, DOMAIN).values(), mine, ports)
    return {(1, 0): "wins", (0, 1): "loses", (0, 0): ""}[
        len(judgement.winning), len(judgement.losing)
    ]


@pytest.mark.parametrize("resource", [HTTP, POLICY])
@pytest.mark.parametrize("rule", EVERYTHING)
def test_of_routes_that_take_every_request_the_oldest_counts(
    resource: Resource, rule: dict[str, Any]
) -> None:
    """Ours counts once it is older; before it is there, and where they are of one second, by name."""
    theirs = route(resource, namespace="shop", rules=[rule])
    assert judged(theirs) == "wins"
    assert judged(theirs, own(second=3)) == "wins"
    assert judged(theirs, own(second=1)) == "loses"
    assert judged(theirs, own(name="another")) == "loses"
    assert judged(theirs, own(name="other")) == "wins"


@pytest.mark.parametrize("rule", SOME)
def test_a_more_specific_match_wins_whatever_its_age(rule: dict[str, Any]) -> None:
    """A younger route takes the requests that it asks for; and those that ours does not ask for."""
    assert judged(route(POLICY, rules=[{}, rule]), own(second=1)) == "wins"
    assert judged(route(POLICY), own(second=1, rules=[SOME[0]])) == "wins"
    assert judged(route(POLICY), own(second=1, rules=[rule, {}])) == "loses"


@pytest.mark.parametrize(
    ("app_protocols", "judgement"),
    [
        (("",), "wins"),
        (("kubernetes.io/h2c",), "wins"),
        (("http",), ""),
        (("http", ""), "wins"),
        ((), "wins"),
    ],
)
def test_a_grpcroute_beats_every_httproute(app_protocols: tuple[str, ...], judgement: str) -> None:
    """Whatever its age, but where all ports are HTTP/1 by their appProtocol: there it is nothing."""
    ports = [Port(str(at), 80 + at, app_protocol=said) for at, said in enumerate(app_protocols)]
    assert judged(route(GRPC, second=9), own(second=1), ports=ports) == judgement


def test_a_route_of_another_port_is_nothing() -> None:
    """What is for a port that the Service has not, or that its own route is not for, routes none of its calls."""
    assert judged(route(POLICY, parent(port=81))) == ""
    ports = (*PORTS, Port("admin", 81))
    assert judged(route(POLICY, parent(port=81)), ports=ports) == "wins"
    assert judged(route(POLICY, parent(port=81)), own(), ports=ports) == "wins"
    of_80 = route(HTTP, parent(port=80), name="service-a")
    assert judged(route(POLICY, parent(port=81)), of_80, ports=ports) == ""
    assert judged(route(POLICY, parent(port=80), second=3), of_80, ports=ports) == "loses"


def test_a_profile_wins_always() -> None:
    """Against whatever route, and before there is one; what comes first is told first."""
    both = [*of(profile(routes=True), DOMAIN).values(), *of(route(POLICY), DOMAIN).values()]
    told = tuple(conflict.what for conflict in both)
    assert judge(both, [], PORTS) == Judged(told, ())
    assert judge(both, [own(second=1)], PORTS) == Judged(told[:1], told[1:])
