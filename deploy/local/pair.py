"""Two clusters on one machine: API servers, mesh, workloads, load, and the real controller and probers.

Nothing of the product is imported: it runs as its users run it, as processes with settings files, and is
seen as they see it, through the API servers.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from deploy.local.apiserver import EmbeddedApi
from deploy.local.mesh import EKS, LEGACY, ApiAccess, Load, Mesh, Workload
from deploy.local.mesh.kube import ROUTES, SERVICES, SPLITS, Resource
from deploy.local.mesh.objects import service_object
from deploy.local.mesh.watch import Follow
from deploy.local.processes import Program
from deploy.local.prometheus import Prometheus
from deploy.local.realapi import RealApi

CLUSTERS = (LEGACY, EKS)
PREFIX = "migrate.tradeshift/"
MIGRATIONS = Resource("Migration", "migrate.tradeshift/v1alpha1", "migrations")  # type: ignore[arg-type]  # not a kind of the mesh
EVENTS = Resource("Event", "v1", "events")  # type: ignore[arg-type]  # as MIGRATIONS
LEASES = Resource("Lease", "coordination.k8s.io/v1", "leases")  # type: ignore[arg-type]  # as MIGRATIONS
PROBER_PORT = 8080
CONTROLLER_PORT = 9990
BOARD_PORT = 9991
LEASE_S = 2.0
SCRAPE_S = 0.5
TRAFFIC_TICK_S = 1.0
"""Short, as everything in a story: Linkerd's Prometheus scrapes every 10 s, and the controller's default is 10."""
PROBER_CAP_PER_S = 2000.0
READY_S = 30.0
COMMAND_S = 30.0
BULK = 16
"""Requests at a time when many objects are made."""

Api = EmbeddedApi | RealApi
ApiKind = Literal["embedded", "real"]
SplitKind = Literal["trafficsplit", "httproute"]
SPLIT_RESOURCES: Mapping[SplitKind, Resource] = {"trafficsplit": SPLITS, "httproute": ROUTES}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build. ``services`` is how many other Services stand in legacy, in proportion in eks.

    ``splits`` are the kinds of split in legacy and in eks.
    ``otlp_endpoint`` is the URL that the controller sends its traces to. ``prometheus``: each cluster has
    a real one, that scrapes its proxies and that the controller asks.
    """

    api: ApiKind = "embedded"
    services: int = 0
    seed: int = 1
    splits: tuple[SplitKind, SplitKind] = ("trafficsplit", "trafficsplit")
    controller_in: str = LEGACY
    probe_cap_per_s: float = PROBER_CAP_PER_S
    otlp_endpoint: str | None = None
    prometheus: bool = False


class Pair:
    """Both clusters and everything in them, between ``start`` and ``stop``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.folder = Path(tempfile.mkdtemp(prefix="migrate-local-"))
        self.apis: dict[str, Api] = {
            name: EmbeddedApi(name) if plan.api == "embedded" else RealApi(name)
            for name in CLUSTERS
        }
        self.mesh: Mesh
        self.controller: Program
        self.probers: dict[str, Program] = {}
        self.workloads: dict[tuple[str, str], Workload] = {}
        self.loads: dict[tuple[str, str], Load] = {}
        self.migrations: dict[str, Mapping[str, Any]] = {}
        self.splits: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.split_kinds: dict[tuple[str, str], str] = {}
        self.writes: dict[str, int] = dict.fromkeys(CLUSTERS, 0)
        self._versions: set[tuple[str, str]] = set()
        self._following: list[asyncio.Task[None]] = []
        self.controller_url = ""
        self.prometheus: dict[str, Prometheus] = {}
        self.scraped: dict[str, list[str]] = {"controller": [], "prober": []}
        """Who tells metrics, by job: ``host:port``."""

    # --- building --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring up API servers and mesh; no workload, load or product yet."""
        await asyncio.gather(*(api.start() for api in self.apis.values()))
        legacy, eks = (self._access(self.apis[name]) for name in CLUSTERS)
        self.mesh = Mesh(legacy, eks, seed=self.plan.seed)
        await self.mesh.start()
        for name in CLUSTERS:
            self._follow(name, SPLITS)
            self._follow(name, ROUTES)
            self._follow(name, MIGRATIONS)
        self.kubeconfig = self._write_kubeconfig()
        await self._bulk()

    async def stop(self) -> None:
        """End everything, in the order in which it stands on each other."""
        for program in (
            *([self.controller] if hasattr(self, "controller") else []),
            *self.probers.values(),
        ):
            await program.stop()
        for server in self.prometheus.values():
            await server.stop()
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        if hasattr(self, "mesh"):
            await self.mesh.stop()
        await asyncio.gather(*(api.stop() for api in self.apis.values()))
        shutil.rmtree(self.folder, ignore_errors=True)

    async def service(self, name: str, pods: int = 2) -> None:
        """A Service with pods in both clusters, exported by both."""
        for cluster in CLUSTERS:
            api = self.mesh.clusters[cluster].api
            await api.apply(SERVICES, service_object(("default", name)))
            workload = await self.mesh.workload(("default", name), cluster, pods)
            self.workloads[cluster, name] = workload
        await self.mesh.mirrored()

    async def split(
        self, cluster: str, name: str, *, local: int, mirror: int, fqdn: bool = False
    ) -> None:
        """Somebody's split, with these weights; ``fqdn``: a TrafficSplit as the article spells it."""
        far = next(other for other in CLUSTERS if other != cluster)
        weights = {f"{name}-{far}": mirror, name: local}
        kind: SplitKind = "trafficsplit" if fqdn else self.plan.splits[CLUSTERS.index(cluster)]
        spec: dict[str, Any]
        if kind == "trafficsplit":
            backends = [{"service": s, "weight": weight} for s, weight in weights.items()]
            spelled = f"{name}.default.svc.cluster.local" if fqdn else name
            spec = {"service": spelled, "backends": backends}
        else:
            refs = [{"name": s, "port": 80, "weight": weight} for s, weight in weights.items()]
            parent = {"group": "", "kind": "Service", "name": name, "port": 80}
            spec = {"parentRefs": [parent], "rules": [{"backendRefs": refs}]}
        body = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
        await self.mesh.clusters[cluster].api.apply(SPLIT_RESOURCES[kind], body)

    async def callers(self, service: str, caller: str, rate_hz: float = 25.0) -> None:
        """Load on a Service from a caller in each cluster."""
        for cluster in CLUSTERS:
            load = await self.mesh.clusters[cluster].load(
                ("default", service), caller=caller, rate_hz=rate_hz
            )
            self.loads[cluster, service] = load

    async def product(self) -> None:
        """Start the real probers and the real controller, and wait until it is ready."""
        (self.folder / "token").write_text("local-clusters-only\n")
        for cluster in CLUSTERS:
            ip = self.mesh.addresses.take()
            wire = "127." + ip[3:]
            config = {
                "cluster": cluster,
                "name": f"prober-{cluster}",
                "listen": f"{wire}:{PROBER_PORT}",
                "token_file": str(self.folder / "token"),
                "proxy_url": await self.mesh.sidecar(cluster, "prober", "migrate"),
                "cap_per_s": self.plan.probe_cap_per_s,
            }
            program = Program(
                "prober", self._yaml(f"prober-{cluster}", config), self._log(f"prober-{cluster}")
            )
            program.start()
            self.probers[cluster] = program
            self.scraped["prober"].append(f"{wire}:{PROBER_PORT}")
            await self.mesh.clusters[cluster].register(
                ("migrate", "prober"), PROBER_PORT, [ip], PROBER_PORT
            )
        await self.mesh.mirrored()
        if self.plan.prometheus:
            await self._start_prometheus()
        self.controller = Program(
            "controller", await self._controller_config(), self._log("controller")
        )
        self.controller.start()

    async def _start_prometheus(self) -> None:
        """One for each cluster. Raises ServerFailed."""
        for name, cluster in self.mesh.clusters.items():
            jobs = {"linkerd-proxy": [cluster.metrics.address]}
            self.prometheus[name] = Prometheus(jobs, every_s=SCRAPE_S)
            await self.prometheus[name].start()

    async def _controller_config(self) -> Path:
        home = self.plan.controller_in
        ip = self.mesh.addresses.take()
        listen = f"127.{ip[3:]}:{CONTROLLER_PORT}"
        self.controller_url = f"http://{listen}"
        board = f"127.{ip[3:]}:{BOARD_PORT}"
        self.board_url = f"http://{board}/"
        self.scraped["controller"] = [listen]
        domain = f"migrate.svc.cluster.local:{PROBER_PORT}"
        return self._yaml(
            "controller",
            {
                "clusters": {
                    name: {
                        "kubeconfig": str(self.kubeconfig),
                        "context": name,
                        "prober": f"ws://prober.{domain}"
                        if name == home
                        else f"ws://prober-{name}.{domain}",
                        "prometheus": {
                            "url": self.prometheus[name].url if self.prometheus else None
                        },
                    }
                    for name in CLUSTERS
                },
                "lease": {"cluster": home, "duration_s": LEASE_S},
                "prober": {
                    "token_file": str(self.folder / "token"),
                    "proxy_url": await self.mesh.sidecar(home, "controller", "migrate"),
                },
                "listen": listen,
                "board": board,
                "traffic": {"tick_s": TRAFFIC_TICK_S},
                "otlp_endpoint": self.plan.otlp_endpoint,
            },
        )

    async def _bulk(self) -> None:
        """The other Services that stand beside: 409 in legacy and 51 in eks, in the article."""
        gate = asyncio.Semaphore(BULK)

        async def make(cluster: str, number: int) -> None:
            async with gate:
                await self.mesh.clusters[cluster].api.apply(
                    SERVICES, service_object(("default", f"other-{cluster}-{number}"))
                )

        counts = {LEGACY: self.plan.services, EKS: round(self.plan.services * 51 / 409)}
        await asyncio.gather(
            *(make(cluster, n) for cluster, count in counts.items() for n in range(count))
        )
        if self.plan.services:
            await self.mesh.mirrored()

    # --- acting as its users ------------------------------------------------------------------------

    async def annotate(self, cluster: str, service: str, wishes: Mapping[str, str | None]) -> None:
        """``kubectl annotate --overwrite``; None removes."""
        body = {"metadata": {"annotations": {PREFIX + key: value for key, value in wishes.items()}}}
        api = self.mesh.clusters[cluster].api
        await api.merge(SERVICES, ("default", service), body, "kubectl-annotate")

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run ``kubectl migrate`` as a person would; give its exit code and what it said."""
        command = Path(sys.executable).with_name("kubectl-migrate")
        process = await asyncio.create_subprocess_exec(
            command,
            *arguments,
            "--kubeconfig",
            str(self.kubeconfig),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_S):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    def status(self, service: str) -> Mapping[str, Any]:
        """Give the status of a Service's Migration, empty while there is none."""
        found: Mapping[str, Any] = self.migrations.get(service, {})
        return found

    def share(self, cluster: str) -> float:
        """Give the percentage of a cluster's calls that eks serves by its split, -1 without one."""
        split = self.splits.get((cluster, "service-a"))
        if split is None:
            return -1.0
        weights = weights_of(split["spec"])
        mine = "service-a-eks" if cluster == LEGACY else "service-a"
        total = sum(weights.values())
        return 100.0 * weights.get(mine, 0.0) / total if total else -1.0

    def splits_known(self) -> bool:
        """Tell whether both splits were seen."""
        return all((cluster, "service-a") in self.splits for cluster in CLUSTERS)

    async def events(self, service: str) -> list[Mapping[str, Any]]:
        """Give the Events on a Service."""
        found: list[Mapping[str, Any]] = []
        for cluster in CLUSTERS:
            items, _ = await self.mesh.clusters[cluster].api.list(EVENTS)
            found += [e for e in items if e.get("involvedObject", {}).get("name") == service]
        return found

    async def rest(self, cluster: str, seconds: float) -> None:
        """Let the callers of a cluster be idle for a while."""
        loads = [load for at, load in self.loads.items() if at[0] == cluster]
        for load in loads:
            await load.stop()
        await asyncio.sleep(seconds)
        for load in loads:
            load.start()

    def served(self, service: str, seconds: int = 1) -> dict[str, dict[str, int]]:
        """Give, by caller's cluster, how many of the last seconds' calls each cluster answered."""
        now = int(asyncio.get_running_loop().time())
        found: dict[str, dict[str, int]] = {}
        for cluster in CLUSTERS:
            counts: dict[str, int] = dict.fromkeys(CLUSTERS, 0)
            load = self.loads.get((cluster, service))
            for second in load.snapshot(seconds + 2).seconds if load else ():
                if now - seconds <= second.second < now:
                    for by, count in second.by_cluster.items():
                        counts[by] += count
            found[cluster] = counts
        return found

    def totals(self) -> tuple[int, int, int]:
        """Give requests, those that the mesh or the move failed, and those that a workload failed."""
        shots = [load.snapshot(1) for load in self.loads.values()]
        return (
            sum(shot.requests for shot in shots),
            sum(shot.failed_by_mesh for shot in shots),
            sum(shot.failed_by_target for shot in shots),
        )

    # --- how it is done -------------------------------------------------------------------------------

    def _follow(self, cluster: str, resource: Resource) -> None:
        """Watch as people do, with kubectl get -w: for the screen, and to count writes."""

        def put(found: Mapping[str, Any]) -> None:
            name = found["metadata"]["name"]
            if resource is MIGRATIONS:
                self.migrations[name] = found.get("status") or {}
                return
            self.splits[cluster, name] = found
            self.split_kinds[cluster, name] = resource.kind
            ours = PREFIX + "record" in found["metadata"].get("annotations", {})
            version = (cluster, found["metadata"]["resourceVersion"])
            if ours and version not in self._versions:
                self._versions.add(version)
                self.writes[cluster] += 1

        def drop(key: tuple[str, str]) -> None:
            at = (cluster, key[1])
            if self.split_kinds.get(at) == resource.kind:  # not one that was converted
                self.splits.pop(at, None)
                self.split_kinds.pop(at, None)

        follow = Follow(
            self.mesh.clusters[cluster].api,
            resource,
            put=put,
            drop=drop,
            rng=random.Random(f"{self.plan.seed}/{cluster}/{resource.plural}"),
        )
        self._following.append(asyncio.create_task(follow.run()))

    @staticmethod
    def _access(api: Api) -> ApiAccess:
        if isinstance(api, RealApi):
            return ApiAccess(api.url, api.tokens[0], api.ca_pem().decode())
        return ApiAccess(api.url, api.tokens[0] if api.tokens else None)

    def _write_kubeconfig(self) -> Path:
        """One kubeconfig with a context for each cluster."""
        merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
        for part in ("clusters", "users", "contexts"):
            merged[part] = [e for api in self.apis.values() for e in api.kubeconfig()[part]]
        merged["current-context"] = LEGACY
        return self._yaml("kubeconfig", merged)

    def _yaml(self, name: str, value: Any) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        return path

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def weights_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """Give the weights in the spec of a split of either kind, by Service."""
    if "backends" in spec:
        return {b["service"]: float(b["weight"]) for b in spec["backends"]}
    rules = spec.get("rules") or [{}]
    return {b["name"]: float(b["weight"]) for b in rules[0].get("backendRefs") or ()}
