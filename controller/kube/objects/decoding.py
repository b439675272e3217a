"""From the API's JSON to what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from ipaddress import ip_address
from sys import intern
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from controller.domain import PREFIX, Port
from controller.domain.identity import STEPS_BEFORE
from controller.kube.objects import wire_types
from controller.kube.objects.changes import Resource
from controller.kube.objects.selectors import Requirement, Selector
from controller.kube.objects.values import (
    EXTENSION,
    FAILOVER,
    MIRROR_PREFIX,
    NOTHING,
    OPAQUE_PORTS,
    POLICIES,
    ROLLOUT,
    SMI_SKIP,
    Backend,
    Endpoint,
    EndpointPort,
    EndpointSliceObject,
    EventObject,
    FleetObject,
    HTTPRouteObject,
    KubeObject,
    LeaseObject,
    LinkObject,
    ManagedFields,
    Metadata,
    MigrationObject,
    NamespaceObject,
    OtherRouteObject,
    OwnerReference,
    ParentRef,
    RouteBackend,
    RouteRule,
    RouteRuling,
    ServiceObject,
    ServiceProfileObject,
    TrafficSplitObject,
    TrafficSplitSpec,
    Undecodable,
)
from prober.contract import why_never_probed

KEPT_LABELS = frozenset({FAILOVER, ROLLOUT, EXTENSION, "app.kubernetes.io/managed-by"})
"""Labels kept beside those under :data:`MIRROR_PREFIX`: who else may own a Service's split, and of Linkerd's
extensions."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Names the Service of an EndpointSlice."""

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
ENDPOINT_SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
"""Who wrote an EndpointSlice: of this controller's, the addresses are those of Pods that a Service selects."""

GATEWAY_IDENTITY = "mirror.linkerd.io/remote-gateway-identity"
"""Annotation of a mirror's endpoints: the identity of the gateway they go through."""

POLICY_CONTROLLER = "linkerd.io/policy-controller"
"""Who writes what Linkerd makes of a route into its status."""

_MANAGED = msgspec.json.Decoder(list[wire_types.ManagedEntry] | None)
_FIELDS = msgspec.json.Decoder(wire_types.Fields)
_HEAD = msgspec.json.Decoder(wire_types.Head)
_TEXT = msgspec.json.Decoder(str)
_PARENTS = msgspec.json.Decoder(list[wire_types.ParentRef] | None)
_ROUTE_STATUS = msgspec.json.Decoder(wire_types.RouteStatus)
_RULES = msgspec.json.Decoder(list[wire_types.RouteRule] | None)

# What msgspec raises at bytes that are not the JSON asked for; the last for absurdly deep nesting.
_BROKEN = (ValueError, RecursionError)


def _kept_fields(raw: msgspec.Raw) -> dict[str, Any]:
    if not bytes(raw):
        return {}
    try:
        fields = _FIELDS.decode(raw)
    except _BROKEN:
        return {}
    ours = (key for key in fields.metadata.annotations if key[2:].startswith(PREFIX))
    return _fields_of(tuple(ours), tuple(fields.spec))


@lru_cache(maxsize=4096)
def _fields_of(annotations: tuple[str, ...], spec: tuple[str, ...]) -> dict[str, Any]:
    """Most Services of a cluster were written by the same few: share the value, which nobody changes."""
    kept: dict[str, Any] = {}
    if annotations:
        kept["f:metadata"] = {"f:annotations": {intern(key): NOTHING for key in annotations}}
    if spec:
        kept["f:spec"] = {intern(key): NOTHING for key in spec}
    return kept


def _managers(raw: msgspec.Raw) -> tuple[ManagedFields, ...]:
    """Read the managed fields; they are a courtesy to people, so a broken list is an empty one."""
    if not bytes(raw):
        return ()
    try:
        found = _MANAGED.decode(raw) or ()
    except _BROKEN:
        return ()
    return tuple(
        ManagedFields(intern(m.manager), intern(m.operation), m.time, _kept_fields(m.fields_v1))
        for m in found
    )


def _interned(found: dict[str, str] | None) -> Mapping[str, str]:
    return {intern(k): intern(v) for k, v in found.items()} if found else NOTHING


def _owners(found: list[wire_types.Owner] | None) -> tuple[OwnerReference, ...]:
    return tuple(
        OwnerReference(intern(o.kind), o.name, intern(o.api_version), bool(o.controller))
        for o in found or ()
    )


def _metadata(wire: wire_types.Meta) -> Metadata:
    return Metadata(
        name=intern(wire.name),
        namespace=intern(wire.namespace),
        uid=wire.uid,
        resource_version=wire.resource_version,
        creation_timestamp=wire.creation_timestamp,
        deletion_timestamp=wire.deletion_timestamp,
        labels=_interned(wire.labels),
        annotations=_interned(wire.annotations),
        owner_references=_owners(wire.owner_references),
        managers=_managers(wire.managed_fields),
    )


def _cut_metadata(wire: wire_types.Meta) -> Metadata:
    """Keep what a decision may use; managed fields only of what carries an annotation of ours."""
    asks = any(key.startswith(PREFIX) for key in wire.annotations or ())
    labels = _kept(wire.labels, (MIRROR_PREFIX,), KEPT_LABELS)
    return _metadata_of(wire, labels, asks=asks)


def _service_metadata(wire: wire_types.Meta) -> Metadata:
    """Keep all labels and the managed fields: any Service may be a Fleet's, but no mirror is."""
    if f"{MIRROR_PREFIX}mirrored-service" in (wire.labels or {}):
        labels = _kept(wire.labels, (MIRROR_PREFIX,), KEPT_LABELS)
        return _metadata_of(wire, labels, asks=False)
    return _metadata_of(wire, wire.labels, asks=True)


def _metadata_of(wire: wire_types.Meta, labels: dict[str, str] | None, *, asks: bool) -> Metadata:
    """Return metadata with these labels and the annotations of ours, of mirrors and of the mesh."""
    annotations = _kept(
        wire.annotations, (PREFIX, MIRROR_PREFIX, *POLICIES), (OPAQUE_PORTS, SMI_SKIP, STEPS_BEFORE)
    )
    return Metadata(
        name=intern(wire.name),
        namespace=intern(wire.namespace),
        uid=wire.uid,
        resource_version=wire.resource_version,
        creation_timestamp=wire.creation_timestamp,
        deletion_timestamp=wire.deletion_timestamp,
        labels=_interned(labels),
        annotations=_interned(annotations),
        owner_references=_owners(wire.owner_references),
        managers=_managers(wire.managed_fields) if asks else (),
    )


def _kept(
    found: Mapping[str, str] | None, prefixes: tuple[str, ...], names: Container[str]
) -> dict[str, str]:
    return {k: v for k, v in (found or {}).items() if k.startswith(prefixes) or k in names}


@lru_cache(maxsize=4096)
def _port(name: str, number: int, protocol: str, app_protocol: str) -> Port:
    """Most Services of a cluster have one of a few ports: share the value."""
    return Port(intern(name), number, intern(protocol), intern(app_protocol))


def _service(wire: wire_types.Service) -> ServiceObject:
    spec = wire.spec
    return ServiceObject(
        metadata=_service_metadata(wire.metadata),
        type=intern(spec.type),
        cluster_ip=spec.cluster_ip,
        ports=tuple(
            _port(p.name, p.port, p.protocol, p.app_protocol or "") for p in spec.ports or ()
        ),
        session_affinity=intern(spec.session_affinity),
        exposed=_exposed(spec),
    )


def _exposed(spec: wire_types.ServiceSpec) -> str:
    """Return by what a Service is reached from outside the cluster, "" where it is not."""
    if spec.type in ("LoadBalancer", "NodePort"):
        return intern(f"type {spec.type}")
    return "externalIPs" if spec.external_ips else ""


def _pod(ref: wire_types.TargetRef | None, namespace: str) -> str:
    own = ref is not None and ref.kind == "Pod" and ref.namespace == namespace
    return ref.name if own and ref is not None else ""


def _endpoint_slice(wire: wire_types.EndpointSlice) -> EndpointSliceObject:
    meta = wire.metadata
    # The API: the addresses of one endpoint are the same pod, use the first; unset ready means ready.
    addressed = [(e, e.addresses[0]) for e in wire.endpoints or () if e.addresses]
    ready = tuple(
        Endpoint(address, _pod(e.target_ref, meta.namespace))
        for e, address in addressed
        if _is_ready(e)
    )
    labels = meta.labels or {}
    return EndpointSliceObject(
        metadata=Metadata(meta.name, intern(meta.namespace), "", meta.resource_version),
        service=intern(labels.get(SERVICE_NAME_LABEL, "")),
        address_type=intern(wire.address_type),
        endpoints=ready,
        ports=tuple(_endpoint_ports(wire)),
        identity=intern((meta.annotations or {}).get(GATEWAY_IDENTITY, "")),
        unready=len(addressed) - len(ready),
        by_controller=labels.get(MANAGED_BY_LABEL) == ENDPOINT_SLICE_CONTROLLER,
        strange=next(filter(None, (_strange(e.address, meta.name) for e in ready)), ""),
    )


def _strange(address: str, name: str) -> str:
    """Return what an address is that no prober asks, and where it stands, "" of one that a Pod can have."""
    try:
        why = why_never_probed(ip_address(address))
    except ValueError:
        return ""  # a name, which is no address of a Pod anyway
    return f"{address} in the EndpointSlice {name}, {why}" if why else ""


def _is_ready(wire: wire_types.Endpoint) -> bool:
    return wire.conditions is None or wire.conditions.ready is not False


def _endpoint_ports(wire: wire_types.EndpointSlice) -> Iterator[EndpointPort]:
    for port in wire.ports or ():
        if port.port is not None:
            yield EndpointPort(intern(port.name or ""), port.port)


# resource.Quantity of apimachinery: a decimal with an exponent or one suffix.
_QUANTITY = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,2})|(n|u|m|k|[MGTPE]i?|Ki)?)", re.ASCII
)
_SCALES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_LONGEST_WEIGHT = 40


def read_weight(written: str) -> Decimal | None:
    """Read a number or a Kubernetes quantity (``900``, ``0.9``, ``900m``, ``1k``); None when it is neither.

    Bounded in length and exponent, so that no text makes a number that is costly to handle.
    """
    matched = _QUANTITY.fullmatch(written) if len(written) <= _LONGEST_WEIGHT else None
    if matched is None:
        return None
    number, exponent, suffix = matched.groups()
    value = Decimal(number)
    if suffix in _BINARY:
        return value * Decimal(1024 ** _BINARY[suffix])
    return value.scaleb(int(exponent) if exponent else _SCALES.get(suffix, 0))


def _weight(raw: bytes, absent: Decimal) -> tuple[Decimal | None, str]:
    """Return the weight, None where it is no number, and the text that was found for it."""
    if raw in {b"", b"null"}:
        return absent, ""
    written = raw.decode(errors="replace")
    if raw.startswith(b'"'):
        try:
            written = _TEXT.decode(raw)
        except _BROKEN:
            return None, written[:_LONGEST_WEIGHT]
    return read_weight(written.strip()), written[:_LONGEST_WEIGHT]


def _backend(wire: wire_types.Backend) -> Backend:
    return Backend(wire.service, *_weight(bytes(wire.weight), Decimal(0)))


def _traffic_split(wire: wire_types.TrafficSplit) -> TrafficSplitObject:
    spec = wire.spec or wire_types.SplitSpec()
    return TrafficSplitObject(
        metadata=_metadata(wire.metadata),
        spec=TrafficSplitSpec(spec.service, tuple(_backend(b) for b in spec.backends or ())),
    )


def _http_route(wire: wire_types.HttpRoute) -> HTTPRouteObject:
    meta = _metadata(wire.metadata)
    spec = wire.spec or wire_types.RouteSpec()
    parents, rules = bytes(spec.parent_refs) or b"[]", bytes(spec.rules) or b"[]"
    return HTTPRouteObject(
        metadata=meta,
        parents=tuple(_parent(ref, meta.namespace) for ref in _PARENTS.decode(parents) or ()),
        rules=tuple(_route_rule(rule, meta.namespace) for rule in _RULES.decode(rules) or ()),
        parents_written=parents.decode(),
        rules_written=rules.decode(),
        rulings=tuple(_rulings(bytes(wire.status), meta.namespace, wire.metadata.generation)),
    )


GRPC_ROUTE = "GRPCRoute"
POLICY_ROUTE = "HTTPRoute of policy.linkerd.io"


def _other_route(kind: str, wire: wire_types.HttpRoute) -> OtherRouteObject:
    """Keep whose calls a route is for, and which of them; of a GRPCRoute the rules do not matter."""
    meta, spec = wire.metadata, wire.spec or wire_types.RouteSpec()
    rules = bytes(spec.rules) if kind == POLICY_ROUTE else b""
    return OtherRouteObject(
        metadata=Metadata(
            name=intern(meta.name),
            namespace=intern(meta.namespace),
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp,
        ),
        kind=kind,
        parents=tuple(
            _parent(ref, meta.namespace)
            for ref in _PARENTS.decode(bytes(spec.parent_refs) or b"[]") or ()
        ),
        rules=tuple(
            _route_rule(rule, meta.namespace) for rule in _RULES.decode(rules or b"[]") or ()
        ),
        rulings=tuple(_rulings(bytes(wire.status), meta.namespace, wire.metadata.generation)),
    )


def _takes_all(wire: wire_types.RouteMatch) -> bool:
    """Return whether a match asks for nothing: every path begins with /."""
    path = wire.path or wire_types.PathMatch()
    anywhere = (path.type or "PathPrefix") == "PathPrefix" and (path.value or "/") == "/"
    method = bytes(wire.method) in (b"", b"null")
    return anywhere and method and not wire.headers and not wire.query_params


def _route_rule(wire: wire_types.RouteRule, namespace: str) -> RouteRule:
    matches = [_takes_all(match) for match in wire.matches or ()]
    return RouteRule(
        takes_all=not matches or any(matches),
        picks=not all(matches),
        filters=tuple(intern(found.type) for found in wire.filters or ()),
        backends=tuple(_route_backend(ref, namespace) for ref in wire.backend_refs or ()),
    )


def _rulings(status: bytes, namespace: str, generation: int) -> Iterator[RouteRuling]:
    """Find what Linkerd says of a route. A status of another shape says nothing: it is not ours to check.

    Linkerd writes no ``observedGeneration`` (read in its source): one that is there is compared.
    """
    try:
        parents = (_ROUTE_STATUS.decode(status).parents if status else None) or ()
    except (ValueError, RecursionError):
        return
    for parent in parents:
        for condition in parent.conditions or ():
            if condition.type == "Accepted" and parent.controller_name == POLICY_CONTROLLER:
                seen = condition.observed_generation
                yield RouteRuling(
                    _parent(parent.parent_ref, namespace),
                    accepted=intern(condition.status),
                    message=condition.message,
                    outdated=seen is not None and seen < generation,
                )


def _parent(wire: wire_types.ParentRef, namespace: str) -> ParentRef:
    return ParentRef(
        group=intern(wire.group or ""),
        kind=intern(wire.kind or ""),
        namespace=intern(wire.namespace or namespace),
        name=intern(wire.name),
        port=wire.port,
    )


def _route_backend(wire: wire_types.BackendRef, namespace: str) -> RouteBackend:
    return RouteBackend(
        group=intern(wire.group or ""),
        kind=intern(wire.kind or ""),
        namespace=intern(wire.namespace or namespace),
        name=intern(wire.name),
        port=wire.port,
        weight=_weight(bytes(wire.weight), Decimal(1))[0],
    )


def _service_profile(wire: wire_types.ServiceProfile) -> ServiceProfileObject:
    spec = wire.spec or wire_types.ProfileSpec()
    return ServiceProfileObject(
        metadata=_cut_metadata(wire.metadata),
        overrides=tuple(
            Backend(o.authority, *_weight(bytes(o.weight), Decimal(0)))
            for o in spec.dst_overrides or ()
        ),
        has_routes=bool(spec.routes),
    )


def _migration(wire: wire_types.Migration) -> MigrationObject:
    return MigrationObject(_cut_metadata(wire.metadata), wire.status or {})


def _fleet(wire: wire_types.Fleet) -> FleetObject:
    meta = wire.metadata
    return FleetObject(_cut_metadata(meta), meta.generation, wire.spec, wire.status)


def _lease(wire: wire_types.Lease) -> LeaseObject:
    spec = wire.spec
    return LeaseObject(
        metadata=_cut_metadata(wire.metadata),
        holder=spec.holder_identity or "",
        duration_s=spec.lease_duration_seconds,
        transitions=spec.lease_transitions or 0,
        acquire_time=spec.acquire_time or "",
        renew_time=spec.renew_time or "",
    )


def _event(wire: wire_types.Event) -> EventObject:
    return EventObject(_cut_metadata(wire.metadata), wire.count or 0)


def _namespace(wire: wire_types.Named) -> NamespaceObject:
    return NamespaceObject(_metadata_of(wire.metadata, wire.metadata.labels, asks=False))


def _link(wire: wire_types.Link) -> LinkObject:
    asked = wire.spec.selector or wire_types.Selector()
    selector = Selector(
        labels=tuple(sorted((asked.match_labels or {}).items())),
        requirements=tuple(
            Requirement(r.key, r.operator, tuple(r.values or ()))
            for r in asked.match_expressions or ()
        ),
    )
    return LinkObject(
        metadata=_cut_metadata(wire.metadata),
        cluster=wire.spec.target_cluster_name,
        domain=wire.spec.target_cluster_domain,
        selector=selector,
    )


W = TypeVar("W")
Json = bytes | msgspec.Raw
Decode = Callable[[Json], KubeObject | Undecodable]


def head(raw: Json) -> tuple[str, str, str]:
    """Return (namespace, name, resource version) of any object, each "" where it is no text."""
    try:
        meta = _HEAD.decode(raw).metadata
    except _BROKEN:
        return "", "", ""
    found = (meta.namespace, meta.name, meta.resource_version)
    namespace, name, version = (text if isinstance(text, str) else "" for text in found)
    return namespace, name, version


def _service_of(raw: Json) -> str:
    """Return the Service that an EndpointSlice names by its label, "" where none can be told."""
    try:
        labels = _HEAD.decode(raw).metadata.labels
    except _BROKEN:
        return ""
    found = labels.get(SERVICE_NAME_LABEL) if isinstance(labels, dict) else None
    return found if isinstance(found, str) else ""


def _tolerant(wire: type[W], keep: Callable[[W], KubeObject]) -> Decode:
    decoder = msgspec.json.Decoder(wire)

    def decode(raw: Json) -> KubeObject | Undecodable:
        try:
            return keep(decoder.decode(raw))
        except _BROKEN as error:
            return Undecodable(*head(raw), str(error), _service_of(raw))

    return decode


DECODERS: Mapping[Resource, Decode] = MappingProxyType(
    {
        Resource.SERVICES: _tolerant(wire_types.Service, _service),
        Resource.ENDPOINTSLICES: _tolerant(wire_types.EndpointSlice, _endpoint_slice),
        Resource.TRAFFICSPLITS: _tolerant(wire_types.TrafficSplit, _traffic_split),
        Resource.HTTPROUTES: _tolerant(wire_types.HttpRoute, _http_route),
        Resource.SERVICEPROFILES: _tolerant(wire_types.ServiceProfile, _service_profile),
        Resource.MIGRATIONS: _tolerant(wire_types.Migration, _migration),
        Resource.FLEETS: _tolerant(wire_types.Fleet, _fleet),
        Resource.EVENTS: _tolerant(wire_types.Event, _event),
        Resource.LEASES: _tolerant(wire_types.Lease, _lease),
        Resource.NAMESPACES: _tolerant(wire_types.Named, _namespace),
        Resource.LINKS: _tolerant(wire_types.Link, _link),
        Resource.GRPCROUTES: _tolerant(wire_types.HttpRoute, partial(_other_route, GRPC_ROUTE)),
        Resource.POLICY_HTTPROUTES: _tolerant(
            wire_types.HttpRoute, partial(_other_route, POLICY_ROUTE)
        ),
    }
)
"""By resource: one object's JSON to what is kept of it. They never raise."""
