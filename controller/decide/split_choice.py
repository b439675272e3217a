"""Which kind of split a Service gets in a cluster, and by which port an HTTPRoute sends its calls.

Chosen once: what the Service has is kept, and so is what an attempt began on. The two clusters of a pair may
have different kinds.
"""

from __future__ import annotations

from controller.decide.resolve import MigrationState
from controller.domain import (
    MigrationSpec,
    Observed,
    ObservedCluster,
    Port,
    ProbeSpec,
    SplitChoice,
    SplitKind,
    ports,
)

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

    ``auto`` is an HTTPRoute where it is served and can carry the Service, else a TrafficSplit (docs/how-it-works.md).
    """
    if cluster.split is not None:
        return (cluster.split.kind,)
    if state.attempt is not None and cluster.name in state.attempt.kinds:
        return (state.attempt.kinds[cluster.name],)
    wanted = asked(observed, state)
    if wanted != "auto":
        return (SplitKind(wanted),)
    fits = why_no_route(observed, cluster) == ""
    order = PREFERRED if fits else PREFERRED[::-1]
    return tuple(kind for kind in order if kind in cluster.split_kinds)


def unasked(
    observed: Observed, state: MigrationState, cluster: ObservedCluster
) -> SplitKind | None:
    """Return the kind that is to be asked for by a canary next, None where there is none, or one is obeyed."""
    if cluster.split is not None:
        return None
    for kind in candidates(observed, state, cluster):
        if kind not in cluster.unanswered:
            return None
        if cluster.unanswered[kind] is None:
            return kind
    return None


def why_no_route(observed: Observed, cluster: ObservedCluster) -> str:
    """Return why an HTTPRoute cannot carry the Service in a cluster, and what to write; "" where it can.

    Each backend of a route names one port, so a route of a Service with two would send the calls to one of
    them to the other; and nobody obeys an HTTPRoute on a port that Linkerd takes for TCP there (facts 24).
    A cluster that has no such Service yet is taken to get one as the other has.
    """
    services = (each.service for each in (cluster, *observed.clusters.values()))
    service = next((found for found in services if found), None)
    if service is None:
        return ""
    if len(service.ports) != 1:
        numbers = ", ".join(str(port.number) for port in service.ports) or "none"
        return f"{observed.key} has the ports {numbers}, and it sends all calls to one: make a Service for each"
    probe = observed.spec.probe if isinstance(observed.spec, MigrationSpec) else ProbeSpec()
    spoken = ports.asked_of(service.ports[0], service.ports, probe)
    return ports.why_no_route(service.ports[0], service.opaque_ports, spoken)


def port_of(observed: Observed, cluster: ObservedCluster) -> int | None:
    """Return the port of an HTTPRoute's backends: as in the route that is there, else the Service's."""
    if cluster.split is not None and cluster.split.port is not None:
        return cluster.split.port
    every: list[Port] = [
        p for c in observed.clusters.values() if c.service for p in c.service.ports
    ]
    return next((port.number for port in every if port.protocol == "TCP"), None)
