"""Objects of the API servers, written and read: what a server answers is applied like any other change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from controller.domain import Key
from controller.kube.api import (
    AlreadyExists,
    ApiError,
    Cluster,
    Conflict,
    NotFound,
    Unavailable,
)
from controller.kube.objects import (
    SERVICE_NAME_LABEL,
    Change,
    Deleted,
    KubeObject,
    Resource,
    Upserted,
    identify,
)


class WritesMeter(Protocol):
    """Where the numbers go."""

    def wrote(self, cluster: str, kind: str, outcome: str) -> None:
        """Count one write: ``ok``, or what became of it."""


class ObjectName(NamedTuple):
    """Where an object stands."""

    cluster: str
    resource: Resource
    namespace: str
    name: str


class Objects:
    """The objects of both clusters. ``apply`` takes what a server answers."""

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        apply: Callable[[Change], object],
        meter: WritesMeter,
    ) -> None:
        self._clusters = clusters
        self._apply = apply
        self._meter = meter

    def take(self, change: Change) -> None:
        """Take in what a server answered elsewhere."""
        self._apply(change)

    async def put(self, at: ObjectName, body: Mapping[str, Any], *, create: bool) -> None:
        """Create or patch an object; where it is unclear what stands there then, read it.

        A conflict, and a patch of what is gone, are no failures: once read, they are decided on anew. What
        exists although it was to be created may not be ours: that one is raised.
        """
        outcome = "unknown"
        try:
            found = await self._send(at, body, create=create)
            outcome = "ok"
            self._apply(Upserted(at.cluster, at.resource, found))
        except ApiError as error:
            outcome = _outcome(error)
            gone = outcome == "gone" and not create
            if outcome in ("conflict", "unknown") or gone:
                await self.read(at, str(body.get("metadata", {}).get("resourceVersion", "")))
            if not (isinstance(error, Conflict) or gone):
                raise
        finally:
            self._meter.wrote(at.cluster, at.resource.value, outcome)

    async def read(self, at: ObjectName, version: str = "") -> None:
        """Read what really stands there. ``version`` is the one that is gone where nothing does."""
        try:
            found = await self._clusters[at.cluster].get(at.resource, at.namespace, at.name)
        except NotFound:
            self._apply(Deleted(*at, version))
        else:
            self._apply(Upserted(at.cluster, at.resource, found))

    async def list_slices(self, cluster: str, service: Key, known: Iterable[str]) -> None:
        """List the EndpointSlices of a Service; those of the ``known`` names that are not among them are gone."""
        resource, namespace = Resource.ENDPOINTSLICES, service.namespace
        label = f"{SERVICE_NAME_LABEL}={service.service}"
        found, version = await self._clusters[cluster].select(resource, namespace, label)
        for each in found:
            self._apply(Upserted(cluster, resource, each))
        for name in sorted(set(known) - {identify(each)[1] for each in found}):
            self._apply(Deleted(cluster, resource, namespace, name, version))

    async def _send(self, at: ObjectName, body: Mapping[str, Any], *, create: bool) -> KubeObject:
        api = self._clusters[at.cluster]
        if create:
            return await api.create(at.resource, at.namespace, body)
        return await api.patch(at.resource, at.namespace, at.name, body)


def _outcome(error: ApiError) -> str:
    """Return what became of a write, as its metric names it."""
    if isinstance(error, (Conflict, AlreadyExists)):
        return "conflict"
    if isinstance(error, NotFound):
        return "gone"
    if isinstance(error, Unavailable):
        return "unknown" if error.outcome_unknown else "unavailable"
    return "refused"
