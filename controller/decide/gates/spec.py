"""The spec cannot be served as it is: HOLD, and nothing is made for it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide import parts, split_choice
from controller.decide.gates.gate import Each, Gate, hold, wait
from controller.decide.input import Input
from controller.decide.resolve import MigrationState, split_parts
from controller.domain import (
    Hold,
    Malformed,
    MigrationSpec,
    Observed,
    ObservedCluster,
    ObservedService,
    Port,
    ReadCanary,
    Reason,
    SplitKind,
    TrafficMode,
    WriteCanary,
)
from controller.domain.ports import taken_for
from controller.domain.probe_checks import shown_ports, unfit

ANSWER_S = 5.0
"""The SMI adaptor and the policy controller act within about 0.1 s (facts 26): this, with room for a slow one."""


@Each
def foreign_owner(given: Input) -> Iterator[Hold]:
    """Another controller moves this traffic."""
    for name, cluster in given.observed.clusters.items():
        owners = [cluster.service.foreign] if cluster.service else []
        owners += [split.foreign for split in cluster.splits]
        for owner in filter(None, owners):
            yield hold(
                Reason.FOREIGN_OWNER,
                f"in {name} the traffic of {given.observed.key} belongs to {owner}",
            )


@Each
def second_split(given: Input) -> Iterator[Hold]:
    """Two splits say where the calls go."""
    for name, cluster in given.observed.clusters.items():
        if len(cluster.splits) > len(split_parts(cluster)):
            names = " and ".join(f"the {s.kind.api_kind} {s.name}" for s in cluster.splits)
            yield hold(
                Reason.SECOND_SPLIT,
                f"in {name} there are two splits for {given.observed.key}, {names}: delete the one that is"
                " not used",
            )


def malformed(given: Input) -> Hold | None:
    """The annotations are no spec: all that is wrong with them is told."""
    spec = given.observed.spec
    if isinstance(spec, Malformed):
        return hold(Reason.MALFORMED, " ".join(problem.message for problem in spec.problems))
    return None


def fleet_unclear(given: Input) -> Hold | None:
    """More than one wave names it, or what its Fleet asks cannot be read."""
    word = given.observed.fleet
    return hold(Reason.FLEET_UNCLEAR, word.unclear) if word and word.unclear else None


def no_target(given: Input) -> Hold | None:
    """Nothing is asked for."""
    spec = given.observed.spec
    if spec is None or (isinstance(spec, MigrationSpec) and spec.target is None):
        one, other = given.observed.context.clusters
        return hold(
            Reason.NO_TARGET,
            f"no annotation migrate.tradeshift/target: write {one} or {other} to move",
        )
    return None


def attempt_too_low(given: Input) -> Hold | None:
    """An attempt's number never falls; one above the running attempt waits for its end."""
    spec = given.observed.spec
    known = given.state.attempt or given.state.previous
    if not isinstance(spec, MigrationSpec) or spec.attempt is None or known is None:
        return None
    if spec.attempt >= known.number:
        return None
    return hold(
        Reason.ATTEMPT_TOO_LOW,
        f"attempt is {spec.attempt}, but attempt {known.number} was made already: write"
        f" {known.number} or more, or leave it out",
    )


def now_not_allowed(given: Input) -> Hold | None:
    """One raise to the soak's share is only for the path back to where a Completed attempt came from."""
    spec = given.state.spec
    asks = isinstance(given.observed.spec, MigrationSpec) and spec and spec.steps == "now"
    if not asks or _may_be_now(given.state):
        return None
    return hold(
        Reason.NOW_NOT_ALLOWED,
        "steps is now, which is only for going back to the origin of the last completed attempt:"
        " write steps such as 1,10,25,50, or remove it",
    )


def _may_be_now(state: MigrationState) -> bool:
    """Return whether the attempt goes back, or was let go so already, or is over."""
    running, last = state.attempt, state.previous
    if running is not None:
        return bool(running.spec.steps == "now" or state.completed or state.reverted)
    return last is not None and state.previous_completed and last.origin == state.target


@Each
def kind_unfit(given: Input) -> Iterator[Hold]:
    """Only an ordinary Service can be split."""
    for name, cluster in given.observed.clusters.items():
        kind = _unfit_kind(cluster.service) if cluster.service else ""
        if kind:
            message = f"in {name} {given.observed.key} is {kind}: it cannot be split"
            yield hold(Reason.KIND_UNFIT, message)


def _unfit_kind(service: ObservedService) -> str:
    if service.type == "ExternalName":
        return "ExternalName"
    return "headless" if service.cluster_ip == "None" else ""


def ports_differ(given: Input) -> Hold | None:
    """Callers use one set of ports for both clusters."""
    services = {n: c.service for n, c in given.observed.clusters.items() if c.service}
    if len(services) < 2:
        return None
    (one, mine), (two, theirs) = services.items()
    if _ports(mine) != _ports(theirs):
        return hold(
            Reason.PORTS_DIFFER,
            f"the ports differ: {shown_ports(_ports(mine))} in {one}, {shown_ports(_ports(theirs))} in {two};"
            " make them equal",
        )
    spoken = {port.name: port.app_protocol for port in theirs.ports}
    for port in mine.ports:
        here, there = taken_for(port.app_protocol), taken_for(spoken[port.name])
        if here and there and here != there:
            return hold(
                Reason.PORTS_DIFFER,
                f"the appProtocol of port {port.number} is {port.app_protocol} in {one}, which is {here} to"
                f" Linkerd, and {spoken[port.name]} in {two}, which is {there}; make them equal",
            )
    return None


def _ports(service: ObservedService) -> set[tuple[str, int, str]]:
    return {(port.name, port.number, port.protocol) for port in service.ports}


def cannot_probe(given: Input) -> Hold | None:
    """No port can be probed, or the one that is there does not speak what is asked of it."""
    service = given.observed.clusters[given.state.target].service
    spec = (
        given.observed.spec if isinstance(given.observed.spec, MigrationSpec) else given.state.spec
    )
    if service is None or spec is None:
        return None
    wrong = unfit(given.observed.key, service.ports, spec.probe)
    return hold(*wrong) if wrong else None


@Each
def split_kind_fixed(given: Input) -> Iterator[Hold]:
    """A split keeps its kind."""
    asked = given.state.spec.split if given.state.spec else None
    for name, cluster in given.observed.clusters.items():
        has = cluster.split.kind if cluster.split else None
        if has and asked not in (None, "auto", has):
            yield hold(
                Reason.SPLIT_KIND_FIXED,
                f"split is {asked}, but {given.observed.key} has a {has.api_kind} in {name} already, which"
                f" is kept: write auto or {has}, or see kubectl migrate convert",
            )


@Each
def split_kind_unserved(given: Input) -> Iterator[Hold]:
    """Each cluster serves the kind of split that the Service has or is to have."""
    observed, state = given.observed, given.state
    for name, cluster in observed.clusters.items():
        if state.spec is None or not cluster.current:
            continue
        kind = split_choice.kind_of(observed, state, cluster)
        if kind not in cluster.split_kinds:
            message = _unserved(name, kind, split_choice.asked(observed, state))
            yield hold(Reason.SPLIT_KIND_UNSERVED, message)


def _unserved(name: str, kind: SplitKind | None, asked: str) -> str:
    if kind is None:
        every = " nor ".join(
            f"{kind.api_kind} ({kind.api_group})" for kind in split_choice.PREFERRED
        )
        return f"{name} serves neither {every}: install the Gateway API's CRDs"
    return (
        f"split is {asked}, but {name} serves no {kind.api_kind} ({kind.api_group}): install it"
        " there, or write auto"
    )


@Each
def split_unanswered(given: Input) -> Iterator[Hold]:
    """Somebody is seen to make the kind of split mean something that the Service is to have."""
    for cluster in given.observed.clusters.values():
        if given.state.spec is None or not cluster.current or cluster.split is not None:
            continue
        kinds = split_choice.candidates(given.observed, given.state, cluster)
        if ruling := _first_answer(given, cluster, kinds):
            yield ruling


_ARTICLES = {SplitKind.TRAFFICSPLIT: "a", SplitKind.HTTPROUTE: "an"}
_ANSWERED_BY = {
    SplitKind.TRAFFICSPLIT: "the SMI adaptor writes no ServiceProfile for it: see to Linkerd's SMI extension",
    SplitKind.HTTPROUTE: "Linkerd's policy controller writes no status for it: see to Linkerd's version",
}


def _first_answer(
    given: Input, cluster: ObservedCluster, kinds: tuple[SplitKind, ...]
) -> Hold | None:
    """Return what is to be waited for, or that nobody answers for the best of these; None where one is obeyed."""
    for kind in kinds:
        if kind not in cluster.unanswered:
            return None
        left = _answer_due_s(given, cluster, kind)
        if left > 0 or kind not in cluster.silent:
            message = f"whether anybody in {cluster.name} obeys {_ARTICLES[kind]} {kind.api_kind}"
            return wait(Reason.SPLIT_UNANSWERED, message, left if left > 0 else None)
    return _unanswered(cluster.name, kinds[0]) if kinds else None


def asking(given: Input, cluster: ObservedCluster) -> WriteCanary | ReadCanary | None:
    """Return how it is found out now whether anybody obeys a kind of split: of the best that is not answered a canary
    is made, and read from the API server itself once it has had its time; then the next."""
    if cluster.split is not None or not cluster.current:
        return None
    for kind in split_choice.candidates(given.observed, given.state, cluster):
        if kind not in cluster.unanswered:
            return None
        if cluster.unanswered[kind] is None:
            return WriteCanary(cluster.name, given.observed.key, kind)
        if _answer_due_s(given, cluster, kind) > 0:
            return None
        if kind not in cluster.silent:
            return ReadCanary(cluster.name, given.observed.key, kind)
    return None


def _answer_due_s(given: Input, cluster: ObservedCluster, kind: SplitKind) -> float:
    """Return for how long the canary of a kind is still waited for, 0 or less: no more."""
    asked = cluster.unanswered[kind]
    if asked is None:
        return ANSWER_S
    waited_s = (given.now - asked).total_seconds()
    return ANSWER_S - (waited_s if waited_s >= 0 else given.observed.started_s)


def _unanswered(cluster: str, kind: SplitKind) -> Hold:
    return hold(
        Reason.SPLIT_UNANSWERED,
        f"{cluster} serves {kind.api_kind} ({kind.api_group}), but {_ANSWERED_BY[kind]}",
    )


def _with_route(given: Input) -> Iterator[tuple[str, ObservedCluster]]:
    """Return the clusters in which the Service has, or is to have, an HTTPRoute."""
    for name, cluster in given.observed.clusters.items():
        kind = split_choice.kind_of(given.observed, given.state, cluster)
        if given.state.spec is not None and kind is SplitKind.HTTPROUTE:
            yield name, cluster


@Each
def route_unfit(given: Input) -> Iterator[Hold]:
    """An HTTPRoute can carry the Service."""
    for name, cluster in _with_route(given):
        why = split_choice.why_no_route(given.observed, given.state, cluster)
        if why:
            yield hold(
                Reason.ROUTE_UNFIT,
                f"an HTTPRoute cannot carry the calls in {name}: {why}; or let it have a TrafficSplit",
            )


@Each
def ports_unfit(given: Input) -> Iterator[Hold]:
    """The ports that are named are ports of the Service, and can move without the others."""
    spec = given.state.spec
    for name, cluster in given.observed.clusters.items():
        if spec is None or not spec.ports or cluster.service is None:
            continue
        kind = split_choice.kind_of(given.observed, given.state, cluster)
        wrong = _wrong_ports(cluster.service, spec, kind)
        if wrong:
            yield hold(Reason.PORTS_UNFIT, f"in {name} the annotation ports {wrong}")


def _wrong_ports(service: ObservedService, spec: MigrationSpec, kind: SplitKind | None) -> str:
    """Return what is wrong with the ports that the annotation names, "" where nothing is."""
    tcp = parts.tcp_ports(service)
    for name in spec.ports:
        if not parts.named(tcp, [name]):
            return f"names {name}, and the Service has {shown_ports(_ports(service))}"
    named = parts.named(tcp, spec.ports)
    if kind is SplitKind.TRAFFICSPLIT:
        return _left_out([port for port in tcp if port not in named])
    whys = (parts.why_not_carried(port, service, spec) for port in named)
    why = next(filter(None, whys), "")
    return f"names what no HTTPRoute can carry: {why}; or leave it out" if why else ""


def _left_out(others: list[Port]) -> str:
    """Return what is wrong where a TrafficSplit is to leave these ports out."""
    if not others:
        return ""
    numbers = ", ".join(str(port.number) for port in others)
    return f"leaves out {numbers}, which a TrafficSplit moves too: remove it, or let the Service have HTTPRoutes"


@Each
def two_mechanisms(given: Input) -> Iterator[Hold]:
    """Nothing that Linkerd puts before an HTTPRoute is there (facts 13)."""
    for name, cluster in _with_route(given):
        for conflict in cluster.conflicts:
            yield hold(
                Reason.TWO_MECHANISMS,
                f"in {name} {conflict} and an HTTPRoute both route the calls to {given.observed.key}, and"
                " Linkerd follows the first: remove it",
            )


def traffic_mode(observed: Observed, spec: MigrationSpec | None) -> TrafficMode:
    """Return how real traffic is judged: as the owner says, else as the settings do."""
    return (spec.traffic if spec else None) or observed.context.traffic


def traffic_unavailable(given: Input) -> Hold | None:
    """Evidence that is required must be there to be had."""
    if traffic_mode(given.observed, given.state.spec) != "required":
        return None
    context = given.observed.context
    without = [name for name in context.clusters if name not in context.prometheus]
    if not without:
        return None
    return hold(
        Reason.TRAFFIC_UNAVAILABLE,
        f"traffic is required, but the controller has no Prometheus of {' and '.join(without)}:"
        " write advisory or off",
    )


@Each
def service_missing(given: Input) -> Iterator[Hold]:
    """The Service is not in both clusters yet; the migration goes on by itself when it is."""
    for name, cluster in given.observed.clusters.items():
        if cluster.current and cluster.service is None:
            message = f"there is no Service {given.observed.key} in {name} yet"
            yield hold(Reason.SERVICE_MISSING, message)


GATES: tuple[Gate, ...] = (
    foreign_owner,
    second_split,
    malformed,
    fleet_unclear,
    no_target,
    attempt_too_low,
    now_not_allowed,
    kind_unfit,
    ports_differ,
    cannot_probe,
    split_kind_fixed,
    split_kind_unserved,
    route_unfit,
    ports_unfit,
    two_mechanisms,
    traffic_unavailable,
    service_missing,
    split_unanswered,
)
