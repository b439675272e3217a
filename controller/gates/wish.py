"""The wish cannot be served as it is: HOLD, and nothing is made for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.gates.answers import (
    Each,
    hold,
)
from controller.model import (
    Malformed,
    Observed,
    Refusal,
    SplitKind,
    TrafficMode,
    Wish,
)
from controller.question import shown_ports, unfit
from controller.splits import choice
from controller.standing import Standing

GROUPS = {
    SplitKind.TRAFFICSPLIT: "split.smi-spec.io",
    SplitKind.HTTPROUTE: "gateway.networking.k8s.io",
}
"""By kind of split, the API group that serves it."""


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
