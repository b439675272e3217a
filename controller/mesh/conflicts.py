"""What else routes the calls to a Service, and whether it beats the HTTPRoute that splits it.

Before an HTTPRoute Linkerd puts a ServiceProfile with routes or overrides, in the Service's or a client's namespace
(facts 13), and a GRPCRoute, but where ``appProtocol`` says HTTP/1. It merges HTTPRoutes, its own group's too and, for
the callers there, those of a client's namespace: for each request the more specific match counts, then the oldest
route (facts 26; linkerd2's policy controller, ``outbound/index.rs`` and ``grpc/src/outbound.rs``). For a TrafficSplit
nothing of this is odd: the adaptor's profile beats all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.domain import Key, Port
from controller.domain.ports import taken_for
from controller.kube.objects import (
    HTTPRouteObject,
    KubeObject,
    OtherRouteObject,
    ParentRef,
    ServiceProfileObject,
)
from controller.mesh import pin

GRPC_ROUTE = "GRPCRoute"

Route = HTTPRouteObject | OtherRouteObject


class Conflict(NamedTuple):
    """What else routes calls to a Service, in words. ``route`` is None for a ServiceProfile, which always wins;
    ``ports`` are those that the route is for (None: all)."""

    what: str
    route: Route | None = None
    ports: frozenset[int] | None = None

    def is_for(self, port: int) -> bool:
        """Return whether it routes the calls to a port."""
        return self.ports is None or port in self.ports


class Judged(NamedTuple):
    """What else routes calls to a Service, in words: what beats its HTTPRoute, and what the route beats for now."""

    winning: tuple[str, ...] = ()
    losing: tuple[str, ...] = ()


def of(found: KubeObject, domain: str) -> Mapping[Key, Conflict]:
    """Return the Services whose calls an object takes, and by what."""
    if isinstance(found, ServiceProfileObject):
        return _of_profile(found, domain)
    if isinstance(found, HTTPRouteObject | OtherRouteObject):
        return _of_route(found)
    return {}


def judge(
    found: Iterable[Conflict], own: Sequence[HTTPRouteObject], ports: Sequence[Port]
) -> Judged:
    """Return what beats the Service's own HTTPRoutes, and what loses; ``ports`` are the Service's.

    Where there is no route yet, the one to be made is the youngest.
    """
    judged = {each.what: _wins(each, own) for each in found if _concerns(each, own, ports)}
    return Judged(
        tuple(what for what, wins in judged.items() if wins),
        tuple(what for what, wins in judged.items() if not wins),
    )


def _of_profile(found: ServiceProfileObject, domain: str) -> Mapping[Key, Conflict]:
    meta, key = found.metadata, pin.key_of(found.metadata.name, domain)
    has = "dstOverrides" if found.overrides else "routes" if found.has_routes else ""
    if not (key and has):
        return {}
    return {key: Conflict(f"the ServiceProfile {meta.name} in {meta.namespace}, with {has}")}


def _of_route(found: Route) -> Mapping[Key, Conflict]:
    """Return what a route takes. The Gateway API's in the Service's own namespace are its splits, and none are here."""
    meta, is_other = found.metadata, isinstance(found, OtherRouteObject)
    refused = {_named(ruling.parent) for ruling in found.rulings if ruling.accepted == "False"}
    ports: dict[Key, set[int | None]] = {}
    for parent in found.parents:
        counts = parent.is_service and _named(parent) not in refused
        if counts and (is_other or parent.namespace != meta.namespace):
            ports.setdefault(Key(parent.namespace, parent.name), set()).add(parent.port)
    return {
        key: Conflict(
            _what(found, key), found, frozenset(filter(None, named)) if all(named) else None
        )
        for key, named in ports.items()
    }


def _named(parent: ParentRef) -> tuple[str, str, int | None]:
    return parent.namespace, parent.name, parent.port


def _what(found: Route, key: Key) -> str:
    meta = found.metadata
    callers = ", for callers there," if meta.namespace != key.namespace else ""
    return f"the {found.kind} {meta.name} in {meta.namespace}{callers}"


def _concerns(conflict: Conflict, own: Sequence[HTTPRouteObject], ports: Sequence[Port]) -> bool:
    """Return whether it routes calls that the Service's own routes do, or would."""
    touched = [port for port in ports if conflict.is_for(port.number)]
    if ports and not touched:
        return False
    if conflict.route and conflict.route.kind == GRPC_ROUTE and _are_http_1(touched):
        return False
    return not own or any(_share_a_port(mine, conflict) for mine in own)


def _wins(conflict: Conflict, own: Sequence[HTTPRouteObject]) -> bool:
    """Return whether it beats one of the Service's own routes, or the one to be made."""
    route = conflict.route
    if route is None or route.kind == GRPC_ROUTE:
        return True
    return not _all_beat([mine for mine in own if _share_a_port(mine, conflict)], route)


def _are_http_1(ports: Sequence[Port]) -> bool:
    return bool(ports) and all(taken_for(port.app_protocol) == "HTTP/1" for port in ports)


def _share_a_port(mine: HTTPRouteObject, conflict: Conflict) -> bool:
    ports = [parent.port for parent in mine.parents if parent.is_service]
    return any(port is None or conflict.is_for(port) for port in ports)


def _all_beat(own: Sequence[HTTPRouteObject], route: Route) -> bool:
    """Return whether each of these takes every request, and is older; and this picks none for itself."""
    older = [
        any(rule.takes_all for rule in mine.rules) and _age(mine) < _age(route) for mine in own
    ]
    return bool(older) and all(older) and not any(rule.picks for rule in route.rules)


def _age(route: Route) -> tuple[str, str]:
    """Return what Linkerd sorts routes by: their creation, to the second, then their name."""
    made = route.metadata.creation_timestamp
    return made.isoformat() if made else "", route.metadata.name
