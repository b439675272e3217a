"""A cluster read in bulk for a preflight: what the controller watches, and Links, namespaces and labels.

However many Services there are, it is a page of 500 objects per request. What may not be read is a note, where
a preflight can do without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from controller.cli.api import Api
from controller.cli.entrances import Entrances, entrances
from controller.cli.exit_codes import Exit, Failure
from controller.cli.kubeconfig import Place
from controller.cli.migration import Migration, read_migration
from controller.cli.service_labels import Meta, metas
from controller.domain import Key
from controller.kube.api import ApiError, NotFound, Refused, Unavailable
from controller.kube.api.discovery import PLACES
from controller.kube.objects import (
    DECODERS,
    EXTENSION,
    MIRROR_CLUSTER,
    KubeObject,
    LinkObject,
    NamespaceObject,
    Resource,
    ServiceObject,
    Undecodable,
)
from controller.mesh.splits.kinds import PROVIDER_OF

NEEDED = (Resource.SERVICES, Resource.ENDPOINTSLICES, *PROVIDER_OF)
"""What must be read: without it nothing can be said."""

CLUSTER_WIDE = (Resource.LINKS, Resource.NAMESPACES, Resource.FLEETS)
"""What is not to be had of one namespace alone."""

WIDE = (
    Resource.SERVICEPROFILES,
    Resource.HTTPROUTES,
    Resource.GRPCROUTES,
    Resource.TCPROUTES,
    Resource.TLSROUTES,
    Resource.POLICY_HTTPROUTES,
    *CLUSTER_WIDE,
)
"""What is read of the whole cluster, whatever namespace is asked about: profiles and routes of the callers'
namespaces count too, and a Gateway's may be anywhere."""

BESIDE = (
    Resource.INGRESSES,
    Resource.TCPROUTES,
    Resource.TLSROUTES,
    Resource.MIGRATIONS,
)
"""What the controller's store does not take in."""

ROUTES = (Resource.HTTPROUTES, Resource.GRPCROUTES, Resource.TCPROUTES, Resource.TLSROUTES)
"""What may lead from a Gateway to a Service."""

GATEWAYS = "linkerd-multicluster"
"""Where Linkerd's multicluster extension, and so the gateway, is unless a Link says otherwise."""

Objects = tuple[KubeObject | Undecodable, ...]
O = TypeVar("O", bound=KubeObject)  # noqa: E741 - an object


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was read of one cluster. ``unserved`` are kinds it does not know, ``unread`` those that may not
    be read; ``notes`` say so to people. ``labels`` are all of each Service's, and ``entrances`` what leads to its
    pods from outside the cluster."""

    place: Place
    objects: Mapping[Resource, Objects]
    unserved: frozenset[Resource]
    unread: frozenset[Resource]
    notes: tuple[str, ...]
    labels: Mapping[Key, Mapping[str, str]]
    migrations: Mapping[Key, Migration]
    entrances: Entrances

    def of(self, kind: type[O], resource: Resource) -> tuple[O, ...]:
        """Return the readable objects of a resource."""
        return tuple(found for found in self.objects.get(resource, ()) if isinstance(found, kind))

    @property
    def links(self) -> tuple[LinkObject, ...]:
        """The Links to other clusters."""
        return self.of(LinkObject, Resource.LINKS)

    @property
    def linked(self) -> tuple[str, ...]:
        """Names of the other clusters: of the Links, or of the mirrors where those are not to be seen."""
        named = {link.cluster for link in self.links if link.cluster}
        services = self.of(ServiceObject, Resource.SERVICES)
        mirrored = {s.metadata.labels.get(MIRROR_CLUSTER, "") for s in services if s.is_mirror}
        return tuple(sorted(named or mirrored - {""}))

    @property
    def namespaces(self) -> frozenset[str] | None:
        """The names of all namespaces, None where they may not be read."""
        if Resource.NAMESPACES in self.unread:
            return None
        found = self.of(NamespaceObject, Resource.NAMESPACES)
        return frozenset(each.metadata.name for each in found)

    @property
    def has_adaptor(self) -> bool | None:
        """Whether a namespace of Linkerd's SMI extension is there, None where namespaces may not be read."""
        if Resource.NAMESPACES in self.unread:
            return None
        found = self.of(NamespaceObject, Resource.NAMESPACES)
        return any(each.metadata.labels.get(EXTENSION) == "smi" for each in found)

    @property
    def gateway_namespace(self) -> str:
        """Where this cluster's gateway is: in the namespace of its Links."""
        return next((link.metadata.namespace for link in self.links), GATEWAYS)


async def read_inventory(api: Api, namespace: str | None) -> Inventory:
    """Read what a preflight needs of one namespace, or (None) of all.

    Raises Failure where the cluster is not reached, or lets not even the Services be read.
    """
    resources = tuple(dict.fromkeys((*NEEDED, *WIDE, *BESIDE)))
    try:
        parts = await asyncio.gather(*(_read(api, each, namespace) for each in resources))
    except Unavailable as error:
        raise Failure(f"{api.place} is not reached: {error}", code=Exit.UNREACHED) from error
    except ApiError as error:
        raise Failure(f"{api.place} refused: {error}") from error
    return _inventory(api.place, dict(zip(resources, parts, strict=True)))


def _inventory(place: Place, read: Mapping[Resource, _Part]) -> Inventory:
    refused = {each: part.refused for each, part in read.items() if part.refused}
    known = metas(read[Resource.SERVICES].raw)
    return Inventory(
        place=place,
        objects={
            each: _objects(each, part.raw) for each, part in read.items() if each not in BESIDE
        },
        unserved=frozenset(each for each, part in read.items() if not part.served),
        unread=frozenset(refused),
        notes=tuple(f"{place}: {each.value} were not read: {why}" for each, why in refused.items()),
        labels={key: meta.labels or {} for key, meta in known.items()},
        migrations=_migrations(read[Resource.MIGRATIONS].raw),
        entrances=_entrances(read, known),
    )


def _entrances(read: Mapping[Resource, _Part], known: Mapping[Key, Meta]) -> Entrances:
    return entrances(
        read[Resource.INGRESSES].raw,
        {PLACES[each].kind: read[each].raw for each in ROUTES},
        {key: meta.annotations or {} for key, meta in known.items()},
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What was read of one resource; ``refused`` is why nothing was."""

    raw: list[msgspec.Raw]
    served: bool = True
    refused: str = ""


async def _read(api: Api, resource: Resource, namespace: str | None) -> _Part:
    """Read one resource, where the whole of it may not be read in the one namespace that counts most.

    Raises where what is needed is refused; of the rest it is noted.
    """
    narrow = GATEWAYS if resource is Resource.SERVICEPROFILES else namespace
    wide = None if resource in WIDE else namespace
    try:
        return _Part(await api.items(resource, wide))
    except NotFound:
        return _Part([], served=False)
    except Refused as error:
        refused = error
    if wide is None and narrow is not None and resource not in CLUSTER_WIDE:
        with contextlib.suppress(Refused):
            return _Part(await api.items(resource, narrow))
    if resource in NEEDED:
        raise refused
    return _Part([], refused=str(refused))


def _objects(resource: Resource, raw: list[msgspec.Raw]) -> Objects:
    return tuple(DECODERS[resource](each) for each in raw)


def _migrations(raw: list[msgspec.Raw]) -> dict[Key, Migration]:
    found = (read_migration(msgspec.json.decode(each)) for each in raw)
    return {Key(each.namespace, each.service): each for each in found}
