"""Facts 26, 29 and 32 of docs/mesh-facts.md: what Linkerd's controllers write into the API servers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.stand_ins.mesh import EKS, LEGACY, policy
from deploy.stand_ins.mesh.config import ClusterConfig, SplitFault, Weighted
from deploy.stand_ins.mesh.kube import PROFILES, ROUTES, SERVICES, SPLITS
from deploy.stand_ins.mesh.mirror import PROBING, Probing
from deploy.stand_ins.mesh.objects import link_object, service_object
from deploy.stand_ins.mesh.policy import CONTROLLER
from tests.integration.local.mesh_pair import WEB, profile_object, route_object, split_object, until
from tests.integration.local.test_mesh_world import World, answered, running_world

PROFILE = ("default", "web.default.svc.cluster.local")
TWIN = ("default", "web-pods")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Yield a running world."""
    async with running_world() as running:
        yield running


def overrides(world: World) -> list[tuple[str, str]]:
    """Return the overrides of web's profile in legacy."""
    found = world.get(LEGACY, "serviceprofiles", *PROFILE)
    told = ((found or {}).get("spec") or {}).get("dstOverrides") or ()
    return [(o["authority"].partition(".")[0], o["weight"]) for o in told]


def conditions(world: World, name: str = "web") -> dict[str, tuple[str, str]]:
    """Return status and reason of a route's conditions in legacy, as the policy controller told them."""
    route = world.get(LEGACY, "httproutes", "default", name) or {}
    return {
        c["type"]: (c["status"], c["reason"])
        for parent in (route.get("status") or {}).get("parents") or ()
        if parent["controllerName"] == CONTROLLER
        for c in parent["conditions"]
    }


# --- 26: the status of a route


async def test_fact_26_a_new_route_is_accepted_on_an_opaque_port_too(world: World) -> None:
    """Accepted and ResolvedRefs by the policy controller, whether anybody obeys it or not (24)."""
    await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    world.put(LEGACY, SERVICES, service_object(WEB, app_protocol="grpc"))
    world.put(LEGACY, ROUTES, route_object([("web", 1), ("web-eks", 1)]))
    assert conditions(world) == {}
    await until(lambda: conditions(world) != {})
    assert conditions(world) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }


async def test_fact_26_a_new_routes_status_is_empty_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written a tenth of a second after the route, here ten minutes after it."""
    assert policy.STATUS_DELAY_S == 0.1
    monkeypatch.setattr(policy, "STATUS_DELAY_S", 600.0)
    world.put(LEGACY, SERVICES, service_object(WEB))
    world.put(LEGACY, ROUTES, route_object([("web", 1)]))
    timers = world.mesh.clusters[LEGACY].policy_controller._timers
    await until(lambda: WEB in timers)
    assert timers[WEB].when() > asyncio.get_running_loop().time() + 500
    assert conditions(world) == {}


async def test_fact_26_the_status_tells_what_is_missing(world: World) -> None:
    """Without the Service, or with a headless one, it is not accepted; without a backend its refs are not resolved."""
    world.put(LEGACY, ROUTES, route_object([("gone", 1)]))
    bad = {
        "Accepted": ("False", "NoMatchingParent"),
        "ResolvedRefs": ("False", "BackendNotFound"),
    }
    await until(lambda: conditions(world) == bad)
    world.put(LEGACY, SERVICES, service_object(("default", "gone")))
    await until(lambda: conditions(world)["ResolvedRefs"] == ("True", "ResolvedRefs"))
    world.put(LEGACY, SERVICES, service_object(WEB))
    await until(lambda: conditions(world)["Accepted"] == ("True", "Accepted"))


async def test_fact_26_what_another_controller_says_of_a_route_stays(world: World) -> None:
    """The policy controller replaces what it said itself, and nothing else."""
    other = {"parentRef": {"name": "web"}, "controllerName": "example.com/other", "conditions": []}
    world.put(LEGACY, SERVICES, service_object(WEB))
    world.put(LEGACY, ROUTES, {**route_object([("web", 1)]), "status": {"parents": [other]}})
    await until(lambda: conditions(world) != {})
    route = world.get(LEGACY, "httproutes", "default", "web")
    assert route is not None
    assert other in route["status"]["parents"]


async def test_fact_26_without_the_policy_controller_a_route_has_no_status() -> None:
    """A Linkerd without HTTPRoutes writes no status, and its proxies obey none."""
    without = (ClusterConfig(http_routes=False), ClusterConfig(http_routes=False))
    async with running_world(configs=without) as world:
        await world.serve_web(LEGACY, EKS)
        await until(lambda: world.ready() == [True])
        world.put(LEGACY, ROUTES, route_object([("web-eks", 1)]))
        load = await world.mesh.clusters[LEGACY].load(WEB, caller="shop", rate_hz=200)
        await answered(load, LEGACY, more=100)
        await load.stop()
        assert conditions(world) == {}


# --- 29: mirrors


async def test_fact_29_a_mirror_made_before_its_endpoints_is_empty_until_repair() -> None:
    """Ready pods do not fill it; the next repair does, and from then on it follows at once."""
    async with running_world(repair_s=600.0) as world:
        await world.mesh.clusters[EKS].api.apply(SERVICES, service_object(WEB))
        await until(lambda: world.mirror() is not None)
        pods = await world.mesh.workload(WEB, EKS)
        mirror = world.mesh._mirrors[0]
        await until(lambda: mirror._has_ready(WEB))
        await mirror._queue.join()
        assert world.ready() == []
        mirror.repair()
        await until(lambda: world.ready() == [True])
        await pods.scale(0)
        await until(lambda: world.ready() == [])
        await pods.scale(1)
        await until(lambda: world.ready() == [True])


def test_fact_29_a_dead_gateway_is_noticed_as_the_link_says() -> None:
    """Three failures, 3 s apart: 6 to 9 s after its death, as measured, and as the Link's probeSpec tells."""
    spec = link_object("eks", "10.0.0.1", "identity")["spec"]["probeSpec"]
    assert spec["period"] == f"{PROBING.period_s:g}s"
    assert spec["failureThreshold"] == f"{PROBING.failures}"
    assert spec["timeout"] == f"{PROBING.timeout_s:g}s"


async def test_fact_29_mirrors_come_back_after_the_gateways_recovery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the gateway is back the mirror's own probe goes on to fail for a while."""
    quick = Probing(period_s=0.02, failures=3, timeout_s=1.0)
    async with running_world(probing=dataclasses.replace(quick, recovery_s=600.0)) as world:
        await world.serve_web(EKS)
        await until(lambda: world.ready() == [True])
        await world.mesh.gateway(EKS).die()
        await until(lambda: world.ready() == [False])
        await world.mesh.gateway(EKS).revive()
        mirror = world.mesh._mirrors[0]
        ask, answers = mirror._gateway_answers, 0

        async def counted() -> bool:
            nonlocal answers
            answers += await ask()
            return answers > 0

        monkeypatch.setattr(mirror, "_gateway_answers", counted)
        await until(lambda: answers >= 5)
        await world.mesh.mirrored()
        assert world.ready() == [False]
        monkeypatch.setattr(mirror, "_probing", quick)
        await until(lambda: world.ready() == [True])


# --- 32: the SMI adaptor


async def test_fact_32_without_the_adaptor_a_split_moves_nobody(world: World) -> None:
    """Stopped, it leaves the shares where they are, in either direction; started, it brings them up to date."""
    await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    legacy = world.mesh.clusters[LEGACY]
    world.put(LEGACY, SPLITS, split_object([("web", 1000), ("web-eks", 0)]))
    await until(lambda: overrides(world) == [("web", "1000"), ("web-eks", "0")])
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    load = await legacy.load(WEB, caller="shop", rate_hz=200)
    await answered(load, LEGACY)
    await legacy.adaptor.stop()
    away = split_object([("web", 0), ("web-eks", 1000)])
    world.put(LEGACY, SPLITS, away)
    await answered(load, LEGACY, more=100)
    await legacy.adaptor.start()
    await answered(load, EKS)
    await legacy.adaptor.stop()
    world.put(LEGACY, SPLITS, split_object([("web", 1000), ("web-eks", 0)]))
    await answered(load, EKS, more=100)
    await load.stop()


async def test_fact_32_overrides_of_a_split_deleted_while_the_adaptor_is_down_stay(
    world: World,
) -> None:
    """Started again, it knows nothing of that split (13); deleted while it runs, they go with it."""
    legacy = world.mesh.clusters[LEGACY]
    for deleted_while_down in (False, True):
        world.put(LEGACY, SPLITS, split_object([("web", 1)]))
        await until(lambda: overrides(world) == [("web", "1")])
        if deleted_while_down:
            await legacy.adaptor.stop()
        await legacy.api.delete(SPLITS, WEB)
        if deleted_while_down:
            await legacy.adaptor.start()
            await until(lambda: not legacy.adaptor.busy)
            assert overrides(world) == [("web", "1")]
        else:
            await until(lambda: overrides(world) == [])


async def test_fact_32_the_adaptor_keeps_the_routes_of_a_profile(world: World) -> None:
    """It writes overrides into the profile that is there, and takes only them away again."""
    world.put(
        LEGACY, PROFILES, profile_object("default", routes=[{"name": "all", "condition": {}}])
    )
    world.put(LEGACY, SPLITS, split_object([("web", 1)]))
    await until(lambda: overrides(world) == [("web", "1")])
    await world.mesh.clusters[LEGACY].api.delete(SPLITS, WEB)
    await until(lambda: overrides(world) == [])
    profile = world.get(LEGACY, "serviceprofiles", *PROFILE)
    assert profile is not None
    assert [route["name"] for route in profile["spec"]["routes"]] == ["all"]


async def test_fact_32_what_proxies_obey_is_the_profile(world: World) -> None:
    """A bad weight or a backend as FQDN comes to the proxies by the adaptor, as the split has it (15, 17)."""
    config = world.mesh.clusters[LEGACY].config
    for weights, told in (
        ([("web", 1), ("web-eks", 3)], Weighted((("web", 1.0), ("web-eks", 3.0)))),
        ([("web", 0)], SplitFault.ALL_ZERO),
        ([("web.default.svc.cluster.local", 1)], SplitFault.BACKEND_IS_FQDN),
    ):
        written: Any = weights
        wanted: object = told
        world.put(LEGACY, SPLITS, split_object(written))
        await until(lambda: config.policy(WEB, "default").split == wanted)  # noqa: B023 - waited for here


# --- 33: who goes past the split


async def test_fact_33_an_ingress_and_a_headless_twin_stay_while_callers_move(world: World) -> None:
    """At 100 % away by a split that callers follow, those that dial pods are served by the cluster's own."""
    (pods, _) = await world.serve_web(LEGACY, EKS)
    await until(lambda: world.ready() == [True])
    legacy = world.mesh.clusters[LEGACY]
    twin = service_object(TWIN, selects="web", headless=True, exported=False)
    await legacy.api.apply(SERVICES, twin)
    await pods.also_in(TWIN)
    world.put(LEGACY, SPLITS, split_object([("web", 0), ("web-eks", 1000)]))
    await until(lambda: legacy.config.policy(WEB, "default").split is not None)
    await until(lambda: any(legacy.config.endpoints(TWIN).values()))
    caller = await legacy.load(WEB, caller="shop", rate_hz=200)
    ingress = await legacy.load(WEB, caller="ingress", rate_hz=200, dials_pods=True)
    by_twin = await legacy.load(TWIN, caller="peer", rate_hz=200)
    await answered(caller, EKS)
    await asyncio.gather(answered(ingress, LEGACY), answered(by_twin, LEGACY))
    for load in (caller, ingress, by_twin):
        await load.stop()
    assert caller.snapshot().by_cluster.keys() == {EKS}
    assert ingress.snapshot().by_cluster.keys() == {LEGACY}
    assert by_twin.snapshot().by_cluster.keys() == {LEGACY}
