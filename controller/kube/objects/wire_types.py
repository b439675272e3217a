"""The shapes of the API, as far as they are read."""

# ruff: noqa: D101 - the names are the API's own, and so are their docs

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Wire(msgspec.Struct, rename="camel", gc=False):
    """Null is taken wherever Go writes it: an unset list of a field without ``omitempty``."""


class Owner(Wire):
    kind: str = ""
    name: str = ""
    api_version: str = ""
    controller: bool | None = None


class Meta(Wire):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Owner] | None = None
    managed_fields: msgspec.Raw = msgspec.Raw()


class ManagedEntry(Wire):
    manager: str = ""
    operation: str = ""
    time: datetime | None = None
    fields_v1: msgspec.Raw = msgspec.Raw()


class FieldsMeta(Wire):
    annotations: dict[str, msgspec.Raw] = msgspec.field(name="f:annotations", default_factory=dict)


class Fields(Wire):
    metadata: FieldsMeta = msgspec.field(name="f:metadata", default_factory=FieldsMeta)
    spec: dict[str, msgspec.Raw] = msgspec.field(name="f:spec", default_factory=dict)


class ServicePort(Wire):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class ServiceSpec(Wire):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    ports: list[ServicePort] | None = None
    session_affinity: str = "None"
    external_ips: list[str] | None = msgspec.field(name="externalIPs", default=None)


class Service(Wire):
    metadata: Meta
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)


class Conditions(Wire):
    ready: bool | None = None


class TargetRef(Wire):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class Endpoint(Wire):
    addresses: list[str] | None = None
    conditions: Conditions | None = None
    target_ref: TargetRef | None = None


class EndpointPort(Wire):
    name: str | None = None
    port: int | None = None


class EndpointSlice(Wire):
    metadata: Meta
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class Backend(Wire):
    service: str = ""
    weight: msgspec.Raw = msgspec.Raw()


class SplitSpec(Wire):
    service: str = ""
    backends: list[Backend] | None = None


class TrafficSplit(Wire):
    metadata: Meta
    spec: SplitSpec | None = None


class ParentRef(Wire):
    """The defaults are those of the API: who writes no kind means a Gateway."""

    name: str = ""
    namespace: str | None = None
    group: str | None = "gateway.networking.k8s.io"
    kind: str | None = "Gateway"
    port: int | None = None


class BackendRef(Wire):
    name: str = ""
    namespace: str | None = None
    group: str | None = ""
    kind: str | None = "Service"
    port: int | None = None
    weight: msgspec.Raw = msgspec.Raw()


class RouteFilter(Wire):
    type: str = ""


class PathMatch(Wire):
    type: str | None = "PathPrefix"
    value: str | None = "/"


class RouteMatch(Wire):
    """What a match asks for; of a GRPCRoute ``method`` is an object, and its like is not looked at."""

    path: PathMatch | None = None
    method: msgspec.Raw = msgspec.Raw()
    headers: list[msgspec.Raw] | None = None
    query_params: list[msgspec.Raw] | None = None


class RouteRule(Wire):
    matches: list[RouteMatch] | None = None
    filters: list[RouteFilter] | None = None
    backend_refs: list[BackendRef] | None = None


class RouteSpec(Wire):
    parent_refs: msgspec.Raw = msgspec.Raw()
    rules: msgspec.Raw = msgspec.Raw()


class RouteCondition(Wire):
    type: str = ""
    status: str = ""
    message: str = ""
    observed_generation: int | None = None


class RouteParent(Wire):
    parent_ref: ParentRef = msgspec.field(default_factory=ParentRef)
    controller_name: str = ""
    conditions: list[RouteCondition] | None = None


class RouteStatus(Wire):
    parents: list[RouteParent] | None = None


class HttpRoute(Wire):
    metadata: Meta
    spec: RouteSpec | None = None
    status: msgspec.Raw = msgspec.Raw()


class Override(Wire):
    authority: str = ""
    weight: msgspec.Raw = msgspec.Raw()


class ProfileSpec(Wire):
    dst_overrides: list[Override] | None = None
    routes: list[msgspec.Raw] | None = None


class ServiceProfile(Wire):
    metadata: Meta
    spec: ProfileSpec | None = None


class Migration(Wire):
    metadata: Meta
    status: dict[str, Any] | None = None


class Fleet(Wire):
    metadata: Meta
    spec: Any = None
    status: Any = None


class LeaseSpec(Wire):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None


class Lease(Wire):
    metadata: Meta
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class Event(Wire):
    metadata: Meta
    count: int | None = None


class Named(Wire):
    metadata: Meta


class Requirement(Wire):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class Selector(Wire):
    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class LinkSpec(Wire):
    target_cluster_name: str = ""
    target_cluster_domain: str = ""
    selector: Selector | None = None


class Link(Wire):
    metadata: Meta
    spec: LinkSpec = msgspec.field(default_factory=LinkSpec)


class HeadMeta(Wire):
    labels: Any = None
    name: Any = ""
    namespace: Any = ""
    resource_version: Any = ""


class Head(Wire):
    metadata: HeadMeta
