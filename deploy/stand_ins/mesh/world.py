"""The pair: two clusters linked both ways, on one machine and one event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from deploy.stand_ins.mesh.addresses import AddressBlock
from deploy.stand_ins.mesh.clock import Clock, LoopClock
from deploy.stand_ins.mesh.cluster import MeshCluster
from deploy.stand_ins.mesh.config import ClusterConfig, Key, key_of
from deploy.stand_ins.mesh.gateway import Gateway
from deploy.stand_ins.mesh.kube import LINKS, ApiAccess
from deploy.stand_ins.mesh.mirror import PROBING, REPAIR_S, Probing, RemoteGateway, ServiceMirror
from deploy.stand_ins.mesh.objects import NO_PORTS, link_object
from deploy.stand_ins.mesh.workload import Workload

LEGACY = "legacy"
EKS = "eks"


class Mesh:
    """Both clusters, their Links and mirrors. Runs between :meth:`start` and :meth:`stop`.

    ``trust_domains``: that of legacy and that of eks; with different ones the first bounce of a
    request passes silently (docs/mesh-facts.md, 4). ``seed`` fixes all that is drawn. ``configs``:
    what Linkerd in legacy and in eks knows, empty of objects. ``repair_s``: how often mirrors are repaired (29).
    """

    def __init__(
        self,
        legacy_api: ApiAccess,
        eks_api: ApiAccess,
        *,
        seed: int = 1,
        trust_domains: tuple[str, str] = ("cluster.local", "cluster.local"),
        clock: Clock | None = None,
        probing: Probing = PROBING,
        configs: tuple[ClusterConfig, ClusterConfig] | None = None,
        repair_s: float = REPAIR_S,
    ) -> None:
        self._repair_s = repair_s
        self._seed = seed
        self._probing = probing
        self.addresses = AddressBlock(random.Random())
        self.clusters = {
            name: MeshCluster(
                name,
                access,
                far=EKS if name == LEGACY else LEGACY,
                addresses=self.addresses,
                clock=clock or LoopClock(),
                rng=self._rng,
                trust_domain=trust_domain,
                config=config,
            )
            for name, access, trust_domain, config in zip(
                (LEGACY, EKS),
                (legacy_api, eks_api),
                trust_domains,
                configs or (ClusterConfig(), ClusterConfig()),
                strict=True,
            )
        }
        self._mirrors: list[ServiceMirror] = []

    async def start(self) -> None:
        """List, listen, mirror. Raises TimeoutError and OSError."""
        await asyncio.gather(*(cluster.start() for cluster in self.clusters.values()))
        for here, there in ((LEGACY, EKS), (EKS, LEGACY)):
            gateway, domain = self.clusters[there].gateway, self.clusters[there].config.domain
            mirror = ServiceMirror(
                self.clusters[here].api,
                self.clusters[there].api,
                RemoteGateway(there, gateway.ip, gateway.identity, domain),
                rng=self._rng(f"{here}/mirror"),
                probing=self._probing,
                repair_s=self._repair_s,
            )
            self._mirrors.append(mirror)
            link = link_object(there, gateway.ip, gateway.identity, domain)
            # One of a run before leads to a gateway that is gone.
            await self.clusters[here].api.delete(LINKS, key_of(link))
            await self.clusters[here].api.apply(LINKS, link)
            await mirror.start()

    async def stop(self) -> None:
        """End everything; the objects in both clusters stay."""
        for mirror in self._mirrors:
            await mirror.stop()
        for cluster in self.clusters.values():
            await cluster.stop()
        self.addresses.release()

    async def mirrored(self) -> None:
        """Wait until the mirrors are as the Services heard of so far ask."""
        for mirror in self._mirrors:
            await mirror.settle()

    async def sidecar(self, cluster: str, name: str, namespace: str = "default") -> str:
        """Return the proxy URL of a client of that name, made at its first use."""
        return await self.clusters[cluster].sidecar(name, namespace)

    async def workload(
        self,
        service: Key,
        cluster: str,
        pods: int = 2,
        *,
        beside: Mapping[str, int] = NO_PORTS,
    ) -> Workload:
        """Start a Service's pods in a cluster, which listen on ports ``beside`` their first too."""
        return await self.clusters[cluster].workload(service, pods, beside=beside)

    def gateway(self, cluster: str) -> Gateway:
        """Return a cluster's gateway."""
        return self.clusters[cluster].gateway

    def cut_link(self, start: str, end: str) -> None:
        """Let nothing through from one cluster to the other; the other direction is not touched."""
        self._gateway_of_link(start, end).cut()

    def heal_link(self, start: str, end: str) -> None:
        """Let it through again."""
        self._gateway_of_link(start, end).heal()

    def _gateway_of_link(self, start: str, end: str) -> Gateway:
        # All that goes from one cluster to the other enters by the other's gateway.
        if {start, end} != {LEGACY, EKS}:
            raise ValueError(f"no link leads from {start!r} to {end!r}")
        return self.clusters[end].gateway

    def _rng(self, part: str) -> random.Random:
        return random.Random(f"{self._seed}/{part}")
