"""A broken link or a dead gateway, in the middle of a migration, with the controller on either side of it.

Callers in legacy (the origin) are rolled back to local pods and need no gateway for it. Callers in eks are rolled back
through legacy's gateway, so they are better off where they are for as long as that is out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.gateway import Death
from tests.integration.stories.scene import Scene, named_after, playing

pytestmark = [pytest.mark.story, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

AT_SHARE = 25.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CLUSTERS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """A pair whose controller is in legacy, then in eks; each test brings a Service of its own."""
    async with playing(Plan(controller_in=request.param)) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def service(scene: Scene, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A Service by the test's own name, in the middle of its migration; afterwards everyone is home.

    So the next test begins with probers that have nothing to do and links over which calls are answered.
    """
    name = named_after(request.node)
    await scene.service(name)
    await scene.rise(name)
    yield name
    for cluster in CLUSTERS:
        await scene.pair.mesh.gateway(cluster).revive()
        scene.pair.mesh.gateway(cluster).heal()
    await scene.ask(name, abort="true")
    await scene.stands(name, 0.0)
    await scene.ask(name, abort=None, target=None)
    await asyncio.gather(*(scene.recovered(cluster, name) for cluster in CLUSTERS))
    await asyncio.gather(*(scene.load(cluster, name).stop() for cluster in CLUSTERS))


def now() -> float:
    """Return the time by which calls are due."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("death", ["refuse", "hang"])
async def test_dead_target_gateway_sends_the_origins_callers_home(
    scene: Scene, service: str, death: Death
) -> None:
    """When eks' gateway dies, callers in legacy are rolled back and stop failing; callers in eks never fail."""
    began = now()
    await scene.pair.mesh.gateway(EKS).die(death)
    await scene.until(lambda: scene.share(LEGACY, service) == 0.0, "legacy stays away", service)
    await scene.recovered(LEGACY, service)
    await scene.good_calls(LEGACY, service)
    await scene.pair.mesh.gateway(EKS).revive()
    await scene.reach(service, "Reverted")
    await scene.good_calls(EKS, service)
    assert scene.failed(EKS, service, began) == [], scene.starved()
    assert scene.trail[LEGACY, service] == [0.0, AT_SHARE, 0.0], scene.starved()
    assert scene.trail[EKS, service] == [0.0, AT_SHARE, 0.0], scene.starved()


async def test_dead_gateway_is_noticed_by_its_own_path(scene: Scene, service: str) -> None:
    """A Service that is probed once a second and allows 10 % bad goes with its gateway, and says so.

    Its controller is in the origin: from the target's side it goes with the link to the origin's prober.
    """
    if scene.pair.plan.controller_in == EKS:
        pytest.skip("told in the origin")
    await scene.ask(service, slo_success="90", probe_rate="1")
    await scene.recovered(LEGACY, service)
    await scene.pair.mesh.gateway(EKS).die("refuse")
    await scene.until(lambda: scene.share(LEGACY, service) == 0.0, "legacy stays away", service)
    await scene.pair.mesh.gateway(EKS).revive()
    assert "the gateway of eks" in await scene.told(service, "GatewayDead")


@pytest.mark.parametrize("death", ["refuse", "hang"])
async def test_dead_origin_gateway_throws_nobody_at_it(
    scene: Scene, service: str, death: Death
) -> None:
    """When legacy's gateway dies, callers in eks stay in eks, and callers in legacy never fail."""
    began = now()
    await scene.pair.mesh.gateway(LEGACY).die(death)
    await scene.recovered(EKS, service)
    since = now()
    if scene.pair.plan.controller_in == EKS:
        # From eks a dead gateway of legacy and a dead legacy look the same: who can, is rolled back.
        await scene.until(lambda: scene.share(LEGACY, service) == 0.0, "legacy stays away", service)
    else:
        await scene.reach(service, "Holding", 15.0)
        assert scene.trail[LEGACY, service] == [0.0, AT_SHARE], scene.starved()
    await scene.good_calls(EKS, service)
    assert scene.trail[EKS, service] == [0.0, AT_SHARE], scene.starved()
    assert scene.failed(EKS, service, since) == [], scene.starved()
    assert scene.failed(LEGACY, service, began) == [], scene.starved()
    await scene.pair.mesh.gateway(LEGACY).revive()
    if scene.pair.plan.controller_in == LEGACY:
        # The path back has failed too often for another step, and that is not forgotten in an attempt.
        await scene.recovered(EKS, service)
        assert scene.trail[EKS, service] == [0.0, AT_SHARE], scene.starved()
        await scene.ask(service, abort="true")
    await scene.reach(service, "Reverted")
    assert scene.trail[EKS, service] == [0.0, AT_SHARE, 0.0], scene.starved()
    await scene.good_calls(EKS, service)
    await scene.good_calls(LEGACY, service)


async def test_cut_link_sends_home_whose_home_needs_no_link(scene: Scene, service: str) -> None:
    """When the link is cut both paths, callers in legacy are rolled back, and those in eks once it is healed."""
    mesh = scene.pair.mesh
    mesh.cut_link(LEGACY, EKS)
    mesh.cut_link(EKS, LEGACY)
    await scene.until(lambda: scene.share(LEGACY, service) == 0.0, "legacy stays away", service)
    await asyncio.gather(*(scene.recovered(cluster, service) for cluster in CLUSTERS))
    since = now()
    await asyncio.gather(*(scene.good_calls(cluster, service) for cluster in CLUSTERS))
    await scene.reach(service, "Reverting")
    assert scene.trail[EKS, service] == [0.0, AT_SHARE], scene.starved()
    mesh.heal_link(LEGACY, EKS)
    mesh.heal_link(EKS, LEGACY)
    await scene.reach(service, "Reverted")
    assert scene.trail[EKS, service] == [0.0, AT_SHARE, 0.0], scene.starved()
    await asyncio.gather(*(scene.good_calls(cluster, service) for cluster in CLUSTERS))
    assert [scene.failed(cluster, service, since) for cluster in CLUSTERS] == [[], []]
