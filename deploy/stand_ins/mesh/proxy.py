"""What sidecar and gateway share: decide, connect, pass on; hold what cannot be sent yet."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from deploy.stand_ins.mesh.clock import Clock
from deploy.stand_ins.mesh.config import Asked, ClusterConfig, Endpoint, Key
from deploy.stand_ins.mesh.counts import Counts
from deploy.stand_ins.mesh.exchange import Downstream, Pool, Upstream
from deploy.stand_ins.mesh.http1 import HOP_BY_HOP, Fields, Request, head
from deploy.stand_ins.mesh.outbound import Backend, Decision, Drop, Hold, Outbound, Refuse

CANONICAL: Final = b"l5d-dst-canonical"
"""The request header that tells a gateway which Service and port are meant."""

CLIENT: Final = b"l5d-client-id"
"""The request header that stands for the client's certificate: whose proxy a request comes from."""

OPAQUE: Final = b"l5d-opaque"
"""The request header that stands for bytes that are not HTTP: the connection it comes on is opaque."""

RECONNECT_S: Final = (0.1, 0.5)
"""Least and greatest pause between attempts to connect again (Linkerd's outbound backoff)."""

_JITTER: Final = 0.1

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Errand:
    """One request on its way: ``path`` in origin form, ``fields`` without hop-by-hop ones.

    ``opaque``: it stands for the bytes of a connection that nobody reads as HTTP.
    """

    down: Downstream
    request: Request
    path: bytes
    fields: Fields
    port: int
    opaque: bool = False

    def refuse(self, status: int, reason: str) -> None:
        """Answer for the mesh; to opaque bytes there is no answer but the end of the connection."""
        if self.opaque:
            self.down.drop()
        else:
            self.down.reply(status, reason)


def end_to_end(request: Request) -> Fields:
    """Return the fields to pass on; those of an upgrade stay."""
    fields = [f for f in request.fields if f[0] not in HOP_BY_HOP and f[0] not in (OPAQUE, CLIENT)]
    if request.upgrade:
        fields.append((b"connection", b"upgrade"))
    return fields


def is_opaque(request: Request) -> bool:
    """Return whether a request stands for bytes that are not HTTP."""
    return any(name == OPAQUE for name, _ in request.fields)


class Proxy:
    """The engine of one proxy. Single-threaded: all of it runs on one event loop."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        namespace: str,
        identity: str,
        is_gateway: bool,
        clock: Clock,
        rng: random.Random,
        counts: Counts,
    ) -> None:
        self._clock = clock
        self._counts = counts
        self._rng = rng
        self._identity = identity.encode()
        self._is_gateway = is_gateway
        self._outbound = Outbound(
            config,
            namespace=namespace,
            sees_new_splits=is_gateway,
            now=clock.now,
            rng=rng,
            on_change=self._wake_at,
        )
        self._pools: dict[Endpoint, Pool] = {}
        self._held: set[asyncio.Future[None]] = set()
        self._reviving: set[Endpoint] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._downstreams: set[Downstream] = set()
        self._server: asyncio.Server | None = None

    async def listen(
        self, ip: str, port: int, accept: Callable[[set[Downstream]], Downstream]
    ) -> tuple[str, int]:
        """Serve there (port 0: any); ``accept`` makes what handles a connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: accept(self._downstreams), ip, port)
        bound: tuple[str, int] = self._server.sockets[0].getsockname()
        return bound

    async def refuse(self) -> None:
        """Stop listening and abort every connection; :meth:`listen` undoes it."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            self.abort()
            await server.wait_closed()

    def abort(self) -> None:
        """Abort every connection from clients, and with them what they waited for."""
        for down in tuple(self._downstreams):
            down.drop()

    async def stop(self) -> None:
        """End all that runs."""
        self._outbound.close()
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in self._pools.values():
            pool.close()

    def send(self, errand: Errand, service: Key) -> None:
        """Route a request by the Service that it names."""
        now = self._clock.now()
        if errand.opaque or self._takes_for_opaque(errand, service, now):
            self._send_opaque(errand, service, now)
            return
        asked = Asked(errand.request.method, errand.path, tuple(errand.fields))
        backend, decision = self._outbound.decide(service, errand.port, now, asked)
        if backend is not None:
            by_profile = self._outbound.by_profile(service, errand.port)
            errand.down.counted = self._counts.call(service, backend.name, by_profile=by_profile)
        self._follow(errand, backend, decision)

    def _takes_for_opaque(self, errand: Errand, service: Key, now: float) -> bool:
        # A gateway is told by the client's proxy; a mirror has no appProtocol, so HTTP comes in as HTTP (24).
        return not self._is_gateway and self._outbound.is_opaque(service, errand.port, now)

    def _send_opaque(self, errand: Errand, service: Key, now: float) -> None:
        """Send the bytes where the connection leads; who counts responses sees nothing of it."""
        errand.opaque = True
        if not self._is_gateway:
            # A gateway's connections carry the bytes of many clients, so it decides for each anew.
            errand.down.opaque = True
            if errand.down.leads_to is not None:
                self.send_to(errand, errand.down.leads_to)
                return
        self._follow(errand, *self._outbound.decide(service, errand.port, now, None))

    def _follow(self, errand: Errand, backend: Backend | None, decision: Decision) -> None:
        if isinstance(decision, Endpoint):
            upstream = self._pool(decision).take()
            if upstream is not None:
                self._forward(errand, upstream, decision)
                return
        self.work(errand.down, self._send_later(errand, backend, decision))

    def _forward(self, errand: Errand, upstream: Upstream, endpoint: Endpoint) -> None:
        if errand.down.opaque:
            errand.down.leads_to = endpoint
        errand.down.forward(upstream, self._head(errand, endpoint))

    def send_to(self, errand: Errand, endpoint: Endpoint) -> None:
        """Pass a request on to a given address: such traffic is never split (fact 23)."""
        upstream = self._pool(endpoint).take()
        if upstream is not None:
            errand.down.forward(upstream, self._head(errand, endpoint))
        else:
            self.work(errand.down, self._connect_to(errand, endpoint))

    def work(self, down: Downstream, job: Coroutine[object, object, None]) -> None:
        """Run what will answer this request later; it ends with the client's connection."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        down.work = task

    async def _send_later(
        self, errand: Errand, backend: Backend | None, decision: Decision
    ) -> None:
        started = self._clock.now()
        # Bounded: an endpoint that cannot be connected to is out of turn, and a Hold has an end.
        while True:
            if isinstance(decision, Refuse):
                errand.refuse(decision.status, decision.reason)
                return
            if isinstance(decision, Drop) or backend is None:
                errand.down.drop()
                return
            if isinstance(decision, Hold):
                await self._hold(decision.until)
            elif await self._try(errand, decision):
                return
            decision = backend.next(self._clock.now(), started)

    async def _try(self, errand: Errand, endpoint: Endpoint) -> bool:
        pool = self._pool(endpoint)
        try:
            upstream = pool.take() or await pool.connect()
        except OSError as error:
            self._lost(endpoint, error)
            return False
        self._forward(errand, upstream, endpoint)
        return True

    async def _connect_to(self, errand: Errand, endpoint: Endpoint) -> None:
        try:
            upstream = await self._pool(endpoint).connect()
        except OSError as error:
            errand.refuse(502, f"cannot connect: {type(error).__name__}")
            return
        errand.down.forward(upstream, self._head(errand, endpoint))

    def _head(self, errand: Errand, endpoint: Endpoint) -> bytes:
        fields = errand.fields
        if endpoint.remote is None:
            fields = [*fields, (CLIENT, self._identity)]
        else:
            remote = endpoint.remote.encode()
            if errand.opaque:
                fields = [*fields, (OPAQUE, b"1")]
            else:
                # The authority of a mirror's endpoint replaces the client's Host (18).
                fields = [(b"host", remote), *(f for f in fields if f[0] != b"host")]
            fields.append((CANONICAL, b"%s:%d" % (remote, errand.port)))
        return head(errand.request.method + b" " + errand.path + b" HTTP/1.1", fields)

    def _pool(self, endpoint: Endpoint) -> Pool:
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = Pool(endpoint, self._identity)
        return pool

    async def _hold(self, until: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(until, self._wake)
        self._held.add(woken)
        try:
            await woken
        finally:
            self._held.discard(woken)
            timer.cancel()

    def _wake_at(self, due: float) -> None:
        # A little after: an event loop's timer may run early by the clock's resolution.
        self._clock.call_at(due + 0.001, self._wake)

    def _wake(self) -> None:
        for woken in self._held:
            if not woken.done():
                woken.set_result(None)

    def _lost(self, endpoint: Endpoint, error: OSError) -> None:
        self._outbound.mark_dead(endpoint)
        if endpoint in self._reviving:
            return
        log.info("cannot connect to %s:%d: %r", endpoint.ip, endpoint.port, error)
        self._reviving.add(endpoint)
        task = asyncio.get_running_loop().create_task(self._revive(endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revive(self, endpoint: Endpoint) -> None:
        pause, longest = RECONNECT_S
        pool = self._pool(endpoint)
        # Ends when it answers, or when no name in use can lead there.
        while self._outbound.wants(endpoint, self._clock.now()):
            await asyncio.sleep(pause * self._rng.uniform(1 - _JITTER, 1 + _JITTER))
            pause = min(longest, pause * 2)
            try:
                pool.give_back(await pool.connect())
            except OSError:
                continue
            log.info("connected to %s:%d again", endpoint.ip, endpoint.port)
            break
        self._reviving.discard(endpoint)
        self._outbound.mark_alive(endpoint)
        self._wake()
