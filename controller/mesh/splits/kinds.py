"""The providers, by kind and by resource. A new kind of split is one module and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from controller.domain import SplitKind
from controller.kube.objects import Resource
from controller.mesh.splits import Provider, httproute, trafficsplit

PROVIDERS: Mapping[SplitKind, Provider] = MappingProxyType(
    {trafficsplit.KIND: trafficsplit, httproute.KIND: httproute}
)
"""How each kind is read and written, in the order in which Linkerd follows them: a TrafficSplit's overrides beat
an HTTPRoute (facts 13)."""

PROVIDER_OF: Mapping[Resource, Provider] = MappingProxyType(
    {provider.RESOURCE: provider for provider in PROVIDERS.values()}
)
"""The same, by the resource that its objects are of."""
