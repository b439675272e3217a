"""A pair of clusters without API servers for the tests of the mesh: objects go straight to the config."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.stand_ins.mesh.adaptor import with_overrides, without_overrides
from deploy.stand_ins.mesh.addresses import AddressBlock
from deploy.stand_ins.mesh.config import DOMAIN, ClusterConfig, Key, Object, profile_name
from deploy.stand_ins.mesh.counts import Counts, MetricsPage
from deploy.stand_ins.mesh.gateway import NAMESPACE, Gateway
from deploy.stand_ins.mesh.http1 import Response, first, parse_response, response_body
from deploy.stand_ins.mesh.kube import Resource
from deploy.stand_ins.mesh.mirror import Reach, RemoteGateway, mirror_service, mirror_slice
from deploy.stand_ins.mesh.objects import service_object
from deploy.stand_ins.mesh.sidecar import Sidecar
from deploy.stand_ins.mesh.workload import Workload

WEB: Key = ("default", "web")
URL = "http://web.default.svc.cluster.local/"
CLUSTERS = ("legacy", "eks")
PROPAGATED_S = 0.2
"""Longer than any change takes to reach a proxy."""


@dataclass(slots=True)
class _Timer:
    when: float
    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None


@dataclass(slots=True)
class ManualClock:
    """Stands still until advanced."""

    seconds: float = 1000.0
    _due: list[tuple[float, int, _Timer]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def now(self) -> float:
        """Return the seconds."""
        return self.seconds

    def call_at(self, when: float, call: Callable[[], None]) -> _Timer:
        """Run the call when time is advanced to that point."""
        timer = _Timer(when, call)
        heapq.heappush(self._due, (when, next(self._order), timer))
        return timer

    def waiting_for(self, when: float) -> bool:
        """Whether something still wants to run at that time."""
        return any(t.call is not None and abs(t.when - when) < 1e-6 for _, _, t in self._due)

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due on the way."""
        end = self.seconds + seconds
        while self._due and self._due[0][0] <= end:
            self.seconds, _, timer = heapq.heappop(self._due)
            if timer.call is not None:
                timer.call()
        self.seconds = end


@dataclass(slots=True)
class Store:
    """Takes what would be written to an API server."""

    config: ClusterConfig

    async def apply(self, resource: Resource, obj: Object, *, exists: bool = False) -> None:
        """As an API server."""
        self.config.put(resource.kind, obj)

    async def delete(self, resource: Resource, key: Key) -> None:
        """As an API server."""
        self.config.drop(resource.kind, key)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got; status 0 when the connection was closed on it."""

    status: int
    cluster: str = ""
    host: str = ""
    proxy_error: str = ""


class Client:
    """A client with one kept connection to its sidecar."""

    def __init__(self, proxy_url: str) -> None:
        self.proxy_url = proxy_url
        proxy = urlsplit(proxy_url)
        self._proxy = (proxy.hostname, proxy.port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, url: str = URL, host: str = "client.example") -> Answer:
        """Ask once."""
        request = f"GET {url} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._proxy)
        reader, writer = self._streams
        writer.write(request)
        try:
            async with asyncio.timeout(30):
                response, body = await read_response(reader)
        except (EOFError, ConnectionError):
            self.close()
            return Answer(0)
        if not response.keep_alive:
            self.close()
        told = json.loads(body) if body else {}
        error = first(response.fields, b"l5d-proxy-error") or b""
        return Answer(
            response.status, told.get("cluster", ""), told.get("host", ""), error.decode()
        )

    async def count(self, times: int, url: str = URL) -> Counter[str]:
        """Ask so often; count by the cluster that answered, else by status."""
        counts: Counter[str] = Counter()
        for _ in range(times):
            answer = await self.get(url)
            counts[answer.cluster or str(answer.status)] += 1
        return counts

    def close(self) -> None:
        """Close at once."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def read_response(reader: asyncio.StreamReader) -> tuple[Response, bytes]:
    """Read one answer with its body, chunks as they came."""
    block = await reader.readuntil(b"\r\n\r\n")
    response = parse_response(block[:-4])
    body = response_body(response, to_head=False)
    content = b""
    while not body.done:
        data = await reader.read(65536)
        if not data:
            break
        content += data
        body.take(data)
    return response, content


def split_object(
    weights: Sequence[tuple[str, float | str]], service: str = "web", made: str = "", name: str = ""
) -> dict[str, Any]:
    """Return a TrafficSplit in namespace default."""
    meta = {"name": name or service, "namespace": "default"}
    if made:
        meta["creationTimestamp"] = made
    backends = [{"service": backend, "weight": weight} for backend, weight in weights]
    return {"metadata": meta, "spec": {"service": service, "backends": backends}}


def route_object(
    weights: Sequence[tuple[str, float]],
    service: str = "web",
    *,
    name: str = "",
    made: str = "",
    matches: Sequence[object] = (),
) -> dict[str, Any]:
    """Return an HTTPRoute in namespace default."""
    refs = [{"name": backend, "port": 80, "weight": weight} for backend, weight in weights]
    parent = {"group": "", "kind": "Service", "name": service, "port": 80}
    rule: dict[str, Any] = {"backendRefs": refs}
    if matches:
        rule["matches"] = list(matches)
    meta = {"name": name or service, "namespace": "default"}
    if made:
        meta["creationTimestamp"] = made
    return {"metadata": meta, "spec": {"parentRefs": [parent], "rules": [rule]}}


def profile_object(
    namespace: str,
    service: str = "web",
    routes: Sequence[object] = (),
    domain: str = DOMAIN,
    **spec: object,
) -> dict[str, Any]:
    """Return a ServiceProfile of that namespace, for a Service of namespace default."""
    named = profile_name(("default", service), domain)
    return {
        "metadata": {"name": named, "namespace": namespace},
        "spec": {"routes": list(routes), **spec},
    }


def write_split(config: ClusterConfig, split: Object) -> None:
    """Write into the config what the SMI adaptor makes of a TrafficSplit."""
    namespace, name = split["metadata"]["namespace"], split["spec"]["service"]
    profile = config.profile((namespace, profile_name((namespace, name), config.domain)))
    config.put("ServiceProfile", with_overrides(split, profile, config.domain))


def delete_split(config: ClusterConfig, service: Key = WEB) -> None:
    """Take away what the SMI adaptor takes away when the TrafficSplit of a Service is deleted."""
    profile = config.profile((service[0], profile_name(service, config.domain)))
    if profile is not None:
        config.put("ServiceProfile", without_overrides(profile))


@dataclass(slots=True)
class Side:
    """One cluster. ``other`` is the name of the other one."""

    name: str
    other: str
    config: ClusterConfig
    store: Store
    gateway: Gateway
    workload: Workload
    pair: Pair
    counts: Counts
    page: MetricsPage
    sidecars: list[Sidecar] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def client(self, seed: int = 0, namespace: str = "default") -> Client:
        """Return a client with a sidecar of its own, fresh to every name."""
        sidecar = Sidecar(
            self.config,
            name="client",
            namespace=namespace,
            clock=self.pair.clock,
            rng=random.Random(f"{self.pair.seed}/{self.name}/{seed}"),
            counts=self.counts,
        )
        client = Client(await sidecar.start(self.pair.addresses.take()))
        self.sidecars.append(sidecar)
        self.clients.append(client)
        return client

    def split(self, away: float, scale: int = 1000) -> None:
        """Write a split that sends that share to the other cluster."""
        home = round(scale * (1 - away))
        write_split(self.config, split_object([("web", home), (f"web-{self.other}", scale - home)]))

    def write(self, weights: Sequence[tuple[str, float]]) -> None:
        """Write a split with these weights."""
        write_split(self.config, split_object(weights))

    def unsplit(self) -> None:
        """Delete the split."""
        delete_split(self.config)

    def pin(self, domain: str = "") -> None:
        """Pin the gateway of this cluster, by the name of web in its own domain or in this one."""
        pin = profile_object(NAMESPACE, domain=domain or self.config.domain)
        self.config.put("ServiceProfile", pin)

    def unpin(self) -> None:
        """Delete the pin."""
        self.config.drop("ServiceProfile", (NAMESPACE, profile_name(WEB, self.config.domain)))

    def mirror(self, reach: Reach = "ready") -> None:
        """Write the mirror of the other cluster's web."""
        there = self.pair.sides[self.other]
        gateway, domain = there.gateway, there.config.domain
        remote = RemoteGateway(self.other, gateway.ip, gateway.identity, domain)
        mirror = mirror_service(service_object(WEB), self.other, domain)
        self.config.put("Service", mirror)
        self.config.put("EndpointSlice", mirror_slice(mirror, remote, reach))

    def empty(self) -> None:
        """Leave the local web without ready endpoints, its pods unharmed."""
        known = self.config._slices[WEB]
        for piece in list(known.values()):
            self.config.put("EndpointSlice", {**piece, "endpoints": []})


@dataclass(slots=True)
class Pair:
    """Both clusters, each with Service web of one pod, mirrored into the other."""

    seed: int
    clock: ManualClock
    addresses: AddressBlock
    sides: dict[str, Side] = field(default_factory=dict)

    @property
    def legacy(self) -> Side:
        """The old cluster."""
        return self.sides["legacy"]

    @property
    def eks(self) -> Side:
        """The new cluster."""
        return self.sides["eks"]

    def propagate(self) -> None:
        """Let every change of before arrive at the proxies."""
        self.clock.advance(PROPAGATED_S)


@contextlib.asynccontextmanager
async def running_pair(
    seed: int = 1,
    trust_domains: tuple[str, str] = ("cluster.local", "cluster.local"),
    pods: int = 1,
    domains: tuple[str, str] = (DOMAIN, DOMAIN),
) -> AsyncIterator[Pair]:
    """Run a pair of clusters. ``domains`` are those of their DNS."""
    pair = Pair(seed, ManualClock(), AddressBlock(random.Random()))
    try:
        each = zip(CLUSTERS, reversed(CLUSTERS), trust_domains, domains, strict=True)
        for name, other, trust_domain, domain in each:
            config = ClusterConfig(domain=domain)
            pair.sides[name] = await _side(pair, name, other, trust_domain, pods, config)
        for side in pair.sides.values():
            side.mirror()
        yield pair
    finally:
        for side in pair.sides.values():
            for client in side.clients:
                client.close()
            for sidecar in side.sidecars:
                await sidecar.stop()
            await side.gateway.stop()
            await side.workload.stop()
        pair.addresses.release()


async def _side(
    pair: Pair, name: str, other: str, trust_domain: str, pods: int, config: ClusterConfig
) -> Side:
    counts = Counts(namespace="default", name="client", far=other)
    gateway = Gateway(
        config,
        ip=pair.addresses.take(),
        clock=pair.clock,
        counts=Counts(namespace=NAMESPACE, name="linkerd-gateway", far=other),
        rng=random.Random(f"{pair.seed}/{name}/gateway"),
        trust_domain=trust_domain,
        loop_penalty_s=0.0,
    )
    page = MetricsPage()
    workload = Workload(
        WEB,
        name,
        objects=Store(config),
        addresses=pair.addresses,
        rng=random.Random(pair.seed),
        count=lambda pod: page.add(Counts(namespace="default", name="web", far=other, pod=pod)),
    )
    config.put("Service", service_object(WEB))
    await workload.start(pods)
    await gateway.start()
    return Side(name, other, config, Store(config), gateway, workload, pair, counts, page)


async def until(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    """Poll until true; TimeoutError after the deadline."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)
