"""Real traffic by a real Prometheus: what proxies count arrives as what callers did, and lies as nothing."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic, sleep, time
from typing import Any

import aiohttp
import pytest

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters, Increase
from controller.evidence.clients.monitor import Answered, Freshness
from controller.runtime.prometheus import Prometheus
from controller.runtime.settings import PrometheusSettings
from deploy.servers import prometheus
from prober.contract import Counts
from tests.unit.runtime.proxy_metrics import Proxies, loops, meshed, response, route, stranger

A = Key("default", "service-a")
EVERY_S = 0.1
LIMIT_S = 30.0
POD = "10.0.0.7:8080"


class Meter:
    """Counts the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one."""
        self.asked.append(outcome)


def order(kind: SplitKind = SplitKind.TRAFFICSPLIT, key: Key = A) -> dict[Key, TrafficOrder]:
    """One Service to be counted."""
    kinds = {"legacy": kind, "eks": kind}
    return {key: TrafficOrder(key, "eks", kinds, {}, {"legacy": (POD,)})}


class Watched:
    """A Prometheus that scrapes some proxies, and the product's own client of it."""

    def __init__(self, proxies: Proxies, url: str, orders: dict[Key, TrafficOrder]) -> None:
        self.proxies = proxies
        self.meter = Meter()
        tally = Counters(
            "legacy", "eks", gateways="linkerd-multicluster", apart=frozenset({"migrate"})
        )
        self.client = Prometheus(PrometheusSettings(url=url), tally, self.meter)
        self.orders = orders
        self.last = Answered("legacy", 0.0)
        self.total = Increase()

    async def query(self) -> Increase:
        """One tick."""
        self.last = await asyncio.to_thread(self.client.query, self.orders)
        found = self.last.increases.services.get(A, Increase())
        self.total = Increase(
            here=_plus(self.total.here, found.here),
            across=_plus(self.total.across, found.across),
            loops=self.total.loops + found.loops,
            following=self.total.following | found.following,
            ignoring=self.total.ignoring | found.ignoring,
            unmeshed=self.total.unmeshed + found.unmeshed,
            reached=Counter(self.total.reached) + Counter(found.reached),
            proxied=found.proxied,
        )
        return found

    async def until(self, reached: Callable[[], object]) -> None:
        """Look until something is so."""
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                await self.query()
                await asyncio.sleep(EVERY_S / 2)

    async def scraped(self, times: int = 1) -> None:
        """Look until what the proxies say now has been scraped, and is what Prometheus answers."""
        scraped_at = time() + (times - 1) * EVERY_S
        await self.until(lambda: (self.last.newest or 0.0) > scraped_at)


def _plus(one: Counts, other: Counts) -> Counts:
    return Counts(one.sent + other.sent, one.bad + other.bad)


@asynccontextmanager
async def watched(
    kind: SplitKind = SplitKind.TRAFFICSPLIT, jobs: tuple[str, ...] = ("linkerd-proxy",)
) -> AsyncIterator[Watched]:
    """Scrape proxies with a real Prometheus, and wait until their first word was heard."""
    async with (
        Proxies() as proxies,
        prometheus.Prometheus({job: [proxies.address] for job in jobs}, every_s=EVERY_S) as server,
    ):
        found = Watched(proxies, server.url, order(kind))
        await found.until(lambda: found.last.newest)
        yield found


@pytest.fixture(autouse=True)
def _prometheus(real_prometheus: None) -> None:
    """Skip all of this where there is no Prometheus."""


async def test_what_was_counted_before_is_not_counted() -> None:
    """What proxies had counted before the first look is nobody's, what comes after it is exact."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 1000)
        found.proxies.count(response("service-a-eks", 500), 500)
        await found.scraped()
        assert found.total.here == found.total.across == Counts()
        found.proxies.count(response("service-a"), 7)
        found.proxies.count(response("service-a-eks"), 20)
        found.proxies.count(response("service-a-eks", 500), 3)
        await found.scraped()
        assert (found.total.here, found.total.across) == (Counts(7, 0), Counts(23, 3))
        assert found.total.following == {"shop/deployment web"}


async def test_the_first_failure_of_a_known_caller_counts() -> None:
    """A series that a known proxy begins is counted from zero: the first failures are not lost."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 10)
        await found.scraped()
        found.proxies.count(response("service-a-eks", 503), 4)
        await found.scraped()
        assert found.total.across == Counts(4, 4)


async def test_routes_are_counted_by_backend_and_status() -> None:
    """By an HTTPRoute it is the route's series that count: 5xx and errors fail, what callers cancel is none."""
    async with watched(SplitKind.HTTPROUTE) as found:
        found.proxies.count(route("service-a"), 1)
        found.proxies.count(response("service-a"), 1)
        await found.scraped()
        for backend, status, error, count in (
            ("service-a", 200, "", 5),
            ("service-a-eks", 204, "", 10),
            ("service-a-eks", 404, "", 1),
            ("service-a-eks", 503, "", 2),
            ("service-a-eks", 0, "FAIL_FAST", 3),
            ("service-a-eks", 0, "CANCEL", 40),
            ("service-b", 200, "", 50),
        ):
            found.proxies.count(route(backend, status, error=error), count)
        found.proxies.count(response("service-a"), 100)
        await found.scraped()
        assert (found.total.here, found.total.across) == (Counts(5, 0), Counts(16, 5))
        assert found.total.ignoring == frozenset()


async def test_who_is_routed_past_a_trafficsplit_is_named() -> None:
    """Where a TrafficSplit is in force, a growing route series is a caller that ignores it, and is local."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 1)
        found.proxies.count(route("service-a", pod="old-1", deployment="old"), 1)
        found.proxies.count(response("service-a", pod="old-1", deployment="old"), 1)
        await found.scraped()
        found.proxies.count(response("service-a-eks"), 6)
        found.proxies.count(route("service-a", pod="old-1", deployment="old"), 9)
        found.proxies.count(response("service-a", pod="old-1", deployment="old"), 9)
        await found.scraped()
        assert found.total.ignoring == {"shop/deployment old"}
        assert found.total.following == {"shop/deployment web"}
        assert (found.total.here, found.total.across) == (Counts(9, 0), Counts(6, 0))


async def test_what_gateways_and_probers_call_is_left_out() -> None:
    """Calls that a gateway passes on, and probes, are no callers of this cluster."""
    async with watched() as found:
        for namespace in ("linkerd-multicluster", "migrate"):
            found.proxies.count(response("service-a", namespace=namespace), 1)
        await found.scraped()
        for namespace in ("linkerd-multicluster", "migrate"):
            found.proxies.count(response("service-a", namespace=namespace), 50)
        found.proxies.count(response("service-a"), 1)
        await found.scraped()
        found.proxies.count(response("service-a"), 2)
        await found.scraped()
        assert found.total.here == Counts(2, 0)


async def test_copies_of_a_series_count_once() -> None:
    """A proxy that two jobs scrape (or two replicas, or a federation) is one caller; two pods are two."""
    async with watched(jobs=("linkerd-proxy", "pods")) as found:
        found.proxies.count(response("service-a"), 1)
        found.proxies.count(response("service-a", pod="web-2"), 1)
        await found.scraped(4)
        found.proxies.count(response("service-a"), 10)
        found.proxies.count(response("service-a", pod="web-2"), 5)
        await found.scraped(4)
        assert found.total.here == Counts(15, 0)


@pytest.mark.parametrize(("honor_labels", "copies"), [(True, "1"), (False, "2")])
async def test_a_federation_tells_nothing_twice(honor_labels: bool, copies: str) -> None:
    """Where a Prometheus scrapes proxies and another Prometheus that does, each call counts once, whether
    its samples fall into one series or make another."""
    async with (
        Proxies() as proxies,
        prometheus.Prometheus({"linkerd-proxy": [proxies.address]}, every_s=EVERY_S) as inner,
        prometheus.Prometheus(
            {
                "linkerd-proxy": [proxies.address],
                "federate": {
                    "metrics_path": "/federate",
                    "params": {"match[]": ['{job="linkerd-proxy"}']},
                    "honor_labels": honor_labels,
                    "static_configs": [{"targets": [inner.url.removeprefix("http://")]}],
                },
            },
            every_s=EVERY_S,
        ) as outer,
    ):
        found = Watched(proxies, outer.url, order())
        found.proxies.count(response("service-a"), 10)
        await found.scraped(4)
        await _copies(found, 'count(response_total{dst_service="service-a"})', copies)
        found.proxies.count(response("service-a"), 5)
        await found.scraped(6)
        assert found.total.here == Counts(5, 0)


async def _copies(found: Watched, query: str, expected: str) -> None:
    """Wait until the series is there so often, so that the test proves what it says."""
    async with (
        asyncio.timeout(LIMIT_S),
        aiohttp.ClientSession(found.client._settings.url or None) as session,
    ):
        while True:
            async with session.get("/api/v1/query", params={"query": query}) as answer:
                result = (await answer.json())["data"]["result"]
            if result and result[0]["value"][1] == expected:
                return
            await found.query()


async def test_a_restart_is_no_traffic_and_hides_none() -> None:
    """A proxy whose counters fell tells nothing this time, and all that it counts from then on."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 1000)
        await found.scraped()
        found.proxies.drop("web-1")
        found.proxies.count(("proxy_build_info", {"namespace": "shop", "pod": "web-1"}), 1)
        found.proxies.count(response("service-a"), 5)
        await found.scraped()
        assert found.total.here == Counts()
        found.proxies.count(response("service-a"), 8)
        await found.scraped()
        assert found.total.here == Counts(8, 0)


async def test_nan_is_not_counted() -> None:
    """A sample that is no number is no observation, neither of none nor of all."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 10)
        await found.scraped()
        found.proxies.count(response("service-a"), math.nan)
        found.proxies.count(response("service-a-eks"), 3)
        await found.scraped()
        assert (found.total.here, found.total.across) == (Counts(), Counts(3, 0))


async def test_proxies_that_are_not_scraped_any_more_are_known_to_be_stale() -> None:
    """When scrapes fail the proxies' samples are gone: there is no newest one, and nothing is counted."""
    async with watched() as found:
        found.proxies.count(response("service-a"), 10)
        await found.scraped()
        found.proxies.away = True
        await found.until(lambda: found.last.newest is None)
        assert found.last.error == ""
        found.proxies.away = False
        found.proxies.count(response("service-a"), 4)
        await found.until(lambda: found.total.here.sent)
        assert found.total.here == Counts(4, 0)


async def test_samples_of_another_time_are_not_of_now() -> None:
    """Samples that say that they are four minutes old are told with their age, and are not counted."""
    async with Proxies() as proxies:
        proxies.stamped_ms = round((time() - 240) * 1000)
        jobs = {"linkerd-proxy": [proxies.address]}
        async with prometheus.Prometheus(jobs, every_s=EVERY_S) as server:
            found = Watched(proxies, server.url, order())
            await found.until(lambda: found.last.newest)
    source = Freshness("legacy", tick_s=10.0)
    assert not source.apply(found.last)
    assert source.unknown(found.last.now_s).startswith("its newest sample of a Linkerd proxy is 2")


async def test_a_prometheus_without_proxies_has_no_newest_sample() -> None:
    """A Prometheus that knows of no Linkerd proxy answers, and what it tells is not known."""
    async with prometheus.Prometheus({}, every_s=EVERY_S) as server:
        found = Watched(Proxies(), server.url, order())
        await found.query()
        assert (found.last.error, found.last.newest) == ("", None)


async def test_loops_are_those_of_the_gateway() -> None:
    """The gateway's refused loops, and the callers' answers 508, are both told; another pod's are not."""
    async with watched() as found:
        found.proxies.count(loops(), 3)
        found.proxies.count(loops("other"), 3)
        found.proxies.count(response("service-a-eks"), 1)
        await found.scraped()
        found.proxies.count(loops("other"), 1)
        await found.scraped()
        assert not found.last.increases.looped
        found.proxies.count(loops(), 1)
        found.proxies.count(response("service-a-eks", 508), 2)
        await found.until(lambda: found.last.increases.looped)
        await found.until(lambda: found.total.loops)
        assert (found.total.loops, found.total.across) == (2, Counts(2, 2))


async def test_requests_from_outside_the_mesh_are_told() -> None:
    """Requests without an identity that reach the Service's own pods are counted, kubelet's probes are not."""
    async with watched() as found:
        for series in (
            stranger(POD),
            stranger(POD, route_name="probe"),
            stranger("10.9.9.9:80", pod="b-1"),
        ):
            found.proxies.count(series, 1)
        await found.scraped()
        found.proxies.count(stranger(POD), 4)
        found.proxies.count(stranger(POD, route_name="probe"), 100)
        found.proxies.count(stranger("10.9.9.9:80", pod="b-1"), 100)
        await found.scraped()
        assert found.total.unmeshed == 4


async def test_who_reaches_the_pods_is_told_by_its_identity() -> None:
    """What the pods' own proxies count is told by the caller's name, and neither our probers nor other pods' callers
    are; the first request of a caller counts where the pod was known."""
    async with watched() as found:
        found.orders[A] = replace(found.orders[A], names={"legacy": frozenset({"a-1", "a-2"})})
        found.proxies.count(("proxy_build_info", {"namespace": "default", "pod": "a-1"}), 1)
        found.proxies.count(meshed("prober", "migrate", POD), 5)
        await found.scraped()
        found.proxies.count(meshed("prober", "migrate", POD), 100)
        found.proxies.count(meshed("nginx", "ingress", POD), 1)
        found.proxies.count(meshed("web", "shop", "10.9.9.9:80", pod="b-1"), 7)
        await found.scraped()
        assert (found.total.reached, found.total.proxied) == ({"ingress/nginx": 1}, 1)


async def test_the_number_of_questions_does_not_depend_on_the_migrations() -> None:
    """One and four hundred migrations are asked about with the same number of questions, all answered."""
    async with watched() as found:
        asked = []
        for count in (1, 400):
            orders = [order(key=Key("default", f"service-{n:03}")) for n in range(count)]
            found.orders = {key: one for part in orders for key, one in part.items()}
            found.meter.asked.clear()
            await found.query()
            asked.append(found.meter.asked.copy())
            assert found.last.error == ""
        assert asked[0] == asked[1] == ["ok"] * 8


async def test_a_scrape_between_two_questions_parts_nothing() -> None:
    """What one proxy counted at one time is one look's, also where a scrape comes while the questions are asked."""
    async with watched() as found:
        count = found.proxies.count
        count(response("service-a"), 1)
        count(route("service-a"), 1)
        await found.scraped()
        ask = found.client._ask

        def call_first(connection: Any, query: str, at: float | None = None) -> Any:
            if "backend_name" in query:
                count(response("service-a"), 1)
                count(route("service-a"), 1)
                before, end_s = found.proxies.scrapes, monotonic() + LIMIT_S
                while found.proxies.scrapes < before + 2:
                    assert monotonic() < end_s, "nobody scrapes"
                    sleep(EVERY_S / 10)
            return ask(connection, query, at)

        found.client._ask = call_first  # type: ignore[method-assign]
        await found.query()
        found.client._ask = ask  # type: ignore[method-assign]
        await found.scraped()
        assert found.total.ignoring
        assert not found.total.following


async def test_the_answer_is_dated_by_our_own_clock() -> None:
    """When an answer came is told by the monotonic clock, and since when its growth is by the answer before."""
    async with watched() as found:
        await found.query()
        before = found.last.now_s
        await found.query()
        assert found.last.since_s == before < found.last.now_s <= monotonic()
