"""The warnings: what never holds a step and should be known all the same, each a reason and a sentence.

They are told in the Migration's warnings while a Service migrates, and by a preflight before it does. A new
warning is one function and one line in :data:`ALL`. What a cluster that is not current holds is unknown, and
nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.decide.resolve import MigrationState
from controller.domain import WHOLE, CallPath, MigrationSpec, Observed, Side, SplitKind
from controller.domain.ports import is_opaque, port_to_probe, protocol_to_probe
from controller.domain.probe_checks import is_connect_only

Caveat = Callable[[Observed, MigrationState], Iterator[tuple[str, str]]]


def told(observed: Observed, state: MigrationState) -> tuple[tuple[str, str], ...]:
    """Return every warning of one migration, in order, as (reason, message)."""
    return tuple(found for caveat in ALL for found in caveat(observed, state))


# --- of the path -----------------------------------------------------------------------------------


def callers(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """A TrafficSplit does not reach callers that were busy when it was made (facts 11), nor does an HTTPRoute
    those that were busy when it took a TrafficSplit's place (facts 12).

    Where real traffic tells who does not follow they are named; once callers were seen to follow, and nobody
    not to, nothing is said any more.
    """
    advice = ""
    if state.completed:
        advice = f"; do not scale {state.origin} down before that"
    for name, cluster in observed.clusters.items():
        record, traffic = state.records.get(name), observed.traffic.get(name)
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


def unmeshed(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """Who is not in the mesh has no proxy that could obey a split: those calls stay at the origin."""
    traffic = observed.traffic.get(state.origin)
    if traffic and traffic.unmeshed:
        message = (
            f"{traffic.unmeshed} requests of the last 2 minutes reached the pods in {state.origin} from"
            f" outside the mesh: such callers never follow a split and stay in {state.origin}; give them"
            " a proxy (linkerd.io/inject), or move them yourself"
        )
        yield "CallersUnmeshed", message


def _named(workloads: tuple[str, ...], most: int = 5) -> str:
    more = f" and {len(workloads) - most} more" if len(workloads) > most else ""
    return ", ".join(workloads[:most]) + more


def unproven(observed: Observed, _state: MigrationState) -> Iterator[tuple[str, str]]:
    """Between two trust domains a request that bounces is not refused (facts 4)."""
    domains = {
        _trust_domain(cluster.mirror_endpoints.identity)
        for cluster in observed.clusters.values()
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


def slowed(observed: Observed, _state: MigrationState) -> Iterator[tuple[str, str]]:
    """Probes that the prober's cap takes away are evidence that comes later."""
    for path, found in observed.paths.items():
        if found.throttled_per_s is not None and path.side is not Side.APEX:
            message = (
                f"the prober in {path.callers} is at its cap: the way {path.side} has"
                f" {found.throttled_per_s:.3g} probes a second; raise cap_per_s, or lower max_in_progress"
            )
            yield "ProbesLowered", message


def connect_only(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """A port that only takes connections may be a proxy's, or an application's that answers nothing."""
    service = observed.clusters[state.target].service
    port = port_to_probe(service.ports, state.spec.probe) if service and state.spec else None
    if (
        port
        and state.spec
        and is_connect_only(state.spec.probe, protocol_to_probe(port, state.spec.probe))
    ):
        message = (
            f"probes only connect to port {port.number}: they see that a connection is taken and kept, not"
            " that anything is answered; say what the server says first in probe-expect-body, or probe"
            " another port"
        )
        yield "ConnectOnly", message


# --- of the two Services --------------------------------------------------------------------------


def fewer_endpoints(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """The target is about to get the calls that the origin serves now, with fewer pods."""
    origin, target = observed.clusters[state.origin], observed.clusters[state.target]
    if state.completed or not (origin.current and target.current):
        return
    here, there = origin.endpoints.ready, target.endpoints.ready
    if 0 < there < here:
        message = (
            f"{state.target} has fewer ready pods ({there}) than {state.origin} ({here}): is that enough for"
            " every call?"
        )
        yield "FewerEndpoints", message


def session_affinity(observed: Observed, _state: MigrationState) -> Iterator[tuple[str, str]]:
    """A split decides for each request, so nobody is kept on one pod, or even in one cluster."""
    asked = {
        name: cluster.service.session_affinity
        for name, cluster in observed.clusters.items()
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


def app_protocol(observed: Observed, _state: MigrationState) -> Iterator[tuple[str, str]]:
    """A port whose protocol is told in one cluster only; two that are told and differ are a gate."""
    services = {n: c.service for n, c in observed.clusters.items() if c.service}
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


def host_header(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """Through a mirror the application sees its full name as Host, whatever the client sent (facts 18).

    Where all calls stay local, the apex is asked by the short name and the pods by the full one, so two
    answers, one of them good, are the application's own.
    """
    for name, cluster in observed.clusters.items():
        if name not in (state.origin, state.target) or (
            cluster.split and cluster.split.away_permille
        ):
            continue
        side = Side.HOME if name == state.origin else Side.TARGET
        own, apex = (
            observed.paths.get(CallPath(name, side)),
            observed.paths.get(CallPath(name, Side.APEX)),
        )
        if own is None or apex is None or state.spec is None:
            continue
        answers = (apex.usual_answer, own.usual_answer)
        if not all(_is_of_an_application(answer) for answer in answers):
            continue
        good = [
            any(low <= int(a) <= high for low, high in state.spec.probe.expect) for a in answers
        ]
        if good[0] != good[1]:
            message = (
                f"in {name} the application answers {answers[0]} where its Host is {observed.key.service}, and"
                f" {answers[1]} where it is its full name, which is what it sees of all calls through a"
                " mirror: let it serve both alike"
            )
            yield "HostHeaderMatters", message


def _is_of_an_application(answer: str) -> bool:
    """Return whether this is a status, and none by which a proxy says that nobody answered."""
    return answer.isdigit() and len(answer) == 3 and answer not in ("502", "503", "504", "508")


def opaque_ports(observed: Observed, _state: MigrationState) -> Iterator[tuple[str, str]]:
    """TCP may migrate, and its connections stay where they began (facts 14)."""
    for name, cluster in observed.clusters.items():
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


def rewritten(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """Somebody's split is wrong in a path that is mended without moving traffic."""
    if state.unfinished:
        return
    for name, cluster in observed.clusters.items():
        for split in cluster.splits:
            if split.defects and all(defect.repairable for defect in split.defects):
                what = "; ".join(defect.message for defect in split.defects)
                message = (
                    f"the {split.kind} {split.name} in {name} is rewritten when the Service is enrolled:"
                    f" {what}"
                )
                yield "SplitWillBeRewritten", message


# --- of the attempt -------------------------------------------------------------------------------


def standing_apart(observed: Observed, state: MigrationState) -> Iterator[tuple[str, str]]:
    """Callers who are elsewhere than the attempt alone would have them, and an attempt that waits."""
    for name, baseline in state.baseline.items():
        if baseline == WHOLE and not state.completed:
            yield (
                "ServedBefore",
                f"{name} callers were on {state.target} before and stay there",
            )
    if state.completed:
        for name, share in state.shares.items():
            if share is not None and share < WHOLE:
                yield (
                    "MovedSince",
                    f"since completion the share in {name} was set to {share / 10:g} % by hand",
                )
    spec = observed.spec
    if (
        isinstance(spec, MigrationSpec)
        and spec.attempt
        and state.attempt
        and spec.attempt > state.attempt.number
    ):
        yield (
            "AttemptWaits",
            f"attempt {spec.attempt} begins when attempt {state.attempt.number} is over",
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
