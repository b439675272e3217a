"""Requests about the objects of one cluster: each read, made, merged into, deleted, or listed page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from controller.domain import FIELD_MANAGER
from controller.kube.api.access import ClusterAccess
from controller.kube.api.discovery import Places
from controller.kube.api.errors import Unavailable
from controller.kube.api.paging import Collection, whole
from controller.kube.api.transport import DEADLINE_S, Meter, Transport
from controller.kube.objects import DECODERS, KubeObject, Metadata, Resource, Undecodable

PAGE = 500
"""Objects of one answer to a list, as kubectl asks for them."""


class Client:
    """A cluster by its name. Use it as an async context manager, or ``close`` it.

    Each request has a deadline of 10 s, tries nothing twice but a 401 (with credentials read anew), and raises
    the ApiError family: Conflict, AlreadyExists, NotFound, Refused, Unavailable (whose ``outcome_unknown``
    says that a write may have been done). A write is by the field ``manager``; a ``dry_run`` is admitted, counted
    against quotas and validated as a write is, and not stored.
    """

    def __init__(
        self,
        name: str,
        access: ClusterAccess,
        *,
        meter: Meter,
        deadline_s: float = DEADLINE_S,
        monotonic: Callable[[], float] = time.monotonic,
        user_agent: str = FIELD_MANAGER,
        as_user: str = "",
    ) -> None:
        self.name = name
        self.transport = Transport(
            name,
            access,
            meter,
            deadline_s=deadline_s,
            monotonic=monotonic,
            user_agent=user_agent,
            as_user=as_user,
        )
        self._places = Places(self.transport)
        self._monotonic = monotonic

    async def __aenter__(self) -> Self:
        """Return itself: connections are made when needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()

    def now(self) -> datetime | None:
        """Return the API server's time (UTC), None before it answered at all (see ServerClock)."""
        return self.transport.clock.now(self._monotonic())

    async def read(
        self,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return an object, or (no name) the collection, as it came."""
        path = await self._places.path(resource, namespace, name)
        return await self.transport.request("GET", resource.value, path, query=query)

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read one object from a quorum of the store, not from a cache."""
        return _object(resource, await self.read(resource, namespace, name), write=False)

    async def items(
        self, resource: Resource, namespace: str | None, labels: str = ""
    ) -> list[msgspec.Raw]:
        """List a resource whole, page by page, in one namespace or (None) in all; what has these labels, where a
        selector is given. Raises NotServed too.
        """
        asked = {"labelSelector": labels} if labels else {}
        return (await self._pages(resource, namespace, asked)).items

    async def select(
        self, resource: Resource, namespace: str, labels: str
    ) -> tuple[tuple[KubeObject | Undecodable, ...], str]:
        """List what has these labels from a quorum of the store; return it, and the version of the list."""
        found = await self._pages(resource, namespace, {"labelSelector": labels})
        return tuple(DECODERS[resource](each) for each in found.items), found.version

    async def _pages(
        self, resource: Resource, namespace: str | None, asked: Mapping[str, str]
    ) -> Collection:
        return await whole(
            lambda query: self.read(resource, namespace, query=query), {"limit": str(PAGE), **asked}
        )

    async def create(
        self,
        resource: Resource,
        namespace: str,
        body: Mapping[str, Any],
        *,
        manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> KubeObject:
        """Make an object. Kind and version are set to what this cluster serves of the resource."""
        path = await self._places.path(resource, namespace)
        whole = await self._places.typed(resource, body)
        answer = await self.transport.request(
            "POST",
            resource.value,
            path,
            query=_written_by(manager, dry_run=dry_run),
            body=msgspec.json.encode(whole),
        )
        return _object(resource, answer, write=True)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> KubeObject:
        """Merge ``body`` (RFC 7396) into an object; with its resourceVersion a newer one is a Conflict."""
        path = await self._places.path(resource, namespace, name)
        answer = await self.transport.request(
            "PATCH",
            resource.value,
            f"{path}/{subresource}" if subresource else path,
            query=_written_by(manager, dry_run=dry_run),
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
        )
        return _object(resource, answer, write=True)

    async def delete(self, resource: Resource, meta: Metadata) -> None:
        """Delete an object as it was read. Raises Conflict where it changed since, NotFound where it is gone."""
        path = await self._places.path(resource, meta.namespace, meta.name)
        same = {"resourceVersion": meta.resource_version, "uid": meta.uid}
        body = msgspec.json.encode({"preconditions": same})
        await self.transport.request("DELETE", resource.value, path, body=body)

    async def close(self) -> None:
        """Close all connections. What is used afterwards opens new ones."""
        await self.transport.close()


def _written_by(manager: str, *, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}


def _object(resource: Resource, answer: bytes, *, write: bool) -> KubeObject:
    found = DECODERS[resource](answer)
    if isinstance(found, Undecodable):
        raise Unavailable(f"a malformed answer: {found.message}", outcome_unknown=write)
    return found
