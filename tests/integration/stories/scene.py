"""A pair of local clusters with the real controller and probers, and what these tests do with it.

Everything is seen as its users see it: through the API servers, and by what the callers were answered.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.local.observed import CLUSTERS
from deploy.local.pair import LEASES, Pair, Plan
from deploy.local.starvation import NotReached, Patience
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import PROFILES, SPLITS
from deploy.stand_ins.mesh.load import Load, Sent
from deploy.stand_ins.mesh.watch import Follow

GATEWAYS = "linkerd-multicluster"
QUICK = {"slo-success": "99", "probe-rate": "20", "dwell": "1s", "soak": "1s"}
"""A step takes a good second of settling and 100 clean probes, 5 s.

Six paths are probed, by one process that is the whole mesh: at 50/s it has no CPU left beside two busy
neighbours once a link is cut and each probe opens a connection, and then nobody sees anything.
"""

GOOD_CALLS = 50
"""So many calls in a row without a failure, and a fault that hits 1 in 10 is as good as excluded."""


class Scene:
    """One pair while its controller and probers run."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.trail: dict[tuple[str, str], list[float]] = {}
        """By cluster and Service, each share that its split has had, in percent."""
        self._following: list[asyncio.Task[None]] = []

    # --- setting up -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up; no Service is there yet."""
        await self.pair.start()
        for cluster in CLUSTERS:
            follow = Follow(
                self.pair.mesh.clusters[cluster].api,
                SPLITS,
                put=lambda found, cluster=cluster: self._saw(cluster, found),  # type: ignore[misc]  # bound at once
                drop=lambda _key: None,
                rng=random.Random(cluster),
            )
            self._following.append(asyncio.create_task(follow.run()))
        await self.pair.product()

    async def stop(self) -> None:
        """End everything."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self.pair.stop()

    async def service(self, name: str, *, rate_hz: float = 25.0) -> None:
        """A Service served by legacy alone, with splits that are older than its callers."""
        await self.pair.service(name)
        await self.pair.split(LEGACY, name, local=100, mirror=0)
        await self.pair.split(EKS, name, local=0, mirror=100)
        known = [(cluster, name) for cluster in CLUSTERS]
        await self.until(
            lambda: all(at in self.pair.observed.splits for at in known), "no splits", name
        )
        await self.pair.callers(name, "shop", rate_hz)

    async def ask(self, name: str, **specs: str | None) -> None:
        """Annotate the Service in legacy, as its developer does."""
        wanted = {key.replace("_", "-"): value for key, value in specs.items()}
        await self.pair.annotate(LEGACY, name, wanted)

    async def rise(self, name: str, percent: str = "25", **specs: str) -> None:
        """Ask for eks, and wait until both splits stand at this share, where they stay for an hour."""
        await self.ask(name, **{**QUICK, "steps": percent, "dwell": "1h", "target": EKS, **specs})
        await self.stands(name, float(percent))

    # --- what is seen ---------------------------------------------------------------------------------

    def share(self, cluster: str, name: str) -> float:
        """Return the percentage of a cluster's calls that eks serves by its split, as last seen."""
        return self.trail[cluster, name][-1]

    def status(self, name: str) -> Mapping[str, Any]:
        """Return the status of the Service's Migration."""
        return self.pair.observed.status(name)

    def load(self, cluster: str, name: str) -> Load:
        """Return the callers of a cluster."""
        return self.pair.loads[cluster, name]

    def failed(self, cluster: str, name: str, since: float = 0.0) -> list[Sent]:
        """Return the calls due since then that failed, other than by the workload itself."""
        return [
            sent
            for sent in self.load(cluster, name).sent()
            if sent.at >= since and sent.outcome in ("mesh", "connection")
        ]

    async def events(self, name: str, reason: str) -> list[str]:
        """Return the messages of the Service's Events of this reason, in the order in which they were made."""
        found = [event for event in await self.pair.events(name) if event["reason"] == reason]
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["message"] for event in found]

    # --- waiting for it -------------------------------------------------------------------------------

    async def until(
        self, holds: Callable[[], bool], otherwise: str, name: str, limit_s: float = 30.0
    ) -> None:
        """Wait for a condition; fails with what the Migration says where it does not come.

        What is measured as want of CPU does not count (deploy.local.starvation).
        """
        try:
            await self.pair.watch.until(holds, limit_s)
        except NotReached as missed:
            raise self._blame(missed, otherwise, name) from None

    async def stands(self, name: str, percent: float, limit_s: float = 30.0) -> None:
        """Wait until both splits stand at this share."""
        await self.until(
            lambda: all(self.share(cluster, name) == percent for cluster in CLUSTERS),
            f"the splits do not stand at {percent} %",
            name,
            limit_s,
        )

    async def reach(self, name: str, phase: str, limit_s: float = 30.0) -> None:
        """Wait until the Migration tells this phase."""
        await self.until(
            lambda: self.status(name).get("phase") == phase, f"not {phase}", name, limit_s
        )

    async def told(self, name: str, reason: str, limit_s: float = 30.0) -> str:
        """Wait until the Migration tells this reason; give its message."""
        await self.until(
            lambda: self.status(name).get("reason") == reason, f"not {reason}", name, limit_s
        )
        return str(self.status(name)["message"])

    async def event(self, name: str, reason: str, *, more_than: int = 0) -> str:
        """Wait for more Events of this reason on the Service than there were; give the last one's message."""
        patience = self.patience(10.0)
        try:
            while len(found := await self.events(name, reason)) <= more_than:
                await patience.wait()
        except NotReached as missed:
            raise self._blame(missed, f"no Event {reason}", name) from None
        return found[-1]

    def patience(self, limit_s: float) -> Patience:
        """Return how long something may take with enough CPU."""
        return Patience(self.pair.watch, limit_s)

    async def good_calls(self, cluster: str, name: str) -> None:
        """Let the callers of a cluster make so many calls from now on; none may fail."""
        assert await self._calls(cluster, name) == []

    async def recovered(self, cluster: str, name: str, limit_s: float = 40.0) -> float:
        """Wait until the callers of a cluster make so many calls of which none fails; give since when."""
        patience = self.patience(limit_s)
        while True:
            since = asyncio.get_running_loop().time()
            failed = await self._calls(cluster, name)
            if not failed:
                return since
            try:
                await patience.wait()
            except NotReached as missed:
                what = f"calls in {cluster} go on failing, the last by {failed[-1]}"
                raise self._blame(missed, what, name) from None

    async def all_calls_failed(self, name: str) -> list[Sent]:
        """Let nobody call a Service any more, wait for all answers, and give what failed ever."""
        await asyncio.gather(*(self.load(cluster, name).stop() for cluster in CLUSTERS))
        return [sent for cluster in CLUSTERS for sent in self.failed(cluster, name)]

    async def _calls(self, cluster: str, name: str) -> list[Sent]:
        """Let so many calls be made, and wait for the answers to all made until then; give what failed.

        A call that a proxy holds back ends late, so those that ended say nothing about the others.
        """
        since = asyncio.get_running_loop().time()
        load = self.load(cluster, name)
        await self.until(
            lambda: sum(sent.at >= since for sent in load.sent()) >= GOOD_CALLS, "no calls", name
        )
        held = tuple(load._under_way)
        await self.until(lambda: all(call.done() for call in held), "calls hang", name)
        return self.failed(cluster, name, since)

    # --- hands ----------------------------------------------------------------------------------------

    async def pin_is_there(self, cluster: str, name: str) -> bool:
        """Return whether the gateway of a cluster is pinned for a Service."""
        found, _ = await self.pair.mesh.clusters[cluster].api.list(PROFILES)
        return pin_key(name) in [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in found]

    async def lease_holder(self, cluster: str) -> str:
        """Return who holds the controllers' Lease, "" for nobody."""
        found, _ = await self.pair.mesh.clusters[cluster].api.list(LEASES)
        (lease,) = found
        return str(lease["spec"].get("holderIdentity") or "")

    def starved(self) -> str:
        """Return who had no CPU until now, and for how long: to be told beside what was found wrong."""
        return self.pair.watch.starvation.sentence() or "nobody was starved of CPU"

    def log(self) -> str:
        """Return the controller's log so far."""
        return self.pair.controller.log.read_text(errors="replace")

    def _saw(self, cluster: str, found: Any) -> None:
        name = found["metadata"]["name"]
        mine = f"{name}-{EKS}" if cluster == LEGACY else name
        weights = {b["service"]: float(b["weight"]) for b in found["spec"]["backends"]}
        share = round(100.0 * weights.get(mine, 0.0) / sum(weights.values()), 1)
        trail = self.trail.setdefault((cluster, name), [])
        if trail[-1:] != [share]:
            trail.append(share)

    def _blame(self, missed: NotReached, otherwise: str, name: str) -> AssertionError:
        """Return what was not reached, and first of all that the machine was too busy where that may be why."""
        busy = "this machine is too busy to tell: " if missed.starved else ""
        return AssertionError(self._story(busy + otherwise, name))

    def _story(self, otherwise: str, name: str) -> str:
        status = self.status(name)
        said = {key: status.get(key) for key in ("phase", "share", "reason", "message", "ways")}
        trails = {cluster: self.trail.get((cluster, name)) for cluster in CLUSTERS}
        return (
            f"{otherwise}; {self.starved()}; it says {said}; shares {trails}\n"
            f"{self.pair.controller.tail(25)}"
        )


def pin_key(name: str) -> tuple[str, str]:
    """Return namespace and name of a Service's pin."""
    return GATEWAYS, f"{name}.default.svc.cluster.local"


def named_after(test: pytest.Item) -> str:
    """Return the name of the Service that is a test's own, so that no other test, nor its first try, answers for it."""
    name = re.sub("[^a-z]+", "-", test.name.removeprefix("test_")).strip("-")
    short = name if len(name) <= 50 else f"{name[:25].strip('-')}-{name[-24:].strip('-')}"
    return short if getattr(test, "execution_count", 1) == 1 else f"{short}-again"


@asynccontextmanager
async def playing(plan: Plan) -> AsyncIterator[Scene]:
    """Bring a scene up, and down again whatever happened."""
    scene = Scene(Pair(plan))
    try:
        await scene.start()
        yield scene
    finally:
        await scene.stop()
