"""Which ports of a Service move by HTTPRoutes, one route for each, and what a split of several routes lacks.

A TrafficSplit moves every TCP port. An HTTPRoute moves the port of its parent, so a Service has one for each port that
moves: those that Linkerd takes for HTTP, or those of them that the annotation ``ports`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from controller.decide.resolve import attempt_of, spec_in_force, split_parts
from controller.domain import (
    MigrationSpec,
    Observed,
    ObservedCluster,
    ObservedService,
    Port,
    ProbeSpec,
    Split,
    SplitKind,
)
from controller.domain.ports import asked_of, why_no_route

NOT_NAMED = "the annotation ports does not name it"


class Ports(NamedTuple):
    """The TCP ports of a Service, in its order: those that HTTPRoutes move, and those that stay, with why."""

    moving: tuple[Port, ...]
    staying: tuple[tuple[Port, str], ...]


def ports_of(observed: Observed, cluster: ObservedCluster, spec: MigrationSpec | None) -> Ports:
    """Return which ports HTTPRoutes move in a cluster, by its Service there, or the other's where it has none yet."""
    service = service_of(observed, cluster)
    if service is None:
        return Ports((), ())
    found = [(port, _why_it_stays(port, service, spec)) for port in tcp_ports(service)]
    return Ports(
        tuple(port for port, why in found if not why),
        tuple((port, why) for port, why in found if why),
    )


def service_of(observed: Observed, cluster: ObservedCluster) -> ObservedService | None:
    """Return the Service of a cluster, else the other cluster's: it is to be like it."""
    services = (each.service for each in (cluster, *observed.clusters.values()))
    return next((service for service in services if service), None)


def tcp_ports(service: ObservedService | None) -> tuple[Port, ...]:
    """Return the ports that a split can move at all."""
    return tuple(port for port in service.ports if port.protocol == "TCP") if service else ()


def named(ports: Iterable[Port], names: Iterable[str | int]) -> list[Port]:
    """Return the ports that are among these names and numbers."""
    asked = frozenset(names)
    return [port for port in ports if asked & {port.name, port.number}]


def _why_it_stays(port: Port, service: ObservedService, spec: MigrationSpec | None) -> str:
    if spec and spec.ports and not named([port], spec.ports):
        return NOT_NAMED
    return why_not_carried(port, service, spec)


def why_not_carried(port: Port, service: ObservedService, spec: MigrationSpec | None) -> str:
    """Return why Linkerd obeys no HTTPRoute on a port, and what to write; "" where it does (facts 24)."""
    asked = asked_of(port, service.ports, spec.probe if spec else ProbeSpec())
    return why_no_route(port, service.opaque_ports, asked)


# --- the parts of a split ----------------------------------------------------------------------------


def arranged(observed: Observed) -> Observed:
    """Return what was observed with each split put together: without the routes of ports that stay, which are
    somebody's and none of ours, and with the ports that have no route yet.

    Of a Service with one port nothing changes: whatever routes it has are its split.
    """
    clusters = observed.clusters.values()
    if not any(c.service and len(tcp_ports(c.service)) > 1 for c in clusters):
        return observed
    spec = spec_in_force(observed, attempt_of(observed))
    found = {name: _arranged(observed, c, spec) for name, c in observed.clusters.items()}
    return replace(observed, clusters=found)


def _arranged(
    observed: Observed, cluster: ObservedCluster, spec: MigrationSpec | None
) -> ObservedCluster:
    moving = {port.number for port in ports_of(observed, cluster, spec).moving}
    stays = {port.number for port in tcp_ports(cluster.service)} - moving
    aside = tuple(split for split in cluster.splits if _is_aside(split, stays))
    ours = tuple(split for split in cluster.splits if split not in aside)
    left = replace(cluster, splits=ours, aside=aside)
    return replace(left, missing=_missing(left, moving) if cluster.current else ())


def _missing(cluster: ObservedCluster, moving: set[int]) -> tuple[int, ...]:
    """Return the ports that have no route beside those that are there; a route without a port is for all."""
    routes = [part for part in split_parts(cluster) if part.kind is SplitKind.HTTPROUTE]
    has = {route.parent_port for route in routes}
    return () if None in has or not routes else tuple(sorted(moving - has))


def _is_aside(split: Split, stays: set[int]) -> bool:
    """Return whether a route is somebody's for a port that stays; one with a record moved, so it is to go back."""
    return split.record is None and split.parent_port in stays
