"""Two linked clusters for a preflight's tests: embedded API servers, and one kubeconfig that names both."""

from __future__ import annotations

import asyncio
import copy
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from controller.domain import PREFIX, Key
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh.mirror import Reach, RemoteGateway, mirror_service, mirror_slice
from deploy.stand_ins.mesh.objects import Pod, link_object, service_object, slice_object
from tests.unit.cli.cli_cluster import Ended, decoded, run

Json = dict[str, Any]
FAR = {"legacy": "eks", "eks": "legacy"}
IDENTITY = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
GATEWAYS = "linkerd-multicluster"
SERVICE = Key("default", "service-a")

KINDS = {
    "services": ("v1", "Service"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
    "links": ("multicluster.linkerd.io/v1alpha3", "Link"),
    "trafficsplits": ("split.smi-spec.io/v1alpha2", "TrafficSplit"),
    "serviceprofiles": ("linkerd.io/v1alpha2", "ServiceProfile"),
    "httproutes": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "grpcroutes": ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    "httproutes.policy.linkerd.io": ("policy.linkerd.io/v1beta3", "HTTPRoute"),
    "namespaces": ("v1", "Namespace"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
    "fleets": ("migrate.tradeshift/v1alpha1", "Fleet"),
    "migrations": ("migrate.tradeshift/v1alpha1", "Migration"),
}


def well(cluster: str, name: str, namespace: str, *, pods: int = 2) -> Iterator[tuple[str, Json]]:
    """The objects in one cluster of a Service that is well in both, each with its plural."""
    yield "services", service_object((namespace, name))
    yield "endpointslices", pods_slice(name, namespace, pods)
    yield from mirrored(FAR[cluster], name, namespace)


def pods_slice(name: str, namespace: str, count: int) -> Json:
    """The EndpointSlice of so many ready pods, whose addresses no other Service's have."""
    block = zlib.crc32(f"{namespace}/{name}".encode()) % 65536
    ready = [Pod(f"{name}-{n}", f"10.{1 + n}.{block >> 8}.{block & 255}") for n in range(count)]
    return slice_object((namespace, name), ready, 8080)


def mirrored(
    of: str, name: str, namespace: str, *, reach: Reach = "ready", identity: str = IDENTITY
) -> Iterator[tuple[str, Json]]:
    """The mirror of a Service of cluster ``of``, and its EndpointSlice."""
    made = mirror_service(service_object((namespace, name)), of)
    yield "services", made
    yield "endpointslices", mirror_slice(made, RemoteGateway(of, "10.9.9.9", identity), reach)


class CheckPair:
    """Legacy and eks, each with a Link to the other; ``put`` and ``run`` are what a test does with them."""

    def __init__(self, apis: dict[str, EmbeddedApi], kubeconfig: Path) -> None:
        self.apis = apis
        self.kubeconfig = kubeconfig
        merged: Json = {"apiVersion": "v1", "kind": "Config", "current-context": "legacy"}
        for part in ("clusters", "users", "contexts"):
            merged[part] = [each for api in apis.values() for each in api.kubeconfig()[part]]
        kubeconfig.write_text(yaml.safe_dump(merged))
        for cluster, far in FAR.items():
            self.put(cluster, "links", link_object(far, "10.9.9.9", IDENTITY))

    # --- what there is ------------------------------------------------------------------------------

    def put(self, cluster: str, plural: str, body: Json) -> None:
        """Store an object."""
        version, kind = KINDS[plural]
        self.apis[cluster].put({"apiVersion": version, "kind": kind, **body})

    def get(self, cluster: str, plural: str, name: str, namespace: str = "default") -> Json:
        """Return an object as it is stored, without what the server put there."""
        found = self.apis[cluster].store.get(plural, namespace, name)
        assert found is not None
        body: Json = copy.deepcopy(found.body)
        meta = body["metadata"]
        kept = {k: meta[k] for k in ("name", "namespace", "labels", "annotations") if k in meta}
        return {**body, "metadata": kept}

    def remove(self, cluster: str, plural: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        self.apis[cluster].remove(plural, namespace, name)

    def change(self, cluster: str, plural: str, name: str, **spec: Any) -> None:
        """Change the spec of an object."""
        found = self.get(cluster, plural, name)
        self.put(cluster, plural, {**found, "spec": {**found["spec"], **spec}})

    def annotate(self, cluster: str, name: str, **notes: str) -> None:
        """Write annotations of ours on a Service."""
        found = self.get(cluster, "services", name)
        specs = {PREFIX + key.replace("_", "-"): value for key, value in notes.items()}
        found["metadata"]["annotations"] = specs
        self.put(cluster, "services", found)

    def service(
        self, name: str = "service-a", namespace: str = "default", *, pods: int = 2
    ) -> None:
        """A Service that is well in both clusters: exported, mirrored, with ready pods."""
        for cluster in self.apis:
            for plural, body in well(cluster, name, namespace, pods=pods):
                self.put(cluster, plural, body)

    def pods(self, cluster: str, name: str, count: int, namespace: str = "default") -> None:
        """Set how many pods are ready."""
        self.put(cluster, "endpointslices", pods_slice(name, namespace, count))

    def mirror(
        self,
        of: str,
        name: str,
        namespace: str = "default",
        *,
        reach: Reach = "ready",
        identity: str = IDENTITY,
    ) -> None:
        """The mirror, in the other cluster, of a Service of this one."""
        for plural, made in mirrored(of, name, namespace, reach=reach, identity=identity):
            self.put(FAR[of], plural, made)

    def split(self, cluster: str, local: Any, mirror: Any, **changed: Any) -> None:
        """Somebody's split of service-a."""
        backends = [
            {"service": "service-a", "weight": local},
            {"service": f"service-a-{FAR[cluster]}", "weight": mirror},
        ]
        spec = {"service": "service-a", "backends": backends, **changed}
        meta = {"name": "service-a", "namespace": "default"}
        self.put(cluster, "trafficsplits", {"metadata": meta, "spec": spec})

    # --- what is asked ------------------------------------------------------------------------------

    async def run(self, *argv: str) -> Ended:
        """Run the command to its end."""
        return await asyncio.to_thread(run, *argv, "--kubeconfig", str(self.kubeconfig))

    async def found(self, *argv: str, name: str = "service-a") -> dict[str, tuple[str, str]]:
        """Check, and give level and message by reason: of one Service, or of the clusters ("")."""
        done = await self.run("check", *(argv or (name,)), "-o", "json")
        assert done.out, done.err
        told = decoded(done.out)
        by_name = {each["service"]: each["findings"] for each in told["services"]}
        findings = by_name[name] if name else told["general"]
        return {each["reason"]: (each["level"], each["message"]) for each in findings}
