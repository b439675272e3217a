"""One cluster: what is known of it as a stream of changes, and the few things that are written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from controller.domain import FIELD_MANAGER
from controller.kube.api.access import ClusterAccess
from controller.kube.api.discovery import Places
from controller.kube.api.errors import Unavailable
from controller.kube.api.reflector import Absorb, Chance, Pace, Reflector
from controller.kube.api.transport import DEADLINE_S, Meter, Transport
from controller.kube.objects import DECODERS, KubeObject, Resource, Undecodable


class Cluster:
    """A cluster by its name in the Link. Use it as an async context manager, or ``close`` it.

    ``get``, ``create`` and ``patch`` have a deadline of 10 s each, try nothing twice but a 401 (with
    credentials read anew), and raise the ApiError family: Conflict, AlreadyExists, NotFound, Refused,
    Unavailable (whose ``outcome_unknown`` says that a write may have been done).
    """

    def __init__(
        self,
        name: str,
        access: ClusterAccess,
        *,
        meter: Meter,
        log: Any,
        pace: Pace | None = None,
        chance: Chance | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.name = name
        self._meter = meter
        self._log = log
        self._pace = pace or Pace()
        self._chance = chance or Chance()
        self._transport = Transport(
            name, access, meter, deadline_s=deadline_s, monotonic=self._chance.monotonic
        )
        self._places = Places(self._transport)

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
        return self._transport.clock.now(self._chance.monotonic())

    async def run(self, apply: Absorb, watched: Iterable[Resource]) -> None:
        """Deliver what is seen of these to ``apply``, synchronously and in order per resource, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource in watched:
                reflector = Reflector(
                    self.name,
                    resource,
                    self._transport,
                    self._places,
                    apply,
                    meter=self._meter,
                    log=self._log,
                    pace=self._pace,
                    chance=self._chance,
                )
                group.create_task(reflector.run(), name=f"{self.name}/{resource.value}")

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read one object from a quorum of the store, not from a cache."""
        path = await self._places.path(resource, namespace, name)
        answer = await self._transport.request("GET", resource.value, path)
        return _object(resource, answer, write=False)

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubeObject:
        """Make an object. Kind and version are set to what this cluster serves of the resource."""
        path = await self._places.path(resource, namespace)
        whole = await self._places.typed(resource, body)
        answer = await self._transport.request(
            "POST",
            resource.value,
            path,
            query={"fieldManager": FIELD_MANAGER},
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
    ) -> KubeObject:
        """Merge ``body`` (RFC 7396) into an object; with its resourceVersion a newer one is a Conflict."""
        path = await self._places.path(resource, namespace, name)
        answer = await self._transport.request(
            "PATCH",
            resource.value,
            f"{path}/{subresource}" if subresource else path,
            query={"fieldManager": FIELD_MANAGER},
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
        )
        return _object(resource, answer, write=True)

    async def close(self) -> None:
        """Close all connections. What is used afterwards opens new ones."""
        await self._transport.close()


def _object(resource: Resource, answer: bytes, *, write: bool) -> KubeObject:
    found = DECODERS[resource](answer)
    if isinstance(found, Undecodable):
        raise Unavailable(f"a malformed answer: {found.message}", outcome_unknown=write)
    return found
