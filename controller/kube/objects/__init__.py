"""Kubernetes objects as small typed values: only the fields this product uses. No I/O.

Two laws. Somebody's broken object is a value (:class:`Undecodable`) and never an exception, because one
bad object must not stop the stream that carries all others. And whatever is not used is not kept,
because tens of thousands of these are held at a time: names are interned, and a Service that is not
ours keeps a handful of labels.
"""

from __future__ import annotations

from controller.kube.objects.changes import Change, Deleted, Freshness, Listed, Resource, Upserted
from controller.kube.objects.decoding import DECODERS, Decode, head, read_weight
from controller.kube.objects.selectors import Requirement, Selector
from controller.kube.objects.values import (
    FAILOVER,
    MIRROR_CLUSTER,
    OPAQUE_PORTS,
    ROLLOUT,
    Backend,
    Endpoint,
    EndpointPort,
    EndpointSliceObject,
    EventObject,
    HTTPRouteObject,
    KubeObject,
    LeaseObject,
    LinkObject,
    ManagedFields,
    Metadata,
    MigrationObject,
    NamespaceObject,
    OwnerReference,
    ParentRef,
    RouteBackend,
    RouteRule,
    ServiceObject,
    ServiceProfileObject,
    SplitObject,
    TrafficSplitObject,
    TrafficSplitSpec,
    Undecodable,
    endpoints_of,
    identify,
)

__all__ = [
    "DECODERS",
    "FAILOVER",
    "MIRROR_CLUSTER",
    "OPAQUE_PORTS",
    "ROLLOUT",
    "Backend",
    "Change",
    "Decode",
    "Deleted",
    "Endpoint",
    "EndpointPort",
    "EndpointSliceObject",
    "EventObject",
    "Freshness",
    "HTTPRouteObject",
    "KubeObject",
    "LeaseObject",
    "LinkObject",
    "Listed",
    "ManagedFields",
    "Metadata",
    "MigrationObject",
    "NamespaceObject",
    "OwnerReference",
    "ParentRef",
    "Requirement",
    "Resource",
    "RouteBackend",
    "RouteRule",
    "Selector",
    "ServiceObject",
    "ServiceProfileObject",
    "SplitObject",
    "TrafficSplitObject",
    "TrafficSplitSpec",
    "Undecodable",
    "Upserted",
    "endpoints_of",
    "head",
    "identify",
    "read_weight",
]
