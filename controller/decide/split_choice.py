"""Which kind of split a Service gets in a cluster, and by which port an HTTPRoute sends its calls.

Chosen once: what the Service has is kept, and so is what an attempt began on. The two clusters of a pair may
have different kinds.
"""

from __future__ import annotations

from controller.decide import parts
from controller.decide.resolve import MigrationState, split_parts
from controller.domain import Observed, ObservedCluster, Port, SplitChoice, SplitKind

PREFERRED = (SplitKind.HTTPROUTE, SplitKind.TRAFFICSPLIT)
"""Of two kinds that are served, and that can carry the Service, the first."""


def asked(observed: Observed, state: MigrationState) -> SplitChoice:
    """Return what the owner asks for, else the fleet's settings."""
    return (state.spec.split if state.spec else None) or observed.context.split


def kind_of(
    observed: Observed, state: MigrationState, cluster: ObservedCluster
) -> SplitKind | None:
    """Return the kind of split that the Service has or is to have; None where neither kind is served.

    ``auto`` is the first of those that come into question that anybody is seen to obey.
    """
    kinds = candidates(observed, state, cluster)
    answered = [kind for kind in kinds if kind not in cluster.unanswered]
    return next(iter((*answered, *kinds)), None)


def candidates(
    observed: Observed, state: MigrationState, cluster: ObservedCluster
) -> tuple[SplitKind, ...]:
    """Return the kinds of split that come into question, the best first.

    ``auto`` is an HTTPRoute where it is served and can carry every port that is to move, else a TrafficSplit
    (docs/how-it-works.md). Where a TrafficSplit would switch off what the Service's annotations ask for (facts 32), an
    HTTPRoute that carries any is preferred.
    """
    if cluster.split is not None:
        return (cluster.split.kind,)
    if state.attempt is not None and cluster.name in state.attempt.kinds:
        return (state.attempt.kinds[cluster.name],)
    wanted = asked(observed, state)
    if wanted != "auto":
        return (SplitKind(wanted),)
    order = PREFERRED if _prefers_route(observed, state, cluster) else PREFERRED[::-1]
    return tuple(kind for kind in order if kind in cluster.split_kinds)


def _prefers_route(observed: Observed, state: MigrationState, cluster: ObservedCluster) -> bool:
    if why_no_route(observed, state, cluster):
        return False
    service = parts.service_of(observed, cluster)
    named = bool(state.spec and state.spec.ports)
    stays = parts.ports_of(observed, cluster, state.spec).staying
    return named or not stays or bool(service and service.policies)


def why_no_route(observed: Observed, state: MigrationState, cluster: ObservedCluster) -> str:
    """Return why HTTPRoutes cannot carry the Service in a cluster, "" where they carry one of its ports at least.

    Linkerd follows no HTTPRoute for a port that it takes for TCP. And a route whose parent names no port is for every
    port of the Service, while its backends name one.
    """
    if parts.service_of(observed, cluster) is None:
        return ""
    moving, staying = parts.ports_of(observed, cluster, state.spec)
    if moving:
        return _why_not_each(cluster, moving)
    whys = (why for _, why in staying if why != parts.NOT_NAMED)
    return next(whys, f"{observed.key} has no port that could be carried")


def _why_not_each(cluster: ObservedCluster, moving: tuple[Port, ...]) -> str:
    """Return why these ports cannot have a route each, "" where they can."""
    routes = (part for part in split_parts(cluster) if part.kind is SplitKind.HTTPROUTE)
    greedy = next((route for route in routes if route.parent_port is None), None)
    if greedy is None or len(moving) < 2:
        return ""
    numbers = ", ".join(str(port.number) for port in moving)
    return (
        f"the HTTPRoute {greedy.name} names no port in its parentRefs, so it takes the calls to each of {numbers}"
        f" to port {greedy.port}: write the port there, or let the annotation ports name the one that moves"
    )


def port_of(observed: Observed, cluster: ObservedCluster) -> int | None:
    """Return the port of an HTTPRoute's backends: as in the route that is there, else the Service's."""
    if cluster.split is not None and cluster.split.port is not None:
        return cluster.split.port
    every: list[Port] = [
        p for c in observed.clusters.values() if c.service for p in c.service.ports
    ]
    return next((port.number for port in every if port.protocol == "TCP"), None)
