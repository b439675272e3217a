"""The API servers of a world: embedded ones in its own time, or real ones with a copy of what stands in them."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from deploy.local.observed import MIGRATIONS
from deploy.local.pair import LEASES
from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi, Store, known_resources
from deploy.stand_ins.mesh.answering import Answering, AtOnce
from deploy.stand_ins.mesh.config import Key, Object, key_of
from deploy.stand_ins.mesh.kube import (
    PROFILES,
    ROUTES,
    SERVICES,
    SLICES,
    ApiAccess,
    KubeClient,
    Resource,
)
from deploy.stand_ins.mesh.watch import Follow
from tests.faults.proxy import Call, Counter, Reply

Json = dict[str, Any]

COPIED = (SERVICES, MIGRATIONS, ROUTES, PROFILES, LEASES)
PLURALS = {resource.kind: resource.plural for resource in (*COPIED, SLICES)}
DONE_S = 10.0
"""For what the world itself writes."""


class Server(Protocol):
    """What a world asks of an API server. ``store`` tells each change, and takes none but through ``put``."""

    store: Store
    now: Callable[[], datetime] | None
    """Its time, where that is not the machine's."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""

    @property
    def token(self) -> str:
        """What it believes an administrator."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How it is spoken to, None: in clear."""

    async def start(self) -> None:
        """Begin to listen."""

    async def stop(self) -> None:
        """End it."""

    def put(self, body: Json, manager: str = "world") -> None:
        """Make an object, or write over it; done at the latest once ``settled`` returns."""

    async def settled(self) -> None:
        """Wait until all that was put stands there."""


class Embedded:
    """An embedded one, with a clock that is given."""

    def __init__(
        self, name: str, now: Callable[[], datetime], *, routes: bool, fleets: bool
    ) -> None:
        self.now: Callable[[], datetime] | None = now
        self.tls: ssl.SSLContext | None = None
        self.token = "any"
        kinds = known_resources(http_routes=routes)
        kinds = tuple(kind for kind in kinds if fleets or kind.plural != "fleets")
        self._api = EmbeddedApi(name, resources=kinds, clock=now)
        self.store = self._api.store
        self.answering = AtOnce(self.store, now)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return address_of(self._api.url)

    async def start(self) -> None:
        """Begin to listen."""
        await self._api.start()

    async def stop(self) -> None:
        """End it."""
        await self._api.stop()

    def put(self, body: Json, manager: str = "world") -> None:
        """Make an object, or write over it, at once."""
        self._api.put(body, manager=manager)

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object, at once."""
        self._api.remove(plural, namespace, name)

    async def settled(self) -> None:
        """All that was put stands there."""


class Real:
    """A kube-apiserver. Its copy follows it, and is ahead of that by whatever an answer shows on its way
    (``heard``): a controller never knows more than who judges it.
    """

    def __init__(self, name: str) -> None:
        self.now: Callable[[], datetime] | None = None
        self.store = Store(known_resources())
        self._api = RealApi(name)
        self._versions: dict[tuple[str, Key], int] = {}
        self._following: list[asyncio.Task[None]] = []
        self._writes: set[asyncio.Task[None]] = set()
        self._client: KubeClient
        self._answering: Answering

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return address_of(self._api.url)

    @property
    def token(self) -> str:
        """An administrator's."""
        return self._api.tokens[0]

    @property
    def tls(self) -> ssl.SSLContext | None:
        """It has a certificate of its own."""
        return ssl.create_default_context(cadata=self._api.ca_pem().decode())

    async def start(self) -> None:
        """Start it, and follow it. Raises ServerFailed."""
        await self._api.start()
        self._client = KubeClient(ApiAccess(self._api.url, self.token, self._api.ca_pem().decode()))
        followers = [
            Follow(
                self._client,
                resource,
                put=partial(self._take, resource),
                drop=partial(self._drop, resource),
                rng=random.Random(0),
            )
            for resource in COPIED
        ]
        self._following = [asyncio.create_task(follower.run()) for follower in followers]
        self._answering = Answering(self._client, random.Random(0))
        await self._answering.start()

    async def stop(self) -> None:
        """End it."""
        await self._answering.stop()
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._client.close()
        await self._api.stop()

    def put(self, body: Json, manager: str = "world") -> None:
        """Make an object, or write the labels and annotations of the one that is there."""
        self._writes.add(asyncio.create_task(self._put(body, manager)))

    async def settled(self) -> None:
        """Wait for what was put. Raises ApiError where the server refused it."""
        async with asyncio.timeout(DONE_S):
            await asyncio.gather(*self._writes)
        self._writes.clear()

    def on_report(self, call: Call, reply: Reply) -> None:
        """Take an object from an answer to a write."""
        if not call.is_write or not 200 <= reply.status < 300:
            return
        body = json.loads(reply.body)
        for resource in COPIED:
            if (resource.api, resource.kind) == (body.get("apiVersion"), body.get("kind")):
                self._take(resource, body)

    async def _put(self, body: Json, manager: str) -> None:
        resource = Resource(body["kind"], body["apiVersion"], PLURALS[body["kind"]])
        metadata, key = body["metadata"], key_of(body)
        if self.store.get(resource.plural, *key) is None:
            await self._client.apply(resource, body)
            return
        change = {k: metadata[k] for k in ("labels", "annotations") if k in metadata}
        await self._client.merge(resource, key, {"metadata": change}, manager)

    def _take(self, resource: Resource, body: Object) -> None:
        """Copy what is newer than what is known."""
        known = (resource.plural, key_of(body))
        version = int(body["metadata"]["resourceVersion"])
        if version <= self._versions.get(known, 0):
            return
        self._versions[known] = version
        bare = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        self.store.put(self.store.resources[resource.plural], bare)

    def _drop(self, resource: Resource, key: Key) -> None:
        stored = self.store.get(resource.plural, *key)
        if stored is not None:
            self.store.remove(stored)


class Hearing(Counter):
    """Counts as all do, and tells a real server's copy what an answer shows before the controller gets it."""

    def __init__(self, servers: dict[str, Real]) -> None:
        super().__init__()
        self._servers = servers

    def remember(self, call: Call, reply: Reply) -> None:
        """Take note of an answer."""
        super().remember(call, reply)
        self._servers[call.cluster].on_report(call, reply)


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL that names both."""
    host, port = url.rpartition("//")[2].split(":")
    return host, int(port)
