"""What one cluster's objects mean to the proxies of that cluster. No I/O and no clock here.

The objects are the parsed JSON of Kubernetes. Numbers in brackets are those of docs/mesh-facts.md.
Two questions are answered, for one Service each: where its pods are (:meth:`ClusterConfig.endpoints`)
and how calls to it are routed (:meth:`ClusterConfig.policy`). A change of an object is told as the
topic that it touches, so that nobody looks at all Services when one changed.

A TrafficSplit is nothing to a proxy: what counts is the ServiceProfile that the SMI adaptor makes of it (32).
Filters of an HTTPRoute are not modelled, nor the routes of client namespaces; and what a profile switches off
for a Service's clients (retries, timeouts, failure accrual: 32) is not modelled either.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

Object = Mapping[str, Any]
"""A Kubernetes object, as its JSON says."""

Key = tuple[str, str]
"""Namespace and name."""

Kind = Literal[
    "Service",
    "Endpoints",
    "EndpointSlice",
    "TrafficSplit",
    "HTTPRoute",
    "OlderHTTPRoute",
    "ServiceProfile",
]
"""``OlderHTTPRoute``: an HTTPRoute of policy.linkerd.io, Linkerd's own from before the Gateway API."""

Topic = tuple[Literal["endpoints", "policy"], Key]
"""What changed about which Service."""

DOMAIN: Final = "cluster.local"
"""The DNS domain of a cluster, unless it has another."""

MAX_WEIGHT_SUM: Final = 429_496
"""Above it the proxies break (15): weights are scaled by 10,000 into 32 bits."""

EXPORTED: Final = "mirror.linkerd.io/exported"
MIRRORED: Final = "mirror.linkerd.io/mirrored-service"
REMOTE_NAME: Final = "mirror.linkerd.io/remote-svc-fq-name"
GATEWAY_IDENTITY: Final = "mirror.linkerd.io/remote-gateway-identity"
SERVICE_NAME: Final = "kubernetes.io/service-name"
OPAQUE_PORTS: Final = "config.linkerd.io/opaque-ports"
DEFAULT_OPAQUE_PORTS: Final = "25,587,3306,4444,5432,6379,9300,11211"
"""Linkerd's own value of ``proxy.opaquePorts``: what holds where no annotation names other ports."""


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


class Protocol(enum.Enum):
    """What Linkerd takes the connections to a port for (24)."""

    DETECT = "HTTP where a connection begins as HTTP, else opaque"
    HTTP = "HTTP"
    OPAQUE = "opaque: routes are ignored"


_PROTOCOLS: Final = {
    "http": Protocol.HTTP,
    "kubernetes.io/h2c": Protocol.HTTP,
    "linkerd.io/tcp": Protocol.OPAQUE,
    "linkerd.io/opaque": Protocol.OPAQUE,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a route can match; ``fields`` with lower-case names."""

    method: bytes = b"GET"
    path: bytes = b"/"
    fields: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One match of an HTTPRoute's rule, and where it sends calls; None: to the Service itself.

    ``impossible``: it asks for what is not modelled (a regular expression, a query), so nothing matches it.
    """

    path: bytes = b"/"
    exact: bool = False
    method: bytes | None = None
    fields: tuple[tuple[bytes, bytes], ...] = ()
    impossible: bool = False
    split: Weighted | SplitFault | None = None

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """Return how specific it is, in the Gateway API's order: the greater wins."""
        return self.exact, len(self.path.rstrip(b"/")), self.method is not None, len(self.fields)

    def takes(self, asked: Asked) -> bool:
        """Return whether it is for this request."""
        if self.impossible or self.method not in (None, asked.method):
            return False
        path, wanted = asked.path.partition(b"?")[0], self.path
        # A prefix is one of whole elements: /foo is for /foo/bar, and not for /foobar.
        within = (path + b"/").startswith(wanted.rstrip(b"/") + b"/")
        on_path = path == wanted if self.exact else within
        return on_path and set(self.fields) <= set(asked.fields)


@dataclass(frozen=True, slots=True)
class Routed:
    """Routes that tell requests apart; the first rule that takes one counts. Without any the answer is 404."""

    rules: tuple[Rule, ...]

    def rule_for(self, asked: Asked) -> Rule | None:
        """Return the rule that counts for a request."""
        return next((rule for rule in self.rules if rule.takes(asked)), None)


Split = Weighted | SplitFault
Route = Weighted | SplitFault | Routed


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls to one Service are routed, as a proxy of one namespace is told.

    ``split``: by the overrides of a ServiceProfile, the SMI adaptor's or somebody else's. ``route``: by HTTPRoutes.
    ``pinned``: a ServiceProfile of the proxy's own namespace (7). ``has_route``: some ServiceProfile that
    holds for this proxy has a route, which makes later splits live (11) and beats an HTTPRoute (13).
    """

    split: Split | None = None
    route: Route | None = None
    pinned: bool = False
    has_route: bool = False
    protocol: Protocol = Protocol.DETECT


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


def protocol_of(service: Object | None, port: int) -> Protocol:
    """Return what the policy controller takes a Service's port for, since Linkerd 2.18 (24)."""
    if service is None:
        return Protocol.DETECT
    for each in (service.get("spec") or {}).get("ports") or ():
        written = each.get("appProtocol")
        if each["port"] == port and written is not None:
            # Any other value makes the port opaque: grpc, http2, https, kubernetes.io/ws, ...
            return _PROTOCOLS.get(str(written).lower(), Protocol.OPAQUE)
    annotations = service["metadata"].get("annotations") or {}
    opaque = _in_ranges(port, annotations.get(OPAQUE_PORTS, DEFAULT_OPAQUE_PORTS))
    return Protocol.OPAQUE if opaque else Protocol.DETECT


def _in_ranges(port: int, ranges: str) -> bool:
    for piece in ranges.split(","):
        least, _, most = piece.strip().partition("-")
        if least.isdecimal() and int(least) <= port <= int(most if most.isdecimal() else least):
            return True
    return False


def is_headless(service: Object | None) -> bool:
    """Return whether a Service's name stands for the addresses of its pods."""
    return ((service or {}).get("spec") or {}).get("clusterIP") == "None"


def route_of(routes: Iterable[Object], service: Key, port: int = 80) -> Route | None:
    """Return what the HTTPRoutes of its namespace say about a port of a Service, None for nothing.

    All of them are merged, Linkerd's older ones too: the more specific match first, then the oldest route (26).
    """
    of_service = sorted((r for r in routes if _is_for(r, service, port)), key=_age)
    rules = [rule for route in of_service for rule in _rules_of(route)]
    rules.sort(key=lambda rule: rule.rank, reverse=True)
    if any(rule.split is SplitFault.ALL_ZERO for rule in rules):
        return SplitFault.ALL_ZERO
    if not rules:
        return None
    if rules[0] == replace(_ANY, split=rules[0].split):
        # The most specific takes all, so all of them do, and of those the oldest counts.
        return rules[0].split
    return Routed(tuple(rules))


_ANY: Final = Rule()


def _age(route: Object) -> tuple[str, str]:
    return route["metadata"].get("creationTimestamp") or "", route["metadata"]["name"]


def backends_of(route: Object) -> Iterable[Key]:
    """Return the Services that the rules of an HTTPRoute send calls to."""
    namespace, _ = key_of(route)
    for rule in (route.get("spec") or {}).get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            yield ref.get("namespace", namespace), str(ref["name"])


def _rules_of(route: Object) -> Iterable[Rule]:
    for rule in (route.get("spec") or {}).get("rules") or [{}]:
        split = _weights_of(rule)
        for match in rule.get("matches") or [{}]:
            yield _rule(match, split)


def _rule(match: Object, split: Split | None) -> Rule:
    path, headers = match.get("path") or {}, match.get("headers") or ()
    kinds = {each.get("type") for each in (path, *headers)}
    return Rule(
        path=str(path.get("value") or "/").encode(),
        exact=path.get("type") == "Exact",
        method=str(match["method"]).encode() if match.get("method") else None,
        fields=tuple((h["name"].lower().encode(), h["value"].encode()) for h in headers),
        impossible="RegularExpression" in kinds or bool(match.get("queryParams")),
        split=split,
    )


def _weights_of(rule: Object) -> Split | None:
    # An absent weight is 1 (gateway.networking.k8s.io).
    weighted = tuple(
        (str(ref["name"]), float(ref.get("weight", 1))) for ref in rule.get("backendRefs") or ()
    )
    if not weighted:
        return None
    return Weighted(weighted) if any(w > 0 for _, w in weighted) else SplitFault.ALL_ZERO


def parents_of(route: Object) -> tuple[Key, ...]:
    """Return the Services of its own namespace that an HTTPRoute is for, whatever the port."""
    return tuple((key_of(route)[0], str(ref["name"])) for ref in service_parents(route))


def service_parents(route: Object) -> tuple[Object, ...]:
    """Return the parentRefs of an HTTPRoute that name Services of its own namespace."""
    namespace, _ = key_of(route)
    return tuple(
        ref
        for ref in (route.get("spec") or {}).get("parentRefs") or ()
        if (ref.get("group"), ref.get("kind")) in (("", "Service"), ("core", "Service"))
        and ref.get("namespace", namespace) == namespace
    )


def _is_for(route: Object, service: Key, port: int) -> bool:
    return key_of(route)[0] == service[0] and any(
        ref["name"] == service[1] and ref.get("port", port) == port
        for ref in service_parents(route)
    )


def overrides_of(profile: Object | None, domain: str = DOMAIN) -> Split | None:
    """Return what a ServiceProfile's overrides say, whoever wrote them; None for nothing."""
    overrides = ((profile or {}).get("spec") or {}).get("dstOverrides")
    if not overrides:
        return None
    weighted = [
        (_backend_of(o["authority"], domain), weight_of(o.get("weight"))) for o in overrides
    ]
    backends = tuple((name, weight) for name, weight in weighted if name is not None)
    if len(backends) < len(weighted):
        return SplitFault.BACKEND_IS_FQDN
    return _split_by(backends)


def _split_by(backends: tuple[tuple[str, float], ...]) -> Split:
    total = sum(weight for _, weight in backends)
    if total > MAX_WEIGHT_SUM or any(weight < 0 for _, weight in backends):
        return SplitFault.OUT_OF_RANGE
    return Weighted(backends) if total > 0 else SplitFault.ALL_ZERO


def _backend_of(authority: str, domain: str) -> str | None:
    service = service_of_name(authority.partition(":")[0].removesuffix("."), domain)
    return None if service is None else service[1]


def weight_of(written: float | str | None) -> float:
    """Return a weight: a number (v1alpha2), or a quantity like ``"500m"`` (v1alpha1).

    Raises ValueError for any other text.
    """
    if written is None:
        return 0.0
    if isinstance(written, str) and written.endswith("m"):
        return float(written[:-1]) / 1000
    return float(written)


def profile_name(service: Key, domain: str = DOMAIN) -> str:
    """Return the name of a Service in its cluster's DNS, and so of its ServiceProfile."""
    namespace, name = service
    return f"{name}.{namespace}.svc.{domain}"


def service_of_name(host: str, domain: str = DOMAIN) -> Key | None:
    """Read ``<name>.<namespace>.svc.<domain>``; None for anything else."""
    suffix = f".svc.{domain}"
    if not host.endswith(suffix):
        return None
    parts = host.removesuffix(suffix).split(".")
    return (parts[1], parts[0]) if len(parts) == 2 and all(parts) else None


def topics_of(kind: Kind, obj: Object, domain: str = DOMAIN) -> tuple[Topic, ...]:
    """Return what this object, made or changed or deleted, is about."""
    namespace, name = key_of(obj)
    if kind == "Service":
        return ("endpoints", (namespace, name)), ("policy", (namespace, name))
    if kind == "EndpointSlice":
        owner = (obj["metadata"].get("labels") or {}).get(SERVICE_NAME)
        return (("endpoints", (namespace, owner)),) if owner else ()
    if kind in ("HTTPRoute", "OlderHTTPRoute"):
        return tuple(("policy", parent) for parent in parents_of(obj))
    service = service_of_name(name, domain)
    return (("policy", service),) if service else ()


@dataclass(slots=True)
class ClusterConfig:
    """The objects of one cluster, held so that one Service's share of them is found at once.

    ``http_routes``: whether this is a Linkerd that knows HTTPRoutes of the Gateway API. ``domain`` is that of its
    DNS: by other names nobody is known here.
    """

    http_routes: bool = True
    domain: str = DOMAIN
    _services: dict[Key, Object] = field(default_factory=dict)
    _profiles: dict[Key, Object] = field(default_factory=dict)
    # By the Service they are about, then by their own key.
    _slices: dict[Key, dict[Key, Object]] = field(default_factory=dict)
    _routes: dict[Key, dict[Key, Object]] = field(default_factory=dict)
    _older_routes: dict[Key, dict[Key, Object]] = field(default_factory=dict)
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
        before = topics_of(kind, old, self.domain) if old is not None else ()
        self._tell((*before, *topics_of(kind, obj, self.domain)))

    def drop(self, kind: Kind, key: Key) -> None:
        """Forget an object that was deleted; one never known is no error."""
        old = self._known.pop((kind, key), None)
        if old is not None:
            self._unlink(kind, key, old)
            self._tell(topics_of(kind, old, self.domain))

    def endpoints(self, service: Key) -> Endpoints:
        """Return where the Service's calls can go now."""
        slices = self._slices.get(service, {}).values()
        return endpoints_of(self._services.get(service), slices)

    def holds(self, service: Key) -> Object | None:
        """Return a Service, None when there is none."""
        return self._services.get(service)

    def profile(self, key: Key) -> Object | None:
        """Return a ServiceProfile, None when there is none."""
        return self._profiles.get(key)

    def policy(self, service: Key, proxy_namespace: str, port: int = 80) -> Policy:
        """Return how a proxy of that namespace routes calls to a port of the Service.

        A profile of the proxy's own namespace is found first and hides the one that the SMI adaptor
        writes into the Service's namespace: that is why a pin pins. The name of a headless Service stands
        for its pods, and calls to those are never split (33).
        """
        if is_headless(self._services.get(service)):
            return Policy()
        named = profile_name(service, self.domain)
        own = self._profiles.get((proxy_namespace, named))
        beside = self._profiles.get((service[0], named))
        protocol = protocol_of(self._services.get(service), port)
        return Policy(
            split=overrides_of(beside, self.domain),
            route=None if protocol is Protocol.OPAQUE else self._route(service, port),
            pinned=own is not None and proxy_namespace != service[0],
            has_route=any((p.get("spec") or {}).get("routes") for p in (own, beside) if p),
            protocol=protocol,
        )

    def _route(self, service: Key, port: int) -> Route | None:
        routes = list(self._older_routes.get(service, {}).values())
        if self.http_routes:
            routes += self._routes.get(service, {}).values()
        return route_of(routes, service, port)

    def _tell(self, topics: Iterable[Topic]) -> None:
        for topic in dict.fromkeys(topics):
            for listener in self._listeners:
                listener(topic)

    def _by_service(self, kind: Kind) -> dict[Key, dict[Key, Object]]:
        if kind == "EndpointSlice":
            return self._slices
        return self._routes if kind == "HTTPRoute" else self._older_routes

    def _link(self, kind: Kind, key: Key, obj: Object) -> None:
        if kind == "Service":
            self._services[key] = obj
        elif kind == "ServiceProfile":
            self._profiles[key] = obj
        else:
            by_service = self._by_service(kind)
            for _, service in topics_of(kind, obj, self.domain):
                by_service.setdefault(service, {})[key] = obj

    def _unlink(self, kind: Kind, key: Key, obj: Object) -> None:
        if kind == "Service":
            del self._services[key]
        elif kind == "ServiceProfile":
            del self._profiles[key]
        else:
            by_service = self._by_service(kind)
            for _, service in topics_of(kind, obj, self.domain):
                del by_service[service][key]
                if not by_service[service]:
                    del by_service[service]
