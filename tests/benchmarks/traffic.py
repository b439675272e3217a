"""Real traffic: how many questions one tick asks, and how long it takes, by how many migrations there are.

    python -m tests.benchmarks traffic

A real Prometheus scrapes an exporter in this process that counts like the proxies of ``CALLERS`` callers of
each Service, to two backends, with successes and failures. One tick is what the controller does: the
questions in a thread, rows to growth, and growth to evidence on the event loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter

from controller.domain import Key, SplitKind, TrafficOrder
from controller.evidence.clients.counters import Counters
from controller.evidence.clients.monitor import Answered, ClientMonitor, Freshness
from controller.runtime.prometheus import Prometheus
from controller.runtime.settings import PrometheusSettings
from deploy.servers import prometheus
from tests.benchmarks.product import Progress
from tests.benchmarks.result import CannotMeasure, Line, Result, percentile, spread
from tests.unit.runtime.proxy_metrics import Proxies, response, route

MIGRATIONS = (1, 100, 400)
CALLERS = 4
SCRAPE_S = 5.0
TICKS = 20
TICK_S = 10.0
READY_S = 60.0


@dataclass
class _Meter:
    """Counts the questions."""

    questions: list[str] = field(default_factory=list)

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one."""
        self.questions.append(outcome)


@dataclass
class _Measured:
    questions: list[int] = field(default_factory=list)
    asked_s: list[float] = field(default_factory=list)
    evaluated_s: list[float] = field(default_factory=list)


async def measure(say: Progress) -> Result:
    """Measure each number of migrations on one Prometheus."""
    if prometheus.find_binary("prometheus") is None:
        raise CannotMeasure(prometheus.MISSING)
    async with (
        Proxies() as proxies,
        prometheus.Prometheus({"linkerd-proxy": [proxies.address]}, every_s=SCRAPE_S) as server,
    ):
        found = {}
        for count in MIGRATIONS:
            keys = [Key("default", f"service-{n:03}") for n in range(count)]
            say(f"{count} migrations, {CALLERS} callers of each")
            found[count] = await _ticks(proxies, server.url, keys)
    most = found[max(MIGRATIONS)]
    asked, evaluated = spread(most.asked_s), spread(most.evaluated_s)
    questions = {str(count): max(one.questions) for count, one in found.items()}
    return Result(
        (
            Line(
                f"questions per tick at {', '.join(questions)} migrations",
                TICKS,
                ", ".join(map(str, questions.values())),
                "",
                "constant",
                "to each cluster's Prometheus",
            ),
            Line(
                f"one tick's answers, {max(MIGRATIONS)} migrations",
                TICKS,
                f"{asked['p50']} ms",
                f"{asked['p99']} ms",
                "",
                "in the thread: eight questions to a real Prometheus, rows to growth",
            ),
            Line(
                f"one tick's evaluation, {max(MIGRATIONS)} migrations",
                TICKS,
                f"{evaluated['p50']} ms",
                f"{evaluated['p99']} ms",
                "",
                "on the event loop: growth to points and evidence of every migration",
            ),
        ),
        {
            "prometheus_queries_per_tick": questions,
            "traffic_answers_ms": asked,
            "traffic_evaluation_ms": evaluated,
        },
    )


async def _ticks(proxies: Proxies, url: str, keys: list[Key]) -> _Measured:
    """Let callers call and look, tick after tick; the first look only notes what is there."""
    meter = _Meter()
    counters = Counters(
        "legacy", "eks", gateways="linkerd-multicluster", apart=frozenset({"migrate"})
    )
    client = Prometheus(PrometheusSettings(url=url), counters, meter)
    kinds = {"legacy": SplitKind.TRAFFICSPLIT}
    began = datetime.now(UTC)
    orders = {
        key: TrafficOrder(key, "eks", kinds, {}, {}, Decimal("99.9"), (key, began), judges=2)
        for key in keys
    }
    source = Freshness("legacy", tick_s=TICK_S)
    monitor = {key: ClientMonitor(tick_s=TICK_S) for key in keys}
    for key, account in monitor.items():
        account.order(orders[key], 0.0)
    _call(proxies, keys)
    await _until_scraped(client, orders, len(keys))
    measured = _Measured()
    for _ in range(TICKS):
        _call(proxies, keys)
        meter.questions.clear()
        began_s = perf_counter()
        answered = await asyncio.to_thread(client.query, orders)
        measured.asked_s.append(perf_counter() - began_s)
        measured.questions.append(len(meter.questions))
        began_s = perf_counter()
        _evaluate(source, monitor, answered)
        measured.evaluated_s.append(perf_counter() - began_s)
    if percentile(measured.questions, 0) != percentile(measured.questions, 100):
        raise CannotMeasure(f"Prometheus did not answer every tick: {answered.error}")
    return measured


def _evaluate(
    source: Freshness,
    monitor: dict[Key, ClientMonitor],
    answered: Answered,
) -> None:
    """What the state does with one answer."""
    fresh = source.apply(answered)
    for key, account in monitor.items():
        account.apply(key, answered, fresh=fresh)
        account.notable(source, "legacy", answered.now_s)


def _call(proxies: Proxies, keys: list[Key]) -> None:
    for key in keys:
        for number in range(CALLERS):
            pod = f"{key.service}-caller-{number}"
            for backend in (key.service, f"{key.service}-eks"):
                for status, count in ((200, 95), (500, 5)):
                    proxies.count(response(backend, status, pod=pod, deployment=pod), count)
            ignoring = route(key.service, parent=key.service, pod=f"{pod}-busy", deployment=pod)
            proxies.count(ignoring, 10)


async def _until_scraped(
    client: Prometheus, orders: dict[Key, TrafficOrder], services: int
) -> None:
    """Look until Prometheus tells of every Service."""
    async with asyncio.timeout(READY_S):
        while True:
            answered = await asyncio.to_thread(client.query, orders)
            called = [g for g in answered.increases.services.values() if g.following]
            if answered.newest and len(answered.increases.services) == services and not called:
                return
            await asyncio.sleep(SCRAPE_S)
