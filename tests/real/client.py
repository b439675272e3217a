"""The plainest client of an API server there is: paths in, status and JSON out."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_EVENT_S = 15.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is {} when it was no JSON object."""

    status: int
    body: Json
    headers: Mapping[str, str]

    @property
    def version(self) -> str:
        """The resourceVersion, of an object or a list."""
        version: str = self.body["metadata"]["resourceVersion"]
        return version

    @property
    def names(self) -> list[str]:
        """The names of a list's items."""
        return [item["metadata"]["name"] for item in self.body["items"]]


class Events:
    """The lines of one watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    async def next(self) -> Json | None:
        """Return the next event, None when the server has ended the stream."""
        async with asyncio.timeout(_EVENT_S):
            line = await self._response.content.readline()
        event: Json | None = json.loads(line) if line else None
        return event

    async def take(self, count: int) -> list[Json]:
        """Return that many events; fails when the stream ends before."""
        taken = [await self.next() for _ in range(count)]
        assert None not in taken, "the watch ended early"
        return [event for event in taken if event is not None]

    async def rest(self) -> list[Json]:
        """Return everything until the server ends the stream."""
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


class Client:
    """Requests to one server, most of them in one namespace."""

    def __init__(
        self, server: EmbeddedApi | RealApi, session: aiohttp.ClientSession, namespace: str
    ) -> None:
        self.server = server
        self.session = session
        self.namespace = namespace

    def core(self, plural: str, name: str = "") -> str:
        """Return the path of core/v1 objects of the namespace."""
        return f"/api/v1/namespaces/{self.namespace}/{plural}{name and '/'}{name}"

    def splits(self, name: str = "", version: str = "v1alpha1") -> str:
        """Return the path of TrafficSplits."""
        return self.group("split.smi-spec.io", version, "trafficsplits", name)

    def routes(self, name: str = "") -> str:
        """Return the path of HTTPRoutes."""
        return self.group("gateway.networking.k8s.io", "v1", "httproutes", name)

    def migrations(self, name: str = "") -> str:
        """Return the path of Migrations; "m/status" is the status of m."""
        return self.group("migrate.tradeshift", "v1alpha1", "migrations", name)

    def fleets(self, name: str = "") -> str:
        """Return the path of Fleets, which are of no namespace; "f/status" is the status of f."""
        return f"/apis/migrate.tradeshift/v1alpha1/fleets{name and '/'}{name}"

    def group(self, group: str, version: str, plural: str, name: str = "") -> str:
        """Return the path of any other namespaced resource."""
        return f"/apis/{group}/{version}/namespaces/{self.namespace}/{plural}{name and '/'}{name}"

    async def get(self, path: str, **query: str) -> Answer:
        """GET."""
        return await self.send("GET", path, query=query)

    async def create(self, path: str, body: Json, **query: str) -> Answer:
        """POST."""
        return await self.send("POST", path, body, query=query)

    async def put(self, path: str, body: Json, **query: str) -> Answer:
        """PUT."""
        return await self.send("PUT", path, body, query=query)

    async def merge(self, path: str, patch: Json, **query: str) -> Answer:
        """PATCH with a merge patch."""
        return await self.send("PATCH", path, patch, content_type=MERGE_PATCH, query=query)

    async def delete(self, path: str, body: Json | None = None, **query: str) -> Answer:
        """DELETE."""
        return await self.send("DELETE", path, body, query=query)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request."""
        async with self.session.request(
            method,
            path,
            data=None if body is None else json.dumps(body),
            params=query or {},
            headers={"Content-Type": content_type, **(headers or {})},
        ) as response:
            text = await response.text()
            decoded = json.loads(text) if text.startswith("{") else {}
            return Answer(response.status, decoded, response.headers)

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[Events]:
        """Open a watch; it is open when the block begins."""
        async with self.session.get(path, params={"watch": "1", **query}) as response:
            yield Events(response)


@asynccontextmanager
async def connected(server: EmbeddedApi | RealApi) -> AsyncIterator[Client]:
    """Return a client in a new namespace, by what the server's kubeconfig says."""
    config = server.kubeconfig()
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = cluster.get("certificate-authority-data")
    context = (
        ssl.create_default_context(cadata=b64decode(authority).decode()) if authority else True
    )
    async with aiohttp.ClientSession(
        cluster["server"],
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {user['token']}", "User-Agent": "contract/1 (test)"},
        timeout=aiohttp.ClientTimeout(total=30),
    ) as session:
        client = Client(server, session, "")
        made = await client.create("/api/v1/namespaces", {"metadata": {"generateName": "t-"}})
        client.namespace = made.body["metadata"]["name"]
        yield client


def service(name: str, **metadata: Any) -> Json:
    """Return a Service with one port."""
    ports = [{"port": 80, "name": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **metadata},
        "spec": {"ports": ports},
    }


def split(
    name: str, *backends: tuple[str, Any], version: str = "v1alpha1", **metadata: Any
) -> Json:
    """Return a TrafficSplit of that apex."""
    return {
        "apiVersion": f"split.smi-spec.io/{version}",
        "kind": "TrafficSplit",
        "metadata": {"name": name, **metadata},
        "spec": {
            "service": name,
            "backends": [{"service": to, "weight": weight} for to, weight in backends],
        },
    }


def route(name: str, *backends: tuple[str, Any], **metadata: Any) -> Json:
    """Return an HTTPRoute of that Service."""
    refs = [{"name": to, "port": 80, "weight": weight} for to, weight in backends]
    parent = {"group": "", "kind": "Service", "name": name, "port": 80}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, **metadata},
        "spec": {"parentRefs": [parent], "rules": [{"backendRefs": refs}]},
    }


def config_map(name: str, **metadata: Any) -> Json:
    """Return an empty ConfigMap, the cheapest object there is."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def migration(name: str) -> Json:
    """Return a Migration."""
    kind = {"apiVersion": "migrate.tradeshift/v1alpha1", "kind": "Migration"}
    return {**kind, "metadata": {"name": name}}


def fleet(name: str, spec: Json) -> Json:
    """Return a Fleet."""
    kind = {"apiVersion": "migrate.tradeshift/v1alpha1", "kind": "Fleet"}
    return {**kind, "metadata": {"name": name}, "spec": spec}
