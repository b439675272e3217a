"""The objects that fill two API servers: Services with pods in legacy, some of them in eks, and mirrors.

Each Service has one EndpointSlice with three ready pods. Every Service of one cluster has its mirror in
the other, with one EndpointSlice that leads to a gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.local.observed import FLEETS
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import SERVICES, SLICES, Resource
from deploy.stand_ins.mesh.mirror import RemoteGateway, mirror_service, mirror_slice
from deploy.stand_ins.mesh.objects import Pod, service_object, slice_object

NAMESPACE = "default"
PODS = 3
POD_PORT = 8080
NAMED = 1_000
"""How many Services a Fleet names."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """How many Services stand in legacy, and how many of these stand in eks too. ``fleet``: a Fleet in legacy names
    :data:`NAMED` of these, in a wave that waits for a person."""

    legacy: int
    eks: int
    fleet: bool = False

    def own(self, cluster: str) -> int:
        """Count the Services of a cluster that are no mirrors."""
        return self.legacy if cluster == LEGACY else self.eks

    def objects(self, cluster: str) -> Iterator[tuple[Resource, dict[str, Any]]]:
        """Return everything that stands in a cluster."""
        far = EKS if cluster == LEGACY else LEGACY
        gateway = RemoteGateway(
            far, "10.255.0.1", "linkerd-gateway.linkerd-multicluster.identity.cluster.local"
        )
        for number in range(self.own(cluster)):
            key = (NAMESPACE, service_name(number))
            yield SERVICES, service_object(key)
            yield SLICES, slice_object(key, _pods(cluster, number), POD_PORT)
        for number in range(self.own(far)):
            mirror = mirror_service(service_object((NAMESPACE, service_name(number))), far)
            yield SERVICES, mirror
            yield SLICES, mirror_slice(mirror, gateway, "ready")
        if self.fleet and cluster == LEGACY:
            yield FLEETS, _fleet(min(self.eks, NAMED))

    def told(self) -> str:
        """Return in words what there is."""
        services = self.legacy + self.eks
        return (
            f"legacy: {self.legacy:,} Services, {self.eks:,} mirrors; eks: {self.eks:,} Services,"
            f" {self.legacy:,} mirrors; an EndpointSlice each ({services:,} with {PODS} pods,"
            f" {services:,} with a gateway){f', {NAMED:,} of them in a Fleet' if self.fleet else ''}"
        )


def _fleet(size: int) -> dict[str, Any]:
    names = [service_name(number) for number in range(size)]
    half = size // 2
    services = [{"namespace": NAMESPACE, "names": some} for some in (names[:half], names[half:])]
    wave = {"name": "everybody", "opens": "byHand", "services": services}
    return {"metadata": {"name": "to-eks"}, "spec": {"target": EKS, "waves": [wave]}}


def service_name(number: int) -> str:
    """Return the name of a Service; the same number is the same Service in both clusters."""
    return f"service-{number}"


def _pods(cluster: str, number: int) -> list[Pod]:
    net = 1 if cluster == LEGACY else 2
    first = number * PODS
    return [
        Pod(
            f"{service_name(number)}-7d9c5b6f4-{at:05x}",
            f"10.{net + 2 * (at // 65536)}.{at // 256 % 256}.{at % 256}",
        )
        for at in range(first, first + PODS)
    ]
