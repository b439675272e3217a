"""The stories that the local clusters tell, each a promise of the product, kept or broken.

Every story but ``article`` begins with splits of short names, everything on legacy, older than the clients.
A story gives a Result; what it found broken is in ``broken``, in sentences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.local.mesh import EKS, LEGACY
from deploy.local.pair import CLUSTERS, Pair
from deploy.local.screen import Screen

SERVICE = "service-a"
CALLER = "shop"
KILLS = 10
END_S = 90.0
MEASURE_S = 3
SETTLED_S = 2.5

WISHES = {
    "slo-success": "99",
    "steps": "10,25,50",
    "probe-rate": "50",
    "dwell": "1s",
    "soak": "2s",
}
CONDITIONS = (
    "slo-success: 99, steps: 10,25,50, 50 probes/s, dwell 1 s, soak 2 s, a lease of 2 s:"
    " short, so that a story takes a minute; the defaults are slower"
)


@dataclass(slots=True)
class Result:
    """What came of a story. ``shares`` is the percentage of each cluster's calls that eks serves at the end."""

    story: str
    requests: int = 0
    failed: int = 0
    failed_by_target: int = 0
    seconds_bad_to_home: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    phase: str = ""
    writes: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        """Give the story's line of ``--json``."""
        return {
            "story": self.story,
            "requests": self.requests,
            "failed": self.failed,
            "failed_by_target": self.failed_by_target,
            "seconds_bad_to_home": self.seconds_bad_to_home,
            "shares": self.shares,
            "phase": self.phase,
            "writes": self.writes,
        }


class Stage:
    """One pair, one screen, and what stories do with them."""

    def __init__(self, pair: Pair, screen: Screen, result: Result) -> None:
        self.pair = pair
        self.screen = screen
        self.result = result

    async def set_up(self) -> None:
        """Everything on legacy, by short-name splits that are older than the clients."""
        await self.pair.service(SERVICE)
        await self.pair.split(LEGACY, SERVICE, local=100, mirror=0)
        await self.pair.split(EKS, SERVICE, local=0, mirror=100)
        await until(self.pair.splits_known, "the mesh does not see the splits", 10.0)
        await self.pair.callers(SERVICE, CALLER)
        await self.pair.product()

    async def ask(self, **wishes: str | None) -> None:
        """Annotate as the developer does."""
        text = " ".join(f"{k}={v}" if v is not None else f"{k}-" for k, v in wishes.items())
        self.screen.tell(f"kubectl annotate service {SERVICE}: {text}")
        named = {key.replace("_", "-"): value for key, value in wishes.items()}
        await self.pair.annotate(LEGACY, SERVICE, named)

    async def move(self, target: str) -> None:
        """Ask for a target and see it through to Completed."""
        await self.pair.annotate(LEGACY, SERVICE, WISHES)
        await self.ask(target=target)
        await self.reach("Completed", target)

    async def reach(self, phase: str, target: str, limit_s: float = END_S) -> None:
        """Wait for a phase of the present wish; say so where it is not reached."""

        def there() -> bool:
            status = self.pair.status(SERVICE)
            observed = status.get("observed", {})
            return status.get("phase") == phase and observed.get("target") == target

        try:
            await until(there, f"{phase} was not reached", limit_s)
        except StoryBroken as broken:
            status = self.pair.status(SERVICE)
            self.result.broken.append(
                f"{broken} in {limit_s:g} s: it is {status.get('phase')},"
                f" {status.get('reason')}: {status.get('message')}"
            )

    async def measure(self, expect: dict[str, float]) -> None:
        """Let load run a while longer, and hold what it saw against what was promised."""
        await asyncio.sleep(SETTLED_S + MEASURE_S)
        result = self.result
        result.requests, result.failed, result.failed_by_target = self.pair.totals()
        result.phase = str(self.pair.status(SERVICE).get("phase", ""))
        result.writes = dict(self.pair.writes)
        for cluster, counts in self.pair.served(SERVICE, MEASURE_S).items():
            total = sum(counts.values())
            result.shares[cluster] = round(100 * counts[EKS] / total, 1) if total else -1.0
        if result.failed:
            result.broken.append(
                f"{result.failed} of {result.requests} requests failed by the move"
            )
        for cluster, share in expect.items():
            if abs(result.shares[cluster] - share) > 0.5:
                result.broken.append(
                    f"eks serves {result.shares[cluster]} % of the calls in {cluster}, not {share} %"
                )


class StoryBroken(Exception):  # noqa: N818 - it is the finding
    """A promise was not kept; the text says which."""


async def until(holds: Callable[[], bool], otherwise: str, limit_s: float) -> None:
    """Wait for a condition, for ``limit_s`` at most. Raises StoryBroken with ``otherwise``."""
    try:
        async with asyncio.timeout(limit_s):
            while not holds():  # noqa: ASYNC110 - what it waits for is in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise StoryBroken(otherwise) from None


async def move(stage: Stage) -> None:
    """To eks, through the soak to Completed."""
    await stage.set_up()
    await stage.move(EKS)
    await stage.measure({LEGACY: 100.0, EKS: 100.0})


async def back(stage: Stage) -> None:
    """To eks, and then back to legacy; all of it is measured."""
    await stage.set_up()
    await stage.move(EKS)
    await stage.move(LEGACY)
    await stage.measure({LEGACY: 0.0, EKS: 0.0})


async def revert(stage: Stage) -> None:
    """At 25 % eks begins to answer 500 to 30 % of the requests: everyone is brought home."""
    await stage.set_up()
    await stage.pair.annotate(LEGACY, SERVICE, WISHES)
    await stage.ask(target=EKS)
    await until(lambda: at_share(stage.pair, 25.0), "25 % was not reached", END_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    stage.screen.tell("eks answers 500 to 30 % of the requests from now on")
    stage.pair.workloads[EKS, SERVICE].fail(0.3)
    await until(lambda: at_share(stage.pair, 0.0), "the callers were not brought home", 30.0)
    stage.result.seconds_bad_to_home = round(loop.time() - began, 2)
    stage.screen.tell(f"both splits are home, {stage.result.seconds_bad_to_home} s later")
    await stage.reach("Reverted", EKS, 15.0)
    await stage.measure({LEGACY: 0.0, EKS: 0.0})


async def callers(stage: Stage) -> None:
    """At 25 % eks fails every call but the probes': what Prometheus tells of the callers brings them home."""
    pair, tell = stage.pair, stage.screen.tell
    await stage.set_up()
    await pair.annotate(LEGACY, SERVICE, {**WISHES, "dwell": "1m", "steps": "25"})
    await stage.ask(target=EKS, probe_path="/healthz")
    await until(lambda: at_share(pair, 25.0), "25 % was not reached", END_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    tell("eks answers 500 to everything but /healthz, where the probes go")
    pair.workloads[EKS, SERVICE].fail(spared=("/healthz",))
    await until(lambda: at_share(pair, 0.0), "the callers were not brought home", 50.0)
    stage.result.seconds_bad_to_home = round(loop.time() - began, 2)
    tell(f"both splits are home, {stage.result.seconds_bad_to_home} s later")
    await stage.reach("Reverted", EKS, 15.0)
    if pair.status(SERVICE).get("reason") != "TrafficBad":
        stage.result.broken.append(f"the reason is {pair.status(SERVICE).get('reason')}")
    await stage.measure({LEGACY: 0.0, EKS: 0.0})


async def crash(stage: Stage) -> None:
    """There and back, while the controller is killed with SIGKILL ten times at random moments."""
    await stage.set_up()
    stage.screen.tell(f"seed of the kills: {stage.pair.plan.seed}")
    for target in (EKS, LEGACY):
        killer = asyncio.create_task(_kill_often(stage, KILLS // 2))
        try:
            await stage.move(target)
            await killer
            await stage.reach("Completed", target)
        finally:
            killer.cancel()
    await stage.measure({LEGACY: 0.0, EKS: 0.0})


async def _kill_often(stage: Stage, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(stage.pair.rng.uniform(1.0, 6.0))
        stage.screen.tell(f"SIGKILL to the controller, pid {stage.pair.controller.pid}")
        await stage.pair.controller.kill()
        stage.pair.controller.start()


async def article(stage: Stage) -> None:
    """The objects as the article has them: dotted names, both clusters serving themselves, callers busy."""
    pair, tell = stage.pair, stage.screen.tell
    for name in ("service-a", "service-b", "service-c"):
        await pair.service(name)
        for cluster in CLUSTERS:
            await pair.split(cluster, name, local=100, mirror=0, fqdn=True)
    await until(pair.splits_known, "the mesh does not see the splits", 10.0)
    await pair.callers(SERVICE, CALLER)
    await pair.callers("service-b", "service-a", rate_hz=10.0)
    await pair.callers("service-c", "service-b", rate_hz=10.0)
    await pair.product()
    await pair.annotate(LEGACY, SERVICE, WISHES)
    tell("first only enrolled, to see what is wrong with the article's splits")
    await stage.ask(target=EKS, paused="true")
    await stage.reach("Pending", EKS, 20.0)
    await until(lambda: not flaws(pair), "the dotted names were not rewritten", 20.0)
    await until(
        lambda: bool(warned(pair, "CallersMayNotFollow")), "no warning of busy callers", 15.0
    )
    for warning in pair.status(SERVICE).get("warnings", []):
        tell(f"status warns: {warning['reason']}: {warning['message']}")
    for event in await pair.events(SERVICE):
        if event["reason"] == "SplitRewritten":
            tell(f"event: {event['message']}")
    await stage.ask(paused=None)
    await until(lambda: pair.share(LEGACY) >= 100.0, "legacy did not reach 100 %", END_S)
    await stage.reach("Completed", EKS)
    await asyncio.sleep(2.0)
    still = pair.served(SERVICE)[LEGACY]
    tell(f"the busy callers in legacy do not follow: {still[LEGACY]} of their calls by legacy")
    if pair.prometheus:
        await until(
            lambda: any(CALLER in text for text in warned(pair, "CallersDoNotFollow")),
            "the callers that do not follow were not named",
            15.0,
        )
        tell(f"status warns: {warned(pair, 'CallersDoNotFollow')[0]}")
        tell(f"the share is told as {pair.status(SERVICE).get('share')}")
    if still[EKS]:
        stage.result.broken.append(
            "busy callers followed a rewritten split, which Linkerd does not do"
        )
    if pair.share(EKS) < 100.0 or pair.served(SERVICE)[EKS][LEGACY]:
        stage.result.broken.append("callers in eks, served by eks before, were moved")
    tell("the callers in legacy are idle for 6 s, and then call again")
    await pair.rest(LEGACY, 6.0)
    await stage.measure({LEGACY: 100.0, EKS: 100.0})


async def convert(stage: Stage) -> None:
    """From TrafficSplit to HTTPRoute: in legacy before the move, refused in eks until it serves itself."""
    pair = stage.pair
    await stage.set_up()
    await stage.ask(target=EKS, paused="true")
    await stage.reach("Pending", EKS, 20.0)
    await _converted(stage, EKS, refused="serves 0 % of its calls")
    await _converted(stage, LEGACY)
    stage.screen.tell("the callers in legacy are idle for 6 s, and then call again")
    await pair.rest(LEGACY, 6.0)
    await stage.ask(paused=None)
    await stage.move(EKS)
    await _converted(stage, EKS)
    await stage.measure({LEGACY: 100.0, EKS: 100.0})


async def _converted(stage: Stage, cluster: str, *, refused: str = "") -> None:
    """Convert in one cluster, from the command line; nobody jumps to the other cluster while it is done."""
    pair = stage.pair
    before = {
        load: load.snapshot(1).requests for at, load in pair.loads.items() if at[0] == cluster
    }
    code, said = await pair.command("convert", SERVICE, "--context", cluster)
    stage.screen.tell(f"kubectl migrate convert {SERVICE} in {cluster}: {said.strip()}")
    if refused:
        if code != 1 or refused not in said:
            stage.result.broken.append(f"convert in {cluster} was not refused: {code} {said}")
        return
    if code:
        raise StoryBroken(f"convert in {cluster} ended with {code}: {said}")
    await until(
        lambda: pair.split_kinds.get((cluster, SERVICE)) == "HTTPRoute", "no HTTPRoute", 10.0
    )
    await asyncio.sleep(SETTLED_S)
    other = next(name for name in CLUSTERS if name != cluster)
    strayed = pair.served(SERVICE, 4)[cluster][other]
    if strayed:
        stage.result.broken.append(f"{strayed} calls in {cluster} jumped to {other}")
    if any(load.snapshot(1).requests == count for load, count in before.items()):
        stage.result.broken.append(f"nobody called in {cluster} while it was converted")


def at_share(pair: Pair, percent: float) -> bool:
    """Tell whether both splits stand at this share."""
    return all(abs(pair.share(cluster) - percent) < 0.05 for cluster in CLUSTERS)


def flaws(pair: Pair) -> bool:
    """Tell whether a split of the Service still has a dotted name."""
    specs = [split["spec"] for (_, name), split in pair.splits.items() if name == SERVICE]
    return any("." in spec.get("service", "") for spec in specs)


def warned(pair: Pair, reason: str) -> list[str]:
    """Give the status's warnings of this reason."""
    found = pair.status(SERVICE).get("warnings", [])
    return [warning["message"] for warning in found if warning["reason"] == reason]


STORIES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "move": move,
    "revert": revert,
    "callers": callers,
    "return": back,
    "crash": crash,
    "article": article,
    "convert": convert,
}
"""By name, in the order in which all of them are told."""

ON_PROMETHEUS = frozenset({"callers"})
"""Stories that are nothing without a Prometheus."""
