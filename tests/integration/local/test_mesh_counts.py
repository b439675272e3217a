"""What the mesh model's proxies count, in the names and by the rules of docs/mesh-facts.md, 11, 20 and 21."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters
from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.counts import Counts, MetricsPage
from tests.integration.local.mesh_pair import (
    Pair,
    Side,
    route_object,
    running_pair,
    split_object,
    write_split,
)

URL = "http://web.default.svc.cluster.local/"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Both clusters."""
    async with running_pair(seed=3) as running:
        yield running


def told(counts: Counts, metric: str, *names: str) -> Counter[tuple[str, ...]]:
    """What was counted, by these labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (name, labels), value in counts.series():
        if name == metric:
            by = dict(labels)
            found[tuple(by.get(label, "") for label in names)] += value
    return found


async def test_who_follows_a_split_counts_responses_by_backend(pair: Pair) -> None:
    """A client that knew the split from the start counts each answer at its backend, and no route."""
    pair.legacy.split(0.5)
    client = await pair.legacy.client()
    answers = [await client.get(URL) for _ in range(40)]
    by_backend = told(pair.legacy.counts, "response_total", "dst_service", "dst_target_cluster")
    assert sum(by_backend.values()) == len(answers)
    assert set(by_backend) == {("web", ""), ("web-eks", "eks")}
    for family in ("requests", "response_statuses"):
        assert not told(pair.legacy.counts, f"outbound_http_route_backend_{family}_total")


async def test_who_is_routed_counts_routes_by_backend(pair: Pair) -> None:
    """A client that an HTTPRoute routes counts each answer at the route's backend, under the route's Service."""
    pair.legacy.config.put("HTTPRoute", route_object([("web", 1), ("web-eks", 1)]))
    client = await pair.legacy.client()
    answers = [await client.get(URL) for _ in range(40)]
    for family in ("requests", "response_statuses"):
        metric = f"outbound_http_route_backend_{family}_total"
        by_backend = told(pair.legacy.counts, metric, "parent_name", "backend_name")
        assert sum(by_backend.values()) == len(answers)
        assert set(by_backend) == {("web", "web"), ("web", "web-eks")}


async def test_who_ignores_a_split_counts_routes_too(pair: Pair) -> None:
    """A client that was busy when the split was made counts routes to the local backend, as before."""
    client = await pair.legacy.client()
    await client.get(URL)
    pair.legacy.split(1.0)
    pair.propagate()
    for _ in range(5):
        await client.get(URL)
    statuses = told(
        pair.legacy.counts,
        "outbound_http_route_backend_response_statuses_total",
        "parent_name",
        "backend_name",
        "http_status",
    )
    assert statuses == {("web", "web", "200"): 6}


async def test_failures_are_a_backends_or_nobodys(pair: Pair) -> None:
    """A 500 of a pod is a failure of its backend; one that the proxy gives itself is no response."""
    client = await pair.legacy.client()
    pair.legacy.workload.fail()
    await client.get(URL)
    backends: list[tuple[str, float]] = [("web.default.svc.cluster.local", 1)]
    write_split(pair.legacy.config, split_object(backends))
    other = await pair.legacy.client(seed=1)
    assert (await other.get(URL)).proxy_error
    assert told(pair.legacy.counts, "response_total", "classification", "status_code") == {
        ("failure", "500"): 1
    }


async def test_a_loop_is_counted_where_it_is_refused_and_by_the_caller(pair: Pair) -> None:
    """At (1, 1) without pins the gateway of the client's cluster counts the loop, the client the 508."""
    pair.legacy.split(1.0)
    pair.eks.split(1.0)
    client = await pair.legacy.client()
    await client.get(URL)
    own = pair.legacy.gateway._counts
    assert told(own, "inbound_http_errors_total", "error", "namespace") == {
        ("gateway loop", "linkerd-multicluster"): 1
    }
    assert not told(pair.eks.gateway._counts, "inbound_http_errors_total")
    assert told(pair.legacy.counts, "response_total", "dst_service", "status_code") == {
        ("web-eks", "508"): 1
    }


async def test_fact_21_a_pod_counts_who_called_it_whichever_way_they_came(pair: Pair) -> None:
    """Each request is counted at the pod that got it, by its caller's identity: by name, by address, by the gateway."""
    pair.legacy.split(1.0)
    client = await pair.legacy.client()
    by_name = [await client.get(URL) for _ in range(6)]
    (address, *_) = [f"{pod.ip}:8080" for pod in pair.legacy.workload.pods]
    by_address = [await client.get(f"http://{address}/") for _ in range(4)]
    assert {each.cluster for each in by_name} == {"eks"}
    assert {each.cluster for each in by_address} == {"legacy"}
    identity = "client.default.serviceaccount.identity.linkerd.cluster.local"
    assert inbound(pair.legacy) == {(address, "true", identity): 4}
    through = {(who, count) for (_, _, who), count in inbound(pair.eks).items()}
    assert {who for who, _ in through} == {pair.legacy.gateway.identity}
    assert sum(inbound(pair.eks).values()) == 6


def inbound(side: Side) -> Counter[tuple[str, ...]]:
    """What the proxies of a cluster's pods counted, by address and caller."""
    found: Counter[tuple[str, ...]] = Counter()
    for counts in side.page.proxies:
        found += told(counts, "inbound_http_authz_allow_total", "target_addr", "tls", "client_id")
    return found


ANSWERED = {
    "responses": "response_total",
    "routes": "outbound_http_route_backend_response_statuses_total",
    "loops": "inbound_http_errors_total",
    "unmeshed": "inbound_http_authz_allow_total",
    "served": "inbound_http_authz_allow_total",
    "proxies": "proxy_build_info",
}
"""Which metric each of the product's questions is about."""


def told_of_two_webs(
    shared: frozenset[str],
) -> dict[str, tuple[int, frozenset[str], frozenset[str]]]:
    """Call shop/web, whose split this client obeys, and default/web, whose split it ignores; return what the
    product says of both, by namespace: calls, who follows, who does not."""
    kinds = {"legacy": SplitKind.TRAFFICSPLIT}
    keys = [Key(namespace, "web") for namespace in ("default", "shop")]
    orders = {key: TrafficOrder(key, "eks", kinds, {}, {}, shared_names=shared) for key in keys}
    counters = Counters("legacy", "eks", gateways="linkerd-multicluster", apart=frozenset())
    proxy = Counts(namespace="apps", name="client", far="eks")
    proxy.call(("shop", "web"), "web", by_profile=False)(200)
    found: dict[str, tuple[int, frozenset[str], frozenset[str]]] = {}
    for _ in range(2):
        proxy.call(("default", "web"), "web", by_profile=False)(200)
        proxy.call(("shop", "web"), "web-eks", by_profile=True)(200)
        answers = {
            query: [
                (dict(labels), float(n)) for (name, labels), n in proxy.series() if name == told
            ]
            for query, told in ANSWERED.items()
        }
        for key, one in counters.count(answers, orders, 0.0).services.items():
            calls = one.here.sent + one.across.sent
            found[key.namespace] = (calls, one.following, one.ignoring)
    return found


def test_of_two_services_of_one_name_nobody_is_said_to_follow_or_not() -> None:
    """Fact 28: by the series of routes alone each of two namesakes is told the other's behaviour. Told that
    they share a name, the product says neither, and counts the calls of both by their responses."""
    client = frozenset({"apps/deployment client"})
    assert told_of_two_webs(frozenset()) == {
        "default": (1, client, frozenset()),
        "shop": (1, frozenset(), client),
    }
    assert told_of_two_webs(frozenset({"legacy"})) == {
        "default": (1, frozenset(), frozenset()),
        "shop": (1, frozenset(), frozenset()),
    }


async def test_the_page_is_in_prometheus_text(pair: Pair) -> None:
    """One page has every proxy, each series with the labels that Prometheus adds to a proxy's own."""
    page = MetricsPage()
    page.add(pair.legacy.counts)
    await page.start(wire(pair.addresses.take()))
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{page.address}/metrics") as answer,
        ):
            lines = (await answer.text()).splitlines()
    finally:
        await page.stop()
    assert lines == ['proxy_build_info{deployment="client",namespace="default",pod="client-0"} 1']
    assert all(re.fullmatch(r'\w+\{(\w+="[^"]*",?)+\} \d+', line) for line in lines)
