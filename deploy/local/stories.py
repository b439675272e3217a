"""The stories that the local clusters tell, each a promise of the product, kept or broken.

Every story but ``article`` begins with splits of short names, everything on legacy, older than the clients.
A story ends by itself, or raises StoryBroken or StoryStarved; what else it found is in its result.
"""

from __future__ import annotations

import asyncio

from deploy.local.fleet import fleet
from deploy.local.observed import CLUSTERS
from deploy.local.pair import Pair
from deploy.local.stage import CALLER, END_S, SERVICE, SETTLED_S, WISHES, Stage, Story, StoryBroken
from deploy.stand_ins.mesh import EKS, LEGACY

KILLS = 10
NEEDED = 5
"""How ``kubectl migrate drained`` ends where the origin is still needed."""


async def stand(stage: Stage) -> None:
    """Nobody moves it: service-a stands on legacy, and is called in both clusters."""
    await stage.set_up()
    kept = ("slo-success", "probe-rate")
    await stage.pair.annotate(LEGACY, SERVICE, {key: WISHES[key] for key in kept})


class Outage:
    """Of eks, for as long as somebody wants it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._on = False

    def switch(self) -> None:
        """Let eks answer 500 to every third request from now on, or answer well again."""
        self._on = not self._on
        self._stage.pair.workloads[EKS, SERVICE].fail(1 / 3 if self._on else 0.0)
        what = "answers 500 to every third request" if self._on else "answers well again"
        self._stage.screen.tell(f"eks {what}")


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
    """At 25 % eks begins to answer 500 to 30 % of the requests: everyone is rolled back."""
    await stage.set_up()
    await stage.pair.annotate(LEGACY, SERVICE, WISHES)
    await stage.ask(target=EKS)
    await stage.until(lambda: at_share(stage.pair, 25.0), "25 % was not reached", END_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    stage.screen.tell("eks answers 500 to 30 % of the requests from now on")
    stage.pair.workloads[EKS, SERVICE].fail(0.3)
    await stage.until(lambda: at_share(stage.pair, 0.0), "the callers were not brought home", 30.0)
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
    await stage.until(lambda: at_share(pair, 25.0), "25 % was not reached", END_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    tell("eks answers 500 to everything but /healthz, where the probes go")
    pair.workloads[EKS, SERVICE].fail(spared=("/healthz",))
    await stage.until(lambda: at_share(pair, 0.0), "the callers were not brought home", 50.0)
    stage.result.seconds_bad_to_home = round(loop.time() - began, 2)
    tell(f"both splits are home, {stage.result.seconds_bad_to_home} s later")
    await stage.reach("Reverted", EKS, 15.0)
    if pair.observed.status(SERVICE).get("reason") != "TrafficBad":
        stage.result.broken.append(f"the reason is {pair.observed.status(SERVICE).get('reason')}")
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
    await stage.until(pair.observed.splits_known, "the mesh does not see the splits", 10.0)
    await pair.callers(SERVICE, CALLER)
    await pair.callers("service-b", "service-a", rate_hz=10.0)
    await pair.callers("service-c", "service-b", rate_hz=10.0)
    await pair.product()
    await pair.annotate(LEGACY, SERVICE, WISHES)
    tell("first only enrolled, to see what is wrong with the article's splits")
    await stage.ask(target=EKS, paused="true")
    await stage.reach("Pending", EKS, 20.0)
    await stage.until(lambda: not flaws(pair), "the dotted names were not rewritten", 20.0)
    await stage.until(
        lambda: bool(warned(pair, "CallersMayNotFollow")), "no warning of busy callers", 15.0
    )
    for warning in pair.observed.status(SERVICE).get("warnings", []):
        tell(f"status warns: {warning['reason']}: {warning['message']}")
    for event in await pair.events(SERVICE):
        if event["reason"] == "SplitRewritten":
            tell(f"event: {event['message']}")
    await stage.ask(paused=None)
    await stage.until(
        lambda: pair.observed.share(LEGACY) >= 100.0, "legacy did not reach 100 %", END_S
    )
    await stage.reach("Completed", EKS)
    await pair.watch.rest(2.0)
    still = pair.served(SERVICE)[LEGACY]
    tell(f"the busy callers in legacy do not follow: {still[LEGACY]} of their calls by legacy")
    if pair.prometheus:
        await stage.until(
            lambda: any(CALLER in text for text in warned(pair, "CallersDoNotFollow")),
            "the callers that do not follow were not named",
            15.0,
        )
        tell(f"status warns: {warned(pair, 'CallersDoNotFollow')[0]}")
        tell(f"the share is told as {pair.observed.status(SERVICE).get('share')}")
    if still[EKS]:
        stage.result.broken.append(
            "busy callers followed a rewritten split, which Linkerd does not do"
        )
    if pair.observed.share(EKS) < 100.0 or pair.served(SERVICE)[EKS][LEGACY]:
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
    await stage.until(
        lambda: pair.observed.split_kinds.get((cluster, SERVICE)) == "HTTPRoute",
        "no HTTPRoute",
        10.0,
    )
    await pair.watch.rest(SETTLED_S)
    other = next(name for name in CLUSTERS if name != cluster)
    strayed = pair.served(SERVICE, 4)[cluster][other]
    if strayed:
        stage.result.broken.append(f"{strayed} calls in {cluster} jumped to {other}")
    if any(load.snapshot(1).requests == count for load, count in before.items()):
        stage.result.broken.append(f"nobody called in {cluster} while it was converted")


TWIN = "service-a-pods"
PAST_THE_SPLIT = ("ingress", "batch")
"""Who calls the pods in legacy past the split: by their addresses, and by the name of a headless Service."""


async def twin(stage: Stage) -> None:
    """A headless twin and an ingress that dials pods stay on legacy: both are named, and nobody denies them."""
    pair, tell = stage.pair, stage.screen.tell
    await stage.set_up()
    await pair.beside(LEGACY, SERVICE, TWIN)
    await pair.ingress(LEGACY, SERVICE, "shop")
    legacy = pair.mesh.clusters[LEGACY]
    loads = {
        "ingress": await legacy.load(("default", SERVICE), caller="ingress", dials_pods=True),
        "batch": await legacy.load(("default", TWIN), caller="batch"),
    }
    code, said = await pair.command("check", SERVICE)
    tell(said.strip())
    _expect(stage, "check", code == 0, f"it ended with {code}")
    for reason, name in (("SamePods", f"{TWIN} (headless)"), ("IngressDialsPods", "Ingress shop")):
        _expect(stage, "check", reason in said and name in said, f"it does not name {name}")
    await stage.move(EKS)
    await stage.until(
        lambda: any(all(f"/{who}" in text for who in PAST_THE_SPLIT) for text in _bypassing(pair)),
        "those who dial pods were not named",
        30.0,
    )
    tell(f"status warns: {_bypassing(pair)[0]}")
    _expect(stage, "CallersBypass", f"/{CALLER}" not in _bypassing(pair)[0], f"it names {CALLER}")
    await stage.measure({LEGACY: 100.0, EKS: 100.0})
    for who, load in loads.items():
        _expect(stage, who, set(load.snapshot(1).by_cluster) == {LEGACY}, "it left legacy")
    message = str(pair.observed.status(SERVICE).get("message"))
    tell(f"status says: {message}")
    _expect(stage, "status", "callers in legacy still reach legacy's pods" in message, message)
    code, said = await pair.command("drained", SERVICE)
    tell(said.strip())
    denied = code == NEEDED and all(
        reason in said for reason in ("CallersBypass", "SamePods", "IngressDialsPods")
    )
    _expect(stage, "drained", denied, f"it ended with {code}: {said}")


def _bypassing(pair: Pair) -> list[str]:
    return warned(pair, "CallersBypass")


def _expect(stage: Stage, who: str, holds: bool, otherwise: str) -> None:
    """Note a broken promise where something is not so."""
    if not holds:
        stage.result.broken.append(f"{who}: {otherwise}")


async def opaque(stage: Stage) -> None:
    """A port of appProtocol grpc is TCP to Linkerd: a TrafficSplit moves its connections, an HTTPRoute nobody."""
    pair = stage.pair
    await stage.set_up(app_protocol="grpc")
    # Probes by gRPC are another story: what answers here is HTTP.
    await pair.annotate(LEGACY, SERVICE, {**WISHES, "probe-protocol": "http"})
    if set(pair.observed.split_kinds.values()) == {"HTTPRoute"}:
        await _refused(stage)
        stage.screen.tell("appProtocol is kubernetes.io/h2c from now on, as the message says")
        await pair.speak(SERVICE, "kubernetes.io/h2c")
    await stage.move(EKS)
    if not warned(pair, "ConnectionsStay") and "TrafficSplit" in pair.observed.split_kinds.values():
        stage.result.broken.append("nobody is told that open connections stay")
    stage.screen.tell("the callers hang up, and call again")
    for cluster in CLUSTERS:
        await pair.rest(cluster, 6.0)
    await stage.measure({LEGACY: 100.0, EKS: 100.0})


async def _refused(stage: Stage) -> None:
    """On routes that nobody obeys nothing moves, and nothing is claimed: status, check and callers agree."""
    pair = stage.pair
    await stage.ask(target=EKS)
    await stage.until(
        lambda: pair.observed.status(SERVICE).get("reason") == "RouteUnfit",
        "RouteUnfit was not told",
        20.0,
    )
    await pair.watch.rest(SETTLED_S)
    status = pair.observed.status(SERVICE)
    stage.screen.tell(f"status: {status['phase']}, {status['reason']}: {status['message']}")
    code, said = await pair.command("check", SERVICE, "--context", LEGACY, "--other-context", EKS)
    stage.screen.tell(f"kubectl migrate check {SERVICE} ends with {code}")
    if status["phase"] != "Pending" or "write kubernetes.io/h2c" not in status["message"]:
        stage.result.broken.append(f"a route that nobody obeys is {status['phase']}: {status}")
    if code == 0 or "RouteUnfit" not in said:
        stage.result.broken.append(f"check does not name it: {code} {said}")
    served = pair.served(SERVICE, 2)
    if served[LEGACY][EKS] or served[EKS][LEGACY]:
        stage.result.broken.append(f"a route on an opaque port was obeyed: {served}")


async def ports(stage: Stage) -> None:
    """A Service of http, grpc and metrics: all three move, are measured each, and come back."""
    beside = {"grpc": 9090, "metrics": 9100}
    every = (80, *beside.values())
    await stage.set_up(beside=beside)
    await stage.move(EKS)
    for told in warned(stage.pair, "PortsNotProbed"):
        stage.screen.tell(f"status warns: {told}")
    if not all(str(port) in str(warned(stage.pair, "PortsNotProbed")) for port in beside.values()):
        stage.result.broken.append("nobody is told of the ports that move unproven")
    await stage.measure({LEGACY: 100.0, EKS: 100.0}, every)
    await stage.move(LEGACY)
    await stage.measure({LEGACY: 0.0, EKS: 0.0}, every)


async def adaptor(stage: Stage) -> None:
    """The SMI adaptor stops in mid-move, and during a rollback: nothing is claimed that the callers do not get."""
    pair, tell = stage.pair, stage.screen.tell
    await stage.set_up()
    await pair.annotate(LEGACY, SERVICE, {**WISHES, "steps": "10,50", "dwell": "6s"})
    await stage.ask(target=EKS)
    await stage.until(lambda: at_share(pair, 10.0), "10 % was not reached", END_S)
    await pair.watch.rest(SETTLED_S)
    tell("the SMI adaptor of legacy stops")
    await pair.mesh.clusters[LEGACY].adaptor.stop()
    await stage.until(lambda: _holds(pair), "the move did not hold", 60.0)
    await pair.watch.rest(SETTLED_S)
    tell(f"status says: {pair.observed.status(SERVICE)['message']}")
    share = _served_by_eks(pair, LEGACY)
    _expect(stage, "legacy", share < 30.0, f"{share:.0f} % followed without an adaptor")
    tell("the adaptor is back")
    await pair.mesh.clusters[LEGACY].adaptor.start()
    await stage.until(lambda: not _holds(pair), "the move did not go on", 30.0)
    await pair.watch.rest(SETTLED_S)
    share = _served_by_eks(pair, LEGACY)
    _expect(stage, "legacy", share > 30.0, f"only {share:.0f} % followed the adaptor")
    await _roll_back_unobeyed(stage)
    await stage.measure({LEGACY: 0.0, EKS: 0.0})


async def _roll_back_unobeyed(stage: Stage) -> None:
    """Let eks turn bad while no adaptor runs: it is Reverting until one does, and says where the callers are."""
    pair, tell = stage.pair, stage.screen.tell
    tell("both adaptors stop, and eks answers 500 to 30 % of the requests from now on")
    for cluster in CLUSTERS:
        await pair.mesh.clusters[cluster].adaptor.stop()
    pair.workloads[EKS, SERVICE].fail(0.3)
    await stage.until(lambda: at_share(pair, 0.0), "the splits were not brought home", 30.0)
    await pair.watch.rest(8.0)
    status = pair.observed.status(SERVICE)
    tell(f"status says: {status['phase']}, {status['message']}")
    told = status["phase"] == "Reverting" and "not rolled back yet" in status["message"]
    _expect(stage, "status", told, f"it is {status['phase']}: {status['message']}")
    _expect(stage, "legacy", _served_by_eks(pair, LEGACY) > 30.0, "it came home without an adaptor")
    tell("both adaptors are back")
    for cluster in CLUSTERS:
        await pair.mesh.clusters[cluster].adaptor.start()
    await stage.reach("Reverted", EKS, 30.0)


def _holds(pair: Pair) -> bool:
    return str(pair.observed.status(SERVICE).get("reason")) == "SplitNotInForce"


def _served_by_eks(pair: Pair, cluster: str, seconds: int = 2) -> float:
    """Return what part of a cluster's last calls eks served, in percent."""
    counts = pair.served(SERVICE, seconds)[cluster]
    return 100.0 * counts[EKS] / max(1, sum(counts.values()))


def at_share(pair: Pair, percent: float) -> bool:
    """Report whether both splits stand at this share."""
    return all(abs(pair.observed.share(cluster) - percent) < 0.05 for cluster in CLUSTERS)


def flaws(pair: Pair) -> bool:
    """Report whether a split of the Service still has a dotted name."""
    specs = [split["spec"] for (_, name), split in pair.observed.splits.items() if name == SERVICE]
    return any("." in spec.get("service", "") for spec in specs)


def warned(pair: Pair, reason: str) -> list[str]:
    """Return the status's warnings of this reason."""
    found = pair.observed.status(SERVICE).get("warnings", [])
    return [warning["message"] for warning in found if warning["reason"] == reason]


STORIES: dict[str, Story] = {
    "move": move,
    "revert": revert,
    "return": back,
    "callers": callers,
    "crash": crash,
    "convert": convert,
    "article": article,
    "twin": twin,
    "opaque": opaque,
    "ports": ports,
    "adaptor": adaptor,
    "fleet": fleet,
}
"""By name, in the order in which all of them are told, which is the README's."""

ON_TRAFFICSPLITS = frozenset({"adaptor", "article"})
"""Stories of TrafficSplits, whatever kind is asked for."""

ON_PROMETHEUS = frozenset({"callers", "twin"})
"""Stories that are nothing without a Prometheus."""
