"""Objects, their versions, and the history that watches read.

One counter numbers every write of the whole server, as etcd's revision does. Objects are immutable
once stored, so a list or an event is a reference, and each object is serialized once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from deploy.stand_ins.apiserver.resources import Resource
from deploy.stand_ins.apiserver.schema import demand_understood

# etcd's counter has moved on before the first client looks; so a watch from version 1 is expired.
_FIRST_VERSION = 100

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class VersionExpired(Exception):  # noqa: N818 - it is the finding
    """The history of that version is no longer kept; `oldest` is the first that is."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"{asked} is older than {oldest}")
        self.asked = asked
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object. `body` is everything but apiVersion and kind; never change it."""

    resource: Resource
    version: int
    namespace: str
    name: str
    body: dict[str, Any]
    tail: bytes
    """The body as JSON without its opening brace, so that any apiVersion can be put before it."""

    @property
    def key(self) -> str:
        """Order of lists and of pages."""
        return f"{self.namespace}/{self.name}"

    def encoded(self, version: str) -> bytes:
        """Return the object as JSON, as that version of its resource shows it."""
        api_version = self.resource.api_version(version)
        head = f'{{"kind":"{self.resource.kind}","apiVersion":"{api_version}",'
        return head.encode() + self.tail

    def decoded(self, version: str) -> dict[str, Any]:
        """Return a copy of the object that may be changed."""
        decoded: dict[str, Any] = msgspec.json.decode(self.encoded(version))
        return decoded


@dataclass(frozen=True, slots=True)
class Event:
    """One write; `previous` is what it replaced. A DELETED `stored` carries the deletion's version."""

    type: EventType
    stored: Stored
    previous: Stored | None


class Subscription:
    """The events of one resource from a version on; an async iterator, ended by `close`.

    One whose reader falls `backlog` events behind ends, as kube-apiserver cuts a slow watcher.
    """

    def __init__(self, events: Iterable[Event], backlog: int = 100_000) -> None:
        self._pending = deque(events)
        self._backlog = backlog
        self._woken = asyncio.Event()
        self.closed = False

    def push(self, event: Event) -> None:
        """Add an event for the reader, unless it ended: after a gap nothing may follow."""
        if self.closed:
            return
        self._pending.append(event)
        if len(self._pending) > self._backlog:
            self._pending.clear()
            self.closed = True
        self._woken.set()

    def close(self) -> None:
        """End it once what is pending was read."""
        self.closed = True
        self._woken.set()

    async def ready(self) -> None:
        """Wait until there is something to take, or it was closed."""
        while not self._pending and not self.closed:
            self._woken.clear()
            await self._woken.wait()

    def take(self) -> list[Event]:
        """Return what is pending, oldest first; empty when there is nothing."""
        taken = list(self._pending)
        self._pending.clear()
        return taken

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        await self.ready()
        if not self._pending:
            raise StopAsyncIteration
        return self._pending.popleft()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects by plural and key, and the counter, at one moment."""

    version: int
    objects: dict[str, dict[str, Stored]]


class _Table:
    """The objects of one resource, with the last events and those who watch them."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.events: deque[Event] = deque()
        self.floor = _FIRST_VERSION  # the newest version whose event is no longer kept
        self.subscriptions: set[Subscription] = set()


class Store:
    """All objects of one API server, by the key of their resource.

    Everything here is synchronous and in-process; `history` is how many events of each resource are
    kept for watches, continue tokens and exact lists.
    """

    def __init__(self, resources: Iterable[Resource], history: int = 10_000) -> None:
        self.resources = {resource.key: resource for resource in resources}
        for resource in self.resources.values():
            for schema in resource.schemas.values():
                demand_understood(schema)
        self._tables = {key: _Table() for key in self.resources}
        self._history = history
        self._listeners: list[Callable[[Event], None]] = []
        self.version = _FIRST_VERSION

    def get(self, key: str, namespace: str, name: str) -> Stored | None:
        """Return the object, or None; the namespace of a cluster-wide resource is ""."""
        return self._tables[key].objects.get(f"{namespace}/{name}")

    def objects(self, key: str, namespace: str | None = None) -> list[Stored]:
        """Return the objects of one namespace or of all, in the order of their keys."""
        return self._in_order(self._tables[key].objects, namespace)

    def objects_at(self, key: str, version: int, namespace: str | None = None) -> list[Stored]:
        """As `objects`, at an earlier version; raises VersionExpired when it is not kept."""
        objects = dict(self._tables[key].objects)
        for event in reversed(self._since(key, version)):
            if event.previous is None:
                objects.pop(event.stored.key)
            else:
                objects[event.stored.key] = event.previous
        return self._in_order(objects, namespace)

    @staticmethod
    def _in_order(objects: dict[str, Stored], namespace: str | None) -> list[Stored]:
        prefix = "" if namespace is None else f"{namespace}/"
        return [objects[key] for key in sorted(objects) if key.startswith(prefix)]

    def put(self, resource: Resource, body: dict[str, Any]) -> Stored:
        """Store a body as the next version of its object, and tell those who watch.

        Takes the body over: it gets the resourceVersion, and is never to be changed again.
        """
        self.version += 1
        stored = _stored(resource, body, self.version)
        objects = self._tables[resource.key].objects
        previous = objects.get(stored.key)
        objects[stored.key] = stored
        self._tell(Event("MODIFIED" if previous else "ADDED", stored, previous))
        return stored

    def remove(self, gone: Stored) -> Stored:
        """Delete an object; return its last state with the version of the deletion."""
        self.version += 1
        del self._tables[gone.resource.key].objects[gone.key]
        body = gone.body | {"metadata": dict(gone.body["metadata"])}
        last = _stored(gone.resource, body, self.version)
        self._tell(Event("DELETED", last, gone))
        return last

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have every write of any resource told, within the write itself."""
        self._listeners.append(listener)

    def _tell(self, event: Event) -> None:
        table = self._tables[event.stored.resource.key]
        table.events.append(event)
        if len(table.events) > self._history:
            table.floor = table.events.popleft().stored.version
        for subscription in table.subscriptions:
            subscription.push(event)
        for listener in self._listeners:
            listener(event)

    def _since(self, key: str, version: int) -> list[Event]:
        table = self._tables[key]
        if version < table.floor:
            raise VersionExpired(version, table.floor)
        newer: list[Event] = []
        for event in reversed(table.events):
            if event.stored.version <= version:
                break
            newer.append(event)
        newer.reverse()
        return newer

    def subscribe(self, key: str, version: int | None = None) -> Subscription:
        """Watch one resource from a version on, or from now on.

        End it with `unsubscribe`. Raises VersionExpired when the history does not reach back.
        """
        subscription = Subscription([] if version is None else self._since(key, version))
        self._tables[key].subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, key: str, subscription: Subscription) -> None:
        """Stop watching."""
        self._tables[key].subscriptions.discard(subscription)

    def subscriptions(self) -> Iterator[Subscription]:
        """Return everything that is watching now."""
        for table in self._tables.values():
            yield from table.subscriptions

    def snapshot(self) -> Snapshot:
        """Return everything as it is, for :meth:`restore`."""
        tables = {plural: dict(table.objects) for plural, table in self._tables.items()}
        return Snapshot(self.version, tables)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to it, the counter too, as a restored etcd does: watches end, and there is no history."""
        self.version = snapshot.version
        for plural, table in self._tables.items():
            table.objects = dict(snapshot.objects[plural])
            for subscription in table.subscriptions:
                subscription.close()
        self.compact()

    def compact(self) -> None:
        """Forget all history: watches and pages from before now are expired."""
        for table in self._tables.values():
            table.events.clear()
            table.floor = self.version


def with_version(stored: Stored, version: int) -> Stored:
    """Return the same object, saying another resourceVersion."""
    body = stored.body | {"metadata": dict(stored.body["metadata"])}
    return _stored(stored.resource, body, version)


def unstored(resource: Resource, body: dict[str, Any], version: int | None = None) -> Stored:
    """Return what a dry run answers: the object as it would be, at the version it has, if any."""
    if version is not None:
        return _stored(resource, body, version)
    return _of(resource, body, 0)


def _stored(resource: Resource, body: dict[str, Any], version: int) -> Stored:
    body["metadata"]["resourceVersion"] = str(version)
    return _of(resource, body, version)


def _of(resource: Resource, body: dict[str, Any], version: int) -> Stored:
    metadata = body["metadata"]
    return Stored(
        resource=resource,
        version=version,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        body=body,
        tail=msgspec.json.encode(body)[1:],
    )
