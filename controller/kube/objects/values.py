"""What is kept of each kind of object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from controller.domain import Endpoints, Port
from controller.kube.objects.selectors import Selector

MIRROR_PREFIX = "mirror.linkerd.io/"
"""Of the labels and annotations that Linkerd's service mirror reads and writes."""

MIRROR_CLUSTER = f"{MIRROR_PREFIX}cluster-name"
"""Label of a mirror: the cluster that it leads to, as the Link names it."""

MIRROR_OF = f"{MIRROR_PREFIX}remote-svc-fq-name"
"""On a mirror: the Service that it stands for, by its name in the DNS of its own cluster."""
EXTENSION = "linkerd.io/extension"
"""Label of the namespace of a Linkerd extension: its name, by which ``linkerd check`` finds it too."""

SMI_SKIP = "smi.linkerd.io/skip"
"""Annotation of a ServiceProfile that the SMI adaptor leaves alone (read in its source)."""

REMOTE_DISCOVERY = f"{MIRROR_PREFIX}remote-discovery"
"""Label of a mirror without endpoints of its own: proxies ask the other cluster who stands behind it."""

EXPORTED = f"{MIRROR_PREFIX}exported"
"""Label of a Service that is to be mirrored, unless a Link's selector asks for another."""

OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
"""Annotation of a Service: the ports that Linkerd takes for TCP, whatever is spoken there."""

FAILOVER = "failover.linkerd.io/controlled-by"
"""Label of a TrafficSplit that linkerd-failover moves."""

ROLLOUT = "rollouts.argoproj.io/gatewayapi-canary"
"""Label of a route by which a canary of Argo Rollouts is in progress (its Gateway API plugin's)."""

POLICIES = ("retry.linkerd.io/", "timeout.linkerd.io/", "balancer.linkerd.io/failure-accrual")
"""Beginnings of a Service's annotations that ask Linkerd for retries, timeouts and failure accrual."""

NOTHING: Mapping[str, str] = MappingProxyType({})
"""The one empty mapping that all objects without labels or annotations share."""


class Value(msgspec.Struct, frozen=True, gc=False):
    """Part of an object. Without garbage collection: a tree decoded from JSON holds no cycle."""


class OwnerReference(Value, frozen=True):
    """Who owns an object; ``controller`` marks the one that writes it."""

    kind: str
    name: str
    api_version: str
    controller: bool = False


class ManagedFields(Value, frozen=True):
    """A field manager and what it wrote last, from ``metadata.managedFields``.

    ``fields_v1`` is cut down to what this product asks about: the first level of ``f:spec``, and under
    ``f:metadata``/``f:annotations`` the annotations with our prefix. Every leaf is an empty mapping.
    """

    manager: str
    operation: str
    time: datetime | None
    fields_v1: dict[str, Any]


class Metadata(Value, frozen=True):
    """What every object has. ``managers`` is empty where managed fields are not kept."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: Mapping[str, str] = NOTHING
    annotations: Mapping[str, str] = NOTHING
    owner_references: tuple[OwnerReference, ...] = ()
    managers: tuple[ManagedFields, ...] = ()


class ServiceObject(Value, frozen=True):
    """A Service. ``cluster_ip`` is ``None`` as text where it is headless; ``type`` as in the API.
    ``exposed`` is by what it is reached from outside the cluster, "" where it is not. All labels are kept, for a
    Fleet's selectors; of a mirror only those of the mesh."""

    metadata: Metadata
    type: str
    cluster_ip: str
    ports: tuple[Port, ...]
    session_affinity: str
    exposed: str = ""

    @property
    def is_mirror(self) -> bool:
        """Whether Linkerd made it: such a Service is never a spec (mesh facts, Mirrors)."""
        return f"{MIRROR_PREFIX}mirrored-service" in self.metadata.labels

    @property
    def is_federated(self) -> bool:
        """Whether it is a member of a federated Service, which calls its pods by their addresses."""
        return self.metadata.labels.get(f"{MIRROR_PREFIX}federated") == "member"


class Endpoint(Value, frozen=True):
    """A ready endpoint; ``pod`` is "" where it is no Pod of the slice's own namespace."""

    address: str
    pod: str


class EndpointPort(Value, frozen=True):
    """A port of a slice, by the name of the Service's port."""

    name: str
    number: int


class EndpointSliceObject(Value, frozen=True):
    """The ready endpoints of ``service``, and how many are not. ``identity`` is the gateway's, on a mirror.

    ``by_controller``: its label says that Kubernetes wrote it from the Service's selector; an admission policy keeps
    the label true. ``strange`` names an address that is never probed, "" where there is none.
    """

    metadata: Metadata
    service: str
    address_type: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[EndpointPort, ...]
    identity: str
    unready: int = 0
    by_controller: bool = False
    strange: str = ""

    @property
    def handmade(self) -> str:
        """Its name, where it has endpoints and Kubernetes did not make it from a selector; else ""."""
        return self.metadata.name if self.endpoints and not self.by_controller else ""


class Backend(Value, frozen=True):
    """A backend of a TrafficSplit. ``weight`` is None where ``written``, the text found, is no number.

    An absent weight is zero: Go clients leave out a zero (``omitempty``).
    """

    service: str
    weight: Decimal | None
    written: str


class TrafficSplitSpec(Value, frozen=True):
    """``service`` is "" where the object names none."""

    service: str
    backends: tuple[Backend, ...]


class TrafficSplitObject(Value, frozen=True):
    """A TrafficSplit of any version."""

    metadata: Metadata
    spec: TrafficSplitSpec


class ParentRef(Value, frozen=True):
    """Whose calls a route is for. ``namespace`` is that of the parent, written or not; ``group`` of a Service
    is "" or ``core``."""

    group: str
    kind: str
    namespace: str
    name: str
    port: int | None

    @property
    def is_service(self) -> bool:
        """Whether it is a Service."""
        return self.group in ("", "core") and self.kind == "Service"


class RouteBackend(Value, frozen=True):
    """A backend of a route, as ParentRef; ``weight`` is None where what is written is no number.

    An absent weight is one, as the API says.
    """

    group: str
    kind: str
    namespace: str
    name: str
    port: int | None
    weight: Decimal | None

    @property
    def is_service(self) -> bool:
        """Whether it is a Service."""
        return self.group in ("", "core") and self.kind == "Service"


class RouteRule(Value, frozen=True):
    """One rule of a route: the types of its filters, and its backends. ``takes_all``: every request is one of its;
    ``picks``: a match of it asks for more than that."""

    filters: tuple[str, ...]
    backends: tuple[RouteBackend, ...]
    takes_all: bool = True
    picks: bool = False


class RouteRuling(Value, frozen=True):
    """Linkerd's own word on whether it accepts a route for one of its parents, and why.

    ``accepted`` is the condition's status: ``True``, ``False`` or ``Unknown``. ``outdated``: it was said of an earlier
    generation of the route.
    """

    parent: ParentRef
    accepted: str
    message: str = ""
    outdated: bool = False


class HTTPRouteObject(Value, frozen=True):
    """An HTTPRoute of any version. ``parents_written`` and ``rules_written`` are the JSON as it was found:
    a merge patch replaces whole lists, so whoever writes weights writes all that stands beside them again.
    ``rulings`` are of the status, where somebody of Linkerd's wrote one."""

    metadata: Metadata
    parents: tuple[ParentRef, ...]
    rules: tuple[RouteRule, ...]
    parents_written: str
    rules_written: str
    rulings: tuple[RouteRuling, ...] = ()

    @property
    def kind(self) -> str:
        """What people call it."""
        return "HTTPRoute"


class OtherRouteObject(Value, frozen=True):
    """A route of a kind that is never ours: a GRPCRoute, or an HTTPRoute of Linkerd's own group. ``kind`` as people
    read it; ``rulings`` as above."""

    metadata: Metadata
    kind: str
    parents: tuple[ParentRef, ...]
    rules: tuple[RouteRule, ...]
    rulings: tuple[RouteRuling, ...] = ()


SplitObject = TrafficSplitObject | HTTPRouteObject
"""What may hold the weights."""


class ServiceProfileObject(Value, frozen=True):
    """A ServiceProfile: what it overrides destinations with, and whether it has routes.

    An override is a backend whose ``service`` is its authority, a full name.
    """

    metadata: Metadata
    overrides: tuple[Backend, ...]
    has_routes: bool


class MigrationObject(Value, frozen=True):
    """A Migration; ``status`` as it was written."""

    metadata: Metadata
    status: Mapping[str, Any]


class FleetObject(Value, frozen=True):
    """A Fleet, cluster-scoped; ``spec`` and ``status`` as they were written, whatever shape they have.

    ``generation`` counts the changes of the spec, 0 where the API server tells none.
    """

    metadata: Metadata
    generation: int
    spec: Any
    status: Any

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return what people ask by hand: its annotations with our prefix."""
        return self.metadata.annotations


class LeaseObject(Value, frozen=True):
    """A Lease. ``holder`` is "" where nobody holds it. The times are text: they are only compared for
    being the same, never with a clock."""

    metadata: Metadata
    holder: str
    duration_s: float | None
    transitions: int
    acquire_time: str
    renew_time: str


class EventObject(Value, frozen=True):
    """An Event, as much of it as is needed to count on."""

    metadata: Metadata
    count: int


class NamespaceObject(Value, frozen=True):
    """A namespace, with all of its labels and our annotations."""

    metadata: Metadata


class LinkObject(Value, frozen=True):
    """A Link to ``cluster``; what meets ``selector`` there is mirrored here. ``domain`` is its DNS domain."""

    metadata: Metadata
    cluster: str
    domain: str
    selector: Selector


class Undecodable(Value, frozen=True):
    """An object that is not of its kind's shape. ``message`` says where; it quotes no content. ``service`` is the
    Service of an EndpointSlice, "" where that cannot be told."""

    namespace: str
    name: str
    resource_version: str
    message: str
    service: str = ""


KubeObject = (
    ServiceObject
    | EndpointSliceObject
    | SplitObject
    | ServiceProfileObject
    | MigrationObject
    | FleetObject
    | LeaseObject
    | EventObject
    | NamespaceObject
    | LinkObject
    | OtherRouteObject
)


def identify(found: KubeObject | Undecodable) -> tuple[str, str, str]:
    """Return (namespace, name, resource version)."""
    if isinstance(found, Undecodable):
        return found.namespace, found.name, found.resource_version
    return found.metadata.namespace, found.metadata.name, found.metadata.resource_version


def endpoints_of(slices: Iterable[EndpointSliceObject]) -> Endpoints:
    """Add up the slices of one Service.

    An endpoint may stand in two slices at a time, and a dual-stack pod stands in one of each family:
    each is counted once, and probed at its IPv4 address where it has one.
    """
    ordered = sorted(slices, key=lambda s: (s.address_type != "IPv4", s.metadata.name))
    ready = {e.pod or e.address for part in ordered for e in part.endpoints}
    return Endpoints(
        len(ready),
        sum(part.unready for part in ordered),
        _probed(ordered),
        _pods_of(ordered),
        _first(part.identity for part in ordered),
        strange=_first(part.strange for part in ordered),
        handmade=_first(part.handmade for part in ordered),
    )


def _probed(slices: Iterable[EndpointSliceObject]) -> dict[str, tuple[str, ...]]:
    """Return the ``ip:port`` of the pods by port name, one of each pod."""
    by_port: dict[str, dict[str, str]] = {}
    for part in slices:
        for port, pod, address in _addresses(part):
            by_port.setdefault(port, {}).setdefault(pod, address)
    return {name: tuple(sorted(pods.values())) for name, pods in sorted(by_port.items())}


def _first(found: Iterable[str]) -> str:
    """Return the first that says something, "" where none does."""
    return next(filter(None, found), "")


def _pods_of(slices: Iterable[EndpointSliceObject]) -> frozenset[str]:
    return frozenset(e.pod for part in slices for e in part.endpoints if e.pod)


def _addresses(part: EndpointSliceObject) -> Iterator[tuple[str, str, str]]:
    """Yield (port's name, pod, ``ip:port``) of what can be probed: pods, by address."""
    if part.address_type == "FQDN" or part.strange or not part.by_controller:
        return
    for endpoint in part.endpoints:
        host = f"[{endpoint.address}]" if part.address_type == "IPv6" else endpoint.address
        for port in part.ports if endpoint.pod else ():
            yield port.name, endpoint.pod, f"{host}:{port.number}"
