"""The spec cannot be served as it is: HOLD, and nothing is made for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.decide import split_choice
from controller.decide.gates.gate import Each, hold
from controller.decide.resolve import MigrationState
from controller.domain import Malformed, MigrationSpec, Observed, Ruling, SplitKind, TrafficMode
from controller.domain.probe_checks import shown_ports, unfit

GROUPS = {
    SplitKind.TRAFFICSPLIT: "split.smi-spec.io",
    SplitKind.HTTPROUTE: "gateway.networking.k8s.io",
}
"""By kind of split, the API group that serves it."""


@Each
def foreign(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Another controller moves this traffic."""
    for name, cluster in observed.clusters.items():
        owners = [cluster.service.foreign] if cluster.service else []
        owners += [split.foreign for split in cluster.splits]
        for owner in filter(None, owners):
            yield hold(
                "ForeignOwner", f"in {name} the traffic of {observed.key} belongs to {owner}"
            )
        if len(cluster.splits) > 1:
            names = " and ".join(f"the {s.kind.api_kind} {s.name}" for s in cluster.splits)
            yield hold(
                "SecondSplit",
                f"in {name} there are two splits for {observed.key}, {names}: delete the one that is"
                " not used",
            )


def malformed(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """The annotations are no spec: say all that is wrong with them."""
    if isinstance(observed.spec, Malformed):
        return hold("Malformed", " ".join(problem.message for problem in observed.spec.problems))
    return None


def no_target(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """Nothing is asked for."""
    if observed.spec is None or (
        isinstance(observed.spec, MigrationSpec) and observed.spec.target is None
    ):
        one, other = observed.context.clusters
        return hold(
            "NoTarget", f"no annotation migrate.tradeshift/target: write {one} or {other} to move"
        )
    return None


def attempt_number(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """An attempt's number never falls, and one above the running attempt waits for its end."""
    spec = observed.spec
    known = state.attempt or state.previous
    if not isinstance(spec, MigrationSpec) or spec.attempt is None or known is None:
        return None
    if spec.attempt < known.number:
        return hold(
            "AttemptTooLow",
            f"attempt is {spec.attempt}, but attempt {known.number} was made already: write"
            f" {known.number} or more, or leave it out",
        )
    return None


def now_allowed(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """One raise to the soak's share is only for the path back to where a Completed attempt came from."""
    spec = state.spec
    if not isinstance(observed.spec, MigrationSpec) or spec is None or spec.steps != "now":
        return None
    running = state.attempt
    if running is not None and (running.spec.steps == "now" or state.completed or state.reverted):
        return None
    back = state.previous
    if running is None and back and state.previous_completed and back.origin == state.target:
        return None
    return hold(
        "NowNotAllowed",
        "steps is now, which is only for going back to the origin of the last completed attempt:"
        " write steps such as 1,10,25,50, or remove it",
    )


@Each
def kind_of_service(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Only an ordinary Service can be split."""
    for name, cluster in observed.clusters.items():
        service = cluster.service
        if service is None:
            continue
        if service.type == "ExternalName" or service.cluster_ip == "None":
            kind = "ExternalName" if service.type == "ExternalName" else "headless"
            yield hold("KindUnfit", f"in {name} {observed.key} is {kind}: it cannot be split")


@Each
def missing(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """The Service is not in both clusters yet; the migration goes on by itself when it is."""
    for name, cluster in observed.clusters.items():
        if cluster.current and cluster.service is None:
            yield hold("ServiceMissing", f"there is no Service {observed.key} in {name} yet")


def ports_differ(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """Callers use one set of ports for both clusters."""
    services = {n: c.service for n, c in observed.clusters.items() if c.service}
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


def probe_port(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """There is a port to probe, and it speaks what is asked of it."""
    service = observed.clusters[state.target].service
    spec = observed.spec if isinstance(observed.spec, MigrationSpec) else state.spec
    if service is None or spec is None:
        return None
    wrong = unfit(observed.key, service.ports, spec.probe)
    return hold(*wrong) if wrong else None


@Each
def split_kind(observed: Observed, state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """The kind of split that is asked for is served, and is the one that the Service has."""
    if state.spec is None:
        return
    asked = split_choice.asked(observed, state)
    for name, cluster in observed.clusters.items():
        has = cluster.split.kind if cluster.split else None
        if has and state.spec.split not in (None, "auto", has):
            yield hold(
                "SplitKindFixed",
                f"split is {state.spec.split}, but {observed.key} has a {has.api_kind} in {name} already, which is"
                f" kept: write auto or {has}, or see kubectl migrate convert",
            )
        kind = split_choice.kind_of(observed, state, cluster)
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
def route_fits(observed: Observed, state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """An HTTPRoute can carry the Service, and nothing that Linkerd puts before it is there (facts 13)."""
    if state.spec is None:
        return
    why = split_choice.why_no_route(observed)
    for name, cluster in observed.clusters.items():
        if split_choice.kind_of(observed, state, cluster) is not SplitKind.HTTPROUTE:
            continue
        if why:
            yield hold(
                "RouteUnfit",
                f"an HTTPRoute cannot carry the calls in {name}: {why}; use a TrafficSplit, or a Service"
                " for each port",
            )
        for conflict in cluster.conflicts:
            yield hold(
                "TwoMechanisms",
                f"in {name} {conflict} and an HTTPRoute both route the calls to {observed.key}, and Linkerd"
                " follows the first: remove it",
            )


def traffic_mode(observed: Observed, spec: MigrationSpec | None) -> TrafficMode:
    """Return how real traffic is judged: as the owner says, else as the settings do."""
    return (spec.traffic if spec else None) or observed.context.traffic


def traffic_known(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Evidence that is required must be there to be had."""
    if traffic_mode(observed, state.spec) != "required":
        return None
    without = [
        name for name in observed.context.clusters if name not in observed.context.prometheus
    ]
    if without:
        return hold(
            "TrafficUnavailable",
            f"traffic is required, but the controller has no Prometheus of {' and '.join(without)}:"
            " write advisory or off",
        )
    return None
