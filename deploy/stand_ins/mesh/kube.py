"""A small client for the Kubernetes API: what the mesh itself needs, and no more."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from deploy.stand_ins.mesh.config import Key, Kind, Object, key_of

REQUEST_TIMEOUT_S: Final = 10.0
WATCH_S: Final = 300
"""How long a watch is asked to last; the server ends it then."""

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """Where an API server is and how it lets us in. ``ca_pem``: for https with a CA of its own."""

    url: str
    token: str | None = None
    ca_pem: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and where it is served. What is of no namespace has "" in its key."""

    kind: Kind
    api: str
    plural: str

    def path(self, key: Key | None = None, *, named: bool = True) -> str:
        """Return the path of all objects, of one namespace's (``named`` false) or of one object."""
        root = "/api/" if "/" not in self.api else "/apis/"
        of_all = f"{root}{self.api}/{self.plural}"
        if key is None:
            return of_all
        of_namespace = f"{root}{self.api}/namespaces/{key[0]}/{self.plural}" if key[0] else of_all
        return f"{of_namespace}/{key[1]}" if named else of_namespace


SERVICES: Final = Resource("Service", "v1", "services")
ENDPOINTS: Final = Resource("Endpoints", "v1", "endpoints")
SLICES: Final = Resource("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
SPLITS: Final = Resource("TrafficSplit", "split.smi-spec.io/v1alpha2", "trafficsplits")
ROUTES: Final = Resource("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
OLDER_ROUTES: Final = Resource("HTTPRoute", "policy.linkerd.io/v1beta3", "httproutes")
PROFILES: Final = Resource("ServiceProfile", "linkerd.io/v1alpha2", "serviceprofiles")
LINKS: Final = Resource("Link", "multicluster.linkerd.io/v1alpha3", "links")  # type: ignore[arg-type]  # nothing follows it


class ApiError(Exception):
    """The API server answered no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Objects(Protocol):
    """Where objects are written: an API server, or a test's own store."""

    async def apply(self, resource: Resource, obj: Object, *, exists: bool = False) -> None:
        """Make the object, or write over it; ``exists`` says which to try first."""

    async def delete(self, resource: Resource, key: Key) -> None:
        """Delete the object; one that is not there is no error."""


class KubeClient:
    """One API server. Every call raises ApiError, aiohttp.ClientError or TimeoutError.

    Nothing is tried again here, except a write that met the object's making or deletion.
    """

    def __init__(self, access: ApiAccess) -> None:
        self._url = access.url.rstrip("/")
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        context = ssl.create_default_context(cadata=access.ca_pem) if access.ca_pem else True
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def list(self, resource: Resource) -> tuple[list[Object], str]:
        """Return all objects of all namespaces, and the version to watch from."""
        items: list[Object] = []
        params = {"limit": str(_PAGE)}
        while True:
            page = await self._call("GET", resource.path(), params=params)
            items += page.get("items") or ()
            following = page["metadata"].get("continue")
            if not following:
                return items, page["metadata"]["resourceVersion"]
            params = {"limit": str(_PAGE), "continue": following}

    async def get(self, resource: Resource, key: Key) -> Object | None:
        """Return the object, None when there is none."""
        try:
            found: Object = await self._call("GET", resource.path(key))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def watch(self, resource: Resource, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield events (type and object) after that version, until the server ends the watch."""
        params = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        silence = aiohttp.ClientTimeout(
            total=None, sock_connect=REQUEST_TIMEOUT_S, sock_read=WATCH_S + REQUEST_TIMEOUT_S
        )
        url = self._url + resource.path()
        async with self._http.get(url, params=params, timeout=silence) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, await answer.text())
            rest = b""
            # Not by readline: it has a limit that large objects exceed.
            async for data in answer.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    event = msgspec.json.decode(line)
                    yield event["type"], event["object"]

    async def apply(self, resource: Resource, obj: Object, *, exists: bool = False) -> None:
        """Make the object, or write over it."""
        key = key_of(obj)
        body = {"apiVersion": resource.api, "kind": resource.kind, **obj}
        creating = not exists
        for last in (False, False, True):
            try:
                if creating:
                    await self._call("POST", resource.path(key, named=False), body=body)
                else:
                    await self._call("PUT", resource.path(key), body=body)
            except ApiError as error:
                crossed = error.status == (409 if creating else 404)
                if last or not crossed:
                    raise
                creating = not creating
            else:
                return

    async def merge(self, resource: Resource, key: Key, patch: Object, manager: str) -> None:
        """Merge-patch the object as this field manager, as kubectl does."""
        await self._call(
            "PATCH",
            resource.path(key),
            params={"fieldManager": manager},
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def write_status(self, resource: Resource, key: Key, status: Object) -> None:
        """Write the object's status; one that is gone is no error."""
        try:
            await self._call(
                "PATCH",
                resource.path(key) + "/status",
                body={"status": status},
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            if error.status != 404:
                raise

    async def delete(self, resource: Resource, key: Key) -> None:
        """Delete the object; one that is not there is no error."""
        try:
            await self._call("DELETE", resource.path(key))
        except ApiError as error:
            if error.status != 404:
                raise

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Any:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content_type}
        async with self._http.request(
            method, self._url + path, params=params, data=data, headers=headers
        ) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise ApiError(answer.status, text[:500].decode(errors="replace"))
            return msgspec.json.decode(text)
