"""The pair over embedded API servers: mirrors, workloads, load, links."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import aiohttp
import pytest

from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY, ApiAccess, Load, Mesh, Workload
from deploy.stand_ins.mesh.config import ClusterConfig, Object, key_of
from deploy.stand_ins.mesh.gateway import NAMESPACE
from deploy.stand_ins.mesh.kube import PROFILES, ROUTES, SERVICES, SLICES, SPLITS, Resource
from deploy.stand_ins.mesh.mirror import Probing
from deploy.stand_ins.mesh.objects import service_object, slice_name, slice_object
from tests.integration.local.mesh_pair import URL, WEB, profile_object, split_object, until

MIRROR = ("default", "web-eks")
QUICK = Probing(period_s=0.02, failures=3, timeout_s=1.0)
TOKENS = {LEGACY: "legacy-token", EKS: "eks-token"}


class World:
    """A running mesh and its two API servers."""

    def __init__(self, apis: dict[str, EmbeddedApi], mesh: Mesh) -> None:
        self.apis = apis
        self.mesh = mesh

    def get(self, cluster: str, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object as the cluster holds it."""
        found = self.apis[cluster].store.get(plural, namespace, name)
        return None if found is None else dict(found.body)

    def put(self, cluster: str, resource: Resource, obj: Object) -> None:
        """Write an object as somebody else would."""
        self.apis[cluster].put({"apiVersion": resource.api, "kind": resource.kind, **obj})

    def mirror(self, name: str = "web-eks") -> dict[str, Any] | None:
        """Return a mirror in legacy."""
        return self.get(LEGACY, "services", "default", name)

    def ready(self, name: str = "web-eks") -> list[bool]:
        """Return the ready conditions of the mirror's slice in legacy."""
        piece = self.get(LEGACY, "endpointslices", "default", slice_name(name))
        return [e["conditions"]["ready"] for e in (piece or {}).get("endpoints") or ()]

    async def serve_web(self, *clusters: str) -> list[Workload]:
        """Make the Service and two pods of it in these clusters."""
        for cluster in clusters:
            await self.mesh.clusters[cluster].api.apply(SERVICES, service_object(WEB))
        return [await self.mesh.workload(WEB, cluster) for cluster in clusters]


@contextlib.asynccontextmanager
async def running_world(**settings: Any) -> AsyncIterator[World]:
    """Run a world; ``settings`` are the Mesh's."""
    apis = {name: EmbeddedApi(name, tokens=(token,)) for name, token in TOKENS.items()}
    for api in apis.values():
        await api.start()
    access = [ApiAccess(apis[name].url, TOKENS[name]) for name in (LEGACY, EKS)]
    mesh = Mesh(*access, **{"seed": 7, "probing": QUICK, **settings})
    await mesh.start()
    running = World(apis, mesh)
    yield running
    await running.mesh.stop()
    for api in apis.values():
        await api.stop()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Yield a running world."""
    async with running_world() as running:
        yield running


async def test_each_cluster_has_a_link_to_the_other(world: World) -> None:
    """The Link names the other cluster, its gateway, and what a Service there must be labelled to be mirrored."""
    for here, there in ((LEGACY, EKS), (EKS, LEGACY)):
        link = world.get(here, "links", NAMESPACE, there)
        assert link is not None
        assert link["spec"]["targetClusterName"] == there
        assert link["spec"]["gatewayAddress"] == world.mesh.gateway(there).ip
        assert link["spec"]["selector"] == {"matchLabels": {"mirror.linkerd.io/exported": "true"}}


async def answered(load: Load, cluster: str, more: int = 20) -> None:
    """Wait until that cluster alone has answered so many requests in a row."""
    await until(
        lambda: [s.served_by.partition("/")[0] for s in load.sent()[-more:]] == [cluster] * more
    )


# --- mirrors


async def test_an_exported_service_is_mirrored_with_labels_and_annotations(world: World) -> None:
    """The mirror carries the owner's labels and annotations, and Linkerd's own."""
    wish = {"migrate.tradeshift/target": "eks"}
    api = world.mesh.clusters[EKS].api
    await api.apply(SERVICES, service_object(WEB, annotations=wish))
    await world.mesh.workload(WEB, EKS)
    await until(lambda: world.ready() == [True])
    mirror, remote = world.mirror(), world.get(EKS, "services", *WEB)
    assert mirror is not None
    assert remote is not None
    assert mirror["metadata"]["labels"] == {
        "app": "web",
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/cluster-name": "eks",
    }
    assert mirror["metadata"]["annotations"] == wish | {
        "mirror.linkerd.io/remote-svc-fq-name": "web.default.svc.cluster.local",
        "mirror.linkerd.io/remote-resource-version": remote["metadata"]["resourceVersion"],
    }
    assert "selector" not in mirror["spec"]
    assert [(p["name"], p["port"]) for p in mirror["spec"]["ports"]] == [("http", 80)]


async def test_a_mirror_leads_to_the_gateway(world: World) -> None:
    """Endpoints of the mirror's name and the slice that Kubernetes makes of them name it."""
    await world.serve_web(EKS)
    await until(lambda: world.ready() == [True])
    gateway = world.mesh.gateway(EKS)
    endpoints = world.get(LEGACY, "endpoints", *MIRROR)
    piece = world.get(LEGACY, "endpointslices", "default", slice_name("web-eks"))
    assert endpoints is not None
    assert piece is not None
    (subset,) = endpoints["subsets"]
    assert subset["addresses"] == [{"ip": gateway.ip}]
    assert subset["ports"] == [{"name": "http", "port": 4143, "protocol": "TCP"}]
    assert piece["endpoints"][0]["addresses"] == [gateway.ip]
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "web-eks"
    assert piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslicemirroring-controller.k8s.io"
    )
    for obj in (endpoints, piece):
        told = obj["metadata"]["annotations"]["mirror.linkerd.io/remote-gateway-identity"]
        assert told == gateway.identity


async def test_a_mirror_follows_the_life_of_its_service(world: World) -> None:
    """Emptied without ready pods, changed with it, gone with its export, and gone with it."""
    (pods,) = await world.serve_web(EKS)
    await until(lambda: world.ready() == [True])
    await pods.scale(0)
    await until(lambda: world.mirror() is not None and world.ready() == [])
    await pods.scale(1)
    await until(lambda: world.ready() == [True])
    api = world.mesh.clusters[EKS].api
    await api.apply(SERVICES, service_object(WEB, annotations={"a": "b"}), exists=True)
    await until(
        lambda: ((world.mirror() or {})["metadata"].get("annotations") or {}).get("a") == "b"
    )
    await api.apply(SERVICES, service_object(WEB, exported=False), exists=True)
    await until(lambda: world.mirror() is None)
    await until(lambda: world.get(LEGACY, "endpoints", *MIRROR) is None)
    await until(lambda: world.ready() == [])
    await api.apply(SERVICES, service_object(WEB), exists=True)
    await until(lambda: world.ready() == [True])
    await api.delete(SERVICES, WEB)
    await until(lambda: world.mirror() is None)


async def test_a_mirror_of_before_that_nobody_exports_is_deleted(world: World) -> None:
    """What a former service mirror left is taken over or removed at the start."""
    await world.serve_web(EKS)
    await until(lambda: world.ready() == [True])
    await world.mesh.stop()
    world.apis[EKS].remove("services", *WEB)
    access = [ApiAccess(world.apis[name].url, TOKENS[name]) for name in (LEGACY, EKS)]
    world.mesh = Mesh(*access, probing=QUICK)
    await world.mesh.start()
    await until(lambda: world.mirror() is None)


@pytest.mark.parametrize("how", ["dead", "cut"])
async def test_mirrors_are_not_ready_while_the_gateway_does_not_answer(
    world: World, how: str
) -> None:
    """After three failed probes; the first good one ends it. The other direction is not touched."""
    await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    gateway = world.mesh.gateway(EKS)
    if how == "dead":
        await gateway.die()
    else:
        world.mesh.cut_link(LEGACY, EKS)
    await until(lambda: world.ready() == [False])
    other = world.get(EKS, "endpointslices", "default", slice_name("web-legacy"))
    assert other is not None
    assert other["endpoints"][0]["conditions"]["ready"] is True
    if how == "dead":
        await gateway.revive()
    else:
        world.mesh.heal_link(LEGACY, EKS)
    await until(lambda: world.ready() == [True])


async def test_two_failed_probes_are_not_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway counts as gone after three failures in a row, and as back after one answer."""
    mirror = world.mesh._mirrors[0]
    answers = iter((True, False, False, True, False, False, False, False, True, True))
    alive: list[bool] = []
    told = asyncio.Event()

    async def answer() -> bool:
        alive.append(mirror._alive)
        following = next(answers, None)
        if following is None:
            told.set()
        return following is not False

    monkeypatch.setattr(mirror, "_gateway_answers", answer)
    async with asyncio.timeout(10):
        await told.wait()
    assert alive[:11] == [True] * 7 + [False, False, True, True]


async def test_hundreds_of_services_are_mirrored_quickly(world: World) -> None:
    """409 mirrors one way and 51 the other stand within a deadline."""
    for cluster, count in ((EKS, 409), (LEGACY, 51)):
        for n in range(count):
            key = ("default", f"service-{n}")
            piece = slice_object(key, [], 8080)
            for resource, obj in ((SERVICES, service_object(key)), (SLICES, piece)):
                world.put(cluster, resource, obj)
    await until(lambda: world.mirror("service-408-eks") is not None, 30)
    await world.mesh.mirrored()
    present, _ = await world.mesh.clusters[LEGACY].api.list(SERVICES)
    assert sum(key_of(obj)[1].endswith("-eks") for obj in present) == 409
    present, _ = await world.mesh.clusters[EKS].api.list(SERVICES)
    assert sum(key_of(obj)[1].endswith("-legacy") for obj in present) == 51


# --- traffic over objects in API servers


async def test_splits_and_pins_in_the_api_servers_move_traffic(world: World) -> None:
    """A split made before use moves the load; with both splits away only pins let it through."""
    await world.serve_web(LEGACY, EKS)
    legacy, eks = world.mesh.clusters[LEGACY], world.mesh.clusters[EKS]
    await legacy.api.apply(SPLITS, split_object([("web", 1000), ("web-eks", 0)]))
    await eks.api.apply(SPLITS, split_object([("web", 0), ("web-legacy", 1000)]))
    await until(lambda: world.ready() == [True])
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    load = await legacy.load(WEB, caller="shop", rate_hz=200)
    await answered(load, LEGACY)
    for cluster in (legacy, eks):
        await cluster.api.apply(PROFILES, profile_object(NAMESPACE))
    await until(lambda: eks.config.policy(WEB, NAMESPACE).pinned)
    world.put(LEGACY, SPLITS, split_object([("web", 0), ("web-eks", 1000)]))
    await answered(load, EKS)
    await load.stop()
    told = load.snapshot()
    assert told.failed_by_target == 0
    assert told.requests == len(load.sent()) == sum(told.by_cluster.values()) + told.failed_by_mesh
    assert sum(sum(s.by_cluster.values()) for s in told.seconds) == sum(told.by_cluster.values())


async def test_a_route_moves_its_own_port_and_a_split_every_port(world: World) -> None:
    """Of a Service of two ports an HTTPRoute moves the calls to its parent's port, a TrafficSplit those to both."""
    beside = {"grpc": 9090}
    for name in (LEGACY, EKS):
        await world.mesh.clusters[name].api.apply(SERVICES, service_object(WEB, beside=beside))
        await world.mesh.workload(WEB, name, beside=beside)
    legacy = world.mesh.clusters[LEGACY]
    await until(lambda: len(legacy.config.endpoints(("default", "web-eks"))) == 2)
    backends = [{"name": "web-eks", "port": 9090, "weight": 1}]
    parent = {"group": "", "kind": "Service", "name": "web", "port": 9090}
    route = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"parentRefs": [parent], "rules": [{"backendRefs": backends}]},
    }
    await legacy.api.apply(ROUTES, route)
    await until(lambda: legacy.config.policy(WEB, "default", 9090).route is not None)
    http = await legacy.load(WEB, caller="shop", rate_hz=100)
    grpc = await legacy.load(WEB, caller="cart", rate_hz=100, port=9090)
    await answered(http, LEGACY)
    await answered(grpc, EKS)
    assert set(http.snapshot().by_cluster) == {LEGACY}
    assert set(grpc.snapshot().by_cluster) == {EKS}
    for load in (http, grpc):
        await load.stop()
    await legacy.api.apply(SPLITS, split_object([("web", 0), ("web-eks", 1000)]))
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    for caller, port in (("basket", 80), ("search", 9090)):  # the others were busy (11)
        load = await legacy.load(WEB, caller=caller, rate_hz=100, port=port)
        await answered(load, EKS)
        await load.stop()
        assert set(load.snapshot().by_cluster) == {EKS}


async def test_load_tells_the_workloads_faults_from_the_meshs(world: World) -> None:
    """500 with the workload's mark is the target's, 504 by the proxy the mesh's."""
    (pods,) = await world.serve_web(LEGACY)
    load = await world.mesh.clusters[LEGACY].load(WEB, caller="shop", rate_hz=200)
    await answered(load, LEGACY)
    assert load.snapshot().failed_by_target == 0
    pods.fail(share=0.5, status=500)
    await until(lambda: load.snapshot().failed_by_target >= 20)
    assert load.snapshot().failed_by_mesh == 0
    assert {s.status for s in load.sent() if s.outcome == "workload"} == {500}
    pods.heal()
    await pods.scale(0)
    await until(lambda: load.snapshot().failed_by_mesh >= 3)
    assert {s.status for s in load.sent() if s.outcome == "mesh"} <= {503, 504}
    await load.stop()


async def test_a_rolling_deploy_fails_no_request(world: World) -> None:
    """Every pod is replaced under load, near and through the gateway, without one failure."""
    near, far = await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    legacy = world.mesh.clusters[LEGACY]
    loads = [await legacy.load(key, caller=key[1], rate_hz=150) for key in (WEB, MIRROR)]
    for load, cluster in zip(loads, (LEGACY, EKS), strict=True):
        await answered(load, cluster)
    before = {pod.name for pod in (*near.pods, *far.pods)}
    await asyncio.gather(near.roll(), far.roll())
    after = {pod.name for pod in (*near.pods, *far.pods)}
    assert len(after) == 4
    assert not before & after
    sent = [len(load.sent()) for load in loads]
    await until(lambda: all(len(x.sent()) > n + 50 for x, n in zip(loads, sent, strict=True)))
    for load in loads:
        await load.stop()
        assert [s for s in load.sent() if s.outcome != "ok"] == []
    served = {s.served_by.partition("/")[2] for load in loads for s in load.sent()[-50:]}
    assert served == after


async def test_a_pod_that_leaves_answers_until_nobody_is_sent_to_it(world: World) -> None:
    """Told as terminating and not ready, it still serves who has not heard of it."""
    (pods,) = await world.serve_web(LEGACY)
    proxy = await world.mesh.sidecar(LEGACY, "client")
    shrinking = asyncio.create_task(pods.scale(1))
    await until(lambda: any(pod.terminating for pod in pods.pods))
    (leaving,) = [pod for pod in pods.pods if pod.terminating]
    assert not leaving.ready
    url = f"http://{leaving.ip}:8080/"
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy) as answer:
        assert (await answer.json())["pod"] == leaving.name
    await shrinking
    assert leaving.name not in {pod.name for pod in pods.pods}


async def test_a_cut_link_is_one_direction(world: World) -> None:
    """From legacy to eks nothing gets through, from eks to legacy all does; healed, both."""
    await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    back = ("default", "web-legacy")
    loads = {
        EKS: await world.mesh.clusters[LEGACY].load(MIRROR, caller="a", rate_hz=50),
        LEGACY: await world.mesh.clusters[EKS].load(back, caller="b", rate_hz=50),
    }
    for cluster, load in loads.items():
        await answered(load, cluster)
    world.mesh.cut_link(LEGACY, EKS)
    await until(lambda: loads[EKS].snapshot().failed_by_mesh > 0)
    await answered(loads[LEGACY], LEGACY)
    assert loads[LEGACY].snapshot().failed_by_mesh == 0
    world.mesh.heal_link(LEGACY, EKS)
    await answered(loads[EKS], EKS)
    for load in loads.values():
        await load.stop()


async def test_a_service_of_pods_that_run_elsewhere_is_reached_from_both_clusters(
    world: World,
) -> None:
    """The prober's own Service: by its name in its cluster, by its mirror in the other."""
    key = ("migrate", "prober")
    pods = await world.mesh.workload(("migrate", "stand-in"), EKS, pods=1)
    address = pods.pods[0].ip
    await world.mesh.clusters[EKS].register(key, 8080, [address], 8080)
    await until(lambda: world.get(LEGACY, "services", "migrate", "prober-eks"))
    await world.mesh.mirrored()
    async with aiohttp.ClientSession() as session:
        for cluster, name in ((EKS, "prober"), (LEGACY, "prober-eks")):
            proxy = await world.mesh.sidecar(cluster, "controller", "migrate")
            url = f"http://{name}.migrate.svc.cluster.local:8080/"
            async with session.get(url, proxy=proxy) as answer:
                assert (await answer.json())["cluster"] == EKS


async def test_a_slow_a_hanging_and_a_missing_workload(world: World) -> None:
    """Latency, no answer, and 404 for a path, each on demand and each ended by heal."""
    (pods,) = await world.serve_web(LEGACY)
    proxy = await world.mesh.sidecar(LEGACY, "client")
    async with aiohttp.ClientSession() as session:
        pods.latency(0.05)
        began = time.monotonic()
        async with session.get(URL, proxy=proxy) as answer:
            assert answer.status == 200
        assert time.monotonic() - began >= 0.05
        pods.heal()
        pods.miss("/gone")
        async with session.get(URL + "gone?x=1", proxy=proxy) as answer:
            assert (answer.status, answer.headers["x-fault"]) == (404, "workload")
        pods.hang()
        with pytest.raises(asyncio.TimeoutError):
            await session.get(URL, proxy=proxy, timeout=aiohttp.ClientTimeout(total=0.1))
        pods.heal()
        async with session.get(URL, proxy=proxy) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("expired", ["event", "status"])
async def test_an_api_server_that_was_away_is_followed_again(
    world: World, expired: Literal["event", "status"]
) -> None:
    """After a stop and a start on its port with its history forgotten, changes arrive again.

    However it says 410: as an event of the watch, or as the answer to it.
    """
    world.apis[LEGACY]._expired_watch = expired
    await world.serve_web(LEGACY)
    legacy = world.mesh.clusters[LEGACY]
    api = world.apis[LEGACY]
    host, port = api.url.removeprefix("http://").split(":")
    await api.stop()
    world.put(LEGACY, SPLITS, split_object([("web", 1)]))
    api.remove("endpointslices", "default", slice_name("web"))
    await api.compact()
    await api.start(host, int(port))
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    await until(lambda: not legacy.config.endpoints(WEB)[80])


def test_only_the_two_clusters_are_linked() -> None:
    """A link that does not exist cannot be cut."""
    access = ApiAccess("http://127.0.0.1:1")
    mesh = Mesh(access, access)
    with pytest.raises(ValueError, match="no link"):
        mesh.cut_link(LEGACY, LEGACY)
    mesh.addresses.release()


async def test_a_link_and_its_mirrors_tell_the_other_clusters_domain() -> None:
    """Where eks has a DNS domain of its own, the Link in legacy and the mirrors there say it, and the adaptor of
    eks writes profiles by it."""
    configs = (ClusterConfig(), ClusterConfig(domain="eks.example.com"))
    async with running_world(configs=configs) as world:
        await world.serve_web(LEGACY, EKS)
        await until(lambda: world.ready() == [True])
        for here, there, domain in (
            (LEGACY, EKS, "eks.example.com"),
            (EKS, LEGACY, "cluster.local"),
        ):
            link = world.get(here, "links", NAMESPACE, there)
            mirror = world.get(here, "services", "default", f"web-{there}")
            assert link is not None
            assert mirror is not None
            assert link["spec"]["targetClusterDomain"] == domain
            told = mirror["metadata"]["annotations"]["mirror.linkerd.io/remote-svc-fq-name"]
            assert told == f"web.default.svc.{domain}"
        world.put(EKS, SPLITS, split_object([("web", 1), ("web-legacy", 0)]))
        name = "web.default.svc.eks.example.com"
        await until(lambda: world.get(EKS, "serviceprofiles", "default", name) is not None)
