"""An API server that is away while callers must be rolled back: whoever can be rolled back is, at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Plan
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY
from tests.integration.stories.scene import Scene, named_after, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

AT_SHARE = 25.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair whose controller and lease are in legacy; each test brings a Service of its own."""
    async with playing(Plan()) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def service(scene: Scene, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A Service by the test's own name, in the middle of its migration; afterwards nobody calls it."""
    name = named_after(request.node)
    await scene.service(name)
    await scene.rise(name)
    yield name
    await scene.ask(name, target=None)
    for cluster in CLUSTERS:
        await scene.load(cluster, name).stop()


class Away:
    """An API server that can be away for a while; it comes back at the same address."""

    def __init__(self, scene: Scene, cluster: str, service: str) -> None:
        api = scene.pair.apis[cluster]
        assert isinstance(api, EmbeddedApi)
        self.api = api
        self._service = service
        self._port = int(api.url.rpartition(":")[2])

    async def leave(self) -> None:
        """Be away."""
        await self.api.stop()

    async def come_back(self) -> None:
        """Be there again, with all that was stored."""
        await self.api.start(port=self._port)

    def away_weight(self) -> float:
        """Return the mirror's weight per mille as it is stored, whoever can be asked."""
        stored = self.api.store.get("trafficsplits", "default", self._service)
        assert stored is not None
        (weight,) = [
            b["weight"] for b in stored.body["spec"]["backends"] if b["service"] != self._service
        ]
        return float(weight)


async def test_target_away_delays_only_its_own_callers(scene: Scene, service: str) -> None:
    """With eks' API server away legacy is rolled back at once, and eks as soon as its server answers."""
    away = Away(scene, EKS, service)
    await away.leave()
    try:
        scene.pair.workloads[EKS, service].fail(0.5)
        await scene.until(lambda: scene.share(LEGACY, service) == 0.0, "legacy stays away", service)
        assert away.away_weight() == 750
    finally:
        await away.come_back()
    await scene.stands(service, 0.0)
    await scene.reach(service, "Reverted")
    scene.pair.workloads[EKS, service].heal()
    assert await scene.all_calls_failed(service) == []


async def test_going_home_needs_no_lease(scene: Scene, service: str) -> None:
    """With legacy's API server and so the lease away, eks is rolled back at once, and legacy when it can."""
    away = Away(scene, LEGACY, service)
    before = scene.log().count("not leading any more")
    await away.leave()
    try:
        await scene.until(
            lambda: scene.log().count("not leading any more") > before,
            "it goes on leading",
            service,
        )
        assert away.away_weight() == 250
        scene.pair.workloads[EKS, service].fail(0.5)
        await scene.until(lambda: scene.share(EKS, service) == 0.0, "eks stays away", service)
        assert away.away_weight() == 250
    finally:
        await away.come_back()
    await scene.stands(service, 0.0)
    await scene.reach(service, "Reverted")
    scene.pair.workloads[EKS, service].heal()
    assert await scene.all_calls_failed(service) == []
