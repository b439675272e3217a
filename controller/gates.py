"""The gates: every reason why a migration does not advance, in order; the first that speaks wins.

The way home comes first, so that nothing a person writes, breaks or forgets disarms it. What a cluster
that is not listed, or stale, holds is unknown: a gate never takes unknown for absent.

    WAY_HOME   above home, a reason to go home          REVERT
    AT_REST    this attempt is over, or nothing is asked HOLD
    WISH       the wish cannot be served as it is        HOLD, nothing is made
    GROUND     the Service is not fit to move now        HOLD
    HAND       a person, the settings or the queue say   HOLD, armed
    FOOTING    lease, fresh views, pins, the record      HOLD
    EVIDENCE   what the probes say                       HOLD

A new gate is one function and one line in these lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.evidence import cluster_fails, home_is_worse, traffic_fails
from controller.model import (
    SLIVER,
    WHOLE,
    Answer,
    ClusterSeen,
    Malformed,
    Observed,
    Record,
    Refusal,
    Side,
    SplitKind,
    TrafficEvidence,
    TrafficMode,
    Unreadable,
    Verdict,
    Way,
    WayEvidence,
    Wish,
)
from controller.ports import port_to_probe, protocol_to_probe
from controller.question import rejection, shown_ports, unfit
from controller.splits import choice
from controller.standing import Standing, latches, of_these_clusters, stored
from prober.contract import WRONG_CLUSTER

Gate = Callable[[Observed, Standing, datetime], Refusal | None]


@dataclass(frozen=True, slots=True)
class Each:
    """A gate that looks at each cluster: it answers with the first of what it finds, a preflight takes all."""

    every: Callable[[Observed, Standing, datetime], Iterator[Refusal]]

    def __call__(self, seen: Observed, st: Standing, now: datetime) -> Refusal | None:
        """Answer as every gate does."""
        return next(self.every(seen, st, now), None)


CLOCKS_DIFFER_S = 2.0
"""What lies further in the future than this was stamped by a clock that was ahead, or has been set back since."""

PIN_AGE_S = 5.0
"""Busy gateways follow a pin in 42 ms, at most 95 (facts 8); this is that with room for a slow control plane."""

LOOP_FREE_S = 1.0
"""How long a mirror must have answered other than 508 before the first step."""

SETTLE_S = 1.0
"""Proxies follow a write in 45 ms at most (facts 10); what is probed before this is of before the step."""

SILENCE_ALERT_S = 30.0
LINK_SILENCE_S = 1.0
LINK_SHOWN_S = 2.5
"""From a link's loss until the last second is nothing but that: a probe's timeout, that second, and room."""

BLIND_S = 0.3

GROUPS = {
    SplitKind.TRAFFICSPLIT: "split.smi-spec.io",
    SplitKind.HTTPROUTE: "gateway.networking.k8s.io",
}
"""By kind of split, the API group that serves it."""

UNHEARD = WayEvidence(Verdict.UNKNOWN, "NoStream")


def hold(reason: str, message: str, *, alert: bool = False) -> Refusal:
    """Refuse until somebody or something changes."""
    return Refusal(Answer.HOLD, reason, message, alert=alert)


def wait(reason: str, message: str, wake_s: float | None = None) -> Refusal:
    """Refuse until time or evidence has come, in the ordinary course."""
    return Refusal(Answer.HOLD, reason, message, waits=True, wake_s=wake_s)


def revert(reason: str, message: str) -> Refusal:
    """Ask for everyone to be brought home."""
    return Refusal(Answer.REVERT, reason, message)


def evidence(seen: Observed, callers: str, side: Side) -> WayEvidence:
    """Give what is known of a way; one that was never heard of is UNKNOWN."""
    return seen.ways.get(Way(callers, side), UNHEARD)


# --- WAY_HOME -------------------------------------------------------------------------------------


def latched(_seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A revert that began is finished, whatever has changed since."""
    if st.reverted and (st.above_home or st.unlatched()):
        return revert(st.reverted.reason, st.reverted.message)
    return None


def asked_home(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The owner wants everyone home: by abort, or by the old target."""
    if not st.unfinished or st.attempt is None:
        return None
    wish = seen.wish
    if isinstance(wish, (Wish, Malformed)) and wish.abort:
        return revert("Aborted", "the annotation abort is true")
    if isinstance(wish, (Wish, Malformed)) and wish.target == st.origin:
        return revert(
            "TargetChanged", f"the target was changed back to {st.origin} during the attempt"
        )
    return None


def loops(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """One request that bounced between the gateways ends the attempt."""
    if not (st.unfinished and st.above_home):
        return None
    for way, found in seen.ways.items():
        if found.reason == "GatewayLoop":
            return revert(
                "GatewayLoop",
                f"a probe of callers in {way.callers} was answered 508: a request bounced between the"
                " two gateways, so a pin is not obeyed",
            )
    return None


def target_gone(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A target that has no ready endpoint serves nobody."""
    if not (st.unfinished and st.above_home):
        return None
    target = seen.clusters[st.target]
    if target.current and target.endpoints.ready == 0:
        return revert("TargetWithoutEndpoints", f"no pod of {seen.key} is ready in {st.target}")
    return None


def target_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers above home whose way to the target FAILed, and whose way home is not as bad."""
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        to_target = evidence(seen, callers, Side.TARGET)
        if cluster_fails(to_target, evidence(seen, callers, Side.HOME)):
            return revert("TargetBad", _bad(callers, st.target, to_target))
    return None


def link_lost(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The origin's prober is silent, and from the target the origin is not to be reached."""
    if not st.unfinished or st.origin not in st.away_from_home:
        return None
    silent = min(evidence(seen, st.origin, side).heard_s for side in (Side.TARGET, Side.HOME))
    seen_from_target = evidence(seen, st.target, Side.HOME)
    if silent >= LINK_SILENCE_S and seen_from_target.all_bad_1s:
        return revert(
            "LinkLost",
            f"the prober in {st.origin} is silent, and every probe from {st.target} to"
            f" {st.origin} is bad: the link between the clusters is lost",
        )
    return None


def _bad(callers: str, side: str, found: WayEvidence) -> str:
    share = "" if found.bad_share_3s is None else f"{found.bad_share_3s * 100:.3g} % of "
    answer = f", usually {found.usual_answer}" if found.usual_answer else ""
    if found.wrong_cluster_3s:
        answer = f", {found.wrong_cluster_3s} of them answered by another cluster"
    what = "slower than slo-latency" if found.objective == "latency" else "bad"
    return (
        f"{share}the probes of callers in {callers} to {side} were {what} in the last 3 s{answer}"
        f" ({found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def traffic_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers above home whose own requests to the target miss the objective, whatever the probes say."""
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        found = seen.traffic.get(callers)
        if found and traffic_fails(found, evidence(seen, callers, Side.HOME)):
            return revert("TrafficBad", _traffic_bad(callers, st, found))
    return None


def _traffic_bad(callers: str, st: Standing, found: TrafficEvidence) -> str:
    home = ""
    if found.home_bad_share is not None:
        home = f", and {found.home_bad_share * 100:.3g} % of those to {st.origin}"
    return (
        f"{(found.bad_share or 0) * 100:.3g} % of the last requests of real callers in {callers} to"
        f" {st.target} failed{home} ({found.failures} of {found.requests} in this attempt;"
        f" {found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def traffic_loops(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers were answered 508, and the gateway of their cluster says that it refused a loop (facts 21).

    The gateway does not say of which Service, so both must be seen: one Service's loop ends no other attempt.
    """
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        found = seen.traffic.get(callers)
        if found and found.looped:
            return revert(
                "TrafficLoop",
                f"requests of real callers in {callers} were answered 508 and its gateway refused"
                " loops: they bounced between the two gateways, so a pin is not obeyed",
            )
    return None


# --- who may go home ------------------------------------------------------------------------------


def stays(seen: Observed, st: Standing, cluster: str) -> Refusal | None:
    """In a revert: say why this cluster's callers stay where they are for now, None where they go.

    UNKNOWN keeps nobody, with two exceptions: after a start the first slices are waited for, 1 s at most;
    and callers whose way home needs the link are not sent through a link that looks dead.
    """
    to_target = evidence(seen, cluster, Side.TARGET)
    home = evidence(seen, cluster, Side.HOME)
    if _known_empty(seen.clusters[cluster], is_target=cluster == st.target):
        return hold(
            "HomeWithoutEndpoints",
            f"callers in {cluster} stay in {st.target}: nothing is ready for them in {st.origin}",
            alert=True,
        )
    needs_link = cluster == st.target
    if home_is_worse(to_target, home) or (needs_link and _was_worse(to_target, home)):
        return hold(
            "BothWaysBad",
            f"callers in {cluster} stay where they are: {_bad(cluster, st.origin, home)}",
            alert=True,
        )
    if needs_link and (suspect := _through_the_link(seen, st)):
        return suspect
    if seen.started_s < 1.0 and home.heard_s == float("inf"):
        return wait("FirstSlices", "the first slices after a start", 1.0 - seen.started_s)
    return None


def _was_worse(to_target: WayEvidence, home: WayEvidence) -> bool:
    """Tell whether a way home through the link was worse when it was last seen, 3 s ago at most.

    A link that is lost makes slices void and late, and some of them come before the points are enough.
    """
    return home.all_bad_1s or home_is_worse(to_target, replace(home, silent_s=0.0))


def _known_empty(cluster: ClusterSeen, *, is_target: bool) -> bool:
    if not cluster.current:
        return False
    behind = cluster.mirror_endpoints if is_target else cluster.endpoints
    return behind.ready == 0


def _through_the_link(seen: Observed, st: Standing) -> Refusal | None:
    """Callers in the target go home through the origin's gateway.

    Where their prober is silent and nobody answers from the origin's side either, that is more likely a dead
    link than two faults at once. The silence is given time to show itself: what was answered before it,
    in one slice with the first faults, must have left the last second. A link that comes back is given the
    same time: the callers' proxies connect again only after a pause.
    """
    target = seen.clusters[st.target]
    own = evidence(seen, st.target, Side.TARGET)
    across = evidence(seen, st.origin, Side.TARGET)
    if target.current and target.endpoints.ready == 0:
        return None
    if own.heard_s < BLIND_S:
        left = LINK_SHOWN_S - own.back_for_s
        return wait("LinkSuspect", "the link is only just back", left) if left > 0 else None
    if across.unanswered_1s:
        return hold(
            "LinkSuspect",
            f"callers in {st.target} stay there: its prober is silent and nobody answers from"
            f" {st.origin}, so the link looks dead",
            alert=True,
        )
    undecided = own.heard_s < LINK_SHOWN_S or BLIND_S <= across.silent_s < LINK_SHOWN_S
    if across.verdict is Verdict.FAIL and undecided:
        return wait("LinkSuspect", "a sign of life from the link", BLIND_S)
    return None


# --- AT_REST --------------------------------------------------------------------------------------


def over(_seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A reverted attempt stays home until another is asked for."""
    if st.reverted and st.attempt:
        return hold(
            st.reverted.reason,
            f"attempt {st.attempt.number} was reverted: {st.reverted.message}; to try again set"
            f" attempt to {st.attempt.number + 1}",
        )
    return None


def remembered(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A latch on a pin binds also where both splits, and their records, are gone, and for any target."""
    if st.attempt is not None:
        return None
    for latch in latches(seen):
        if st.number <= latch.attempt:
            return hold(
                latch.reverted.reason,
                f"attempt {latch.attempt} was reverted: {latch.reverted.message}; to try again set"
                f" attempt to {latch.attempt + 1}",
            )
    return None


def abort_asked(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """While abort is there nothing starts."""
    if isinstance(seen.wish, (Wish, Malformed)) and seen.wish.abort:
        return hold("Aborted", "the annotation abort is true: remove it to start")
    return None


def completed(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A completed migration rests, whatever is written next to an unchanged target."""
    if st.completed is None or isinstance(seen.wish, Malformed):
        return None
    return hold("Completed", f"{st.target} serves every call of {seen.key}")


# --- WISH -----------------------------------------------------------------------------------------


@Each
def foreign(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Another controller moves this traffic."""
    for name, cluster in seen.clusters.items():
        owners = [cluster.service.foreign] if cluster.service else []
        owners += [split.foreign for split in cluster.splits]
        for owner in filter(None, owners):
            yield hold("ForeignOwner", f"in {name} the traffic of {seen.key} belongs to {owner}")
        if len(cluster.splits) > 1:
            names = " and ".join(f"the {s.kind.api_kind} {s.name}" for s in cluster.splits)
            yield hold(
                "SecondSplit",
                f"in {name} there are two splits for {seen.key}, {names}: delete the one that is"
                " not used",
            )


def malformed(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """The annotations are no wish: say all that is wrong with them."""
    if isinstance(seen.wish, Malformed):
        return hold("Malformed", " ".join(problem.message for problem in seen.wish.problems))
    return None


def no_target(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """Nothing is asked for."""
    if seen.wish is None or (isinstance(seen.wish, Wish) and seen.wish.target is None):
        one, other = seen.fleet.clusters
        return hold(
            "NoTarget", f"no annotation migrate.tradeshift/target: write {one} or {other} to move"
        )
    return None


def attempt_number(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """An attempt's number never falls, and one above the running attempt waits for its end."""
    wish = seen.wish
    known = st.attempt or st.previous
    if not isinstance(wish, Wish) or wish.attempt is None or known is None:
        return None
    if wish.attempt < known.number:
        return hold(
            "AttemptTooLow",
            f"attempt is {wish.attempt}, but attempt {known.number} was made already: write"
            f" {known.number} or more, or leave it out",
        )
    return None


def now_allowed(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """One raise to the sliver is only for the way back to where a Completed attempt came from."""
    wish = st.wish
    if not isinstance(seen.wish, Wish) or wish is None or wish.steps != "now":
        return None
    running = st.attempt
    if running is not None and (running.wish.steps == "now" or st.completed or st.reverted):
        return None
    back = st.previous
    if running is None and back and st.previous_completed and back.origin == st.target:
        return None
    return hold(
        "NowNotAllowed",
        "steps is now, which is only for going back to the origin of the last completed attempt:"
        " write steps such as 1,10,25,50, or remove it",
    )


@Each
def kind_of_service(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Only an ordinary Service can be split."""
    for name, cluster in seen.clusters.items():
        service = cluster.service
        if service is None:
            continue
        if service.type == "ExternalName" or service.cluster_ip == "None":
            kind = "ExternalName" if service.type == "ExternalName" else "headless"
            yield hold("KindUnfit", f"in {name} {seen.key} is {kind}: it cannot be split")


@Each
def missing(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """The Service is not in both clusters yet; the migration goes on by itself when it is."""
    for name, cluster in seen.clusters.items():
        if cluster.current and cluster.service is None:
            yield hold("ServiceMissing", f"there is no Service {seen.key} in {name} yet")


def ports_differ(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """Callers use one set of ports for both clusters."""
    services = {n: c.service for n, c in seen.clusters.items() if c.service}
    if len(services) < 2:
        return None
    (one, first), (two, second) = services.items()
    mine = {(p.name, p.number, p.protocol) for p in first.ports}
    theirs = {(p.name, p.number, p.protocol) for p in second.ports}
    if mine != theirs:
        return hold(
            "PortsDiffer",
            f"the ports differ: {shown_ports(mine)} in {one}, {shown_ports(theirs)} in {two}; make them equal",
        )
    spoken = {p.name: p.app_protocol for p in second.ports}
    for port in first.ports:
        other = spoken[port.name]
        if port.app_protocol and other and port.app_protocol != other:
            return hold(
                "PortsDiffer",
                f"the appProtocol of port {port.number} is {port.app_protocol} in {one} and {other}"
                f" in {two}; make them equal",
            )
    return None


def probe_port(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """There is a port to probe, and it speaks what is asked of it."""
    service = seen.clusters[st.target].service
    wish = seen.wish if isinstance(seen.wish, Wish) else st.wish
    if service is None or wish is None:
        return None
    wrong = unfit(seen.key, service.ports, wish.probe)
    return hold(*wrong) if wrong else None


@Each
def split_kind(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """The kind of split that is asked for is served, and is the one that the Service has."""
    if st.wish is None:
        return
    asked = choice.asked(seen, st)
    for name, cluster in seen.clusters.items():
        has = cluster.split.kind if cluster.split else None
        if has and st.wish.split not in (None, "auto", has):
            yield hold(
                "SplitKindFixed",
                f"split is {st.wish.split}, but {seen.key} has a {has.api_kind} in {name} already, which is"
                f" kept: write auto or {has}, or see kubectl migrate convert",
            )
        kind = choice.kind_of(seen, st, cluster)
        if not cluster.current or (kind and kind in cluster.split_kinds):
            continue
        if kind is None:
            yield hold(
                "SplitKindUnserved",
                f"{name} serves neither HTTPRoute ({GROUPS[SplitKind.HTTPROUTE]}) nor TrafficSplit"
                f" ({GROUPS[SplitKind.TRAFFICSPLIT]}): install the Gateway API's CRDs",
            )
        else:
            yield hold(
                "SplitKindUnserved",
                f"split is {asked}, but {name} serves no {kind.api_kind} ({GROUPS[kind]}): install it"
                " there, or write auto",
            )


@Each
def route_fits(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """An HTTPRoute can carry the Service, and nothing that Linkerd puts before it is there (facts 13)."""
    if st.wish is None:
        return
    why = choice.why_no_route(seen)
    for name, cluster in seen.clusters.items():
        if choice.kind_of(seen, st, cluster) is not SplitKind.HTTPROUTE:
            continue
        if why:
            yield hold(
                "RouteUnfit",
                f"an HTTPRoute cannot carry the calls in {name}: {why}; use a TrafficSplit, or a Service"
                " for each port",
            )
        for rival in cluster.rivals:
            yield hold(
                "TwoMechanisms",
                f"in {name} {rival} and an HTTPRoute both route the calls to {seen.key}, and Linkerd"
                " follows the first: remove it",
            )


def traffic_mode(seen: Observed, wish: Wish | None) -> TrafficMode:
    """Give how real traffic is judged: as the owner says, else as the settings do."""
    return (wish.traffic if wish else None) or seen.fleet.traffic


def traffic_known(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Evidence that is required must be there to be had."""
    if traffic_mode(seen, st.wish) != "required":
        return None
    without = [name for name in seen.fleet.clusters if name not in seen.fleet.prometheus]
    if without:
        return hold(
            "TrafficUnavailable",
            f"traffic is required, but the controller has no Prometheus of {' and '.join(without)}:"
            " write advisory or off",
        )
    return None


# --- GROUND ---------------------------------------------------------------------------------------


@Each
def flawed(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Somebody's split does harm, or says other than what happens; mending it would move traffic."""
    for name, cluster in seen.clusters.items():
        for split in cluster.splits:
            broken = [flaw for flaw in split.flaws if not flaw.mendable or st.unfinished]
            for flaw in broken:
                yield hold(flaw.reason, f"in {name} the {split.kind} {split.name}: {flaw.message}")


@Each
def pin_foreign(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """What stands in the pin's place does not pin."""
    for name, cluster in seen.clusters.items():
        if cluster.pin and cluster.pin.foreign:
            yield hold("PinForeign", f"in {name} {cluster.pin.foreign}")


def target_unready(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """There is nobody to serve the calls."""
    target = seen.clusters[st.target]
    if target.current and target.endpoints.ready == 0:
        return hold("TargetWithoutEndpoints", f"no pod of {seen.key} is ready in {st.target}")
    return None


@Each
def mirrors(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Each cluster reaches the other through its mirror."""
    one, other = seen.fleet.clusters
    for name, far in ((one, other), (other, one)):
        cluster = seen.clusters[name]
        if not cluster.current:
            continue
        if refusal := _mirror(cluster, f"{seen.key.service}-{far}", far):
            yield refusal


def _mirror(cluster: ClusterSeen, mirror: str, far: str) -> Refusal | None:
    name, found = cluster.name, cluster.mirror
    if found is not None and found.mirror_of not in ("", far):
        return hold(
            "MirrorOtherCluster",
            f"the mirror {mirror} in {name} leads to {found.mirror_of}, not to {far}: delete that"
            " Link, or name the clusters in the controller's settings as the Links do",
        )
    if found is None and cluster.other_mirrors:
        others = " and ".join(cluster.other_mirrors)
        return hold(
            "MirrorOtherCluster",
            f"{name} has no mirror {mirror}, but mirrors that lead to {others}: where that is {far},"
            " name it in the controller's settings as the Link does; else export the Service in"
            f" {far}",
        )
    if found is None:
        return hold(
            "MirrorMissing",
            f"{name} has no mirror {mirror}: export the Service in {far} with the label"
            " mirror.linkerd.io/exported=true",
        )
    if cluster.mirror_endpoints.ready:
        return None
    if cluster.mirror_endpoints.unready:
        return hold(
            "GatewayNotAlive",
            f"the mirror {mirror} in {name} is not ready: the gateway of {far} does not answer the"
            " service mirror's probe",
        )
    return hold(
        "MirrorEmpty", f"the mirror {mirror} in {name} has no endpoint: {far} has no ready pod"
    )


@Each
def own_pods(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Each cluster's own pods are probed by their address."""
    for name, cluster in seen.clusters.items():
        if cluster.current and cluster.service and st.wish:
            port = port_to_probe(cluster.service.ports, st.wish.probe)
            if port and not cluster.endpoints.pods.get(port.name):
                yield hold(
                    "NoPodsToProbe",
                    f"{name} has no ready pod of {seen.key} in its namespace to probe",
                )


def origin_floor(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A revert would send the origin every call: enough of it must still be there."""
    if not st.unfinished or st.attempt is None or st.soaking or st.wish is None:
        return None
    origin = seen.clusters[st.origin]
    before, left = st.attempt.origin_ready, origin.endpoints.ready
    floor = st.wish.origin_floor_percent
    if not origin.current or left * 100 >= before * floor:
        return None
    needed = -(-before * floor // 100)
    return hold(
        "OriginShrunk",
        f"{left} of {before} origin pods are left and a revert would send them every call: set the"
        f" HPA's minReplicas to {needed}, or origin-floor to {left * 100 // before}",
    )


# --- HAND -----------------------------------------------------------------------------------------


def edited(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Somebody wrote other weights than ours: we never fight a human."""
    if not st.unfinished:
        return None
    for name, record in st.records.items():
        found, recorded = st.shares[name], record.share_permille
        if st.is_of_attempt(record) and found != recorded and found is not None:
            return hold("HandEdited", _hand_edited(name, seen.clusters[name], found, recorded))
    return None


@Each
def unreadable(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """A record that somebody wrote in, or that a newer controller wrote, is not written over for a raise."""
    for name, cluster in seen.clusters.items():
        record = cluster.split.record if cluster.split else None
        message = record.message if isinstance(record, Unreadable) else ""
        if isinstance(record, Record) and not of_these_clusters(seen, record):
            message = "the record on the split is of clusters with other names"
        if message:
            yield hold("RecordUnreadable", f"in {name} {message}; put it back, or remove it")


def _hand_edited(name: str, cluster: ClusterSeen, found: int, recorded: int) -> str:
    split = cluster.split
    who = (split.editor if split else "") or "somebody"
    spec = "spec.backends" if split and split.kind is SplitKind.TRAFFICSPLIT else "spec.rules"
    return (
        f"{who} set the share in {name} to {found / 10:g} %, the record says {recorded / 10:g} %:"
        f" put the weights back, or set abort; where they are kept in Git, ignore {spec} there"
    )


def paused(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The owner says: stay."""
    if isinstance(seen.wish, Wish) and seen.wish.paused:
        share = f"at {st.step / 10:g} %" if st.above_home else "at home, enrolled"
        return hold("Paused", f"the annotation paused is true: it stays {share}")
    return None


def fleet_paused(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """The platform's settings say: nobody rises."""
    if seen.fleet.paused:
        return hold("FleetPaused", "paused is true in the controller's settings")
    return None


def slot(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Only so many migrations rise at a time."""
    if seen.has_slot or st.soaking:
        return None
    place = f", place {seen.slot_place} in the queue" if seen.slot_place else ""
    return wait("NoSlot", f"all slots are in use{place}")


# --- FOOTING --------------------------------------------------------------------------------------


def stale(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """What is not fresh is not known."""
    for name, cluster in seen.clusters.items():
        if not cluster.current:
            why = cluster.stale_reason or "it was not listed yet"
            return hold("ClusterStale", f"{name} is not known well enough to raise: {why}")
    return None


def lease(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Only one process raises."""
    newest = max((record.epoch for record in st.records.values()), default=0)
    if not seen.fleet.leads:
        return hold("NoLease", "this controller does not hold the lease")
    if newest > seen.fleet.epoch:
        return hold("NoLease", f"a newer leader (epoch {newest}) wrote the record")
    return None


@Each
def made(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Splits and pins are there before anything moves."""
    for name, cluster in seen.clusters.items():
        if cluster.pin is None:
            yield wait("PinMissing", f"the gateway of {name} is not pinned yet")
        if cluster.split is None:
            yield wait("SplitMissing", f"{name} has no split yet")
        elif cluster.split.flaws:
            yield wait("SplitFlawed", f"the split in {name} is being mended")


def begun(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The attempt stands in both records, of this leader's epoch, with the wish in force."""
    if st.attempt is None:
        return wait("Beginning", "the record of the attempt")
    records = [record for record in st.records.values() if st.is_of_attempt(record)]
    if len(records) < len(seen.clusters):
        return wait("Beginning", "the record of the attempt, on both splits")
    for record in records:
        if record.epoch != seen.fleet.epoch:
            return wait("TakingOver", "this leader's epoch in both records")
        if record.attempt and st.wish and record.attempt.wish != stored(st.wish):
            return wait("Recording", "the changed annotations in both records")
    return None


def pins_old(seen: Observed, _st: Standing, now: datetime) -> Refusal | None:
    """A gateway takes a moment to obey its pin."""
    for name, cluster in seen.clusters.items():
        if cluster.pin is None:
            continue
        left = PIN_AGE_S - (now - cluster.pin.created).total_seconds()
        if left > PIN_AGE_S + CLOCKS_DIFFER_S:  # by a clock that is ahead, or was: ours counts
            left = PIN_AGE_S - min(seen.settled_s, seen.started_s)
        if left > 0:
            return wait("PinYoung", f"the pin in {name} is 5 s old in {left:.1f} s", left)
    return None


def loop_free(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A mirror that answers 508 says that the far gateway is not pinned."""
    for callers, side in ((st.origin, Side.TARGET), (st.target, Side.HOME)):
        found = evidence(seen, callers, side)
        if found.loop_s < LOOP_FREE_S:
            far = st.target if callers == st.origin else st.origin
            return hold(
                "GatewayNotPinned",
                f"the mirror of {far} in {callers} answers 508: the gateway of {far} does not obey"
                " its pin",
            )
    return None


def settling(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """Proxies are given a second to follow the last write."""
    left = SETTLE_S - seen.settled_s
    return (
        wait("Settling", f"proxies follow the last write, {left:.1f} s", left) if left > 0 else None
    )


# --- EVIDENCE -------------------------------------------------------------------------------------


def rejected(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Every way gives the same unexpected answer: it is the question that is wrong."""
    if st.above_home or st.wish is None:
        return None
    service = seen.clusters[st.target].service
    port = port_to_probe(service.ports, st.wish.probe) if service else None
    protocol = protocol_to_probe(port, st.wish.probe) if port else None
    answers = {found.usual_answer for _, found in _four(seen, st)}
    if protocol is None or len(answers) != 1:
        return None
    wrong = rejection(answers.pop(), st.wish.probe, protocol)
    return hold("ProbeRejected", wrong) if wrong else None


def wrong_cluster(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """At home already, a way is answered by another cluster than was asked (facts 4)."""
    if st.above_home or st.wish is None:
        return None
    for way, found in _four(seen, st):
        if found.usual_answer == WRONG_CLUSTER:
            end = _end(st, way)
            why = (
                f"the gateway of {end} may not obey its pin, or"
                if end != way.callers
                else "its own pods were asked, so"
            )
            return hold(
                "WrongCluster",
                f"callers in {way.callers} who ask {end} get no answer that names {end} in the header"
                f" {st.wish.probe.cluster_header}: {why} the application names its cluster wrongly",
            )
    return None


def unprobed(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A prober that cannot ask what it should: it says what to do about it."""
    for way, found in _four(seen, st):
        if found.refused:
            reason, message = found.refused
            return hold(
                reason or "ProbeRefused",
                f"the prober in {way.callers} does not probe {_end(st, way)}: {message}",
                alert=st.above_home,
            )
    return None


def bad_at_home(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Nothing has moved yet, and a way is bad already."""
    if st.above_home:
        return None
    for way, found in _four(seen, st):
        if found.verdict is not Verdict.FAIL:
            continue
        if way.side is Side.TARGET:
            return hold("TargetBad", _bad(way.callers, st.target, found))
        good = found.success_share
        advice = ""
        if good is not None:
            advice = f"; the origin itself meets {good * 100:.4g} %: write a lower slo-success"
        return hold("OriginBad", _bad(way.callers, st.origin, found) + advice)
    return None


def blind(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Nobody knows how one of the ways is."""
    for way, found in _four(seen, st):
        if found.reason in ("Silent", "Void", "NoStream"):
            if found.heard_s == float("inf"):
                what = f"nothing was heard yet of the prober in {way.callers}"
            elif found.heard_s > LINK_SILENCE_S:
                what = f"the prober in {way.callers} is silent"
            elif found.reason == "Void":
                what = f"the prober in {way.callers} does not stand behind what it reports"
            else:
                what = f"no slice of callers in {way.callers} to {_end(st, way)} comes"
            long = st.above_home and found.silent_s >= SILENCE_ALERT_S
            short = found.silent_s < 3.0 or not st.above_home
            return Refusal(Answer.HOLD, "Blind", what, waits=short, wake_s=1.0, alert=long)
    return None


def home_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Above home, a way home that FAILed, or both ways of one cluster: nobody rises, nobody is thrown."""
    if not st.above_home:
        return None
    for way, found in _four(seen, st):
        if found.verdict is Verdict.FAIL:
            both = way.callers in st.away_from_home and way.side is Side.TARGET
            reason = "BothWaysBad" if both else "WayBad"
            return hold(reason, _bad(way.callers, _end(st, way), found), alert=True)
    return None


def traffic_away(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Where real traffic is required, a Prometheus that does not tell holds; too few requests do not."""
    if traffic_mode(seen, st.wish) != "required":
        return None
    for name in seen.fleet.clusters:
        found = seen.traffic.get(name)
        if found is None:
            return wait("TrafficUnknown", f"the first answer of the Prometheus of {name}")
        if found.unknown:
            return hold(
                "TrafficUnknown",
                f"traffic is required, and the Prometheus of {name} does not tell: {found.unknown}",
            )
    return None


def dwell(seen: Observed, st: Standing, now: datetime) -> Refusal | None:
    """The least time at a step, or the soak."""
    if st.wish is None or st.since is None or not st.above_home:
        return None
    if st.lagging() or st.step >= WHOLE:
        return None  # the rest of a step that was allowed already
    least = st.wish.soak_s if st.step >= SLIVER else st.wish.dwell_s
    end = st.since + timedelta(seconds=least)
    left = (end - now).total_seconds()
    if left > least + CLOCKS_DIFFER_S:  # the step is of the future: the clock was set back
        left = least - seen.settled_s
    if left <= 0:
        return None
    what = "soak" if st.step >= SLIVER else "dwell"
    reason = "Soaking" if st.step >= SLIVER else "Dwelling"
    return wait(reason, f"the {what} at {st.step / 10:g} % ends in {left:.0f} s", left)


def collecting(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Every raise needs PASS on all four ways."""
    short = [(way, found) for way, found in _four(seen, st) if found.verdict is not Verdict.PASS]
    if not short:
        return None
    way, found = min(short, key=lambda pair: pair[1].clean / max(pair[1].needed, 1))
    reason = "Recovering" if found.reason == "Recovering" else "Collecting"
    return wait(
        reason,
        f"{found.clean} of {found.needed} clean probes of callers in {way.callers} to"
        f" {_end(st, way)}",
    )


def _four(seen: Observed, st: Standing) -> list[tuple[Way, WayEvidence]]:
    return [
        (Way(callers, side), evidence(seen, callers, side))
        for callers in (st.origin, st.target)
        for side in (Side.TARGET, Side.HOME)
    ]


def _end(st: Standing, way: Way) -> str:
    return st.target if way.side is Side.TARGET else st.origin


WAY_HOME: tuple[Gate, ...] = (
    latched,
    asked_home,
    loops,
    target_gone,
    target_bad,
    traffic_bad,
    traffic_loops,
    link_lost,
)
AT_REST: tuple[Gate, ...] = (over, completed, remembered, abort_asked)
WISH: tuple[Gate, ...] = (
    foreign,
    malformed,
    no_target,
    attempt_number,
    now_allowed,
    kind_of_service,
    ports_differ,
    probe_port,
    split_kind,
    route_fits,
    traffic_known,
    missing,
)
GROUND: tuple[Gate, ...] = (
    flawed,
    pin_foreign,
    target_unready,
    mirrors,
    own_pods,
    origin_floor,
)
HAND: tuple[Gate, ...] = (unreadable, edited, paused, fleet_paused)
FOOTING: tuple[Gate, ...] = (stale, lease, made, begun, pins_old, loop_free, settling)
EVIDENCE: tuple[Gate, ...] = (
    unprobed,
    rejected,
    wrong_cluster,
    bad_at_home,
    blind,
    home_bad,
    traffic_away,
    dwell,
    collecting,
)
BEFORE_SLOT: tuple[Gate, ...] = (*AT_REST, *WISH, *GROUND, *HAND)
ALL: tuple[Gate, ...] = (*WAY_HOME, *BEFORE_SLOT, slot, *FOOTING, *EVIDENCE)


def first(gates: Iterable[Gate], seen: Observed, st: Standing, now: datetime) -> Refusal | None:
    """Give the answer of the first gate that speaks, None where all let the migration pass."""
    for gate in gates:
        refusal = gate(seen, st, now)
        if refusal is not None:
            return refusal
    return None
