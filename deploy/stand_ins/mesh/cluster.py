"""One cluster of the pair: its objects as its proxies see them, its gateway, sidecars and pods."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from deploy.stand_ins.mesh.adaptor import SmiAdaptor
from deploy.stand_ins.mesh.addresses import AddressBlock, wire
from deploy.stand_ins.mesh.clock import Clock
from deploy.stand_ins.mesh.config import ClusterConfig, Key, Kind, profile_name
from deploy.stand_ins.mesh.counts import Counts, MetricsPage
from deploy.stand_ins.mesh.gateway import NAMESPACE as GATEWAYS
from deploy.stand_ins.mesh.gateway import Gateway
from deploy.stand_ins.mesh.kube import (
    OLDER_ROUTES,
    PROFILES,
    ROUTES,
    SERVICES,
    SLICES,
    ApiAccess,
    KubeClient,
    Resource,
)
from deploy.stand_ins.mesh.load import Load
from deploy.stand_ins.mesh.objects import NO_PORTS, Pod, service_object, slice_object
from deploy.stand_ins.mesh.policy import PolicyController
from deploy.stand_ins.mesh.sidecar import Sidecar
from deploy.stand_ins.mesh.watch import Follow
from deploy.stand_ins.mesh.workload import Workload

LISTED_WITHIN_S: Final = 30.0
_FOLLOWED: Final[tuple[tuple[Kind, Resource], ...]] = (
    ("Service", SERVICES),
    ("EndpointSlice", SLICES),
    ("HTTPRoute", ROUTES),
    ("OlderHTTPRoute", OLDER_ROUTES),
    ("ServiceProfile", PROFILES),
)


class MeshCluster:
    """Made by Mesh. ``rng`` gives each part a generator of its own, so that runs repeat.

    ``far`` is the other cluster. ``config`` holds its objects, and what its Linkerd knows: one
    without HTTPRoutes of the Gateway API neither obeys them nor writes their status.
    """

    def __init__(
        self,
        name: str,
        access: ApiAccess,
        *,
        far: str,
        addresses: AddressBlock,
        clock: Clock,
        rng: Callable[[str], random.Random],
        trust_domain: str,
        config: ClusterConfig,
    ) -> None:
        self.name = name
        self.config = config
        self._access = access
        self._addresses = addresses
        self._clock = clock
        self._rng = rng
        self._far = far
        self.metrics = MetricsPage()
        self.gateway = Gateway(
            self.config,
            ip=addresses.take(),
            clock=clock,
            rng=rng(f"{name}/gateway"),
            counts=self._counts("linkerd-gateway", GATEWAYS),
            trust_domain=trust_domain,
        )
        self._sidecars: dict[Key, Sidecar] = {}
        self._workloads: dict[Key, Workload] = {}
        self._loads: list[Load] = []
        self._following: list[asyncio.Task[None]] = []
        self.api: KubeClient
        self.adaptor: SmiAdaptor
        self.policy_controller: PolicyController

    async def start(self) -> None:
        """List all objects and open the gateway. Raises TimeoutError, OSError."""
        self.api = KubeClient(self._access)
        loop = asyncio.get_running_loop()
        followers = [self._follower(kind, resource) for kind, resource in _FOLLOWED]
        self._following = [loop.create_task(f.run()) for f in followers]
        async with asyncio.timeout(LISTED_WITHIN_S):
            for follower in followers:
                await follower.listed.wait()
            await self._start_controllers()
        await self.gateway.start()
        await self.metrics.start(wire(self._addresses.take()))

    async def _start_controllers(self) -> None:
        self.adaptor = SmiAdaptor(self.api, self._rng(f"{self.name}/adaptor"), self.config.domain)
        await self.adaptor.start()
        self.policy_controller = PolicyController(
            self.api, self.config, self._rng(f"{self.name}/policy")
        )
        if self.config.http_routes:
            await self.policy_controller.start()

    async def stop(self) -> None:
        """End everything of this cluster."""
        await asyncio.gather(*(load.stop() for load in self._loads))
        await self.adaptor.stop()
        await self.policy_controller.stop()
        for sidecar in self._sidecars.values():
            await sidecar.stop()
        await self.gateway.stop()
        await self.metrics.stop()
        for workload in self._workloads.values():
            await workload.stop()
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self.api.close()

    async def sidecar(self, name: str, namespace: str = "default") -> str:
        """Return the proxy URL of a client by that name, made at its first use."""
        sidecar = self._sidecars.get((namespace, name))
        if sidecar is None:
            sidecar = Sidecar(
                self.config,
                name=name,
                namespace=namespace,
                clock=self._clock,
                rng=self._rng(f"{self.name}/{namespace}/{name}"),
                counts=self._counts(name, namespace),
            )
            await sidecar.start(self._addresses.take())
            self._sidecars[namespace, name] = sidecar
        return sidecar.url

    async def workload(
        self,
        service: Key,
        pods: int = 2,
        *,
        beside: Mapping[str, int] = NO_PORTS,
    ) -> Workload:
        """Start the pods of a Service, which listen on ports ``beside`` their first too; the Service object is the
        caller's business."""
        workload = Workload(
            service,
            self.name,
            objects=self.api,
            addresses=self._addresses,
            rng=self._rng(f"{self.name}/workload/{service}"),
            beside=beside,
            count=partial(self._counts, service[1], service[0]),
        )
        self._workloads[service] = workload
        await workload.start(pods)
        return workload

    async def register(
        self, service: Key, port: int, addresses: Sequence[str], target_port: int
    ) -> None:
        """Make an exported Service over pods that run elsewhere, at these addresses."""
        pods = [Pod(f"{service[1]}-{n}", ip) for n, ip in enumerate(addresses)]
        await self.api.apply(SERVICES, service_object(service, port))
        await self.api.apply(SLICES, slice_object(service, pods, target_port))

    async def load(
        self,
        service: Key,
        *,
        caller: str,
        rate_hz: float = 25.0,
        port: int = 80,
        dials_pods: bool = False,
        opaque: bool = False,
    ) -> Load:
        """Start load on a Service from a caller of this cluster.

        ``dials_pods``: as an ingress that sends to the Service's endpoints itself, or whoever uses a headless
        Service (33). ``opaque``: the caller does not speak HTTP (24).
        """
        proxy = await self.sidecar(caller)
        authority = profile_name(service, self.config.domain)
        authority += "" if port == 80 else f":{port}"
        load = Load(
            proxy,
            f"http://{authority}/",
            rng=self._rng(f"{self.name}/load/{caller}/{service}"),
            rate_hz=rate_hz,
            dial=partial(self._pods_of, service, port) if dials_pods else None,
            opaque=opaque,
        )
        load.start()
        self._loads.append(load)
        return load

    def _pods_of(self, service: Key, port: int) -> Sequence[str]:
        found = self.config.endpoints(service).get(port, ())
        return [f"{each.ip}:{each.port}" for each in found]

    def _counts(self, name: str, namespace: str, pod: str = "") -> Counts:
        counts = Counts(namespace=namespace, name=name, far=self._far, pod=pod)
        return self.metrics.add(counts)

    def _follower(self, kind: Kind, resource: Resource) -> Follow:
        return Follow(
            self.api,
            resource,
            put=partial(self.config.put, kind),
            drop=partial(self.config.drop, kind),
            rng=self._rng(f"{self.name}/follow/{kind}"),
            optional=resource is OLDER_ROUTES,
        )
