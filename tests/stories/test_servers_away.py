"""An API server that is away while callers must go home: whoever can be brought home is, at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.apiserver import EmbeddedApi
from deploy.local.mesh import EKS, LEGACY
from deploy.local.pair import CLUSTERS, Plan
from tests.stories.scene import Scene, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

A = "service-a"
AT_SHARE = 25.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair with one Service; controller and lease are in legacy."""
    async with playing(Plan()) as scene:
        await scene.service(A)
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def moving(scene: Scene) -> Scene:
    """The same in the middle of a new attempt."""
    number = scene.status(A).get("observed", {}).get("attempt", 0) + 1
    await scene.rise(A, "25", attempt=str(number))
    return scene


class Away:
    """An API server that can be away for a while; it comes back at the same address."""

    def __init__(self, scene: Scene, cluster: str) -> None:
        api = scene.pair.apis[cluster]
        assert isinstance(api, EmbeddedApi)
        self.api = api
        self._port = int(api.url.rpartition(":")[2])

    async def leave(self) -> None:
        """Be away."""
        await self.api.stop()

    async def come_back(self) -> None:
        """Be there again, with all that was stored."""
        await self.api.start(port=self._port)

    def away_weight(self) -> float:
        """Return the mirror's weight per mille as it is stored, whoever can be asked."""
        stored = self.api.store.get("trafficsplits", "default", A)
        assert stored is not None
        (weight,) = [b["weight"] for b in stored.body["spec"]["backends"] if b["service"] != A]
        return float(weight)


async def test_target_away_delays_only_its_own_callers(moving: Scene) -> None:
    """With eks' API server away legacy goes home at once, and eks as soon as its server answers."""
    away = Away(moving, EKS)
    await away.leave()
    try:
        moving.pair.workloads[EKS, A].fail(0.5)
        await moving.until(lambda: moving.share(LEGACY, A) == 0.0, "legacy stays away", A)
        assert away.away_weight() == 750
    finally:
        await away.come_back()
    await moving.stands(A, 0.0)
    await moving.reach(A, "Reverted")
    moving.pair.workloads[EKS, A].heal()
    assert [moving.failed(cluster, A) for cluster in CLUSTERS] == [[], []]


async def test_going_home_needs_no_lease(moving: Scene) -> None:
    """With legacy's API server and so the lease away, eks goes home at once, and legacy when it can."""
    away = Away(moving, LEGACY)
    before = moving.log().count("not leading any more")
    await away.leave()
    try:
        await moving.until(
            lambda: moving.log().count("not leading any more") > before, "it goes on leading", A
        )
        assert away.away_weight() == 250
        moving.pair.workloads[EKS, A].fail(0.5)
        await moving.until(lambda: moving.share(EKS, A) == 0.0, "eks stays away", A)
        assert away.away_weight() == 250
    finally:
        await away.come_back()
    await moving.stands(A, 0.0)
    await moving.reach(A, "Reverted")
    moving.pair.workloads[EKS, A].heal()
    assert [moving.failed(cluster, A) for cluster in CLUSTERS] == [[], []]
