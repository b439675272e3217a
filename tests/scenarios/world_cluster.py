"""The API servers of the world: the store of the local clusters' embedded one, without the HTTP around it.

People write to an :class:`ApiServer` at once. A controller asks it through a :class:`Connection`, which has the
methods of ``controller.kube.api.Cluster``: an answer takes its time and may be lost, a watch may be cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

import msgspec

from controller.domain import FIELD_MANAGER
from controller.kube.api import Absorb, Pace, Unavailable
from controller.kube.api.errors import NotServed, Refused, failure
from controller.kube.api.transport import DEADLINE_S
from controller.kube.objects import (
    DECODERS,
    Change,
    Deleted,
    Freshness,
    KubeObject,
    Listed,
    Resource,
    Undecodable,
    Upserted,
)
from controller.mesh.splits.kinds import PROVIDER_OF
from controller.runtime.cluster_store import LEASE_WATCHED, WATCHED
from deploy.stand_ins.apiserver import Event, Store, Stored, known_resources
from deploy.stand_ins.apiserver import Resource as Kind
from deploy.stand_ins.apiserver.failures import ApiError
from deploy.stand_ins.apiserver.writes import MERGE_PATCH, Target, Writes
from deploy.stand_ins.mesh.answering import AtOnce

Json = dict[str, Any]

NAMESPACES = ("default", "shop", "linkerd-multicluster")
STALE_S = Pace().stale_after_s


class MissingError(LookupError):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a controller sends to be written; ``made``: to be created."""

    cluster: str
    resource: Resource
    body: Mapping[str, Any]
    made: bool
    subresource: str


class Notes:
    """Who hears of what controllers write. ``sending`` is told before it is done, ``sent`` after."""

    def sending(self, request: Request) -> None:
        """Hear of a write that arrives."""

    def sent(self, request: Request, stored: Stored) -> None:
        """Hear of one that was done, whether or not its answer arrives."""


@cache
def _kinds() -> tuple[Kind, ...]:
    return known_resources()


class ApiServer:
    """One cluster's objects. ``lose`` is how many of the next writes of controllers are done without an answer.

    ``away``: controllers get no answer at all. ``delay_s``: each request of theirs takes so long to arrive.
    """

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.name = name
        self.clock = clock
        self.watched = LEASE_WATCHED if name == "legacy" else WATCHED
        self.store = Store(_kinds())
        self.writes = Writes(self.store, clock)
        self.log: list[Event] = []
        self.watchers: list[Callable[[], object]] = []
        self.requests = 0
        self.away = False
        self.lose = 0
        self.refused: set[str] = set()
        """Names of splits that an admission webhook lets no controller write."""
        self.unserved: set[Resource] = set()
        self.delay_s = 0.0
        self.unread: set[str] = set()
        """Names of objects that a controller may not read."""
        self.withheld: set[str] = set()
        """Names of objects of which no watch tells; whoever reads them sees them."""
        for namespace in NAMESPACES:
            self.store.put(self.store.resources["namespaces"], {"metadata": {"name": namespace}})
        self.store.listen(self._changed)
        self.answering = AtOnce(self.store, clock)

    def _changed(self, event: Event) -> None:
        self.log.append(event)
        for watcher in self.watchers:
            watcher()

    # --- what people do -----------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object as it stands; MissingError where there is none."""
        found = self.store.get(resource.value, namespace, name)
        if found is None:
            raise MissingError(f"{resource} {namespace}/{name}")
        return found.body

    def has(self, resource: Resource, namespace: str, name: str) -> bool:
        """Report whether there is such an object."""
        return self.store.get(resource.value, namespace, name) is not None

    def bodies(self, resource: Resource) -> list[Json]:
        """Return every object of a kind."""
        return [found.body for found in self.store.objects(resource.value)]

    def put(self, resource: Resource, body: Mapping[str, Any], *, manager: str = "kubectl") -> None:
        """Make an object, or replace all of it but its status."""
        meta = dict(body["metadata"])
        found = self.store.get(resource.value, meta["namespace"], meta["name"])
        target = self.target(resource, meta["namespace"], meta["name"] if found else "")
        meta.pop("resourceVersion", None)
        if found is None:
            self.writes.create(target, self.typed(target, {**body, "metadata": meta}), manager)
        else:
            meta["resourceVersion"] = str(found.version)
            self.writes.update(target, self.typed(target, {**body, "metadata": meta}), manager)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        manager: str,
    ) -> None:
        """Merge into an object."""
        target = self.target(resource, namespace, name)
        self.writes.patch(target, MERGE_PATCH, dict(body), manager)

    def put_as_it_is(self, resource: Resource, body: Json) -> None:
        """Store what no schema of today lets through: an older one may have."""
        self.store.put(
            self.store.resources[resource.value], msgspec.json.decode(msgspec.json.encode(body))
        )

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object; nothing where there is none."""
        if self.has(resource, namespace, name):
            self.writes.delete(self.target(resource, namespace, name), {})

    # --- what its clients share ----------------------------------------------------------------------

    def target(
        self, resource: Resource, namespace: str, name: str = "", subresource: str = ""
    ) -> Target:
        """Return the name of an object, in the oldest version that is served: its schema forbids the least."""
        kind = self.store.resources[resource.value]
        return Target(kind, kind.versions[-1], namespace, name, subresource)

    @staticmethod
    def typed(target: Target, body: Mapping[str, Any]) -> Json:
        """Return a copy of a body that says its kind and version."""
        kind = target.resource
        whole = {**body, "apiVersion": kind.api_version(target.version), "kind": kind.kind}
        copied: Json = msgspec.json.decode(msgspec.json.encode(whole))
        return copied

    def listed(self) -> list[Listed]:
        """Return all that is watched."""
        return [
            Listed(
                self.name,
                resource,
                tuple(decoded(resource, found) for found in self.store.objects(resource.value)),
                served=resource not in self.unserved,
            )
            for resource in self.watched
        ]


def decoded(resource: Resource, stored: Stored) -> KubeObject | Undecodable:
    """Return a stored object as the product reads it."""
    return DECODERS[resource](stored.encoded(stored.resource.versions[0]))


class Connection:
    """One controller's way to one API server. ``hears`` tells whether its watches are not cut."""

    def __init__(
        self,
        server: ApiServer,
        clock: Callable[[], float],
        hears: Callable[[], bool],
        notes: Notes,
    ) -> None:
        self._server = server
        self._clock = clock
        self._hears = hears
        self._notes = notes
        self._cursor = 0
        self._heard_s: float | None = None
        """When the watches were last known to be open; None where only a list leads on."""

    def now(self) -> datetime | None:
        """Return the API server's time."""
        return self._server.clock()

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read an object."""
        target = self._server.target(resource, namespace, name)
        if name in self._server.unread:
            raise Refused("it may not be read", status=403)
        return await self._ask(resource, lambda: self._server.writes.existing(target), None)

    async def select(
        self, resource: Resource, namespace: str, labels: str
    ) -> tuple[tuple[KubeObject | Undecodable, ...], str]:
        """List what has a label."""
        label, _, value = labels.partition("=")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[Stored, ...]] = loop.create_future()
        loop.call_later(self._server.delay_s, self._listed, answer, resource, context=Context())
        try:
            async with asyncio.timeout(DEADLINE_S):
                every = await answer
        except TimeoutError as error:
            raise Unavailable("no answer") from error
        found = [
            decoded(resource, stored)
            for stored in every
            if stored.namespace == namespace
            and stored.body["metadata"].get("labels", {}).get(label) == value
        ]
        return tuple(found), str(self._server.store.version)

    def _listed(self, answer: asyncio.Future[tuple[Stored, ...]], resource: Resource) -> None:
        self._server.requests += 1
        if self._server.away:
            self._fail(answer, Unavailable(f"{self._server.name} is away"))
        elif not answer.done():
            answer.set_result(tuple(self._server.store.objects(resource.value)))

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubeObject:
        """Make an object."""
        target = self._server.target(resource, namespace)
        whole = self._server.typed(target, body)
        request = Request(self._server.name, resource, whole, True, "")
        return await self._ask(
            resource, lambda: self._server.writes.create(target, whole, FIELD_MANAGER), request
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
    ) -> KubeObject:
        """Merge into an object, or into its status."""
        target = self._server.target(resource, namespace, name, subresource or "")
        copied = msgspec.json.decode(msgspec.json.encode(body))
        meta = {"namespace": namespace, "name": name, **copied.get("metadata", {})}
        request = Request(
            self._server.name, resource, {**copied, "metadata": meta}, False, subresource or ""
        )
        return await self._ask(
            resource,
            lambda: self._server.writes.patch(target, MERGE_PATCH, copied, FIELD_MANAGER),
            request,
        )

    async def _ask(
        self, resource: Resource, act: Callable[[], Stored], request: Request | None
    ) -> KubeObject:
        """Send a request. It is done whether or not who sent it still waits, or lives."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Stored] = loop.create_future()
        arrive = partial(self._arrived, resource, answer, act, request)
        loop.call_later(self._server.delay_s, arrive, context=Context())
        try:
            async with asyncio.timeout(DEADLINE_S):
                found = decoded(resource, await answer)
        except TimeoutError as error:
            raise Unavailable("no answer", outcome_unknown=request is not None) from error
        if isinstance(found, Undecodable):
            raise Unavailable(found.message, outcome_unknown=request is not None)
        return found

    def _arrived(
        self,
        resource: Resource,
        answer: asyncio.Future[Stored],
        act: Callable[[], Stored],
        request: Request | None,
    ) -> None:
        self._server.requests += 1
        try:
            stored = self._done(resource, act, request)
        except (Unavailable, NotServed, Refused) as error:
            self._fail(answer, error)
        except ApiError as error:
            told = msgspec.json.encode(error.body)
            self._fail(answer, failure(error.code, {}, told, write=request is not None))
        else:
            if not answer.done():
                answer.set_result(stored)

    def _done(
        self, resource: Resource, act: Callable[[], Stored], request: Request | None
    ) -> Stored:
        if request is not None:
            self._notes.sending(request)
        if self._server.away:
            raise Unavailable(f"{self._server.name} is away")
        if resource in self._server.unserved:
            raise NotServed(f"{resource} is not served", status=404)
        if request is not None and self._is_refused(request):
            raise Refused("a webhook denied the request", status=403)
        stored = act()
        if request is not None:
            self._notes.sent(request, stored)
            if self._server.lose > 0:
                self._server.lose -= 1
                raise Unavailable("the answer was lost", outcome_unknown=True)
        return stored

    def _is_refused(self, request: Request) -> bool:
        named = request.body["metadata"]["name"] in self._server.refused
        return named and request.resource in PROVIDER_OF

    @staticmethod
    def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # who asked may be dead, and then nobody else looks at it

    # --- watching -----------------------------------------------------------------------------------

    def watch(self, apply: Absorb) -> None:
        """Pass on what is new, or once that nothing was heard for too long: the law of freshness."""
        if self._server.away or not self._hears():
            self._lose(apply)
            return
        if self._heard_s is None:
            self._list(apply)
        self._heard_s = self._clock()
        while self._cursor < len(self._server.log):
            event = self._server.log[self._cursor]
            self._cursor += 1
            change = self._change(event)
            if change is not None:
                apply(change)

    def _lose(self, apply: Absorb) -> None:
        if self._heard_s is None or self._clock() - self._heard_s < STALE_S:
            return
        self._heard_s = None
        for resource in self._server.watched:
            apply(Freshness(self._server.name, resource, False, "is away"))

    def _list(self, apply: Absorb) -> None:
        self._cursor = len(self._server.log)
        for listed in self._server.listed():
            apply(listed)
            apply(Freshness(self._server.name, listed.resource, True))

    def _change(self, event: Event) -> Change | None:
        """Return what a watch tells of an event; None where nobody watches that."""
        stored, name = event.stored, self._server.name
        if stored.name in self._server.withheld:
            return None
        watched = {resource.value: resource for resource in self._server.watched}
        resource = watched.get(stored.resource.key)
        if resource is None or resource in self._server.unserved:
            return None
        if event.type == "DELETED":
            return Deleted(name, resource, stored.namespace, stored.name, str(stored.version))
        return Upserted(name, resource, decoded(resource, stored))
