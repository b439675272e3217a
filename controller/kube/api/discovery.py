"""Where each resource is in the API, and in which version a cluster serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from controller.kube.api.errors import NotFound, NotServed, Unavailable
from controller.kube.api.transport import Transport
from controller.kube.objects import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of the API. Of several ``versions`` the first that is served is used. ``may_lack``: a cluster without it
    is as good as any, so it is asked for even if there is one version."""

    group: str
    versions: tuple[str, ...]
    kind: str
    may_lack: bool = False

    @property
    def discovered(self) -> bool:
        """Report whether the cluster has to be asked which version it serves."""
        return self.may_lack or len(self.versions) > 1


PLACES: Mapping[Resource, Place] = MappingProxyType(
    {
        Resource.SERVICES: Place("", ("v1",), "Service"),
        Resource.ENDPOINTSLICES: Place("discovery.k8s.io", ("v1",), "EndpointSlice"),
        Resource.TRAFFICSPLITS: Place(
            "split.smi-spec.io", ("v1alpha2", "v1alpha1"), "TrafficSplit"
        ),
        Resource.HTTPROUTES: Place("gateway.networking.k8s.io", ("v1", "v1beta1"), "HTTPRoute"),
        Resource.SERVICEPROFILES: Place("linkerd.io", ("v1alpha2",), "ServiceProfile"),
        Resource.MIGRATIONS: Place("migrate.tradeshift", ("v1alpha1",), "Migration"),
        Resource.FLEETS: Place("migrate.tradeshift", ("v1alpha1",), "Fleet", may_lack=True),
        Resource.EVENTS: Place("", ("v1",), "Event"),
        Resource.LEASES: Place("coordination.k8s.io", ("v1",), "Lease"),
        Resource.NAMESPACES: Place("", ("v1",), "Namespace"),
        Resource.LINKS: Place(
            "multicluster.linkerd.io", ("v1alpha3", "v1alpha2", "v1alpha1"), "Link"
        ),
        Resource.INGRESSES: Place("networking.k8s.io", ("v1",), "Ingress"),
        Resource.GRPCROUTES: Place("gateway.networking.k8s.io", ("v1", "v1alpha2"), "GRPCRoute"),
        Resource.TCPROUTES: Place("gateway.networking.k8s.io", ("v1", "v1alpha2"), "TCPRoute"),
        Resource.TLSROUTES: Place(
            "gateway.networking.k8s.io", ("v1", "v1alpha3", "v1alpha2"), "TLSRoute"
        ),
        Resource.POLICY_HTTPROUTES: Place(
            "policy.linkerd.io", ("v1beta3", "v1beta2", "v1beta1", "v1alpha1"), "HTTPRoute"
        ),
    }
)


class _Version(msgspec.Struct):
    version: str = ""


class _Group(msgspec.Struct):
    versions: list[_Version] | None = None


class _Kind(msgspec.Struct):
    name: str = ""


class _Kinds(msgspec.Struct):
    resources: list[_Kind] | None = None


_GROUP = msgspec.json.Decoder(_Group)
_KINDS = msgspec.json.Decoder(_Kinds)


class Places:
    """The paths of one cluster. A version that has to be asked for is remembered until it is forgotten."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[Resource, str | None] = {}

    async def api_version(self, resource: Resource) -> str:
        """Return ``group/version``. Raises NotServed, or Unavailable where that is not known."""
        place = PLACES[resource]
        version: str | None = place.versions[0]
        if place.discovered:
            version = self._known.get(resource)
            if version is None:
                version = self._known[resource] = await self._discover(resource, place)
        if version is None:
            raise NotServed(f"{resource.plural} of {place.group} are not served here", status=404)
        return f"{place.group}/{version}" if place.group else version

    async def path(self, resource: Resource, namespace: str | None = None, name: str = "") -> str:
        """Return the path of an object, or of the collection where no name is given; what is of no namespace is of
        "" or None. Raises as above."""
        version = await self.api_version(resource)
        parts = ["", "apis" if "/" in version else "api", version]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [resource.plural, *([quote(name, safe="")] if name else [])]
        return "/".join(parts)

    async def typed(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``body`` with kind and version, as it is created. A patch says neither: its path does, and what was
        read in another version than is written now would be refused. Raises as above.
        """
        version = await self.api_version(resource)
        return {**body, "apiVersion": version, "kind": PLACES[resource].kind}

    def forget(self, resource: Resource) -> None:
        """Ask for the version anew next time."""
        self._known.pop(resource, None)

    async def _discover(self, resource: Resource, place: Place) -> str | None:
        """Return the best version that has the kind: a group may be served without it, or have it in an old one."""
        path = f"/apis/{place.group}"
        group = await self._ask(resource, path, _GROUP)
        served = {found.version for found in (group.versions if group else None) or ()}
        for version in place.versions:
            if version in served:
                kinds = await self._ask(resource, f"{path}/{version}", _KINDS)
                if any(kind.name == resource.plural for kind in (kinds and kinds.resources) or ()):
                    return version
        return None

    async def _ask(
        self, resource: Resource, path: str, decoder: msgspec.json.Decoder[T]
    ) -> T | None:
        """Read a discovery document, None where there is none. Raises Unavailable where that is not known."""
        try:
            return decoder.decode(await self._transport.request("GET", resource.value, path))
        except NotFound:
            return None
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{path}: {error}") from error
