"""Two API servers with nothing behind them, the real controller process, and probers that say as told.

There is no mesh: mirrors and EndpointSlices are plain objects that the test makes, FakeProber stands in for the
probers, and the stand-ins of the SMI adaptor and the policy controller obey the splits. So what a test sees is what
the controller and the API servers do with each other.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.local.observed import weights_of
from deploy.servers.kube_apiserver import RealApi
from deploy.servers.processes import Program
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh.answering import Answering
from deploy.stand_ins.mesh.kube import ApiAccess, KubeClient
from tests.fakes.prober import FakeProber
from tests.real.client import Client, Json, connected, route, service, split

CLUSTERS = ("legacy", "eks")
FAR = {"legacy": "eks", "eks": "legacy"}
GATEWAYS = "linkerd-multicluster"
PREFIX = "migrate.tradeshift/"
QUICK = {"slo-success": "99", "probe-rate": "100", "dwell": "1s", "soak": "1s", "steps": "10,50"}
TOKEN = "for-this-test-only"
LEASE_S = 2
EXPORTED = {"mirror.linkerd.io/exported": "true"}

Server = EmbeddedApi | RealApi


AS_KUBERNETES = {
    "Impersonate-User": "system:serviceaccount:kube-system:endpointslice-controller",
    "Impersonate-Group": "system:masters",
}


class BarePair:
    """A namespace of the same name in two API servers, and a controller over both."""

    def __init__(
        self,
        clients: dict[str, Client],
        folder: Path,
        users: Mapping[str, Json] | None = None,
        kind: str = "auto",
    ) -> None:
        self.clients = clients
        self.kind = kind
        self.folder = folder
        self.users = users or {}
        self.namespace = f"t-{secrets.token_hex(4)}"
        # Rights name the lease that the chart has; without any, each test has its own.
        self.lease = "migrate-controller" if users else self.namespace
        self.probers = {name: FakeProber(name, TOKEN) for name in CLUSTERS}
        self.controller = Program("controller", folder / "controller.yaml", folder / "log")

    async def start(self) -> None:
        """Make the namespace, start the probers and the controller."""
        for client in self.clients.values():
            client.namespace = self.namespace
            made = await client.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
            assert made.status == 201
        for prober in self.probers.values():
            await prober.start()
        self._write_settings()
        self.controller.start()

    async def stop(self) -> None:
        """End everything but the API servers, where nothing that could start is left."""
        await self.controller.stop()
        for prober in self.probers.values():
            await prober.stop()
        for client in self.clients.values():
            await client.delete(client.fleets(self.namespace))
            mine = (client.core("services"), client.splits(), client.routes(), client.migrations())
            for path in mine:
                listed = await client.get(path)
                for name in listed.names if listed.status == 200 else ():
                    await client.delete(f"{path}/{name}")

    # --- what stands there ------------------------------------------------------------------------------

    async def exported(self, name: str, pods: int = 2) -> None:
        """A Service with ready pods in both clusters, and its mirrors, as Linkerd would make them."""
        for number, (cluster, client) in enumerate(self.clients.items()):
            own = service(name, labels=EXPORTED)
            await self._make(client, "services", own)
            addresses = [f"10.{number + 1}.0.{pod + 1}" for pod in range(pods)]
            await self._make(client, "slices", self._slice(name, addresses, pods=True))
            mirror = f"{name}-{FAR[cluster]}"
            labels = {
                "mirror.linkerd.io/mirrored-service": "true",
                "mirror.linkerd.io/cluster-name": FAR[cluster],
            }
            await self._make(client, "services", service(mirror, labels=labels))
            await self._make(client, "slices", self._slice(mirror, ["10.9.0.1"], pods=False))

    async def split_by_hand(
        self, cluster: str, name: str, *, local: int, mirror: int, spelled: str = ""
    ) -> None:
        """Somebody's split: an HTTPRoute in a pair of these, else a TrafficSplit whose ``spec.service`` is
        spelled so."""
        client = self.clients[cluster]
        backends = ((name, local), (f"{name}-{FAR[cluster]}", mirror))
        if self.kind == "httproute":
            made = await client.create(client.routes(), route(name, *backends))
        else:
            body = split(name, *backends)
            body["spec"]["service"] = spelled or name
            made = await client.create(client.splits(), body)
        assert made.status == 201, made.body

    async def annotate(self, name: str, **specs: str | None) -> None:
        """``kubectl annotate --overwrite`` in legacy; None removes."""
        client = self.clients["legacy"]
        named = {PREFIX + key.replace("_", "-"): value for key, value in specs.items()}
        path = client.core("services", name)
        done = await client.merge(path, {"metadata": {"annotations": named}})
        assert done.status == 200, done.body

    # --- what is seen -----------------------------------------------------------------------------------

    async def split(self, cluster: str, name: str, version: str = "v1alpha1") -> Json:
        """Return the split of a cluster, of whichever kind it is."""
        client = self.clients[cluster]
        for path in (client.splits(name, version), client.routes(name)):
            found = await client.get(path)
            if found.status == 200:
                return found.body
        return {}

    async def pin(self, cluster: str, name: str) -> Json:
        """Return the pin of a cluster's gateway, {} where there is none."""
        profile = f"{name}.{self.namespace}.svc.cluster.local"
        path = f"/apis/linkerd.io/v1alpha2/namespaces/{GATEWAYS}/serviceprofiles/{profile}"
        found = await self.clients[cluster].get(path)
        return found.body if found.status == 200 else {}

    async def migration(self, name: str) -> Json:
        """Return the Migration beside the Service, {} where there is none yet."""
        found = await self.clients["legacy"].get(self.clients["legacy"].migrations(name))
        return found.body if found.status == 200 else {}

    async def status(self, name: str) -> Json:
        """Return its status."""
        found: Json = (await self.migration(name)).get("status") or {}
        return found

    async def condition(self, name: str, kind: str) -> str:
        """Return a condition's status as ``kubectl wait --for=condition=...`` reads it, "" where it is not there."""
        conditions = (await self.status(name)).get("conditions", [])
        return next((str(c["status"]) for c in conditions if c["type"] == kind), "")

    async def events(self, name: str) -> list[Json]:
        """Return the Events on the Service."""
        listed = await self.clients["legacy"].get(self.clients["legacy"].core("events"))
        return [e for e in listed.body["items"] if e["involvedObject"]["name"] == name]

    async def shares(self, name: str) -> tuple[int, ...]:
        """Return what eks serves of each cluster's calls, per mille, by the weights."""
        return tuple([share_of(await self.split(cluster, name), cluster) for cluster in CLUSTERS])

    async def until(
        self, holds: Callable[[], Awaitable[bool]], otherwise: str, name: str, limit_s: float = 40.0
    ) -> None:
        """Wait for a condition; fails with what the Migration says."""
        try:
            async with asyncio.timeout(limit_s):
                while not await holds():  # noqa: ASYNC110 - what it waits for is in another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            status = await self.status(name)
            said = {key: status.get(key) for key in ("phase", "share", "reason", "message")}
            story = f"{otherwise}; it says {said}\n{self.controller.tail(25)}"
            raise AssertionError(story) from None

    async def stands(self, name: str, *shares: int) -> None:
        """Wait until both splits stand at these shares, per mille."""

        async def there() -> bool:
            return await self.shares(name) == shares

        await self.until(there, f"the splits do not stand at {shares}", name)

    async def fulfilled(self, name: str, kind: str) -> None:
        """``kubectl wait --for=condition=<kind> migration/<name>``."""

        async def met() -> bool:
            return await self.condition(name, kind) == "True"

        await self.until(met, f"{kind} is not True", name)

    # --- how it is done -----------------------------------------------------------------------------------

    async def _make(self, client: Client, what: str, body: Json) -> None:
        path = client.core("services")
        if what == "slices":
            path = client.group("discovery.k8s.io", "v1", "endpointslices")
        # Kubernetes makes EndpointSlices: with the admission policies in force nobody else may.
        made = await client.send(
            "POST", path, body, headers=AS_KUBERNETES if what == "slices" else {}
        )
        assert made.status == 201, made.body

    def _slice(self, name: str, addresses: list[str], *, pods: bool) -> Json:
        endpoints: list[Json] = []
        for number, address in enumerate(addresses):
            endpoint: Json = {"addresses": [address], "conditions": {"ready": True}}
            if pods:
                ref = {"kind": "Pod", "name": f"{name}-{number}", "namespace": self.namespace}
                endpoint["targetRef"] = ref
            endpoints.append(endpoint)
        identity = f"linkerd-gateway.{GATEWAYS}.serviceaccount.identity.linkerd.cluster.local"
        annotations = {} if pods else {"mirror.linkerd.io/remote-gateway-identity": identity}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-abcde",
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": (
                        "endpointslicemirroring-controller.k8s.io"
                        if annotations
                        else "endpointslice-controller.k8s.io"
                    ),
                },
                "annotations": annotations,
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080 if pods else 4143}],
        }

    def _write_settings(self) -> None:
        for name, client in self.clients.items():
            config = client.server.kubeconfig()
            if name in self.users:
                config["users"][0]["user"] = self.users[name]
            (self.folder / f"{name}.kubeconfig").write_text(yaml.safe_dump(config))
        (self.folder / "token").write_text(TOKEN)
        settings = {
            "clusters": {
                name: {
                    "kubeconfig": str(self.folder / f"{name}.kubeconfig"),
                    "prober": self.probers[name].url,
                }
                for name in self.clients
            },
            "lease": {"cluster": "legacy", "name": self.lease, "duration_s": LEASE_S},
            "prober": {"token_file": str(self.folder / "token")},
            "listen": f"127.0.0.1:{_free_port()}",
            "split": self.kind,
        }
        (self.folder / "controller.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def share_of(found: Json, cluster: str) -> int:
    """Return what eks serves of a cluster's calls by a split's weights, per mille, -1 without a split."""
    if not found:
        return -1
    weights = weights_of(found["spec"])
    mirror = next(weight for name, weight in weights.items() if name.endswith(f"-{FAR[cluster]}"))
    away = int(1000 * mirror // sum(weights.values()))
    return away if cluster == "legacy" else 1000 - away


def record_of(found: Json) -> dict[str, Any]:
    """Return the record on a split; what is left out of it because it is 0 is 0."""
    record: dict[str, Any] = json.loads(found["metadata"]["annotations"][PREFIX + "record"])
    return {"sharePermille": 0, "epoch": 0, **record}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@asynccontextmanager
async def obeying(server: Server) -> AsyncIterator[Answering]:
    """Let the SMI adaptor and the policy controller of the stand-in follow a server meanwhile."""
    ca = server.ca_pem().decode() if isinstance(server, RealApi) else None
    client = KubeClient(ApiAccess(server.url, next(iter(server.tokens), None), ca))
    answering = Answering(client, random.Random(0))
    try:
        await answering.start()
        yield answering
    finally:
        await answering.stop()
        await client.close()


@asynccontextmanager
async def running(
    servers: dict[str, Server],
    folder: Path,
    users: Mapping[str, Json] | None = None,
    kind: str = "auto",
) -> AsyncIterator[BarePair]:
    """Run a controller over two API servers that run already, as administrator or as these users.

    ``users`` holds, by cluster, the ``user`` of a kubeconfig; ``kind`` is the settings' kind of split.
    """
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(connected(server))
            for name, server in servers.items()
        }
        pair = BarePair(clients, folder, users, kind)
        for server in servers.values():
            await stack.enter_async_context(obeying(server))
        try:
            await pair.start()
            yield pair
        finally:
            await pair.stop()
