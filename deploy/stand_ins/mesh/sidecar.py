"""A client's proxy, as an HTTP forward proxy on a loopback address.

A client sets it as its HTTP proxy and sends requests in absolute form; WebSockets are tunnelled.
The authority of the URI decides: a Service's name is routed by the cluster's config, a pod's own
address is left alone (23). The Host header goes on as the client wrote it.
"""

from __future__ import annotations

import random
from typing import Final

from deploy.stand_ins.mesh.addresses import is_pod_ip, wire
from deploy.stand_ins.mesh.clock import Clock
from deploy.stand_ins.mesh.config import ClusterConfig, Endpoint, Key, service_of_name
from deploy.stand_ins.mesh.counts import Counts
from deploy.stand_ins.mesh.exchange import Downstream
from deploy.stand_ins.mesh.http1 import Request, first
from deploy.stand_ins.mesh.proxy import Errand, Proxy, end_to_end, is_opaque

_MAX_KNOWN: Final = 10_000

Where = tuple[Key | Endpoint | None, int]
"""The Service or the address that an authority names (None: neither), and the port."""


class Sidecar:
    """One client's proxy. ``namespace`` is the client's own: its profiles are found first."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        name: str,
        namespace: str = "default",
        clock: Clock,
        rng: random.Random,
        counts: Counts,
    ) -> None:
        self.name = name
        self.url = ""
        self._proxy = Proxy(
            config,
            namespace=namespace,
            identity=f"{name}.{namespace}.serviceaccount.identity.linkerd.cluster.local",
            is_gateway=False,
            clock=clock,
            rng=rng,
            counts=counts,
        )
        self._domain = config.domain
        self._known: dict[bytes, Where] = {}

    async def start(self, ip: str) -> str:
        """Listen on any port of a pod's address; returns the URL for the client's settings."""
        bound = await self._proxy.listen(wire(ip), 0, lambda known: Downstream(self._serve, known))
        self.url = f"http://{bound[0]}:{bound[1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening and abort all connections."""
        await self._proxy.stop()

    def _serve(self, down: Downstream, request: Request) -> None:
        authority, path = split_target(request)
        where = self._known.get(authority)
        if where is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            where = self._known[authority] = read_authority(authority, self._domain)
        target, port = where
        if target is None:
            down.reply(502, "no such host")
            return
        fields = end_to_end(request)
        if first(fields, b"host") is None:
            fields.insert(0, (b"host", authority))
        errand = Errand(down, request, path, fields, port, is_opaque(request))
        if isinstance(target, Endpoint):
            self._proxy.send_to(errand, target)
        else:
            self._proxy.send(errand, target)


def split_target(request: Request) -> tuple[bytes, bytes]:
    """Return authority and path of a request in absolute form, or in origin form by its Host."""
    target = request.target
    if target.startswith(b"/"):
        return first(request.fields, b"host") or b"", target
    authority, slash, path = target.partition(b"://")[2].partition(b"/")
    authority, question, query = authority.partition(b"?")
    return authority, b"/" + (question + query if question and not slash else path)


def read_authority(authority: bytes, domain: str) -> Where:
    """Return what an authority names. Only addresses of pods count as addresses."""
    host, _, digits = authority.decode("latin-1").partition(":")
    if digits and not digits.isdecimal():
        return None, 0
    port = int(digits) if digits else 80
    if is_pod_ip(host):
        return Endpoint(host, port), port
    return service_of_name(host.lower(), domain), port
