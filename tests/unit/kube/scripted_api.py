"""An API server that answers what a test wrote down, and what tests of the cluster share."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
import yaml
from aiohttp import web

from controller.kube.api import Cluster, ClusterAccess

LOG = structlog.wrap_logger(structlog.ReturnLogger())
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Silent:
    """A meter that remembers only the codes of the calls."""

    def __init__(self) -> None:
        self.codes: list[tuple[str, str]] = []

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Remember verb and code."""
        self.codes.append((verb, code))

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Forget it."""

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Forget it."""


class Server:
    """An API server that says what the test wrote down; a script that is at its end hangs."""

    def __init__(self) -> None:
        self.script: deque[Handler] = deque()
        self.always: Handler | None = None
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.over = asyncio.Event()
        self.url = ""

    @property
    def kinds(self) -> list[str]:
        """``list``, ``watch@<version>`` or the verb, of each request."""
        return [
            f"watch@{r.query['resourceVersion']}"
            if "watch" in r.query
            else "list"
            if "limit" in r.query
            else r.method
            for r in self.asked
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with what is next in the script."""
        self.asked.append(request)
        self.bodies.append(await request.read())
        if self.script:
            return await self.script.popleft()(request)
        if self.always is not None:
            return await self.always(request)
        await self.over.wait()
        return web.Response(status=503)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Serve on a port of its own."""
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield made
    finally:
        made.over.set()
        await runner.cleanup()


def kubeconfig(folder: Path, url: str, user: dict[str, Any] | None = None) -> ClusterAccess:
    """Write a kubeconfig for the server."""
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(whole))
    return ClusterAccess(str(path), None)


def answer(body: Any, status: int = 200, **headers: str) -> Handler:
    """Answer JSON; underscores in the names of headers are dashes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return handle


def status(code: int, reason: str = "", message: str = "because", **headers: str) -> Handler:
    """Answer a Status."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return answer(body, code, **headers)


def html(code: int) -> Handler:
    """Answer as a load balancer does."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>oops</html>", status=code, content_type="text/html")

    return handle


def stall(server: Server) -> Handler:
    """Take the request and say nothing."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await server.over.wait()
        return web.Response()

    return handle


def cut() -> Handler:
    """Take the request and drop the connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    return handle


def service(name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    """Return a Service."""
    return {
        "metadata": {"name": name, "namespace": "n", "resourceVersion": str(version)},
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", **spec},
    }


def page(*items: Any, version: int = 10, more: str = "") -> Handler:
    """Answer a page of a list."""
    return answer(
        {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)}
    )


def event(kind: str, thing: Any) -> bytes:
    """Return a line of a watch."""
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def watch(server: Server, *chunks: bytes, then: str = "hang") -> Handler:
    """Answer a watch with these chunks, then hang, end in good order, or break the connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        if then == "hang":
            await server.over.wait()
        if then == "break":
            assert request.transport is not None
            request.transport.close()
        return response

    return handle


class Pauses:
    """Sleeps that do not: they are written down, and after ``stop_after`` of them nobody wakes."""

    def __init__(self, stop_after: int = 100) -> None:
        self.taken: list[float] = []
        self.stop_after = stop_after
        self.go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Write the pause down."""
        self.taken.append(seconds)
        if len(self.taken) >= self.stop_after:
            await self.go_on.wait()
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Poll for the condition, for at most so long."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind have no event
            await asyncio.sleep(0.002)


def made_cluster(access: ClusterAccess, deadline_s: float = 5.0) -> Cluster:
    """Make a cluster."""
    return Cluster(
        "eks",
        access,
        meter=Silent(),
        log=LOG,
        deadline_s=deadline_s,
    )
