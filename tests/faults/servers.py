"""The API servers of a world: embedded ones in its own time, or real ones with a copy of what stands in them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import aiohttp

from deploy.local.apiserver import EmbeddedApi, Resource, Store, known_resources
from deploy.local.realapi import RealApi
from tests.faults.proxy import Call, Counter, Reply

Json = dict[str, Any]

COPIED = ("services", "migrations", "trafficsplits", "httproutes", "serviceprofiles", "leases")
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

    def __init__(self, name: str, now: Callable[[], datetime], *, routes: bool) -> None:
        self.now: Callable[[], datetime] | None = now
        self.tls: ssl.SSLContext | None = None
        self.token = "any"
        self._api = EmbeddedApi(name, resources=known_resources(http_routes=routes), clock=now)
        self.store = self._api.store

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return _address(self._api.url)

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
    """A kube-apiserver. Its copy is fed by watches, and sooner by whatever an answer shows on its way (``heard``):
    a controller never knows more than who judges it.
    """

    def __init__(self, name: str) -> None:
        self.now: Callable[[], datetime] | None = None
        self.store = Store(known_resources())
        self._api = RealApi(name)
        self._versions: dict[tuple[str, str], int] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._writes: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return _address(self._api.url)

    @property
    def token(self) -> str:
        """An administrator's."""
        return self._api.tokens[0]

    @property
    def tls(self) -> ssl.SSLContext | None:
        """It has a certificate of its own."""
        return ssl.create_default_context(cadata=self._api.ca_pem().decode())

    async def start(self) -> None:
        """Start it, and watch. Raises ServerFailed."""
        await self._api.start()
        self._session = self._api.session()
        self._watches = [
            asyncio.create_task(self._watch(self._session, self.store.resources[plural]))
            for plural in COPIED
        ]

    async def stop(self) -> None:
        """End it. Raises what a watch died of, if one did."""
        for task in self._watches:
            task.cancel()
        ended = await asyncio.gather(*self._watches, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._api.stop()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def put(self, body: Json, manager: str = "world") -> None:
        """Make an object, or write the labels and annotations of the one that is there."""
        self._writes.add(asyncio.create_task(self._put(body, manager)))

    async def settled(self) -> None:
        """Wait for what was put. Raises AssertionError where the server refused it."""
        async with asyncio.timeout(DONE_S):
            await asyncio.gather(*self._writes)
        self._writes.clear()

    def heard(self, call: Call, reply: Reply) -> None:
        """Take an object from an answer to a write."""
        if call.is_write and 200 <= reply.status < 300:
            self._take(json.loads(reply.body))

    async def _put(self, body: Json, manager: str) -> None:
        assert self._session is not None
        resource = self._resource(body)
        assert resource is not None, f"nobody knows {body['kind']}"
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        path, query = _path(resource, namespace), {"fieldManager": manager}
        if self.store.get(resource.plural, namespace, name) is None:
            asked = self._session.post(path, json=body, params=query)
        else:
            change = {k: metadata[k] for k in ("labels", "annotations") if k in metadata}
            asked = self._session.patch(
                f"{path}/{name}",
                data=json.dumps({"metadata": change}),
                headers={"Content-Type": "application/merge-patch+json"},
                params=query,
            )
        async with asked as response:
            assert response.status in (200, 201), await response.text()

    async def _watch(self, session: aiohttp.ClientSession, resource: Resource) -> None:
        """Follow all objects of a resource. The server ends no watch sooner than any test ends."""
        forever = aiohttp.ClientTimeout(total=None)
        path = _path(resource)
        async with session.get(path, params={"watch": "1"}, timeout=forever) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                event = json.loads(line)
                self._take(event["object"], gone=event["type"] == "DELETED")
        raise AssertionError(f"the watch of {path} ended")

    def _take(self, body: Json, *, gone: bool = False) -> None:
        """Copy what is newer than what is known."""
        resource = self._resource(body)
        if resource is None:
            return
        metadata = body["metadata"]
        version = int(metadata["resourceVersion"])
        known = (resource.plural, f"{metadata['namespace']}/{metadata['name']}")
        if version <= self._versions.get(known, 0):
            return
        self._versions[known] = version
        if gone:
            stored = self.store.get(resource.plural, metadata["namespace"], metadata["name"])
            if stored is not None:
                self.store.remove(stored)
            return
        bare = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        self.store.put(resource, bare)

    def _resource(self, body: Json) -> Resource | None:
        group = body.get("apiVersion", "").rpartition("/")[0]
        return next(
            (
                resource
                for resource in self.store.resources.values()
                if (resource.group, resource.kind) == (group, body.get("kind"))
            ),
            None,
        )


class Hearing(Counter):
    """Counts as all do, and tells a real server's copy what an answer shows before the controller gets it."""

    def __init__(self, servers: dict[str, Real]) -> None:
        super().__init__()
        self._servers = servers

    def remember(self, call: Call, reply: Reply) -> None:
        """Take note of an answer."""
        super().remember(call, reply)
        self._servers[call.cluster].heard(call, reply)


def _address(url: str) -> tuple[str, int]:
    host, port = url.rpartition("//")[2].split(":")
    return host, int(port)


def _path(resource: Resource, namespace: str = "") -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}/{resource.versions[0]}{inside}/{resource.plural}"
