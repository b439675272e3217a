"""A broken link or a dead gateway, in the middle of a migration, with the controller on either side of it.

Callers in legacy (the origin) go home to local pods and need no gateway for it. Callers in eks go home
through legacy's gateway, so they are better off where they are for as long as that is out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.mesh import EKS, LEGACY
from deploy.local.mesh.gateway import Death
from deploy.local.pair import CLUSTERS, Plan
from tests.stories.scene import Scene, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

A = "service-a"
AT_SHARE = 25.0
QUARTER = "25"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CLUSTERS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """A pair with one Service; its controller is in legacy, then in eks."""
    async with playing(Plan(controller_in=request.param)) as scene:
        await scene.service(A)
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def moving(scene: Scene) -> AsyncIterator[Scene]:
    """The same in the middle of a new attempt; everyone is home afterwards."""
    number = scene.status(A).get("observed", {}).get("attempt", 0) + 1
    await scene.rise(A, QUARTER, attempt=str(number))
    for trail in scene.trail.values():
        del trail[:-1]
    yield scene
    for cluster in CLUSTERS:
        await scene.pair.mesh.gateway(cluster).revive()
        scene.pair.mesh.gateway(cluster).heal()
    await scene.ask(A, abort="true")
    await scene.reach(A, "Reverted")
    await scene.ask(A, abort=None, target=None)
    await asyncio.gather(*(scene.recovered(cluster, A) for cluster in CLUSTERS))


def now() -> float:
    """Return the time by which calls are due."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("death", ["refuse", "hang"])
async def test_dead_target_gateway_sends_the_origins_callers_home(
    moving: Scene, death: Death
) -> None:
    """When eks' gateway dies, callers in legacy go home and stop failing; callers in eks never fail."""
    began = now()
    await moving.pair.mesh.gateway(EKS).die(death)
    await moving.until(lambda: moving.share(LEGACY, A) == 0.0, "legacy stays away", A)
    await moving.recovered(LEGACY, A)
    await moving.good_calls(LEGACY, A)
    await moving.pair.mesh.gateway(EKS).revive()
    await moving.reach(A, "Reverted")
    await moving.good_calls(EKS, A)
    assert moving.failed(EKS, A, began) == []
    assert moving.trail[LEGACY, A] == [AT_SHARE, 0.0]
    assert moving.trail[EKS, A] == [AT_SHARE, 0.0]


@pytest.mark.parametrize("death", ["refuse", "hang"])
async def test_dead_origin_gateway_throws_nobody_at_it(moving: Scene, death: Death) -> None:
    """When legacy's gateway dies, callers in eks stay in eks, and callers in legacy never fail."""
    began = now()
    await moving.pair.mesh.gateway(LEGACY).die(death)
    await moving.recovered(EKS, A)
    since = now()
    if moving.pair.plan.controller_in == EKS:
        # From eks a dead gateway of legacy and a dead legacy look the same: who can, goes home.
        await moving.until(lambda: moving.share(LEGACY, A) == 0.0, "legacy stays away", A)
    else:
        await moving.reach(A, "Holding", 15.0)
        assert moving.trail[LEGACY, A] == [AT_SHARE]
    await moving.good_calls(EKS, A)
    assert moving.trail[EKS, A] == [AT_SHARE]
    assert moving.failed(EKS, A, since) == []
    assert moving.failed(LEGACY, A, began) == []
    await moving.pair.mesh.gateway(LEGACY).revive()
    if moving.pair.plan.controller_in == LEGACY:
        # The path back has failed too often for another step, and that is not forgotten in an attempt.
        await moving.recovered(EKS, A)
        assert moving.trail[EKS, A] == [AT_SHARE]
        await moving.ask(A, abort="true")
    await moving.reach(A, "Reverted")
    assert moving.trail[EKS, A] == [AT_SHARE, 0.0]
    await moving.good_calls(EKS, A)
    await moving.good_calls(LEGACY, A)


async def test_cut_link_sends_home_whose_home_needs_no_link(moving: Scene) -> None:
    """When the link is cut both paths, callers in legacy go home, and those in eks once it is healed."""
    mesh = moving.pair.mesh
    mesh.cut_link(LEGACY, EKS)
    mesh.cut_link(EKS, LEGACY)
    await moving.until(lambda: moving.share(LEGACY, A) == 0.0, "legacy stays away", A)
    await asyncio.gather(*(moving.recovered(cluster, A) for cluster in CLUSTERS))
    since = now()
    await asyncio.gather(*(moving.good_calls(cluster, A) for cluster in CLUSTERS))
    assert moving.trail[EKS, A] == [AT_SHARE]
    assert moving.status(A)["phase"] == "Reverting"
    mesh.heal_link(LEGACY, EKS)
    mesh.heal_link(EKS, LEGACY)
    await moving.reach(A, "Reverted")
    assert moving.trail[EKS, A] == [AT_SHARE, 0.0]
    await asyncio.gather(*(moving.good_calls(cluster, A) for cluster in CLUSTERS))
    assert [moving.failed(cluster, A, since) for cluster in CLUSTERS] == [[], []]
