"""A cluster's multicluster gateway: lets the other cluster's proxies in.

It routes what comes in by the splits of its own cluster (1), unless a ServiceProfile in its namespace
pins the Service (7). Each gateway adds its identity to the Forwarded header and refuses what carries
it already with 508: with equal trust domains both gateways have one identity, so that the first bounce
is refused; with different ones the first bounce passes silently (4). An opaque connection that loops is
refused here too: the storm that it makes in a real pair (5) is not modelled.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final, Literal, cast

from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.clock import Clock
from deploy.stand_ins.mesh.config import ClusterConfig, service_of_name
from deploy.stand_ins.mesh.counts import Counts
from deploy.stand_ins.mesh.exchange import GREETED, GREETING, Downstream, Serve
from deploy.stand_ins.mesh.http1 import MAX_HEAD_BYTES, Request
from deploy.stand_ins.mesh.proxy import CANONICAL, Errand, Proxy, end_to_end, is_opaque

NAMESPACE: Final = "linkerd-multicluster"
PORT: Final = 4143
PROBE_PORT: Final = 4191
LOOP_PENALTY_S: Final = 0.1
"""How much longer a request that is refused as a loop takes (2)."""

Death = Literal["refuse", "hang"]
"""Connections are refused, or taken and never answered."""

_FORWARDED: Final = b"forwarded"


class Gateway:
    """One cluster's gateway, on PORT and PROBE_PORT of its own address ``ip``, a pod's.

    ``trust_domain``: the gateway's identity ends in it.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        ip: str,
        clock: Clock,
        rng: random.Random,
        counts: Counts,
        trust_domain: str = "cluster.local",
        loop_penalty_s: float = LOOP_PENALTY_S,
    ) -> None:
        self.ip = ip
        self._domain = config.domain
        self.identity = (
            f"linkerd-gateway.{NAMESPACE}.serviceaccount.identity.linkerd.{trust_domain}"
        )
        self._by = b"by=" + self.identity.encode()
        self._loop_penalty_s = loop_penalty_s
        self._proxy = Proxy(
            config,
            namespace=NAMESPACE,
            identity=self.identity,
            is_gateway=True,
            clock=clock,
            rng=rng,
            counts=counts,
        )
        self._counts = counts
        self._ready: asyncio.Server | None = None
        self._death: Death | None = None
        self._cut = False

    @property
    def hung(self) -> bool:
        """Whether nothing gets through, without a word."""
        return self._cut or self._death == "hang"

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._proxy.listen(
            wire(self.ip), PORT, lambda known: _Entrance(self, self._serve, known)
        )
        loop = asyncio.get_running_loop()
        self._ready = await loop.create_server(lambda: _Ready(self), wire(self.ip), PROBE_PORT)

    async def stop(self) -> None:
        """Stop listening and abort all connections."""
        await self._close_ready()
        await self._proxy.stop()

    async def die(self, mode: Death = "refuse") -> None:
        """Serve nobody until :meth:`revive`."""
        await self.revive()
        self._death = mode
        if mode == "refuse":
            await self._close_ready()
            await self._proxy.refuse()

    async def revive(self) -> None:
        """Serve again; connections of before are gone. Does nothing to one that lives."""
        died, self._death = self._death, None
        if died == "refuse":
            await self.start()
        elif died == "hang":
            self._proxy.abort()

    def cut(self) -> None:
        """Lose the link that leads here: as hung, whatever the gateway itself does."""
        self._cut = True

    def heal(self) -> None:
        """Have the link back; connections of before are gone. Does nothing to a link that holds."""
        if self._cut:
            self._cut = False
            self._proxy.abort()

    async def _close_ready(self) -> None:
        if self._ready is not None:
            server, self._ready = self._ready, None
            server.close()
            await server.wait_closed()

    def _serve(self, down: Downstream, request: Request) -> None:
        fields = end_to_end(request)
        canonical = b""
        for name, value in fields:
            if name == CANONICAL:
                canonical = value
            elif name == _FORWARDED and self._by in value.split(b";"):
                self._proxy.work(down, self._refuse_loop(down))
                return
        host, _, port = canonical.decode("latin-1").partition(":")
        service = service_of_name(host, self._domain)
        if service is None or not port.isdecimal():
            down.reply(502, "no such service")
            return
        fields = [f for f in fields if f[0] != CANONICAL]
        fields.append((_FORWARDED, self._by + b";proto=https"))
        errand = Errand(down, request, request.target, fields, int(port), is_opaque(request))
        self._proxy.send(errand, service)

    async def _refuse_loop(self, down: Downstream) -> None:
        self._counts.looped()
        if self._loop_penalty_s:
            await asyncio.sleep(self._loop_penalty_s)
        down.reply(508, "gateway loop")


class _Entrance(Downstream):
    """A connection from a proxy of the other cluster: a handshake first, then requests."""

    def __init__(self, gateway: Gateway, serve: Serve, known: set[Downstream]) -> None:
        super().__init__(serve, known)
        self._gateway = gateway
        self._greeting: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio.Protocol)."""
        if self._gateway.hung:
            return
        if self._greeting is None:
            super().data_received(data)
            return
        self._greeting += data
        line, end, rest = self._greeting.partition(b"\r\n")
        if not end and len(line) < MAX_HEAD_BYTES:
            return
        if not line.startswith(GREETING):
            self.drop()
            return
        self._greeting = None
        self.write(GREETED)
        if rest:
            super().data_received(rest)

    def write(self, data: bytes) -> None:
        if not self._gateway.hung:
            super().write(data)


class _Ready(asyncio.Protocol):
    """Answers what the service mirror asks: 200 to anything, or nothing at all."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio.Protocol)."""
        if not self._gateway.hung:
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self._transport.close()
