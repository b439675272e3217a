"""What leads from outside the cluster to the pods of a Service: Ingresses, and routes of Gateways. Pure.

Nearly every controller of Ingresses and Gateways sends to the addresses of pods, which are never split (facts
33), unless it is told to send to the Service's own address, each by a word of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from controller.domain import Key

_ON_INGRESS = frozenset(
    {
        "nginx.ingress.kubernetes.io/service-upstream",
        "nginx.org/use-cluster-ip",
        "haproxy-ingress.github.io/service-upstream",
        "ingress.kubernetes.io/service-upstream",
    }
)
_ON_SERVICE = frozenset(
    {
        "traefik.ingress.kubernetes.io/service.nativelb",
        "haproxy-ingress.github.io/service-upstream",
        "ingress.kubernetes.io/service-upstream",
    }
)
"""Annotations that, when true, have the controller send to the Service's address. Those on the Service are
Traefik's, HAProxy Ingress's and Kong's."""

_BY_NAME = ("ambassador", "emissary")
"""Classes of controllers that send to the Service's address unless they are told otherwise."""

_OUTSIDE = ("alb", "gce", "azure")
"""Beginnings of the classes of load balancers that stand outside the cluster, and so outside the mesh."""

_OVERRIDE = "l5d-dst-override"
"""The header by which a proxy in ingress mode is told the Service."""

_WORDS = (
    ("traefik", 'traefik.ingress.kubernetes.io/service.nativelb: "true" on the Service'),
    ("haproxy", 'haproxy-ingress.github.io/service-upstream: "true"'),
    ("kong", 'ingress.kubernetes.io/service-upstream: "true" on the Service'),
    ("nginx", 'nginx.ingress.kubernetes.io/service-upstream: "true"'),
)


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    annotations: dict[str, str] | None = None


class _Service(msgspec.Struct):
    name: str = ""


class _Backend(msgspec.Struct):
    service: _Service | None = None


class _Path(msgspec.Struct):
    backend: _Backend | None = None


class _Http(msgspec.Struct):
    paths: list[_Path] | None = None


class _Rule(msgspec.Struct):
    http: _Http | None = None


class _IngressSpec(msgspec.Struct, rename="camel"):
    ingress_class_name: str | None = None
    default_backend: _Backend | None = None
    rules: list[_Rule] | None = None


class _Ingress(msgspec.Struct):
    metadata: _Meta
    spec: _IngressSpec = msgspec.field(default_factory=_IngressSpec)


class _Ref(msgspec.Struct):
    """``kind`` and ``namespace`` are None where they are not written: the defaults of the API apply."""

    name: str = ""
    namespace: str | None = None
    kind: str | None = None


class _RouteRule(msgspec.Struct, rename="camel"):
    backend_refs: list[_Ref] | None = None


class _RouteSpec(msgspec.Struct, rename="camel"):
    parent_refs: list[_Ref] | None = None
    rules: list[_RouteRule] | None = None


class _Route(msgspec.Struct):
    metadata: _Meta
    kind: str = ""
    spec: _RouteSpec = msgspec.field(default_factory=_RouteSpec)


_INGRESS = msgspec.json.Decoder(_Ingress)
_ROUTE = msgspec.json.Decoder(_Route)
_BROKEN = (msgspec.MsgspecError, RecursionError)


class Leads(NamedTuple):
    """Something that leads to the pods of a Service. ``write`` is what would have it send to the Service's
    address, "" where nothing would."""

    name: str
    write: str = ""


Entrances = Mapping[Key, tuple[Leads, ...]]
Annotations = Mapping[Key, Mapping[str, str]]


def entrances(
    ingresses: Iterable[msgspec.Raw],
    routes: Mapping[str, Iterable[msgspec.Raw]],
    services: Annotations,
) -> Entrances:
    """Return by Service what leads to its pods. ``routes`` are by kind, ``services`` the Services' annotations.

    What cannot be read is somebody's broken object, and leads nowhere.
    """
    found: dict[Key, dict[Leads, None]] = defaultdict(dict)
    for key, leads in (*_ingresses(ingresses, services), *_routes(routes, services)):
        found[key][leads] = None
    return {key: tuple(leads) for key, leads in found.items()}


def _ingresses(
    ingresses: Iterable[msgspec.Raw], services: Annotations
) -> Iterator[tuple[Key, Leads]]:
    for raw in ingresses:
        try:
            ingress = _INGRESS.decode(raw)
        except _BROKEN:
            continue
        named = _class(ingress)
        leads = Leads(f"Ingress {ingress.metadata.name}{named and f' ({named})'}", _words(named))
        for name in _backends(ingress.spec):
            key = Key(ingress.metadata.namespace, name)
            if not _sends_to_service(ingress, named, services.get(key, {})):
                yield key, leads


def _class(ingress: _Ingress) -> str:
    older = (ingress.metadata.annotations or {}).get("kubernetes.io/ingress.class", "")
    return ingress.spec.ingress_class_name or older


def _words(named: str) -> str:
    if named.startswith(_OUTSIDE):
        return ""
    return next((words for part, words in _WORDS if part in named), "")


def _backends(spec: _IngressSpec) -> set[str]:
    paths = [path for rule in spec.rules or () if rule.http for path in rule.http.paths or ()]
    backends = [spec.default_backend, *(path.backend for path in paths)]
    return {each.service.name for each in backends if each and each.service}


def _sends_to_service(ingress: _Ingress, named: str, service: Mapping[str, str]) -> bool:
    if named.startswith(_OUTSIDE):
        return False
    notes = ingress.metadata.annotations or {}
    return (
        any(part in named for part in _BY_NAME)
        or any(_OVERRIDE in text for text in notes.values())
        or _is_true(notes, _ON_INGRESS)
        or _is_true(service, _ON_SERVICE)
    )


def _routes(
    routes: Mapping[str, Iterable[msgspec.Raw]], services: Annotations
) -> Iterator[tuple[Key, Leads]]:
    for kind, found in routes.items():
        for raw in found:
            try:
                route = _ROUTE.decode(raw)
            except _BROKEN:
                continue
            for key in _behind_gateway(route):
                if not _is_true(services.get(key, {}), _ON_SERVICE):
                    yield key, _of_gateway(kind, route, key)


def _of_gateway(kind: str, route: _Route, key: Key) -> Leads:
    """Return a route by its name, with its Gateway's; with its namespace where that is not the Service's."""
    meta = route.metadata
    gateway = next(ref.name for ref in route.spec.parent_refs or () if _is_gateway(ref))
    apart = "" if meta.namespace == key.namespace else f"{meta.namespace}/"
    return Leads(f"{kind} {apart}{meta.name} (Gateway {gateway})")


def _behind_gateway(route: _Route) -> set[Key]:
    """Return the Services that a Gateway leads to by this route; a route of a Service has none."""
    if not any(_is_gateway(ref) for ref in route.spec.parent_refs or ()):
        return set()
    return {
        Key(ref.namespace or route.metadata.namespace, ref.name)
        for rule in route.spec.rules or ()
        for ref in rule.backend_refs or ()
        if ref.kind in (None, "Service")
    }


def _is_gateway(ref: _Ref) -> bool:
    return ref.kind in (None, "Gateway")


def _is_true(notes: Mapping[str, str], names: frozenset[str]) -> bool:
    return any(notes.get(name, "").lower() == "true" for name in names)
