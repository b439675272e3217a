"""The embedded API server: one process-local kube-apiserver for a cluster of the local pair."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from aiohttp import web

from deploy.stand_ins.apiserver import failures, routes, watching
from deploy.stand_ins.apiserver.kubeconfig import kubeconfig
from deploy.stand_ins.apiserver.reads import list_body
from deploy.stand_ins.apiserver.resources import Resource, known_resources
from deploy.stand_ins.apiserver.routes import Request
from deploy.stand_ins.apiserver.store import Store, Stored
from deploy.stand_ins.apiserver.tables import Tables, tables_asked
from deploy.stand_ins.apiserver.writes import Target, Writes

NAMESPACES = ("default", "kube-system", "linkerd-multicluster", "linkerd-smi", "migrate")
EXTENSION = "linkerd.io/extension"
"""Label of the namespace of a Linkerd extension, as its chart sets it."""

_WORLD = "local-clusters"
_STOP_S = 1.0


def namespace_metadata(name: str) -> dict[str, Any]:
    """Return the metadata of a namespace: that of an extension of Linkerd has its label."""
    extension = name.removeprefix("linkerd-")
    return {"name": name, "labels": {EXTENSION: extension} if extension != name else {}}


class EmbeddedApi:
    """An API server that speaks plain HTTP on loopback and keeps its objects in memory.

    `tokens` are the bearer tokens let in; with none everybody is, which is what kubectl needs: it
    sends no token over plain HTTP. `namespaces` exist from the
    start. `bookmark_every_s` and `history` (events kept per resource) say how soon a client meets
    a bookmark and a 410; `expired_watch` how it meets the latter: as an event in the stream, as a
    kube-apiserver with its watch cache answers, or as an HTTP status, as one without it may. `clock`
    gives the time (UTC) that objects are stamped with.

    Objects outlive `stop`, so a stop and a start on the same port is an API server that was away.
    """

    def __init__(
        self,
        name: str,
        *,
        tokens: tuple[str, ...] = (),
        namespaces: tuple[str, ...] = NAMESPACES,
        resources: tuple[Resource, ...] | None = None,
        bookmark_every_s: float = 5.0,
        history: int = 10_000,
        expired_watch: Literal["event", "status"] = "event",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.url = ""
        self.tokens = tokens
        self.requests: Counter[Request] = Counter()
        self.store = Store(known_resources() if resources is None else resources, history)
        self._writes = Writes(self.store, clock)
        self._bookmark_every_s = bookmark_every_s
        self._expired_watch = expired_watch
        self._runner: web.ServerRunner | None = None
        for namespace in namespaces:
            metadata = namespace_metadata(namespace)
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on a free port for 0; return the URL."""
        server = web.Server(self._answer, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        self.url = f"http://{bound[0]}:{bound[1]}"
        return self.url

    async def stop(self) -> None:
        """End all watches and stop listening; a second stop does nothing."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for subscription in list(self.store.subscriptions()):
            subscription.close()
        await runner.cleanup()

    async def __aenter__(self) -> EmbeddedApi:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig for the first token; only after `start`."""
        return kubeconfig(self.name, self.url, self.tokens[0] if self.tokens else None, None)

    async def compact(self) -> None:
        """Forget all history: from now on older watches and pages are 410."""
        self.store.compact()

    def put(self, given: dict[str, Any], manager: str = _WORLD) -> Stored:
        """Create or replace an object in-process, its status included; raises ApiError."""
        group, _, version = given["apiVersion"].rpartition("/")
        resource = next(
            r
            for r in self.store.resources.values()
            if (r.group, r.kind) == (group, given["kind"]) and version in r.versions
        )
        body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(given))
        metadata = body["metadata"]
        name = metadata["name"]
        namespace = metadata.get("namespace", "default") if resource.namespaced else ""
        target = Target(resource, version, namespace, name)
        found = self.store.get(resource.key, namespace, name)
        if found is None:
            put = self._writes.create(Target(resource, version, namespace), body, manager)
        else:
            metadata["resourceVersion"] = str(found.version)
            put = self._writes.update(target, body, manager)
        if resource.has_status and "status" in given:
            status = Target(resource, version, namespace, name, "status")
            metadata["resourceVersion"] = str(put.version)
            put = self._writes.update(status, body | {"status": given["status"]}, manager)
        return put

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object in-process; raises ApiError when it is not there."""
        resource = self.store.resources[plural]
        self._writes.delete(Target(resource, resource.versions[0], namespace, name), {})

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        resources = self.store.resources.values()
        target: Target | None = None
        verb = request.method.lower()
        headers: dict[str, str] = {}
        try:
            self._demand_token(request)
            target = routes.target_of(resources, routes.path_parts(request.path))
            if target is None:
                return web.Response(
                    body=routes.plain_document(resources, request.path),
                    content_type="application/json",
                )
            verb = routes.verb_of(request, target)
            if verb == "watch":
                return await self._watch(request, target)
            code, body = await self._object(request, verb, target)
        except failures.ApiError as failure:
            code, body = failure.code, msgspec.json.encode(failure.body)
            headers = failure.headers
        if target is not None:
            self._count(request, verb, target, code)
        return web.Response(
            body=body, status=code, headers=headers, content_type="application/json"
        )

    def _demand_token(self, request: web.BaseRequest) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self.tokens and not (
            scheme.lower() == "bearer"
            and any(hmac.compare_digest(token.encode(), known.encode()) for known in self.tokens)
        ):
            raise failures.unauthorized()

    async def _object(
        self, request: web.BaseRequest, verb: str, target: Target
    ) -> tuple[int, bytes]:
        dry_run = request.query.get("dryRun") == "All"
        manager = routes.manager_of(request)
        if verb in ("list", "get"):
            return 200, self._read(request, verb, target)
        if verb == "create":
            given = await routes.json_object(request)
            made = self._writes.create(target, given, manager, dry_run=dry_run)
            return 201, made.encoded(target.version)
        if verb == "update":
            given = await routes.json_object(request)
            updated = self._writes.update(target, given, manager, dry_run=dry_run)
            return 200, updated.encoded(target.version)
        if verb == "patch":
            patch = await routes.json_body(request)
            patched = self._writes.patch(
                target, request.content_type, patch, manager, dry_run=dry_run
            )
            return 200, patched.encoded(target.version)
        options = await routes.json_object(request)
        gone = self._writes.delete(target, options.get("preconditions") or {}, dry_run=dry_run)
        return 200, _deleted(gone)

    def _read(self, request: web.BaseRequest, verb: str, target: Target) -> bytes:
        tables = _tables(request, target)
        if verb == "list":
            return list_body(self.store, target, request.query, tables)
        found = self._writes.existing(target)
        if tables is None:
            return found.encoded(target.version)
        return msgspec.json.encode(tables.table([found], {"resourceVersion": str(found.version)}))

    async def _watch(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        watch: watching.Watch | None = None
        expired = b""
        try:
            tables = _tables(request, target)
            watch = watching.open_watch(
                self.store, target, request.query, self._bookmark_every_s, tables
            )
        except failures.ApiError as failure:
            if failure.code != 410 or self._expired_watch == "status":
                raise
            expired = watching.error_line(failure)
        self._count(request, "watch", target, 200)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            if watch is None:
                await response.write(expired)
            else:
                async for lines in watch.lines():
                    await response.write(lines)
            await response.write_eof()
        except ConnectionError:
            return response  # the client has left, which is how most watches end
        finally:
            if watch is not None:
                watch.close()
        return response

    def _count(self, request: web.BaseRequest, verb: str, target: Target, code: int) -> None:
        resource = target.resource.key
        counted = Request(
            verb=verb,
            resource=f"{resource}/{target.subresource}" if target.subresource else resource,
            namespace=target.namespace,
            name=target.name,
            manager=routes.manager_of(request),
            user_agent=request.headers.get("User-Agent", ""),
            code=code,
        )
        self.requests[counted] += 1


def _tables(request: web.BaseRequest, target: Target) -> Tables | None:
    accept = request.headers.get("Accept", "")
    return tables_asked(accept, request.query, target.resource, target.version)


def _deleted(gone: Stored) -> bytes:
    resource = gone.resource
    details = {"name": gone.name, "kind": resource.plural, "uid": gone.body["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return msgspec.json.encode(status | {"details": details})
