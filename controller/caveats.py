"""The caveats: what never holds a step and should be known all the same, each a reason and a sentence.

They are told in the Migration's warnings while a Service migrates, and by a preflight before it does. A new
caveat is one function and one line in :data:`ALL`. What a cluster that is not current holds is unknown, and
nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.model import WHOLE, Observed, Side, SplitKind, Way, Wish
from controller.ports import is_opaque, port_to_probe, protocol_to_probe
from controller.question import is_connect_only
from controller.standing import Standing

Caveat = Callable[[Observed, Standing], Iterator[tuple[str, str]]]


def told(seen: Observed, st: Standing) -> tuple[tuple[str, str], ...]:
    """Give every caveat of one migration, in order, as (reason, message)."""
    return tuple(found for caveat in ALL for found in caveat(seen, st))


# --- of the way -----------------------------------------------------------------------------------


def callers(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """A TrafficSplit does not reach callers that were busy when it was made (facts 11), nor does an HTTPRoute
    those that were busy when it took a TrafficSplit's place (facts 12).

    Where real traffic tells who does not follow they are named; once callers were seen to follow, and nobody
    not to, nothing is said any more.
    """
    advice = ""
    if st.completed:
        advice = f"; do not scale {st.origin} down before that"
    for name, cluster in seen.clusters.items():
        record, traffic = st.records.get(name), seen.traffic.get(name)
        is_split = cluster.split is not None and cluster.split.kind is SplitKind.TRAFFICSPLIT
        since = (record.made if is_split else record.converted) if record else None
        if traffic and traffic.ignoring and is_split:
            message = (
                f"in {name} these callers do not follow the split, so the share is not theirs:"
                f" {_named(traffic.ignoring)}; restart them, or let them be idle for 5 s{advice}"
            )
            yield "CallersDoNotFollow", message
        elif since and not (traffic and traffic.follow):
            what = "made or rewritten" if is_split else "converted to an HTTPRoute"
            message = (
                f"the split in {name} was {what} at {since:%Y-%m-%dT%H:%M:%SZ}: callers that were busy"
                f" then follow it only once they restarted or were idle for 5 s{advice}"
            )
            yield "CallersMayNotFollow", message


def unmeshed(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """Who is not in the mesh has no proxy that could obey a split: those calls stay at the origin."""
    traffic = seen.traffic.get(st.origin)
    if traffic and traffic.unmeshed:
        message = (
            f"{traffic.unmeshed} requests of the last 2 minutes reached the pods in {st.origin} from"
            f" outside the mesh: such callers never follow a split and stay in {st.origin}; give them"
            " a proxy (linkerd.io/inject), or move them yourself"
        )
        yield "CallersUnmeshed", message


def _named(workloads: tuple[str, ...], most: int = 5) -> str:
    more = f" and {len(workloads) - most} more" if len(workloads) > most else ""
    return ", ".join(workloads[:most]) + more


def unproven(seen: Observed, _st: Standing) -> Iterator[tuple[str, str]]:
    """Between two trust domains a request that bounces is not refused (facts 4)."""
    domains = {
        _trust_domain(cluster.mirror_endpoints.identity)
        for cluster in seen.clusters.values()
        if cluster.mirror_endpoints.identity
    }
    if len(domains) > 1:
        message = (
            f"the clusters have different trust domains ({' and '.join(sorted(domains))}): a request"
            " that bounces looks good, so only the pins prove the way"
        )
        yield "MirrorUnproven", message


def _trust_domain(identity_name: str) -> str:
    _, _, domain = identity_name.partition(".identity.")
    return domain.partition(".")[2] or identity_name


def slowed(seen: Observed, _st: Standing) -> Iterator[tuple[str, str]]:
    """Probes that the prober's cap takes away are evidence that comes later."""
    for way, found in seen.ways.items():
        if found.lowered_per_s is not None and way.side is not Side.APEX:
            message = (
                f"the prober in {way.callers} is at its cap: the way {way.side} has"
                f" {found.lowered_per_s:.3g} probes a second; raise cap_per_s, or lower max_in_progress"
            )
            yield "ProbesLowered", message


def connect_only(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """A port that only takes connections may be a proxy's, or an application's that answers nothing."""
    service = seen.clusters[st.target].service
    port = port_to_probe(service.ports, st.wish.probe) if service and st.wish else None
    if port and st.wish and is_connect_only(st.wish.probe, protocol_to_probe(port, st.wish.probe)):
        message = (
            f"probes only connect to port {port.number}: they see that a connection is taken and kept, not"
            " that anything is answered; say what the server says first in probe-expect-body, or probe"
            " another port"
        )
        yield "ConnectOnly", message


# --- of the two Services --------------------------------------------------------------------------


def fewer_endpoints(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """The target is about to get the calls that the origin serves now, with fewer pods."""
    origin, target = seen.clusters[st.origin], seen.clusters[st.target]
    if st.completed or not (origin.current and target.current):
        return
    here, there = origin.endpoints.ready, target.endpoints.ready
    if 0 < there < here:
        message = (
            f"{st.target} has fewer ready pods ({there}) than {st.origin} ({here}): is that enough for"
            " every call?"
        )
        yield "FewerEndpoints", message


def session_affinity(seen: Observed, _st: Standing) -> Iterator[tuple[str, str]]:
    """A split decides for each request, so nobody is kept on one pod, or even in one cluster."""
    asked = {
        name: cluster.service.session_affinity
        for name, cluster in seen.clusters.items()
        if cluster.service
    }
    sticky = [name for name, affinity in asked.items() if affinity not in ("", "None")]
    if sticky:
        differ = " only" if len(sticky) < len(asked) else ""
        message = (
            f"sessionAffinity is {asked[sticky[0]]} in {' and '.join(sticky)}{differ}: a split sends"
            " each request where its weights say, so one caller's requests reach both clusters"
        )
        yield "SessionAffinity", message


def app_protocol(seen: Observed, _st: Standing) -> Iterator[tuple[str, str]]:
    """A port whose protocol is told in one cluster only; two that are told and differ are a gate."""
    services = {n: c.service for n, c in seen.clusters.items() if c.service}
    if len(services) < 2:
        return
    (one, first), (two, second) = services.items()
    spoken = {port.name: port.app_protocol for port in second.ports}
    for port in first.ports:
        other = spoken.get(port.name)
        if other is None or bool(port.app_protocol) == bool(other):
            continue
        where, told_as = (one, port.app_protocol) if port.app_protocol else (two, other)
        message = (
            f"port {port.number} has an appProtocol ({told_as}) in {where} only: callers may be"
            " routed in two manners; make them equal"
        )
        yield "AppProtocolDiffers", message


def host_header(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """Through a mirror the application sees its full name as Host, whatever the client sent (facts 18).

    Where all calls stay local, the apex is asked by the short name and the pods by the full one, so two
    answers, one of them good, are the application's own.
    """
    for name, cluster in seen.clusters.items():
        if name not in (st.origin, st.target) or (cluster.split and cluster.split.away_permille):
            continue
        side = Side.HOME if name == st.origin else Side.TARGET
        own, apex = seen.ways.get(Way(name, side)), seen.ways.get(Way(name, Side.APEX))
        if own is None or apex is None or st.wish is None:
            continue
        answers = (apex.usual_answer, own.usual_answer)
        if not all(_is_of_an_application(answer) for answer in answers):
            continue
        good = [any(low <= int(a) <= high for low, high in st.wish.probe.expect) for a in answers]
        if good[0] != good[1]:
            message = (
                f"in {name} the application answers {answers[0]} where its Host is {seen.key.service}, and"
                f" {answers[1]} where it is its full name, which is what it sees of all calls through a"
                " mirror: let it serve both alike"
            )
            yield "HostHeaderMatters", message


def _is_of_an_application(answer: str) -> bool:
    """Tell whether this is a status, and none by which a proxy says that nobody answered."""
    return answer.isdigit() and len(answer) == 3 and answer not in ("502", "503", "504", "508")


def opaque_ports(seen: Observed, _st: Standing) -> Iterator[tuple[str, str]]:
    """TCP may migrate, and its connections stay where they began (facts 14)."""
    for name, cluster in seen.clusters.items():
        service = cluster.service
        found = [p for p in service.ports if is_opaque(p, service.opaque_ports)] if service else []
        if found:
            numbers = ", ".join(str(port.number) for port in found)
            message = (
                f"in {name} Linkerd takes port {numbers} for TCP: new connections follow the split,"
                " open ones stay where they began, also in a revert; restart their callers to move"
                " them"
            )
            yield "ConnectionsStay", message


def rewritten(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """Somebody's split is wrong in a way that is mended without moving traffic."""
    if st.unfinished:
        return
    for name, cluster in seen.clusters.items():
        for split in cluster.splits:
            if split.flaws and all(flaw.mendable for flaw in split.flaws):
                what = "; ".join(flaw.message for flaw in split.flaws)
                message = (
                    f"the {split.kind} {split.name} in {name} is rewritten when the Service is enrolled:"
                    f" {what}"
                )
                yield "SplitWillBeRewritten", message


# --- of the attempt -------------------------------------------------------------------------------


def standing_apart(seen: Observed, st: Standing) -> Iterator[tuple[str, str]]:
    """Callers who are elsewhere than the attempt alone would have them, and an attempt that waits."""
    for name, home in st.home.items():
        if home == WHOLE and not st.completed:
            yield (
                "ServedBefore",
                f"{name} callers were on {st.target} before and stay there",
            )
    if st.completed:
        for name, share in st.shares.items():
            if share is not None and share < WHOLE:
                yield (
                    "MovedSince",
                    f"since completion the share in {name} was set to {share / 10:g} % by hand",
                )
    wish = seen.wish
    if isinstance(wish, Wish) and wish.attempt and st.attempt and wish.attempt > st.attempt.number:
        yield (
            "AttemptWaits",
            f"attempt {wish.attempt} begins when attempt {st.attempt.number} is over",
        )


ALL: tuple[Caveat, ...] = (
    callers,
    unmeshed,
    unproven,
    standing_apart,
    slowed,
    connect_only,
    rewritten,
    fewer_endpoints,
    session_affinity,
    app_protocol,
    opaque_ports,
    host_header,
)
