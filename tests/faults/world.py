"""The world that controllers run in: two embedded API servers, and probers at the socket.

A controller that is started on the settings that ``connect`` writes meets the world through fault proxies of its
own. There is no mesh with sockets: what a probe is answered is computed from the objects, as
is, in ``oracle.py``, what a client is answered.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp.connector
import yaml

from prober.contract import Assign, Sample
from tests.fakes.prober import GOOD, FakeProber, Says
from tests.faults.oracle import CLUSTERS, FAR, LEASE, NAMESPACE, SERVICE, Oracle
from tests.faults.pipe import Pipe
from tests.faults.proxy import Counter, Cut, FaultProxy, Plan
from tests.faults.servers import Embedded, Hearing, Real, Server, address_of
from tests.real import client

Json = dict[str, Any]

TOKEN = "for-these-runs-only"
LEASE_S = 6
RELIST_S = 60
LEASE_CLUSTER = "legacy"
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PREFIX = "migrate.tradeshift/"
GATEWAYS = "linkerd-multicluster"
FLEET = "to-there"

STEPS = {
    "steps": "25,50",
    "dwell": "1s",
    "soak": "1s",
    "slo-success": "99",
    "probe-rate": "100",
}


class MeshProber(FakeProber):
    """A prober whose probes are answered by what stands in the clusters now."""

    def __init__(self, cluster: str, world: World) -> None:
        super().__init__(cluster, TOKEN)
        self._world = world

    def _of(self, assign: Assign) -> Says:
        away = self._world.oracle.away
        if assign.route == "pods":
            return self._world.pods(self.cluster)
        far = FAR[self.cluster]
        beyond = self._world.pods(far)
        if not self._world.oracle.pinned(far) and away[far]:
            beyond = Says(away[far] / 1000, "508")
        if assign.route == "mirror":
            return beyond
        share = beyond.bad_share * away[self.cluster] / 1000
        return Says(share, beyond.answer) if share else GOOD

    def _told(self, assign: Assign, part: Sample) -> None:
        """Let the oracle count what a controller can have heard, of probes whose sample passes."""
        if assign.route != "apex" and not self._world.prober_cut(self.cluster):
            self._world.oracle.probed(self.cluster, assign.route, part.base.sent, part.base.bad)


@dataclass
class Connections:
    """What one controller meets the world through: its proxies, and the folder of its settings."""

    proxies: dict[str, FaultProxy]
    pipes: dict[str, Pipe]
    folder: Path


@dataclass
class World:
    """Everything of one run. ``plan`` says what the proxies do."""

    loop: asyncio.AbstractEventLoop
    plan: Plan
    skew_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CLUSTERS, 0.0))
    tell: Callable[[str], None] = lambda _: None
    lease_s: int = LEASE_S
    routes: bool = False
    """The splits are HTTPRoutes, else TrafficSplits in clusters without the Gateway API."""
    real: bool = False
    """The API servers are real ones; these serve HTTPRoutes."""
    fleet: bool = False
    """A Fleet asks for the Service, which says nothing itself; else its owner does, and Fleets are a kind only here."""
    lease_cluster: str = LEASE_CLUSTER
    """Where controllers that start from now on have their lease."""

    def __post_init__(self) -> None:
        """Make everything that needs no loop that runs."""
        # aiohttp drops a pooled connection by the machine's clock: a journey that waits for its branches must not be
        # another one on a slower machine.
        vars(aiohttp.connector)["monotonic"] = self.loop.time
        self.apis: Mapping[str, Server]
        self.counter = Counter()
        if self.real:
            real = {name: Real(name) for name in CLUSTERS}
            self.apis, self.counter = real, Hearing(real)
        else:
            self.apis = {
                name: Embedded(name, self._clock(name), routes=self.routes, fleets=self._fleets)
                for name in CLUSTERS
            }
        self.oracle = Oracle(self.loop.time, self.tell, self.lease_s)
        self.probers = {name: MeshProber(name, self) for name in CLUSTERS}
        self.bad: dict[str, float] = dict.fromkeys(CLUSTERS, 0.0)
        self.connections: list[Connections] = []
        self.cuts: dict[str, Cut] = {}
        self.fleet_target = ""
        self._folder = Path(tempfile.mkdtemp(prefix="faults-"))

    async def start(self) -> None:
        """Bring up the API servers with a Service in both, and the probers."""
        for name, api in self.apis.items():
            await api.start()
            await self.probers[name].start()
            for body in _objects(name):
                api.put(body)
        # Somebody's: by it the callers of eks are served by legacy.
        made = client.route if self.routes else client.split
        weights = ((SERVICE, 0), (f"{SERVICE}-legacy", 1000))
        self.apis["eks"].put(made(SERVICE, *weights, namespace=NAMESPACE))
        self.apis[LEASE_CLUSTER].put(_lease())
        for api in self.apis.values():
            await api.settled()
        self.oracle.away["eks"] = 1000
        for name, api in self.apis.items():
            api.store.listen(partial(self.oracle.applied, name))

    async def stop(self) -> None:
        """Stop everything that listens; in virtual time it just ends."""
        for connections in self.connections:
            for cluster in CLUSTERS:
                await connections.proxies[cluster].stop()
                await connections.pipes[cluster].stop()
        for name, api in self.apis.items():
            await self.probers[name].stop()
            await api.settled()
            await api.stop()

    def clean_up(self) -> None:
        """Remove the settings of all controllers."""
        shutil.rmtree(self._folder)

    def _clock(self, cluster: str) -> Callable[[], datetime]:
        return lambda: BEGAN + timedelta(seconds=self.loop.time() + self.skew_s[cluster])

    def pods(self, cluster: str) -> Says:
        """Return what the pods of a cluster answer."""
        return Says(self.bad[cluster], "500") if self.bad[cluster] else GOOD

    def prober_cut(self, cluster: str) -> bool:
        """Return whether what the prober of a cluster says is lost."""
        return f"prober {cluster}" in self.cuts

    # --- controllers -----------------------------------------------------------------------------------

    async def connect(self, name: str, lease_cluster: str = "") -> Path:
        """Make proxies for one more controller; give the file of its settings, with the lease in this cluster."""
        proxies = {}
        pipes = {}
        for cluster, api in self.apis.items():
            proxies[cluster] = FaultProxy(
                cluster, name, api.address, self.plan, self.counter, now=api.now, tls=api.tls
            )
            await proxies[cluster].start()
            pipes[cluster] = Pipe(address_of(self.probers[cluster].url))
            await pipes[cluster].start()
        folder = Path(tempfile.mkdtemp(prefix=name, dir=self._folder))
        connections = Connections(proxies, pipes, folder)
        self.connections.append(connections)
        for what, cut in self.cuts.items():
            self._cut(connections, what, cut)
        tokens = {cluster: api.token for cluster, api in self.apis.items()}
        lease = {"cluster": lease_cluster or self.lease_cluster, "duration_s": self.lease_s}
        return _write_settings(connections, tokens, lease)

    def cut(self, what: str, cut: Cut) -> None:
        """Cut ``what`` (a cluster, or ``prober <cluster>``) off from every controller."""
        self.cuts[what] = cut
        for connections in self.connections:
            self._cut(connections, what, cut)

    def mend(self, what: str) -> None:
        """End a cut."""
        self.cuts.pop(what, None)
        for connections in self.connections:
            prober = what.removeprefix("prober ")
            (connections.pipes[prober] if prober != what else connections.proxies[what]).mend()

    @staticmethod
    def _cut(connections: Connections, what: str, cut: Cut) -> None:
        prober = what.removeprefix("prober ")
        if prober != what:
            connections.pipes[prober].break_off(cut)
        else:
            connections.proxies[what].break_off(cut)

    @property
    def _fleets(self) -> bool:
        """Whether the kind is served: with HTTPRoutes there is none, as where nobody installed it."""
        return self.fleet or not self.routes

    # --- what stands there ------------------------------------------------------------------------------

    def ask(self, target: str, specs: Mapping[str, str]) -> None:
        """Ask for a target, as the owner does or as a Fleet."""
        if not self.fleet:
            self.annotate(target=target, **specs)
            return
        self.fleet_target = target
        self.tell(f"a Fleet asks for {target}")
        self.apis[LEASE_CLUSTER].put(fleet_object(target), manager="kubectl-apply")

    def annotate(self, **specs: str) -> None:
        """``kubectl annotate --overwrite`` in legacy."""
        api = self.apis["legacy"]
        stored = api.store.get("services", NAMESPACE, SERVICE)
        assert stored is not None
        body = stored.decoded("v1")
        named = {PREFIX + key.replace("_", "-"): value for key, value in specs.items()}
        body["metadata"].setdefault("annotations", {}).update(named)
        self.tell(f"owner annotates {specs}")
        api.put(body, manager="kubectl-annotate")

    def say_otherwise(self) -> None:
        """Write what is not so into the status, as an older leader may who does not know that he is one."""
        stored = self.apis["legacy"].store.get("migrations", NAMESPACE, SERVICE)
        if stored is not None:
            body = stored.decoded("v1alpha1")
            wrong = {"phase": "Pending", "share": "0/0", "reason": "NoLease"}
            body["status"] = {**(body.get("status") or {}), **wrong}
            self.apis["legacy"].put(body, manager="somebody")

    def delete_migration(self) -> None:
        """``kubectl delete migration``."""
        api = self.apis["legacy"]
        assert isinstance(api, Embedded)
        if api.store.get("migrations", NAMESPACE, SERVICE) is not None:
            api.remove("migrations", NAMESPACE, SERVICE)

    def hide_pods(self, cluster: str, for_s: float) -> None:
        """Let the slice of a Service show no ready pod for a while; all of them serve."""
        api, name = self.apis[cluster], f"{SERVICE}-abcde"
        stored = api.store.get("endpointslices", NAMESPACE, name)
        assert stored is not None
        body = stored.decoded("v1")
        unready = [{**e, "conditions": {"ready": False}} for e in body["endpoints"]]
        self.tell(f"the pods of {cluster} are not ready")
        api.put({**body, "endpoints": unready})
        asyncio.get_running_loop().call_later(for_s, self._show_pods, cluster)

    def replace_slice(self, cluster: str, after_s: float) -> None:
        """Delete the slice of a Service, and make it again a moment later."""
        api = self.apis[cluster]
        assert isinstance(api, Embedded)
        self.tell(f"the slice of {cluster} is replaced")
        api.remove("endpointslices", NAMESPACE, f"{SERVICE}-abcde")
        asyncio.get_running_loop().call_later(after_s, self._show_pods, cluster)

    def _show_pods(self, cluster: str) -> None:
        self.tell(f"the pods of {cluster} are ready")
        body = next(b for b in _objects(cluster) if b["metadata"]["name"] == f"{SERVICE}-abcde")
        self.apis[cluster].put(body)

    def fleet_status(self) -> Mapping[str, Any]:
        """Return the status of the Fleet, {} where there is none."""
        store = self.apis[LEASE_CLUSTER].store
        stored = store.get("fleets", "", FLEET) if "fleets" in store.resources else None
        return (stored.body.get("status") or {}) if stored else {}

    def migration(self) -> Mapping[str, Any]:
        """Return the status of the Migration, {} where there is none."""
        stored = self.apis["legacy"].store.get("migrations", NAMESPACE, SERVICE)
        return (stored.body.get("status") or {}) if stored else {}


def _objects(cluster: str) -> list[Json]:
    """A Service with two ready pods, and the mirror of its like in the other cluster."""
    number = 1 + CLUSTERS.index(cluster)
    mirror = f"{SERVICE}-{FAR[cluster]}"
    of_mirror = {
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/cluster-name": FAR[cluster],
    }
    identity = f"linkerd-gateway.{GATEWAYS}.serviceaccount.identity.linkerd.cluster.local"
    pods = [
        {
            "addresses": [f"10.{number}.0.{pod}"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": f"pod-{pod}", "namespace": NAMESPACE},
        }
        for pod in (1, 2)
    ]
    gateway = [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    return [
        _service(SERVICE, {"mirror.linkerd.io/exported": "true"}),
        _service(mirror, of_mirror),
        _slice(SERVICE, pods, 8080, {}),
        _slice(mirror, gateway, 4143, {"mirror.linkerd.io/remote-gateway-identity": identity}),
    ]


def fleet_object(target: str) -> Json:
    """A Fleet of two waves that moves the Service in its first, by the steps of the journey."""
    named = {"namespace": NAMESPACE, "names": [SERVICE]}
    later = {"namespace": NAMESPACE, "names": ["nobody"]}
    return {
        "apiVersion": "migrate.tradeshift/v1alpha1",
        "kind": "Fleet",
        "metadata": {"name": FLEET},
        "spec": {
            "target": target,
            "defaults": dict(STEPS),
            "waves": [
                {"name": "first", "services": [named]},
                {"name": "second", "opens": "byHand", "services": [later]},
            ],
        },
    }


def _lease() -> Json:
    """A lease that many have held: its number is above that of one that is made anew."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": "migrate"},
        "spec": {"holderIdentity": "", "leaseTransitions": 40},
    }


def _service(name: str, labels: dict[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def _slice(name: str, endpoints: list[Json], port: int, annotations: dict[str, str]) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-abcde",
            "namespace": NAMESPACE,
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
        "ports": [{"name": "http", "port": port}],
    }


def _write_settings(connections: Connections, tokens: Mapping[str, str], lease: Json) -> Path:
    folder = connections.folder
    names = list(connections.proxies)
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": n, "cluster": {"server": proxy.url}}
            for n, proxy in connections.proxies.items()
        ],
        "users": [{"name": n, "user": {"token": tokens[n]}} for n in names],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in names],
    }
    settings = {
        "clusters": {
            name: {
                "kubeconfig": str(folder / "kubeconfig"),
                "context": name,
                "prober": pipe.url,
            }
            for name, pipe in connections.pipes.items()
        },
        "lease": lease,
        "prober": {"token_file": str(folder / "token")},
        "listen": "127.0.0.1:0",
        "relist_s": RELIST_S,
        "log_level": "debug",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    (folder / "token").write_text(TOKEN)
    path = folder / "controller.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path
