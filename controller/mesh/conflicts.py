"""What else routes the calls to a Service, and beats the HTTPRoute that splits it (facts 13).

A ServiceProfile with routes or overrides, in the Service's or a client's namespace; and an HTTPRoute in a
client's namespace, for the callers there. For a TrafficSplit a ServiceProfile with overrides is nothing odd:
the SMI adaptor writes one.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.domain import Key
from controller.kube.objects import HTTPRouteObject, KubeObject, ServiceProfileObject
from controller.mesh import pin
from controller.mesh.splits import short_name


def of(found: KubeObject, domain: str) -> tuple[Sequence[Key], str]:
    """Return the Services whose calls an object takes, and what it is; "" where it takes none."""
    if isinstance(found, ServiceProfileObject):
        return _of_profile(found, domain)
    if isinstance(found, HTTPRouteObject):
        return _of_route(found)
    return (), ""


def _of_profile(found: ServiceProfileObject, domain: str) -> tuple[Sequence[Key], str]:
    meta, key = found.metadata, pin.key_of(found.metadata.name, domain)
    has = "dstOverrides" if found.overrides else "routes" if found.has_routes else ""
    what = f"the ServiceProfile {meta.name} in {meta.namespace}, with {has}" if has else ""
    return ((key,) if key else ()), what


def _of_route(found: HTTPRouteObject) -> tuple[Sequence[Key], str]:
    meta = found.metadata
    keys = [
        Key(parent.namespace, name)
        for parent in found.parents
        if parent.is_service and parent.namespace != meta.namespace
        if (name := short_name(parent.name, parent.namespace))
    ]
    return keys, f"the HTTPRoute {meta.name} in {meta.namespace}, for callers there,"
