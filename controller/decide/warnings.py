"""The warnings: what never holds a step and should be known all the same, each a reason and a sentence.

They are told in the Migration's warnings while a Service migrates, and by a preflight before it does. Each is
named by its reason. A new one is a function here, its place in :data:`ALL`, and its row in domain/reasons.py.
What a cluster that is not current holds is unknown, and nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from controller.decide import origin_calls, parts
from controller.decide.resolve import MigrationState
from controller.decide.split_choice import kind_of
from controller.domain import (
    WHOLE,
    CallPath,
    MigrationSpec,
    Observed,
    ObservedCluster,
    Port,
    ProbeSpec,
    Reason,
    Side,
    SplitKind,
)
from controller.domain.ports import asked_of, is_opaque, port_to_probe, protocol_to_probe, taken_for
from controller.domain.probe_checks import is_connect_only


class Warned(NamedTuple):
    """One thing that people should know."""

    reason: Reason
    message: str


Check = Callable[[Observed, MigrationState], Iterator[Warned]]


def found(observed: Observed, state: MigrationState) -> tuple[Warned, ...]:
    """Return every warning of one migration, in order, as (reason, message)."""
    return tuple(found for warning in ALL for found in warning(observed, state))


# --- of the path -----------------------------------------------------------------------------------


def callers_do_not_follow(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Callers that were busy when a TrafficSplit was made do not see it (facts 11), nor an HTTPRoute that took its
    place (facts 27): real traffic names them."""
    for name in observed.clusters:
        workloads = _ignoring(observed, name)
        if workloads:
            yield Warned(
                Reason.CALLERS_DO_NOT_FOLLOW,
                f"in {name} these callers do not follow the split, so the share is not theirs:"
                f" {listed(workloads)}; restart them, or let them be idle for 5 s{_first(state)}",
            )


def callers_may_not_follow(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """A TrafficSplit does not reach callers that were busy when it was made (facts 11), nor does an HTTPRoute
    those that were busy when it took a TrafficSplit's place (facts 12, 27).

    Once callers were seen to follow, and nobody not to, nothing is said any more.
    """
    for name, cluster in observed.clusters.items():
        traffic = observed.traffic.get(name)
        since = _changed(cluster, state)
        if since is None or _ignoring(observed, name) or (traffic and traffic.follow):
            continue
        what = "made or rewritten" if _has_trafficsplit(cluster) else "converted to an HTTPRoute"
        yield Warned(
            Reason.CALLERS_MAY_NOT_FOLLOW,
            f"the split in {name} was {what} at {since:%Y-%m-%dT%H:%M:%SZ}: callers that were busy"
            f" then follow it only once they restarted or were idle for 5 s{_first(state)}",
        )


def _has_trafficsplit(cluster: ObservedCluster) -> bool:
    return cluster.split is not None and cluster.split.kind is SplitKind.TRAFFICSPLIT


def _ignoring(observed: Observed, cluster: str) -> tuple[str, ...]:
    """Return the workloads that were seen to ignore a cluster's split."""
    traffic = observed.traffic.get(cluster)
    return traffic.ignoring if traffic and observed.clusters[cluster].split else ()


def _changed(cluster: ObservedCluster, state: MigrationState) -> datetime | None:
    """Return since when the split of a cluster is one that busy callers may not have seen."""
    record = state.records.get(cluster.name)
    if record is None:
        return None
    return record.made if _has_trafficsplit(cluster) else record.converted


def _first(state: MigrationState) -> str:
    return f"; do not scale {state.origin} down before that" if state.completed else ""


def listed(workloads: tuple[str, ...], most: int = 5) -> str:
    """Return names in a sentence: the first of them, and how many more there are."""
    more = f" and {len(workloads) - most} more" if len(workloads) > most else ""
    return ", ".join(workloads[:most]) + more


def callers_unmeshed(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Who is not in the mesh has no proxy that could obey a split: those calls stay at the origin."""
    traffic = observed.traffic.get(state.origin)
    if traffic and traffic.unmeshed:
        yield Warned(
            Reason.CALLERS_UNMESHED,
            f"{traffic.unmeshed} requests of the last 2 minutes reached the pods in {state.origin} from"
            f" outside the mesh: such callers never follow a split and stay in {state.origin}; give them"
            " a proxy (linkerd.io/inject), or move them yourself",
        )


def traffic_ambiguous(observed: Observed, _state: MigrationState) -> Iterator[Warned]:
    """Proxies count the calls of Services of one name together (facts 28), so those say nothing of one of them."""
    shared = [
        f"in {name} {listed(cluster.also_in)}"
        for name, cluster in observed.clusters.items()
        if cluster.also_in and name in observed.traffic
    ]
    if shared:
        yield Warned(
            Reason.TRAFFIC_AMBIGUOUS,
            f"other namespaces have a Service {observed.key.service} too ({'; '.join(shared)}), and a proxy"
            " that calls several of them counts the calls to their routes as one's: who follows the split"
            " is not known there",
        )


def mirror_unproven(observed: Observed, _state: MigrationState) -> Iterator[Warned]:
    """Between two trust domains a request that bounces is not refused (facts 4)."""
    domains = {
        _trust_domain(cluster.mirror_endpoints.identity)
        for cluster in observed.clusters.values()
        if cluster.mirror_endpoints.identity
    }
    if len(domains) > 1:
        yield Warned(
            Reason.MIRROR_UNPROVEN,
            f"the clusters have different trust domains ({' and '.join(sorted(domains))}): a request"
            " that bounces looks good, so only the pins prove the path",
        )


def _trust_domain(identity_name: str) -> str:
    _, _, domain = identity_name.partition(".identity.")
    return domain.partition(".")[2] or identity_name


def probes_lowered(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Probes that the prober's cap takes away are evidence that comes later."""
    for path, found in observed.paths.items():
        if found.throttled_per_s is not None and path.side is not Side.APEX:
            far = state.target if path.side is Side.TARGET else state.origin
            yield Warned(
                Reason.PROBES_LOWERED,
                f"the prober in {path.callers} is at its cap: the path to {far} has"
                f" {found.throttled_per_s:.3g} probes a second; raise cap_per_s, or lower max_in_progress",
            )


def connect_only(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """A port that only takes connections may be a proxy's, or an application's that answers nothing."""
    service, spec = observed.clusters[state.target].service, state.spec
    port = port_to_probe(service.ports, spec.probe) if service and spec else None
    if port and spec and is_connect_only(spec.probe, protocol_to_probe(port, spec.probe)):
        yield Warned(
            Reason.CONNECT_ONLY,
            f"probes only connect to port {port.number}: they see that a connection is taken and kept, not"
            " that anything is answered; say what the server says first in probe-expect-body, or probe"
            " another port",
        )


# --- past the split -------------------------------------------------------------------------------


def callers_bypass(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """The pods' own proxies see who comes past the split (facts 21), and the callers' what they sent by it."""
    found = origin_calls.bypassing(observed, state)
    if found:
        ordered = sorted(found, key=lambda caller: (-found[caller], caller))
        yield Warned(
            Reason.CALLERS_BYPASS,
            f"in the last 2 min {sum(found.values())} requests of these callers reached the pods in"
            f" {state.origin}, more than the split sends there: {listed(tuple(ordered))}; they dial the pods,"
            f" or Prometheus does not see their proxies; they stay in {state.origin}",
        )


def same_pods(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Calls to the address of a pod are never split (facts 33), whichever Service led there."""
    origin = observed.clusters[state.origin]
    if origin.current and origin.twins:
        yield Warned(
            Reason.SAME_PODS,
            f"in {origin.name} other Services lead to the same pods: {listed(origin.twins)}; who calls"
            f" those goes past the split, and stays in {origin.name}",
        )


def service_exposed(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Who comes from outside the cluster has no proxy that could obey a split."""
    origin = observed.clusters[state.origin]
    if origin.current and origin.service and origin.service.exposed:
        yield Warned(
            Reason.SERVICE_EXPOSED,
            f"in {origin.name} the Service has {origin.service.exposed}: who calls it from outside the"
            f" cluster is not split, and stays in {origin.name}",
        )


def federated_member(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """A federated Service has the pods of all its members as endpoints, and knows no split (facts 33)."""
    origin = observed.clusters[state.origin]
    if origin.current and origin.service and origin.service.federated:
        yield Warned(
            Reason.FEDERATED_MEMBER,
            f"in {origin.name} the Service is a member of {observed.key.service}-federated: who calls that"
            f" reaches the pods in {origin.name} whatever the split says",
        )


# --- of the two Services --------------------------------------------------------------------------


def fewer_endpoints(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """The target is about to get the calls that the origin serves now, with fewer pods."""
    origin, target = observed.clusters[state.origin], observed.clusters[state.target]
    if state.completed or not (origin.current and target.current):
        return
    here, there = origin.endpoints.ready, target.endpoints.ready
    if 0 < there < here:
        yield Warned(
            Reason.FEWER_ENDPOINTS,
            f"{state.target} has fewer ready pods ({there}) than {state.origin} ({here}): is that enough for"
            " every call?",
        )


def session_affinity(observed: Observed, _state: MigrationState) -> Iterator[Warned]:
    """A split decides for each request, so nobody is kept on one pod, or even in one cluster."""
    asked = {
        name: cluster.service.session_affinity
        for name, cluster in observed.clusters.items()
        if cluster.service
    }
    sticky = [name for name, affinity in asked.items() if affinity not in ("", "None")]
    if sticky:
        differ = " only" if len(sticky) < len(asked) else ""
        yield Warned(
            Reason.SESSION_AFFINITY,
            f"sessionAffinity is {asked[sticky[0]]} in {' and '.join(sticky)}{differ}: a split sends"
            " each request where its weights say, so one caller's requests reach both clusters",
        )


def app_protocol_differs(observed: Observed, _state: MigrationState) -> Iterator[Warned]:
    """A port whose protocol is told in one cluster only; two that Linkerd takes for different ones are a gate."""
    for one, port, two, other in _shared_ports(observed):
        if bool(port.app_protocol) == bool(other.app_protocol):
            continue
        where = one if port.app_protocol else two
        spoken = port.app_protocol or other.app_protocol
        yield Warned(
            Reason.APP_PROTOCOL_DIFFERS,
            f"port {port.number} has an appProtocol ({spoken}) in {where} only, where it is"
            f" {taken_for(spoken)} to Linkerd, which elsewhere looks at each connection: make them equal",
        )


def _shared_ports(observed: Observed) -> Iterator[tuple[str, Port, str, Port]]:
    """Return the ports that both Services have by one name, each with its cluster."""
    services = [(name, c.service) for name, c in observed.clusters.items() if c.service]
    if len(services) < 2:
        return
    (one, mine), (two, theirs) = services
    others = {port.name: port for port in theirs.ports}
    for port in mine.ports:
        if port.name in others:
            yield one, port, two, others[port.name]


def ports_stay(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """An HTTPRoute moves only what Linkerd takes for HTTP, and no split moves UDP: those calls stay local."""
    for name, cluster in observed.clusters.items():
        stays = dict(_stays(observed, state, cluster)) if cluster.service and state.spec else {}
        if stays:
            told = "; ".join(f"{_shown(port)} ({why})" for port, why in stays.items())
            yield Warned(
                Reason.PORTS_STAY,
                f"in {name} calls to these ports of {observed.key} stay local: {told}",
            )


def _stays(
    observed: Observed, state: MigrationState, cluster: ObservedCluster
) -> Iterator[tuple[Port, str]]:
    """Yield the ports that the split of a cluster does not move, each with why."""
    service = cluster.service
    for port in service.ports if service else ():
        if port.protocol != "TCP":
            yield port, f"Linkerd carries no {port.protocol}"
    if kind_of(observed, state, cluster) is SplitKind.HTTPROUTE:
        yield from parts.ports_of(observed, cluster, state.spec).staying


def _shown(port: Port) -> str:
    return f"{port.number} {port.name}".rstrip()


def ports_not_probed(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Probes ask one port: what moves beside it moves unproven."""
    service, spec = observed.clusters[state.target].service, state.spec
    probed = port_to_probe(service.ports, spec.probe) if service and spec else None
    others = _moved_beside(observed, state, probed)
    if probed and others:
        yield Warned(
            Reason.PORTS_NOT_PROBED,
            f"probes ask port {_shown(probed)} only, and with it move"
            f" {', '.join(_shown(port) for port in others)}: what those answer is not probed",
        )


def _moved_beside(
    observed: Observed, state: MigrationState, probed: Port | None
) -> tuple[Port, ...]:
    moved = {port for c in observed.clusters.values() for port in _moved(observed, state, c)}
    tcp = parts.tcp_ports(observed.clusters[state.target].service)
    return tuple(port for port in tcp if port in moved and port != probed)


def _moved(observed: Observed, state: MigrationState, cluster: ObservedCluster) -> tuple[Port, ...]:
    if kind_of(observed, state, cluster) is SplitKind.HTTPROUTE:
        return parts.ports_of(observed, cluster, state.spec).moving
    return parts.tcp_ports(cluster.service)


def policies_off(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """The profile that the adaptor makes of a TrafficSplit stands before the Service's own policies (facts 32)."""
    for name, cluster in observed.clusters.items():
        policies = cluster.service.policies if cluster.service and state.spec else ()
        if policies and kind_of(observed, state, cluster) is SplitKind.TRAFFICSPLIT:
            yield Warned(
                Reason.POLICIES_OFF,
                f"in {name} the TrafficSplit switches off {', '.join(policies)} of {observed.key} for all its"
                " callers, as long as it is there",
            )


def host_header_matters(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Through a mirror the application sees its full name as Host, whatever the client sent (facts 18).

    Where all calls stay local, the apex is asked by the short name and the pods by the full one, so two
    answers, one of them good, are the application's own.
    """
    for name, side in ((state.origin, Side.ORIGIN), (state.target, Side.TARGET)):
        split = observed.clusters[name].split
        if state.spec is None or (split and split.away_permille):
            continue
        short = _application_status(observed, CallPath(name, Side.APEX))
        full = _application_status(observed, CallPath(name, side))
        if short is None or full is None:
            continue
        if _is_good(short, state.spec) != _is_good(full, state.spec):
            yield Warned(
                Reason.HOST_HEADER_MATTERS,
                f"in {name} the application answers {short} where its Host is {observed.key.service}, and"
                f" {full} where it is its full name, which is what it sees of all calls through a"
                " mirror: let it serve both alike",
            )


def _application_status(observed: Observed, path: CallPath) -> int | None:
    """Return the usual status on a path, None where a proxy says by it that nobody answered, or there is none."""
    found = observed.paths.get(path)
    answer = found.usual_answer if found else ""
    if not (answer.isdecimal() and len(answer) == 3):
        return None
    return None if answer in ("502", "503", "504", "508") else int(answer)


def _is_good(status: int, spec: MigrationSpec) -> bool:
    return any(low <= status <= high for low, high in spec.probe.expect)


def connections_stay(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """TCP may migrate, and its connections stay where they began (facts 14)."""
    probe = state.spec.probe if state.spec else ProbeSpec()
    for name, cluster in observed.clusters.items():
        service = cluster.service
        every = service.ports if service else ()
        notes = service.opaque_ports if service else None
        found = [p for p in every if is_opaque(p, notes, asked_of(p, every, probe))]
        if found:
            numbers = ", ".join(str(port.number) for port in found)
            yield Warned(
                Reason.CONNECTIONS_STAY,
                f"in {name} Linkerd takes port {numbers} for TCP: new connections follow the split,"
                " open ones stay where they began, also in a revert; restart their callers to move"
                " them",
            )


def routes_merged(observed: Observed, _state: MigrationState) -> Iterator[Warned]:
    """A younger route of the same Service loses to its HTTPRoute, until that is made anew (facts 26)."""
    for name, cluster in observed.clusters.items():
        if cluster.split is None or cluster.split.kind is not SplitKind.HTTPROUTE:
            continue
        for route in cluster.overruled:
            yield Warned(
                Reason.ROUTES_MERGED,
                f"in {name} {route} is for the calls to {observed.key} too: Linkerd follows the older"
                f" {cluster.split.kind} {cluster.split.name}, and this one should that be made anew; remove it",
            )


def split_will_be_rewritten(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Somebody's split is wrong in a way that is repaired without moving traffic."""
    if state.unfinished:
        return
    for name, cluster in observed.clusters.items():
        for split in cluster.splits:
            if split.defects and all(defect.repairable for defect in split.defects):
                what = "; ".join(defect.message for defect in split.defects)
                yield Warned(
                    Reason.SPLIT_WILL_BE_REWRITTEN,
                    f"the {split.kind} {split.name} in {name} is rewritten when the Service is enrolled:"
                    f" {what}",
                )


# --- of the attempt -------------------------------------------------------------------------------


def served_before(_observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Callers whose baseline is the target move nowhere, and are not rolled back."""
    for name, baseline in state.baseline.items():
        if baseline == WHOLE and not state.completed:
            message = f"{name} callers were on {state.target} before and stay there"
            yield Warned(Reason.SERVED_BEFORE, message)


def moved_since(_observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """Once an attempt has completed, the weights are whoever's who changes them."""
    for name, share in state.shares.items():
        if state.completed and share is not None and share < WHOLE:
            yield Warned(
                Reason.MOVED_SINCE,
                f"since completion the share in {name} was set to {share / 10:g} % by hand",
            )


def attempt_waits(observed: Observed, state: MigrationState) -> Iterator[Warned]:
    """An attempt that is asked for begins when the one under way is over."""
    spec, running = observed.spec, state.attempt
    asked = spec.attempt if isinstance(spec, MigrationSpec) else None
    if asked and running and asked > running.number:
        message = f"attempt {asked} begins when attempt {running.number} is over"
        yield Warned(Reason.ATTEMPT_WAITS, message)


ALL: tuple[Check, ...] = (
    callers_do_not_follow,
    callers_may_not_follow,
    callers_unmeshed,
    callers_bypass,
    same_pods,
    service_exposed,
    federated_member,
    traffic_ambiguous,
    mirror_unproven,
    served_before,
    moved_since,
    attempt_waits,
    probes_lowered,
    connect_only,
    routes_merged,
    split_will_be_rewritten,
    fewer_endpoints,
    session_affinity,
    app_protocol_differs,
    connections_stay,
    ports_stay,
    ports_not_probed,
    policies_off,
    host_header_matters,
)
