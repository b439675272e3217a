"""A Service's pods in one cluster: small HTTP servers that tell who answered, and fail on demand.

A pod answers every path with 200 and JSON (cluster, pod, host, path). Answers that are the workload's
own fault carry ``x-fault: workload``, so that a caller can tell them from what the mesh did.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from deploy.stand_ins.mesh.addresses import AddressBlock, wire
from deploy.stand_ins.mesh.config import Key
from deploy.stand_ins.mesh.counts import Counts
from deploy.stand_ins.mesh.http1 import (
    HEAD_END,
    BadHeadError,
    Body,
    Request,
    first,
    head,
    parse_request,
    request_body,
)
from deploy.stand_ins.mesh.kube import SLICES, Objects
from deploy.stand_ins.mesh.objects import NO_PORTS, Pod, slice_object
from deploy.stand_ins.mesh.proxy import CLIENT

DRAIN_S: Final = 0.5
"""From not ready to leaving: longer than any proxy takes to hear of it (docs/mesh-facts.md, 10)."""

_LAST_REQUESTS_S: Final = 5.0
_REASON: Final = {200: b"OK", 404: b"Not Found", 500: b"Internal Server Error"}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Faults:
    """What the pods of one workload do wrong now."""

    share: float = 0.0
    status: int = 500
    latency_s: float = 0.0
    hanging: bool = False
    missing: frozenset[str] = field(default_factory=frozenset)
    hosts: frozenset[str] | None = None
    spared: frozenset[str] = field(default_factory=frozenset)


class Workload:
    """The pods of one Service in one cluster. The Service object is somebody else's. ``count`` makes what the proxy
    of a pod counts on.

    Every method that changes pods writes the EndpointSlice, and raises what ``objects`` raises.
    """

    def __init__(
        self,
        service: Key,
        cluster: str,
        *,
        objects: Objects,
        addresses: AddressBlock,
        rng: random.Random,
        port: int = 8080,
        beside: Mapping[str, int] = NO_PORTS,
        count: Callable[[str], Counts] | None = None,
    ) -> None:
        self.service = service
        self.cluster = cluster
        self.faults = Faults()
        self._objects = objects
        self._addresses = addresses
        self._rng = rng
        self._port = port
        self._beside = dict(beside)
        self._pods: dict[str, _PodServer] = {}
        self._states: dict[str, Pod] = {}
        self._twins: list[Key] = []
        self._count = count or self._uncounted
        self._started = 0
        self._changing = asyncio.Lock()

    @property
    def pods(self) -> Sequence[Pod]:
        """The pods as the EndpointSlice tells them."""
        return tuple(self._states.values())

    async def start(self, pods: int = 2) -> None:
        """Bring the pods up and tell of them."""
        await self.scale(pods)

    async def also_in(self, service: Key) -> None:
        """Let another Service of the namespace, headless or not, select the same pods."""
        async with self._changing:
            self._twins.append(service)
            await self._write()

    async def stop(self) -> None:
        """End the servers; what was written stays."""
        for server in tuple(self._pods.values()):
            await server.close()
        self._pods.clear()

    async def scale(self, pods: int) -> None:
        """Have so many pods; those that go are drained. 0 empties the EndpointSlice."""
        async with self._changing:
            while len(self._pods) < pods:
                await self._add()
            leaving = list(self._pods)[: len(self._pods) - pods]
            await self._write()
            await self._retire(leaving)

    async def roll(self) -> None:
        """Replace each pod, one by one, as a Deployment does: no request fails."""
        async with self._changing:
            for old in list(self._pods):
                await self._add()
                await self._write()
                await self._retire([old])

    def fail(self, share: float = 1.0, status: int = 500, *, spared: Sequence[str] = ()) -> None:
        """Answer that share of requests with that status, but for these paths."""
        self.faults.share, self.faults.status = share, status
        self.faults.spared = frozenset(spared)

    def latency(self, seconds: float) -> None:
        """Take so long for each answer."""
        self.faults.latency_s = seconds

    def hang(self) -> None:
        """Take requests and never answer them."""
        self.faults.hanging = True

    def miss(self, *paths: str) -> None:
        """Answer 404 for these paths."""
        self.faults.missing = frozenset(paths)

    def serve_only(self, *hosts: str) -> None:
        """Answer 404 to every Host but these, as an application with virtual hosts does."""
        self.faults.hosts = frozenset(hosts)

    def heal(self) -> None:
        """Be well again. What hung stays unanswered until its caller gives up."""
        self.faults = Faults()

    def answer(self, pod: str, request: Request) -> bytes | None:
        """Return the whole answer to a request that this pod got; None for never."""
        faults = self.faults
        if faults.hanging:
            return None
        path = request.target.partition(b"?")[0].decode("latin-1")
        status = 200
        host = (first(request.fields, b"host") or b"").decode("latin-1")
        if path in faults.missing or (faults.hosts is not None and host not in faults.hosts):
            status = 404
        elif path not in faults.spared and self._rng.random() < faults.share:
            status = faults.status
        told = {"cluster": self.cluster, "pod": pod, "host": host, "path": path}
        body = json.dumps(told).encode()
        fields = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-served-by", f"{self.cluster}/{pod}".encode()),
        ]
        if status != 200:
            fields.append((b"x-fault", b"workload"))
        if not request.keep_alive:
            fields.append((b"connection", b"close"))
        line = b"HTTP/1.1 %d %s" % (status, _REASON.get(status, b"Fault"))
        return head(line, fields) + (b"" if request.method == b"HEAD" else body)

    async def _add(self) -> None:
        self._started += 1
        name = f"{self.service[1]}-{self.cluster}-{self._started}"
        ip = self._addresses.take()
        server = _PodServer(self, name, f"{ip}:{self._port}", self._count(name))
        for port in (self._port, *self._beside.values()):
            await server.listen(wire(ip), port)
        self._pods[name] = server
        self._states[name] = Pod(name, ip)

    def _uncounted(self, pod: str) -> Counts:
        namespace, name = self.service
        return Counts(namespace=namespace, name=name, far="", pod=pod)

    async def _retire(self, names: Sequence[str]) -> None:
        if not names:
            return
        for name in names:
            self._states[name] = Pod(name, self._states[name].ip, ready=False, terminating=True)
        await self._write()
        await asyncio.sleep(DRAIN_S)
        for name in names:
            await self._pods.pop(name).drain()
            del self._states[name]
        await self._write()

    async def _write(self) -> None:
        states = self._states.values()
        exists = self._started > len(self._states)
        for service in (self.service, *self._twins):
            piece = slice_object(service, states, self._port, beside=self._beside)
            await self._objects.apply(SLICES, piece, exists=exists)


class _PodServer:
    """One pod: its listening sockets and the connections to them. ``counts`` are its own proxy's."""

    def __init__(self, workload: Workload, name: str, address: str, counts: Counts) -> None:
        self.workload = workload
        self.name = name
        self._address = address
        self._counts = counts
        self.connections: set[_PodConnection] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, ip: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: _PodConnection(self), ip, port))

    def count(self, request: Request) -> None:
        """Count a request as its proxy does: by who sent it."""
        self._counts.asked(self._address, (first(request.fields, CLIENT) or b"").decode())

    async def drain(self) -> None:
        """Leave when the last request is answered, or after a while without it."""
        deadline = asyncio.get_running_loop().time() + _LAST_REQUESTS_S
        while any(c.answering for c in self.connections):
            if asyncio.get_running_loop().time() > deadline:
                log.info("pod %s leaves with requests unanswered", self.name)
                break
            await asyncio.sleep(0.02)
        await self.close()

    async def close(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for connection in tuple(self.connections):
            connection.close()
        for server in servers:
            await server.wait_closed()


class _PodConnection(asyncio.Protocol):
    """Requests one after the other; bodies are read and dropped."""

    def __init__(self, pod: _PodServer) -> None:
        self.answering = False
        self._pod = pod
        self._buffer = b""
        self._request: Request | None = None
        self._body: Body | None = None
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pod.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pod.connections.discard(self)
        self.answering = False
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.answering:
            self._read()

    def close(self) -> None:
        self._transport.close()

    def _read(self) -> None:
        try:
            if self._request is None:
                end = self._buffer.find(HEAD_END)
                if end < 0:
                    return
                self._request = parse_request(self._buffer[:end])
                self._body = request_body(self._request)
                self._buffer = self._buffer[end + 4 :]
            if self._body is not None and not self._body.done:
                self._buffer = self._buffer[self._body.take(self._buffer) :]
                if not self._body.done:
                    return
        except BadHeadError:
            self._transport.abort()
            return
        self.answering = True
        self._pod.count(self._request)
        latency_s = self._pod.workload.faults.latency_s
        if latency_s:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(latency_s, self._answer, self._request)
        else:
            self._answer(self._request)

    def _answer(self, request: Request) -> None:
        answer = self._pod.workload.answer(self._pod.name, request)
        if answer is None:
            return
        self._transport.write(answer)
        self.answering = False
        self._request = self._body = None
        if not request.keep_alive:
            self._transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._read)
