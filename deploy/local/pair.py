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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from deploy.local.observed import (
    CLUSTERS,
    FLEETS,
    MIGRATIONS,
    PREFIX,
    SPLIT_RESOURCES,
    Observed,
    SplitKind,
    split_object,
)
from deploy.local.starvation import Watch
from deploy.servers.kube_apiserver import RealApi
from deploy.servers.processes import Program
from deploy.servers.prometheus import Prometheus
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY, ApiAccess, Load, Mesh, Workload
from deploy.stand_ins.mesh.clock import LivedClock
from deploy.stand_ins.mesh.kube import ROUTES, SERVICES, SPLITS, Resource
from deploy.stand_ins.mesh.objects import NO_PORTS, service_object
from deploy.stand_ins.mesh.watch import Follow

EVENTS = Resource("Event", "v1", "events")  # type: ignore[arg-type]  # as MIGRATIONS
INGRESSES = Resource("Ingress", "networking.k8s.io/v1", "ingresses")  # type: ignore[arg-type]  # as MIGRATIONS
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
Preparing = Callable[[str, float], None]
ApiKind = Literal["embedded", "real"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build. ``services`` is how many other Services stand in legacy, in proportion in eks.

    ``splits`` are the kinds of split in legacy and in eks.
    ``otlp_endpoint`` is the URL that the controller sends its traces to, ``notifications`` the path of a file with
    the receivers of its notifications. ``prometheus``: each cluster has a real one, that scrapes its proxies and that
    the controller asks. ``programs`` are the commands that run the controller and the probers, by module, where those
    of this Python are not meant.
    """

    api: ApiKind = "embedded"
    services: int = 0
    seed: int = 1
    splits: tuple[SplitKind, SplitKind] = ("trafficsplit", "trafficsplit")
    controller_in: str = LEGACY
    probe_cap_per_s: float = PROBER_CAP_PER_S
    otlp_endpoint: str | None = None
    notifications: str | None = None
    prometheus: bool = False
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
        self.observed = Observed()
        self._following: list[asyncio.Task[None]] = []
        self.controller_url = ""
        self.prometheus: dict[str, Prometheus] = {}
        self.scraped: dict[str, list[str]] = {"controller": [], "prober": []}
        """Who tells metrics, by job: ``host:port``."""
        self.preparing: Preparing = lambda what, part: None
        """Told what is being brought up, and how much of all stands by then (0 to 1)."""
        self.clock = LivedClock()
        self.watch = Watch(self.clock, self._pages)

    # --- building --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring up API servers and mesh; no workload, load or product yet."""
        self.watch.start()
        self.preparing("two API servers", 0.0)
        await asyncio.gather(*(api.start() for api in self.apis.values()))
        self.preparing("a mesh in both", 0.1)
        legacy, eks = (self._access(self.apis[name]) for name in CLUSTERS)
        self.mesh = Mesh(legacy, eks, seed=self.plan.seed, clock=self.clock)
        await self.mesh.start()
        for name in CLUSTERS:
            self._follow(name, SPLITS)
            self._follow(name, ROUTES)
            self._follow(name, MIGRATIONS)
        self._follow(self.plan.controller_in, FLEETS)
        self.kubeconfig = self._write_kubeconfig()
        if self.plan.services:
            await self._stand_beside(self.plan.services)

    async def stop(self) -> None:
        """End everything, in the order in which it stands on each other."""
        await self.watch.stop()
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

    async def service(
        self,
        name: str,
        pods: int = 2,
        app_protocol: str | None = None,
        beside: Mapping[str, int] = NO_PORTS,
    ) -> None:
        """A Service with pods in both clusters, exported by both, and with ports ``beside`` 80."""
        for cluster in CLUSTERS:
            api = self.mesh.clusters[cluster].api
            body = service_object(("default", name), app_protocol=app_protocol, beside=beside)
            await api.apply(SERVICES, body)
            workload = await self.mesh.workload(("default", name), cluster, pods, beside=beside)
            self.workloads[cluster, name] = workload
        await self.mesh.mirrored()

    async def split(
        self,
        cluster: str,
        name: str,
        *,
        local: int,
        mirror: int,
        fqdn: bool = False,
        port: int = 80,
    ) -> None:
        """Somebody's split, with these weights; ``fqdn``: a TrafficSplit as the article spells it. An HTTPRoute is
        for one port; a TrafficSplit is for all of them."""
        far = next(other for other in CLUSTERS if other != cluster)
        weights = {f"{name}-{far}": mirror, name: local}
        kind: SplitKind = "trafficsplit" if fqdn else self.plan.splits[CLUSTERS.index(cluster)]
        if kind == "trafficsplit" and port != 80:
            return
        body = split_object(kind, name, weights, fqdn=fqdn, port=port)
        await self.mesh.clusters[cluster].api.apply(SPLIT_RESOURCES[kind], body)

    async def callers(
        self, service: str, caller: str, rate_hz: float = 25.0, port: int = 80
    ) -> None:
        """Load on a Service from a caller in each cluster."""
        self.preparing(f"callers of {service}", 0.8)
        for cluster in CLUSTERS:
            load = await self.mesh.clusters[cluster].load(
                ("default", service), caller=caller, rate_hz=rate_hz, port=port
            )
            self.loads[cluster, of_port(service, port)] = load

    async def beside(self, cluster: str, name: str, twin: str) -> None:
        """A headless Service of the pods that another has."""
        key = ("default", twin)
        body = service_object(key, selects=name, headless=True, exported=False)
        await self.mesh.clusters[cluster].api.apply(SERVICES, body)
        await self.workloads[cluster, name].also_in(key)

    async def ingress(self, cluster: str, service: str, name: str) -> None:
        """An Ingress of a controller that sends to the pods of a Service."""
        backend = {"service": {"name": service, "port": {"number": 80}}}
        spec = {"ingressClassName": "nginx", "defaultBackend": backend}
        meta = {"name": name, "namespace": "default"}
        api = self.mesh.clusters[cluster].api
        await api.apply(INGRESSES, {"metadata": meta, "spec": spec})

    async def product(self) -> None:
        """Start the real probers and the real controller."""
        self.preparing("probers and controller", 0.85)
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
            program = self._program("prober", f"prober-{cluster}", config)
            program.start()
            self.probers[cluster] = program
            self.scraped["prober"].append(f"{wire}:{PROBER_PORT}")
            await self.mesh.clusters[cluster].register(
                ("migrate", "prober"), PROBER_PORT, [ip], PROBER_PORT
            )
        await self.mesh.mirrored()
        if self.plan.prometheus:
            await self._start_prometheus()
        settings = await self._controller_settings()
        self.controller = self._program("controller", "controller", settings)
        self.controller.start()

    def _program(self, module: str, name: str, settings: Mapping[str, Any]) -> Program:
        command = self.plan.programs.get(module, ())
        return Program(module, self._yaml(name, settings), self._log(name), command)

    async def _start_prometheus(self) -> None:
        """One for each cluster. Raises ServerFailed."""
        for name, cluster in self.mesh.clusters.items():
            jobs = {"linkerd-proxy": [cluster.metrics.address]}
            self.prometheus[name] = Prometheus(jobs, every_s=SCRAPE_S)
            await self.prometheus[name].start()

    async def _controller_settings(self) -> dict[str, Any]:
        ip = self.mesh.addresses.take()
        listen, board = f"127.{ip[3:]}:{CONTROLLER_PORT}", f"127.{ip[3:]}:{BOARD_PORT}"
        self.controller_url, self.board_url = f"http://{listen}", f"http://{board}/"
        self.scraped["controller"] = [listen]
        proxy_url = await self.mesh.sidecar(self.plan.controller_in, "controller", "migrate")
        return _controller_settings(self, proxy_url) | {"listen": listen, "board": board}

    # --- acting as its users ------------------------------------------------------------------------

    async def annotate(self, cluster: str, service: str, wishes: Mapping[str, str | None]) -> None:
        """``kubectl annotate --overwrite``; None removes."""
        body = {"metadata": {"annotations": {PREFIX + key: value for key, value in wishes.items()}}}
        api = self.mesh.clusters[cluster].api
        await api.merge(SERVICES, ("default", service), body, "kubectl-annotate")

    async def fleet(self, name: str, spec: Mapping[str, Any]) -> None:
        """``kubectl apply`` of a Fleet, where the controller runs: what stands in its annotations stays."""
        api = self.mesh.clusters[self.plan.controller_in].api
        if name in self.observed.fleets:
            await api.merge(FLEETS, ("", name), {"spec": dict(spec)}, "kubectl-apply")
        else:
            await api.apply(
                FLEETS, {"metadata": {"name": name, "namespace": ""}, "spec": dict(spec)}
            )

    async def ask_fleet(self, name: str, **asked: str | None) -> None:
        """``kubectl annotate fleet --overwrite``; None removes."""
        said = {PREFIX + key.replace("_", "-"): value for key, value in asked.items()}
        api = self.mesh.clusters[self.plan.controller_in].api
        await api.merge(FLEETS, ("", name), {"metadata": {"annotations": said}}, "kubectl-annotate")

    async def speak(self, service: str, app_protocol: str) -> None:
        """``kubectl edit`` of a Service's port, in both clusters."""
        found = service_object(("default", service), app_protocol=app_protocol)
        body = {"spec": {"ports": found["spec"]["ports"]}}
        for cluster in CLUSTERS:
            api = self.mesh.clusters[cluster].api
            await api.merge(SERVICES, ("default", service), body, "kubectl-edit")

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

    async def events(self, service: str) -> list[Mapping[str, Any]]:
        """Return the Events on a Service."""
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

    def served(self, service: str, seconds: int = 1, port: int = 80) -> dict[str, dict[str, int]]:
        """Give, by caller's cluster, how many of the last seconds' calls to a port each cluster answered."""
        now = int(asyncio.get_running_loop().time())
        found: dict[str, dict[str, int]] = {}
        for cluster in CLUSTERS:
            counts: dict[str, int] = dict.fromkeys(CLUSTERS, 0)
            load = self.loads.get((cluster, of_port(service, port)))
            for second in load.snapshot(seconds + 2).seconds if load else ():
                if now - seconds <= second.second < now:
                    for by, count in second.by_cluster.items():
                        counts[by] += count
            found[cluster] = counts
        return found

    def totals(self) -> tuple[int, int, int]:
        """Return requests, those that the mesh or the move failed, and those that a workload failed."""
        shots = [load.snapshot(1) for load in self.loads.values()]
        return (
            sum(shot.requests for shot in shots),
            sum(shot.failed_by_mesh for shot in shots),
            sum(shot.failed_by_target for shot in shots),
        )

    # --- how it is done -------------------------------------------------------------------------------

    async def _stand_beside(self, services: int) -> None:
        """Make the other Services: 409 in legacy and 51 in eks, in the article."""
        counts = {LEGACY: services, EKS: round(services * 51 / 409)}
        bodies = [
            (cluster, service_object(("default", f"other-{cluster}-{number}")))
            for cluster, count in counts.items()
            for number in range(count)
        ]
        for begin in range(0, len(bodies), BULK):
            self.preparing(f"{len(bodies)} other Services", 0.2 + 0.5 * begin / len(bodies))
            some = bodies[begin : begin + BULK]
            await asyncio.gather(
                *(self.mesh.clusters[name].api.apply(SERVICES, body) for name, body in some)
            )
        self.preparing("their mirrors", 0.7)
        await self.mesh.mirrored()

    def _follow(self, cluster: str, resource: Resource) -> None:
        """Watch as people do, with kubectl get -w: for the screen, and to count writes."""
        follow = Follow(
            self.mesh.clusters[cluster].api,
            resource,
            put=lambda found: self.observed.put(cluster, resource, found),
            drop=lambda key: self.observed.drop(cluster, resource, key),
            rng=random.Random(f"{self.plan.seed}/{cluster}/{resource.plural}"),
        )
        self._following.append(asyncio.create_task(follow.run()))

    def _pages(self) -> dict[str, list[str]]:
        """The pages of metrics that tell of want of CPU, by who is told of."""
        who = {"controller": "controller", "probers": "prober"}
        return {
            name: [f"http://{where}/metrics" for where in self.scraped[job]]
            for name, job in who.items()
        }

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


def of_port(service: str, port: int) -> str:
    """Return the name of what there is for each port of a Service: that of port 80 is the Service's."""
    return service if port == 80 else f"{service}.{port}"


def _controller_settings(pair: Pair, proxy_url: str) -> dict[str, Any]:
    """Return the settings of the controller, but where it listens."""
    home = pair.plan.controller_in
    domain = f"migrate.svc.cluster.local:{PROBER_PORT}"
    return {
        "clusters": {
            name: {
                "kubeconfig": str(pair.kubeconfig),
                "context": name,
                "prober": f"ws://prober.{domain}"
                if name == home
                else f"ws://prober-{name}.{domain}",
                "prometheus": {"url": pair.prometheus[name].url if pair.prometheus else None},
            }
            for name in CLUSTERS
        },
        "lease": {"cluster": home, "duration_s": LEASE_S},
        "prober": {"token_file": str(pair.folder / "token"), "proxy_url": proxy_url},
        "traffic": {"tick_s": TRAFFIC_TICK_S},
        "otlp_endpoint": pair.plan.otlp_endpoint,
        "notifications": pair.plan.notifications,
    }
