"""Which kind of split a Service gets in a cluster, and by which port an HTTPRoute sends its calls.

Chosen once: what the Service has is kept, and so is what an attempt began on. The two clusters of a pair may
have different kinds.
"""

from __future__ import annotations

from controller.model import ClusterSeen, Observed, Port, SplitChoice, SplitKind
from controller.ports import is_opaque
from controller.standing import Standing


def asked(seen: Observed, st: Standing) -> SplitChoice:
    """Give what the owner asks for, else the fleet's settings."""
    return (st.wish.split if st.wish else None) or seen.fleet.split


def kind_of(seen: Observed, st: Standing, cluster: ClusterSeen) -> SplitKind | None:
    """Give the kind of split that the Service has or is to have; None where neither kind is served.

    ``auto`` is an HTTPRoute where it is served and can carry the Service, else a TrafficSplit (design 2).
    """
    if cluster.split is not None:
        return cluster.split.kind
    if st.attempt is not None and cluster.name in st.attempt.kinds:
        return st.attempt.kinds[cluster.name]
    wanted = asked(seen, st)
    if wanted != "auto":
        return SplitKind(wanted)
    fits = why_no_route(seen) == ""
    order = (SplitKind.HTTPROUTE, SplitKind.TRAFFICSPLIT)
    served = [kind for kind in (order if fits else order[::-1]) if kind in cluster.split_kinds]
    return served[0] if served else None


def why_no_route(seen: Observed) -> str:
    """Say why an HTTPRoute cannot carry the Service, "" where it can.

    Each backend of a route names one port, so a route of a Service with two would send the calls to one of
    them to the other; and Linkerd follows no HTTPRoute for a port that it takes for TCP.
    """
    for cluster in seen.clusters.values():
        service = cluster.service
        if service is None:
            continue
        if len(service.ports) != 1:
            ports = ", ".join(str(port.number) for port in service.ports) or "none"
            return (
                f"{seen.key} has the ports {ports} in {cluster.name}, and it sends all calls to one"
            )
        if is_opaque(service.ports[0], service.opaque_ports):
            return (
                f"port {service.ports[0].number} of {seen.key} is TCP to Linkerd in {cluster.name}"
            )
    return ""


def port_of(seen: Observed, cluster: ClusterSeen) -> int | None:
    """Give the port of an HTTPRoute's backends: as in the route that is there, else the Service's."""
    if cluster.split is not None and cluster.split.port is not None:
        return cluster.split.port
    ports: list[Port] = [p for c in seen.clusters.values() if c.service for p in c.service.ports]
    return next((port.number for port in ports if port.protocol == "TCP"), None)
