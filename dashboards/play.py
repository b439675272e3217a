"""A story for the boards: seven migrations on the local clusters, watched by a real Prometheus.

One goes all the way, one turns bad and is rolled back, one is paused by its owner, one is edited by hand, one is
in the middle, one is written wrongly, and one is only enrolled. Then a prober and an API server have trouble,
while the window of their Fleet is closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Pair, Plan
from deploy.local.starvation import NotReached
from deploy.servers.prometheus import Prometheus
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import SPLITS

MOVES, REVERTS, PAUSED, EDITED, RISES, WRONG, ENROLLED = (
    "cart",
    "checkout",
    "users",
    "search",
    "orders",
    "profile",
    "mail",
)
FLEET = "to-eks"
WAVES = {"shop": (MOVES, REVERTS, PAUSED, EDITED, RISES, WRONG), "the-rest": (ENROLLED,)}
SCRAPE_S = 1.0
CALLS_HZ = 10.0
LIMIT_S = 150.0
FAULT = 0.1
"""The part of its requests that the bad target fails: small, so that its points are seen to rise."""

BETWEEN_S = 3.0
"""From one wish to the next."""

STALL_S = 0.5
AWAY_S = 2.0

AFTERWARDS_S = 12.0
"""What is watched after the last thing that happens, so that it lies well within the picture."""

QUICK = {"slo-success": "99", "probe-rate": "20", "dwell": "3s", "soak": "6s", "target": EKS}
WISHES = {
    MOVES: {"steps": "10,25,50"},
    REVERTS: {"steps": "1,10,25,50", "dwell": "6s"},
    PAUSED: {"steps": "1,25", "dwell": "4s", "probe-rate": "10"},
    EDITED: {"steps": "10", "dwell": "30s", "probe-rate": "10"},
    RISES: {"steps": "10,25,50", "dwell": "15s", "probe-rate": "10"},
    WRONG: {"steps": "fast"},
    ENROLLED: {"paused": "true"},
}


@dataclass(slots=True)
class Played:
    """A story that was told: where to ask for its data, and between which Unix times it happened."""

    prometheus: str
    began_s: float
    ended_s: float = 0.0
    traces: set[str] = field(default_factory=set)


class StoryFailed(Exception):  # noqa: N818 - it is the finding
    """Something did not come about in time; the text says what."""


@asynccontextmanager
async def played(rules: Path, say: Callable[[str], None]) -> AsyncIterator[Played]:
    """Play the story and keep Prometheus up inside the ``with`` block. Raises StoryFailed."""
    async with _collector() as (endpoint, traces):
        pair = Pair(Plan(otlp_endpoint=endpoint, prometheus=True))
        try:
            await pair.start()
            for name in WISHES:
                await _service(pair, name)
            await pair.product()
            await pair.fleet(FLEET, _programme())
            jobs = {**_product(pair), **_proxies(pair)}
            async with Prometheus(jobs, every_s=SCRAPE_S, rules=[rules]) as prometheus:
                found = Played(prometheus.url, time.time(), traces=traces)
                await _tell(pair, say)
                found.ended_s = time.time()
                yield found
        finally:
            await pair.stop()


def _product(pair: Pair) -> dict[str, dict[str, object]]:
    """A job for each program, whose targets have the labels that the Prometheus Operator gives a ServiceMonitor's."""
    return {
        name: {
            "static_configs": [
                {
                    "targets": list(targets),
                    "labels": {"namespace": "migrate", "service": name, "cluster": "prod-eu-1"},
                }
            ]
        }
        for name, targets in pair.scraped.items()
    }


def _proxies(pair: Pair) -> dict[str, dict[str, object]]:
    """A job for the proxies of each cluster, whose series say which one it is."""
    return {
        f"linkerd-proxy-{name}": {
            "static_configs": [
                {"targets": [cluster.metrics.address], "labels": {"cluster": name}},
            ]
        }
        for name, cluster in pair.mesh.clusters.items()
    }


async def _service(pair: Pair, name: str) -> None:
    await pair.service(name)
    await pair.split(LEGACY, name, local=100, mirror=0)
    await pair.split(EKS, name, local=0, mirror=100)
    await _until(
        pair,
        lambda: all((c, name) in pair.observed.splits for c in CLUSTERS),
        f"no splits of {name}",
    )
    await pair.callers(name, "shop", rate_hz=CALLS_HZ)


async def _tell(pair: Pair, say: Callable[[str], None]) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_wish(pair))
            tasks.create_task(_revert(pair, say))
            tasks.create_task(_edit(pair, say))
            tasks.create_task(_pause(pair, say))
            tasks.create_task(_phase(pair, MOVES, "Completed", say))
            tasks.create_task(_phase(pair, WRONG, "Pending", say))
    except* StoryFailed as failed:
        raise StoryFailed("; ".join(str(one) for one in failed.exceptions)) from None
    say(f"{FLEET}: a window closes, and one revert is to stop the line")
    line = {"reverts": 1, "within": "24h"}
    window = {"kind": "deny", "from": _now(), "until": "2100-01-01T00:00:00Z", "reason": "trouble"}
    await pair.fleet(FLEET, _programme(stopTheLine=line, windows=[window]))
    await _trouble(pair, say)
    await asyncio.sleep(AFTERWARDS_S / 2)
    await pair.fleet(FLEET, _programme(stopTheLine=line, windows=[]))
    await asyncio.sleep(AFTERWARDS_S / 2)


def _programme(**more: object) -> dict[str, object]:
    """The Fleet's spec: its Services say themselves how they move."""
    waves = [
        {"name": wave, "services": [{"namespace": "default", "names": list(names)}]}
        for wave, names in WAVES.items()
    ]
    return {"target": EKS, "waves": waves, **more}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _wish(pair: Pair) -> None:
    for name, wishes in WISHES.items():
        await pair.annotate(LEGACY, name, {**QUICK, **wishes})
        await asyncio.sleep(BETWEEN_S)


async def _revert(pair: Pair, say: Callable[[str], None]) -> None:
    await _share(pair, REVERTS, 50.0)
    await asyncio.sleep(3.0)
    pair.workloads[EKS, REVERTS].fail(FAULT)
    say(f"{REVERTS}: eks answers 500 to {FAULT:.0%} of its requests")
    await _phase(pair, REVERTS, "Reverted", say)


async def _edit(pair: Pair, say: Callable[[str], None]) -> None:
    await _share(pair, EDITED, 10.0)
    weights = {f"{EDITED}-{EKS}": 300, EDITED: 700}
    backends = [{"service": service, "weight": weight} for service, weight in weights.items()]
    api = pair.mesh.clusters[LEGACY].api
    await api.merge(SPLITS, ("default", EDITED), {"spec": {"backends": backends}}, "kubectl-edit")
    say(f"{EDITED}: somebody sets its share in legacy to 30 %")
    await _phase(pair, EDITED, "Holding", say)


async def _pause(pair: Pair, say: Callable[[str], None]) -> None:
    await _share(pair, PAUSED, 25.0)
    await pair.annotate(LEGACY, PAUSED, {"paused": "true"})
    await _phase(pair, PAUSED, "Holding", say)


async def _trouble(pair: Pair, say: Callable[[str], None]) -> None:
    """A prober that hangs for a moment, and an API server that is away for another."""
    say(
        f"the prober in {EKS} stands still for {STALL_S:g} s, its API server is away for {AWAY_S:g} s"
    )
    prober = pair.probers[EKS].pid
    os.kill(prober, signal.SIGSTOP)
    try:
        await asyncio.sleep(STALL_S)
    finally:
        os.kill(prober, signal.SIGCONT)
    api = pair.apis[EKS]
    if not isinstance(api, EmbeddedApi):
        raise StoryFailed("this story is for embedded API servers: only they can be away and back")
    port = int(api.url.rpartition(":")[2])
    await api.stop()
    await asyncio.sleep(AWAY_S)
    await api.start(port=port)


async def _phase(pair: Pair, name: str, phase: str, say: Callable[[str], None]) -> None:
    await _until(
        pair, lambda: pair.observed.status(name).get("phase") == phase, f"{name} is not {phase}"
    )
    status = pair.observed.status(name)
    say(f"{name}: {phase} at {status['share']} %, {status['reason']}")


async def _share(pair: Pair, name: str, percent: float) -> None:
    def stands() -> bool:
        share = pair.observed.status(name).get("share")
        return bool(share == f"{percent:g}/{percent:g}")

    await _until(pair, stands, f"{name} does not stand at {percent:g} %")


async def _until(pair: Pair, holds: Callable[[], bool], otherwise: str) -> None:
    try:
        await pair.watch.until(holds, LIMIT_S)
    except NotReached as missed:
        busy = f"; {pair.watch.starvation.sentence()}" if missed.starved else ""
        raise StoryFailed(f"{otherwise} after {LIMIT_S:g} s{busy}") from None


@asynccontextmanager
async def _collector() -> AsyncIterator[tuple[str, set[str]]]:
    """A stand-in for a collector of traces: it keeps the ids of the traces whose spans it is sent."""
    traces: set[str] = set()

    async def take(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        spans = [s for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
        traces.update(span.trace_id.hex() for span in spans)
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}", traces
    finally:
        await runner.cleanup()
