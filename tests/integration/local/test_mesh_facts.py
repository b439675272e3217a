"""Facts 24 to 28 and 33 of docs/mesh-facts.md: the mesh model does what was measured, without API servers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from deploy.stand_ins.mesh.config import (
    OPAQUE_PORTS,
    Asked,
    ClusterConfig,
    Endpoint,
    Protocol,
    Routed,
    Weighted,
    protocol_of,
    route_of,
)
from deploy.stand_ins.mesh.counts import Counts
from deploy.stand_ins.mesh.load import Load
from deploy.stand_ins.mesh.mirror import mirror_service
from deploy.stand_ins.mesh.objects import service_object
from deploy.stand_ins.mesh.outbound import Refuse
from tests.integration.local.mesh_pair import (
    URL,
    WEB,
    Pair,
    Side,
    route_object,
    running_pair,
    until,
)
from tests.integration.local.test_mesh_outbound import ALL_AWAY, ALL_LOCAL, AWAY, LOCAL, World

AWAY_ONLY = Weighted((("web", 0.0), ("web-eks", 1000.0)))
LOCAL_ONLY = Weighted((("web", 1000.0), ("web-eks", 0.0)))
OLD, YOUNG = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Both clusters."""
    async with running_pair(seed=3) as running:
        yield running


def load_of(side: Side, proxy_url: str, **settings: Any) -> Load:
    """Return a load on web through a proxy, not yet started."""
    return Load(proxy_url, URL, rng=random.Random(1), rate_hz=400.0, **settings)


async def answered_by(load: Load, requests: int = 100) -> Counter[str]:
    """Send so many requests; count them by the cluster that answered."""
    load.start()
    await until(lambda: load.snapshot().requests >= requests)
    await load.stop()
    return Counter(sent.served_by.partition("/")[0] for sent in load.sent())


# --- 24: what a port is taken for


@pytest.mark.parametrize(
    ("written", "protocol"),
    [
        (None, Protocol.DETECT),
        ("http", Protocol.HTTP),
        ("HTTP", Protocol.HTTP),
        ("kubernetes.io/h2c", Protocol.HTTP),
        ("linkerd.io/tcp", Protocol.OPAQUE),
        ("linkerd.io/opaque", Protocol.OPAQUE),
        ("grpc", Protocol.OPAQUE),
        ("http2", Protocol.OPAQUE),
        ("https", Protocol.OPAQUE),
        ("kubernetes.io/ws", Protocol.OPAQUE),
        ("kafka", Protocol.OPAQUE),
    ],
)
def test_fact_24_app_protocol_is_read_as_linkerd_reads_it(
    written: str | None, protocol: Protocol
) -> None:
    """Four values are known, in any case; none is detected, and every other one is opaque."""
    assert protocol_of(service_object(WEB, app_protocol=written), 80) is protocol


@pytest.mark.parametrize(
    ("port", "annotations", "protocol"),
    [
        (3306, {}, Protocol.OPAQUE),
        (3306, {OPAQUE_PORTS: ""}, Protocol.DETECT),
        (8085, {OPAQUE_PORTS: "25, 8080-8090"}, Protocol.OPAQUE),
        (8091, {OPAQUE_PORTS: "25, 8080-8090"}, Protocol.DETECT),
    ],
)
def test_fact_24_a_port_may_be_opaque_by_its_number(
    port: int, annotations: dict[str, str], protocol: Protocol
) -> None:
    """Linkerd's default opaque ports hold unless the Service's annotation names others."""
    assert protocol_of(service_object(WEB, port, annotations=annotations), port) is protocol


@pytest.mark.parametrize("written", ["grpc", "http2"])
def test_fact_24_nobody_follows_a_route_on_an_opaque_port(written: str) -> None:
    """At 100 % away all calls stay; without the appProtocol, or with that of HTTP/2, all of them go."""
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    world.config.put("Service", service_object(WEB, app_protocol=written))
    assert {world.ask() for _ in range(50)} == {LOCAL}
    for good in (None, "kubernetes.io/h2c"):
        world.config.put("Service", service_object(WEB, app_protocol=good))
        assert {world.ask() for _ in range(50)} == {AWAY}


def test_fact_24_a_mirror_has_no_app_protocol() -> None:
    """The service mirror drops it, so what goes through a mirror looks good either way."""
    (port,) = mirror_service(service_object(WEB, app_protocol="grpc"), "eks")["spec"]["ports"]
    assert "appProtocol" not in port


async def test_fact_24_a_connection_that_is_not_http_is_not_routed(pair: Pair) -> None:
    """On a port without appProtocol HTTP follows the route, and what is not HTTP stays local."""
    pair.legacy.config.put("HTTPRoute", route_object(ALL_AWAY))
    proxy = (await pair.legacy.client()).proxy_url
    assert set(await answered_by(load_of(pair.legacy, proxy))) == {"eks"}
    assert set(await answered_by(load_of(pair.legacy, proxy, opaque=True))) == {"legacy"}


# --- 25: a TrafficSplit on an opaque port


async def test_fact_25_a_split_on_an_opaque_port_is_obeyed_per_connection(pair: Pair) -> None:
    """Requests of one connection stay in one cluster while new connections are split by the weights."""
    pair.legacy.config.put("Service", service_object(WEB, app_protocol="grpc"))
    pair.legacy.split(0.5)
    client = await pair.legacy.client()
    by_connection = []
    for _ in range(40):
        by_connection.append(await client.count(5))
        client.close()
    assert all(len(counts) == 1 for counts in by_connection)
    assert {cluster for counts in by_connection for cluster in counts} == {"legacy", "eks"}


async def test_fact_25_an_open_opaque_connection_stays_where_it_began(pair: Pair) -> None:
    """When the weights change it stays, and a new one follows them; no response is counted (20, 21)."""
    pair.legacy.config.put("Service", service_object(WEB, app_protocol="grpc"))
    pair.legacy.split(0.0)
    client = await pair.legacy.client()
    assert await client.count(3) == {"legacy": 3}
    pair.legacy.split(1.0)
    pair.propagate()
    assert await client.count(3) == {"legacy": 3}
    client.close()
    assert await client.count(3) == {"eks": 3}
    assert {name for (name, _), _ in pair.legacy.counts.series()} == {"proxy_build_info"}


async def test_fact_25_an_opaque_connection_gets_no_answer_from_the_mesh(pair: Pair) -> None:
    """Where HTTP is answered by the proxy itself, an opaque connection is closed."""
    pair.legacy.write([("web-eks.default.svc.cluster.local", 1.0)])
    assert (await (await pair.legacy.client()).get()).status == 500
    pair.legacy.config.put("Service", service_object(WEB, app_protocol="grpc"))
    assert (await (await pair.legacy.client(seed=1)).get()).status == 0


async def test_fact_25_a_gateway_closes_an_opaque_connection_that_it_cannot_send_on(
    pair: Pair,
) -> None:
    """What a gateway would answer to HTTP ends an opaque connection, at the client too."""
    pair.legacy.split(1.0)
    pair.eks.write([("web.default.svc.cluster.local", 1.0)])
    assert (await (await pair.legacy.client()).get()).status == 500
    pair.legacy.config.put("Service", service_object(WEB, app_protocol="grpc"))
    assert (await (await pair.legacy.client(seed=1)).get()).status == 0


# --- 26: routes of one Service are merged


def path(value: str, kind: str = "PathPrefix") -> dict[str, Any]:
    """Return a match of a path."""
    return {"path": {"type": kind, "value": value}}


def test_fact_26_an_older_route_without_matches_wins() -> None:
    """Linkerd's own older HTTPRoute on the Service takes all, whichever was told of first."""
    config = ClusterConfig()
    config.put("HTTPRoute", route_object(ALL_AWAY, made=YOUNG))
    assert config.policy(WEB, "default").route == AWAY_ONLY
    config.put("OlderHTTPRoute", route_object([], name="timeouts", made=OLD))
    assert config.policy(WEB, "default").route is None
    config.put("OlderHTTPRoute", route_object([], name="timeouts", made="2026-03-01T00:00:00Z"))
    assert config.policy(WEB, "default").route == AWAY_ONLY


def test_fact_26_the_more_specific_match_comes_first_then_the_oldest() -> None:
    """A longer path beats an older route; the same path does not; an exact one beats every prefix."""
    rest = route_object(ALL_LOCAL, name="rest", made=OLD)
    long = route_object(ALL_AWAY, name="long", made=YOUNG, matches=[path("/api")])
    same = route_object(ALL_LOCAL, name="same", made=OLD, matches=[path("/api")])
    exact = route_object(ALL_AWAY, name="exact", made=YOUNG, matches=[path("/api/x", "Exact")])

    def sent(routes: Sequence[Any], target: bytes) -> object:
        merged = route_of(routes, WEB)
        assert isinstance(merged, Routed)
        rule = merged.rule_for(Asked(path=target))
        return rule and rule.split

    assert sent([rest, long], b"/api/y?z") == AWAY_ONLY
    assert sent([rest, long], b"/apis") == LOCAL_ONLY
    assert sent([rest, long, same], b"/api/y") == LOCAL_ONLY
    assert sent([rest, same, exact], b"/api/x") == AWAY_ONLY
    assert sent([long], b"/other") is None


def test_fact_26_what_no_route_takes_is_404() -> None:
    """A Service with routes, none of which is for a request, answers 404 by the proxy."""
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_AWAY, matches=[path("/api")]))
    answer = world.ask()
    assert isinstance(answer, Refuse)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("match", "asked", "taken"),
    [
        ({"method": "GET"}, Asked(), True),
        ({"method": "GET"}, Asked(b"POST"), False),
        ({"headers": [{"name": "A", "value": "b"}]}, Asked(fields=((b"a", b"b"),)), True),
        ({"headers": [{"name": "A", "value": "b"}]}, Asked(), False),
        (path("/.*", "RegularExpression"), Asked(), False),
    ],
)
def test_fact_26_matches_are_those_of_the_gateway_api(
    match: dict[str, Any], asked: Asked, taken: bool
) -> None:
    """Method and headers count, and a regular expression, which is not modelled, takes nothing."""
    merged = route_of([route_object(ALL_AWAY, matches=[match])], WEB)
    assert isinstance(merged, Routed)
    assert (merged.rule_for(asked) is not None) is taken


def test_fact_26_a_route_is_for_the_port_that_it_names() -> None:
    """A route of port 80 says nothing about another port of the Service."""
    config = ClusterConfig()
    config.put("HTTPRoute", route_object(ALL_AWAY))
    assert config.policy(WEB, "default", 80).route == AWAY_ONLY
    assert config.policy(WEB, "default", 81).route is None


def test_fact_26_a_linkerd_without_http_routes_obeys_none() -> None:
    """Linkerd's own older ones are obeyed there all the same."""
    config = ClusterConfig(http_routes=False)
    config.put("HTTPRoute", route_object(ALL_AWAY))
    assert config.policy(WEB, "default").route is None
    config.put("OlderHTTPRoute", route_object(ALL_AWAY))
    assert config.policy(WEB, "default").route == AWAY_ONLY


# --- 27: from a TrafficSplit to an HTTPRoute


def test_fact_27_busy_clients_ignore_the_route_that_replaced_a_split() -> None:
    """981 requests and a later move are ignored; after 5 s without one the route is followed."""
    world = World()
    world.split(ALL_LOCAL)
    assert world.ask() == LOCAL
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    world.unsplit()
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert {world.ask() for _ in range(981)} == {LOCAL}
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.keep_busy(30) == LOCAL
    assert world.ask(5.0) == AWAY


# --- 28: series of one name in two namespaces


def test_fact_28_routes_of_one_name_are_counted_under_the_first_namespace() -> None:
    """Calls of shop/web appear as those of default/web, which this proxy called before."""
    counts = Counts(namespace="default", name="client", far="eks")
    for namespace in ("default", "shop"):
        counts.call((namespace, "web"), "web", by_profile=False)(200)
    told = [(dict(labels), n) for (name, labels), n in counts.series() if "route_" in name]
    assert [(labels["parent_namespace"], n) for labels, n in told] == [("default", 2)] * 2
    profiles = Counts(namespace="default", name="client", far="eks")
    for namespace in ("default", "shop"):
        profiles.call((namespace, "web"), "web", by_profile=True)(200)
    told = [
        (dict(labels), n) for (name, labels), n in profiles.series() if name != "proxy_build_info"
    ]
    assert [(labels["dst_namespace"], n) for labels, n in told] == [("default", 1), ("shop", 1)]


# --- 33: who goes past the split


async def test_fact_33_who_dials_pods_is_never_split(pair: Pair) -> None:
    """At 100 % away an ingress that sends to endpoints reaches local pods alone, whatever its Host says."""
    pair.legacy.split(1.0)
    proxy = (await pair.legacy.client()).proxy_url
    assert set(await answered_by(load_of(pair.legacy, proxy))) == {"eks"}

    def pods() -> Sequence[str]:
        return [f"{e.ip}:{e.port}" for e in pair.legacy.config.endpoints(WEB)[80]]

    assert set(await answered_by(load_of(pair.legacy, proxy, dial=pods))) == {"legacy"}


def test_fact_33_the_name_of_a_headless_service_is_never_split() -> None:
    """Its name stands for its pods: neither a split nor a route of that name means anything."""
    world = World()
    world.config.put("Service", service_object(WEB, headless=True))
    world.split(ALL_AWAY)
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.ask() == LOCAL


def test_fact_33_a_twin_is_not_split() -> None:
    """Another Service that selects the same pods leads to them, whatever the split of the first says."""
    world = World()
    world.config.put("Service", service_object(("default", "twin"), selects="web"))
    world.fill("twin", Endpoint(LOCAL.ip, LOCAL.port))
    world.split(ALL_AWAY)
    assert world.ask() == AWAY
    assert world.outbound.decide(("default", "twin"), 80, world.now)[1] == LOCAL
