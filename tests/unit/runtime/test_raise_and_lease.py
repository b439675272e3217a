"""A raise must be over before the lease can be lost: the reconciler that ships, in virtual time, on one write
that hangs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import structlog

from controller.domain import Key, ProbeOrder
from controller.evidence.probes import ProberReport
from controller.kube.api import Unavailable
from controller.kube.objects import DECODERS, Freshness, Listed, Resource
from controller.report.metrics import Metrics
from controller.report.tracing import tracing_to
from controller.report.ui import Feed
from controller.runtime.reconciler import Evidence, Reconciler, Telemetry
from controller.runtime.settings import ClusterSettings, LeaseSettings, ProberSettings, Settings
from controller.runtime.store import Store
from prober.contract import Counts, Report, Sample
from tests.faults.virtual import VirtualLoop
from tests.unit.obeyed import with_profiles

FILES = Path(__file__).parents[2] / "data" / "written-by-0.1"
CLUSTERS = ("legacy", "eks")
LEFT_S = 2.5
RESOURCES = {
    "Service": Resource.SERVICES,
    "EndpointSlice": Resource.ENDPOINTSLICES,
    "TrafficSplit": Resource.TRAFFICSPLITS,
    "HTTPRoute": Resource.HTTPROUTES,
    "ServiceProfile": Resource.SERVICEPROFILES,
    "GRPCRoute": Resource.GRPCROUTES,
    "HTTPRoute of policy.linkerd.io": Resource.POLICY_HTTPROUTES,
    "Migration": Resource.MIGRATIONS,
}


class Holder:
    """The lease, held all the time: nobody says that it is lost, and yet little of it is left."""

    leads = True
    may_roll_back = True
    fencing_token = 1
    left_s = LEFT_S


class Hanging:
    """An API server that tells the time, and never answers a write to a split.

    ``away`` is what each of them sends to the mirror, ``hung`` how long each was waited for that was broken off.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.hung: list[float] = []
        self.away: list[int] = []

    def now(self) -> datetime:
        """Its time: half a minute after what stands there was written."""
        return datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC) + timedelta(seconds=self._loop.time())

    async def get(self, *_: Any) -> Any:
        """It does not answer."""
        raise Unavailable("not now")

    create = get

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Any, **_: Any
    ) -> Any:
        """Hang, where it is a split."""
        if resource is not Resource.TRAFFICSPLITS:
            raise Unavailable("not now")
        began_s = self._loop.time()
        self.away.append(body["spec"]["backends"][1]["weight"])
        try:
            await asyncio.Event().wait()
        finally:
            self.hung.append(self._loop.time() - began_s)


class Probing:
    """Probers that find every path good, ten times a second."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._orders: tuple[ProbeOrder, ...] = ()

    def order(self, _: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Probe these."""
        self._orders = orders

    def caps(self) -> Mapping[str, float]:
        """No prober has told its cap."""
        return {}

    async def run(self, reconciler: Reconciler) -> None:
        """Report until cancelled."""
        good = Sample(1, 0, 0.0, base=Counts(10), answers={"200": 10})
        while True:
            await asyncio.sleep(0.1)
            for cluster in CLUSTERS:
                mine = tuple((o, good) for o in self._orders if o.path.callers == cluster)
                report = Report(0, tuple(part for _, part in mine), Counts(1))
                reconciler.on_report(ProberReport(cluster, 0, report, mine, self._loop.time()))


def running(moment: str, loop: VirtualLoop) -> tuple[dict[str, Hanging], Reconciler, Probing]:
    """A reconciler that has been told what stands in both clusters, and that they are fresh."""
    log = structlog.get_logger()
    servers = {name: Hanging(loop) for name in CLUSTERS}
    probing = Probing(loop)
    reconciler = Reconciler(
        Settings(
            clusters={name: ClusterSettings() for name in CLUSTERS},
            lease=LeaseSettings(cluster="legacy"),
            prober=ProberSettings(token_file="-"),
        ),
        Store(dict.fromkeys(CLUSTERS, "linkerd-multicluster"), "cluster.local"),
        cast("Any", servers),
        Evidence(cast("Any", probing), Mock()),
        Holder(),
        Telemetry(Metrics("test"), tracing_to(None, "test"), log, Feed(), lambda *_: None),
        loop.time,
    )
    objects = json.loads((FILES / f"trafficsplit-{moment}.json").read_text())["objects"]
    for cluster in CLUSTERS:
        for kind, resource in RESOURCES.items():
            there = with_profiles(objects[cluster])
            bodies = [body for body in there if body["kind"] == kind]
            found = tuple(DECODERS[resource](json.dumps(body).encode()) for body in bodies)
            reconciler.apply(Listed(cluster, resource, found))
            reconciler.apply(Freshness(cluster, resource, current=True))
    return servers, reconciler, probing


@dataclass(frozen=True)
class Hung:
    """What one API server was sent, and how long each write was waited for that was broken off."""

    away: tuple[int, ...]
    seconds: tuple[float, ...]


def after(seconds: float, moment: str) -> dict[str, Hung]:
    """Let a reconciler go on from a moment for a while; return what the API servers saw by then."""
    loop = VirtualLoop()
    servers, reconciler, probing = running(moment, loop)

    async def go() -> dict[str, Hung]:
        tasks = [
            asyncio.create_task(reconciler.run()),
            asyncio.create_task(probing.run(reconciler)),
        ]
        await asyncio.sleep(seconds)
        observed = {name: Hung(tuple(s.away), tuple(s.hung)) for name, s in servers.items()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await reconciler.stop(0.0)
        return observed

    try:
        return loop.run_until_complete(go())
    finally:
        loop.close()


def test_a_raise_ends_when_the_lease_may() -> None:
    """A raise that is not answered is broken off when the time is over for which the lease was sure to be held."""
    for observed in after(2 * LEFT_S, "at-25").values():
        assert observed.away[0] == 500
        assert observed.seconds[0] == pytest.approx(LEFT_S, abs=0.01)


def test_a_revert_has_no_limit() -> None:
    """A write of a revert needs no lease: it is left to come through, however long it takes."""
    observed = after(4 * LEFT_S, "reverting")["eks"]
    assert (len(observed.away), observed.seconds) == (1, ())
