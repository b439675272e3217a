"""What one cluster's objects mean to the proxies of that cluster. No I/O and no clock here.

The objects are the parsed JSON of Kubernetes. Numbers in brackets are those of docs/mesh-facts.md.
Two questions are answered, for one Service each: where its pods are (:meth:`ClusterConfig.endpoints`)
and how calls to it are routed (:meth:`ClusterConfig.policy`). A change of an object is told as the
topic that it touches, so that nobody looks at all Services when one changed.

Of an HTTPRoute only the backends of the first rule count here: matches and filters are not modelled, nor
the routes of client namespaces.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Object = Mapping[str, Any]
"""A Kubernetes object, as its JSON says."""

Key = tuple[str, str]
"""Namespace and name."""

Kind = Literal[
    "Service", "Endpoints", "EndpointSlice", "TrafficSplit", "HTTPRoute", "ServiceProfile"
]
Topic = tuple[Literal["endpoints", "policy"], Key]
"""What changed about which Service."""

DOMAIN: Final = "svc.cluster.local"
MAX_WEIGHT_SUM: Final = 429_496
"""Above it the proxies break (15): weights are scaled by 10,000 into 32 bits."""

EXPORTED: Final = "mirror.linkerd.io/exported"
MIRRORED: Final = "mirror.linkerd.io/mirrored-service"
REMOTE_NAME: Final = "mirror.linkerd.io/remote-svc-fq-name"
GATEWAY_IDENTITY: Final = "mirror.linkerd.io/remote-gateway-identity"
SERVICE_NAME: Final = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to send to. ``remote``: it is a gateway, and this Service is meant behind it."""

    ip: str
    port: int
    remote: str | None = None


Endpoints = Mapping[int, tuple[Endpoint, ...]]
"""Ready addresses by the Service's port number; empty when the Service is missing."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A split that works: backends (short names, of the same namespace) and their weights."""

    backends: tuple[tuple[str, float], ...]


class SplitFault(enum.Enum):
    """A split that the CRD accepts and the proxies do not like (15, 17)."""

    BACKEND_IS_FQDN = "a backend is not a short name"
    ALL_ZERO = "all weights are zero"
    OUT_OF_RANGE = "a weight is negative or the sum is too large"


Split = Weighted | SplitFault


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls to one Service are routed, as a proxy of one namespace is told.

    ``split``: by a TrafficSplit, or by the overrides of somebody's ServiceProfile. ``route``: by an HTTPRoute.
    ``pinned``: a ServiceProfile of the proxy's own namespace (7). ``has_route``: some ServiceProfile that
    holds for this proxy has a route, which makes later splits live (11) and beats an HTTPRoute (13).
    """

    split: Split | None = None
    route: Split | None = None
    pinned: bool = False
    has_route: bool = False


def key_of(obj: Object) -> Key:
    """Return namespace and name."""
    meta = obj["metadata"]
    return meta.get("namespace", "default"), meta["name"]


def endpoints_of(service: Object | None, slices: Iterable[Object]) -> Endpoints:
    """Return the ready addresses of a Service by its port numbers; ports meet by name."""
    if service is None:
        return {}
    found: dict[int, tuple[Endpoint, ...]] = {}
    slices = list(slices)
    for port in (service.get("spec") or {}).get("ports") or ():
        ready: list[Endpoint] = []
        for piece in slices:
            ready += _ready_at(piece, port.get("name") or "", _remote_of(service, piece))
        found[port["port"]] = tuple(ready)
    return found


def _remote_of(service: Object, piece: Object) -> str | None:
    annotations = piece["metadata"].get("annotations") or {}
    if GATEWAY_IDENTITY not in annotations:
        return None
    own = service["metadata"].get("annotations") or {}
    name: str | None = annotations.get(REMOTE_NAME) or own.get(REMOTE_NAME)
    return name


def _ready_at(piece: Object, port_name: str, remote: str | None) -> Iterable[Endpoint]:
    ports = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == port_name]
    for endpoint in piece.get("endpoints") or ():
        # An absent condition is to be taken as ready (discovery.k8s.io/v1).
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for port in ports:
            for address in endpoint["addresses"]:
                yield Endpoint(address, port, remote)


def split_of(splits: Iterable[Object], name: str) -> Split | None:
    """Return what the TrafficSplits of one namespace say about one Service, None for nothing.

    Only ``spec.service`` as short name counts (17); of two the oldest.
    """
    of_service = [s for s in splits if (s.get("spec") or {}).get("service") == name]
    if not of_service:
        return None
    oldest = min(
        of_service,
        key=lambda s: (s["metadata"].get("creationTimestamp") or "", s["metadata"]["name"]),
    )
    backends = oldest["spec"].get("backends") or ()
    weighted = tuple((str(b["service"]), weight_of(b.get("weight"))) for b in backends)
    if any("." in service for service, _ in weighted):
        return SplitFault.BACKEND_IS_FQDN
    total = sum(weight for _, weight in weighted)
    if total > MAX_WEIGHT_SUM or any(weight < 0 for _, weight in weighted):
        return SplitFault.OUT_OF_RANGE
    return Weighted(weighted) if total > 0 else SplitFault.ALL_ZERO


def route_of(routes: Iterable[Object], service: Key) -> Split | None:
    """Return what the HTTPRoutes say about one Service of their namespace, None for nothing; of two the oldest.

    A rule without backends is none: calls stay local.
    """
    of_service = [route for route in routes if service in parents_of(route)]
    if not of_service:
        return None
    oldest = min(
        of_service,
        key=lambda r: (r["metadata"].get("creationTimestamp") or "", r["metadata"]["name"]),
    )
    rules = oldest["spec"].get("rules") or [{}]
    refs = rules[0].get("backendRefs") or ()
    # An absent weight is 1 (gateway.networking.k8s.io).
    weighted = tuple((str(ref["name"]), float(ref.get("weight", 1))) for ref in refs)
    if not weighted:
        return None
    return Weighted(weighted) if any(w > 0 for _, w in weighted) else SplitFault.ALL_ZERO


def parents_of(route: Object) -> tuple[Key, ...]:
    """Return the Services of its own namespace that an HTTPRoute is for."""
    namespace, _ = key_of(route)
    return tuple(
        (namespace, str(ref["name"]))
        for ref in (route.get("spec") or {}).get("parentRefs") or ()
        if (ref.get("group"), ref.get("kind")) in (("", "Service"), ("core", "Service"))
        and ref.get("namespace", namespace) == namespace
    )


def overrides_of(profile: Object | None) -> Split | None:
    """Return what a ServiceProfile's own overrides say: they hold as those that the SMI adaptor writes."""
    overrides = ((profile or {}).get("spec") or {}).get("dstOverrides") or ()
    weighted = tuple((str(o["authority"]).split(".")[0], weight_of(o["weight"])) for o in overrides)
    return Weighted(weighted) if any(weight > 0 for _, weight in weighted) else None


def weight_of(written: float | str | None) -> float:
    """Return a weight: a number (v1alpha2), or a quantity like ``"500m"`` (v1alpha1).

    Raises ValueError for any other text.
    """
    if written is None:
        return 0.0
    if isinstance(written, str) and written.endswith("m"):
        return float(written[:-1]) / 1000
    return float(written)


def profile_name(service: Key) -> str:
    """Return the name of the ServiceProfile of a Service."""
    namespace, name = service
    return f"{name}.{namespace}.{DOMAIN}"


def service_of_name(host: str) -> Key | None:
    """Read ``<name>.<namespace>.svc.cluster.local``; None for anything else."""
    if not host.endswith("." + DOMAIN):
        return None
    parts = host[: -len(DOMAIN) - 1].split(".")
    return (parts[1], parts[0]) if len(parts) == 2 and all(parts) else None


def topics_of(kind: Kind, obj: Object) -> tuple[Topic, ...]:
    """Return what this object, made or changed or deleted, is about."""
    namespace, name = key_of(obj)
    if kind == "Service":
        return (("endpoints", (namespace, name)),)
    if kind == "EndpointSlice":
        owner = (obj["metadata"].get("labels") or {}).get(SERVICE_NAME)
        return (("endpoints", (namespace, owner)),) if owner else ()
    if kind == "TrafficSplit":
        return (("policy", (namespace, str((obj.get("spec") or {}).get("service")))),)
    if kind == "HTTPRoute":
        return tuple(("policy", parent) for parent in parents_of(obj))
    service = service_of_name(name)
    return (("policy", service),) if service else ()


@dataclass(slots=True)
class ClusterConfig:
    """The objects of one cluster, held so that one Service's share of them is found at once."""

    _services: dict[Key, Object] = field(default_factory=dict)
    _profiles: dict[Key, Object] = field(default_factory=dict)
    # By the Service they are about, then by their own key.
    _slices: dict[Key, dict[Key, Object]] = field(default_factory=dict)
    _splits: dict[Key, dict[Key, Object]] = field(default_factory=dict)
    _routes: dict[Key, dict[Key, Object]] = field(default_factory=dict)
    _known: dict[tuple[Kind, Key], Object] = field(default_factory=dict)
    _listeners: list[Callable[[Topic], None]] = field(default_factory=list)

    def subscribe(self, listener: Callable[[Topic], None]) -> Callable[[], None]:
        """Have every touched topic told; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def put(self, kind: Kind, obj: Object) -> None:
        """Take in an object that was made or changed."""
        key = key_of(obj)
        old = self._known.get((kind, key))
        self._known[kind, key] = obj
        if old is not None:
            self._unlink(kind, key, old)
        self._link(kind, key, obj)
        before = topics_of(kind, old) if old is not None else ()
        self._tell((*before, *topics_of(kind, obj)))

    def drop(self, kind: Kind, key: Key) -> None:
        """Forget an object that was deleted; one never known is no error."""
        old = self._known.pop((kind, key), None)
        if old is not None:
            self._unlink(kind, key, old)
            self._tell(topics_of(kind, old))

    def endpoints(self, service: Key) -> Endpoints:
        """Return where the Service's calls can go now."""
        slices = self._slices.get(service, {}).values()
        return endpoints_of(self._services.get(service), slices)

    def policy(self, service: Key, proxy_namespace: str) -> Policy:
        """Return how a proxy of that namespace routes calls to the Service.

        A profile of the proxy's own namespace is found first and hides the one that the SMI adaptor
        writes into the Service's namespace: that is why a pin pins.
        """
        named = profile_name(service)
        own = self._profiles.get((proxy_namespace, named))
        beside = self._profiles.get((service[0], named))
        split = split_of(self._splits.get(service, {}).values(), service[1])
        return Policy(
            split=split or overrides_of(beside),
            route=route_of(self._routes.get(service, {}).values(), service),
            pinned=own is not None and proxy_namespace != service[0],
            has_route=any((p.get("spec") or {}).get("routes") for p in (own, beside) if p),
        )

    def _tell(self, topics: Iterable[Topic]) -> None:
        for topic in dict.fromkeys(topics):
            for listener in self._listeners:
                listener(topic)

    def _by_service(self, kind: Kind) -> dict[Key, dict[Key, Object]]:
        if kind == "EndpointSlice":
            return self._slices
        return self._routes if kind == "HTTPRoute" else self._splits

    def _link(self, kind: Kind, key: Key, obj: Object) -> None:
        if kind == "Service":
            self._services[key] = obj
        elif kind == "ServiceProfile":
            self._profiles[key] = obj
        else:
            by_service = self._by_service(kind)
            for _, service in topics_of(kind, obj):
                by_service.setdefault(service, {})[key] = obj

    def _unlink(self, kind: Kind, key: Key, obj: Object) -> None:
        if kind == "Service":
            del self._services[key]
        elif kind == "ServiceProfile":
            del self._profiles[key]
        else:
            by_service = self._by_service(kind)
            for _, service in topics_of(kind, obj):
                del by_service[service][key]
                if not by_service[service]:
                    del by_service[service]
