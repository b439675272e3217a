"""What else happens in the middle of a migration: it goes on, or waits, and brings nobody home for it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.observed import CLUSTERS, MIGRATIONS, PREFIX
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import PROFILES, SERVICES
from tests.integration.stories.scene import QUICK, Scene, named_after, pin_key, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

QUIET_HZ = 10.0
TERM_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair; each test brings a Service of its own."""
    async with playing(Plan()) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def service(scene: Scene, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A Service by the test's own name, all on legacy; afterwards nobody calls it and nothing is asked."""
    name = named_after(request.node)
    await scene.service(name, rate_hz=QUIET_HZ)
    yield name
    await scene.ask(name, target=None)
    for cluster in CLUSTERS:
        await scene.load(cluster, name).stop()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("silent", [(EKS,), (LEGACY,), CLUSTERS], ids=["eks", "legacy", "both"])
async def test_silent_probers_hold(scene: Scene, silent: tuple[str, ...], service: str) -> None:
    """While a prober is dead nothing rises and nothing reverts; when it is back the migration goes on."""
    name = service
    await scene.rise(name, steps="25,50")
    await scene.ask(name, dwell="1s")
    for cluster in silent:
        await scene.pair.probers[cluster].kill()
    try:
        await scene.reach(name, "Holding")
        assert scene.status(name)["reason"] == "Blind"
        held = {cluster: list(scene.trail[cluster, name]) for cluster in CLUSTERS}
    finally:  # the tests behind this one need them too
        for cluster in silent:
            scene.pair.probers[cluster].start()
    await scene.reach(name, "Completed", 60.0)
    for cluster in CLUSTERS:
        trail = scene.trail[cluster, name]
        assert trail == sorted(trail), "nobody was brought home"
        assert trail[: len(held[cluster])] == held[cluster]
    assert await scene.all_calls_failed(name) == []


@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_deleted_pin_is_put_back(scene: Scene, cluster: str, service: str) -> None:
    """A pin deleted by hand is there again, an Event says so, and nobody is rolled back."""
    await scene.rise(service)
    api = scene.pair.mesh.clusters[cluster].api
    await api.delete(PROFILES, pin_key(service))
    patience = scene.patience(5.0)
    while not await scene.pin_is_there(cluster, service):
        await patience.wait()
    assert f"the gateway in {cluster} was missing" in await scene.event(service, "PinRemade")
    await scene.ask(service, dwell="1s")
    await scene.reach(service, "Completed", 60.0)
    assert all(scene.trail[at, service] == [0.0, 25.0, 99.9, 100.0] for at in CLUSTERS)


@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_rolling_deploy_is_no_fault(scene: Scene, cluster: str, service: str) -> None:
    """A rolling deploy of origin or target in mid-migration reverts nothing and fails no request."""
    await scene.rise(service)
    await scene.pair.workloads[cluster, service].roll()
    await scene.pair.workloads[cluster, service].roll()
    await scene.ask(service, dwell="1s")
    await scene.reach(service, "Completed", 60.0)
    assert all(scene.trail[at, service] == [0.0, 25.0, 99.9, 100.0] for at in CLUSTERS)
    assert await scene.all_calls_failed(service) == []


async def test_path_that_is_nowhere_names_the_key(scene: Scene, service: str) -> None:
    """A probe-path that every pod answers 404 moves nothing, and status says to set probe-path."""
    for cluster in CLUSTERS:
        scene.pair.workloads[cluster, service].miss("/healthz")
    await scene.ask(service, **QUICK, target=EKS, probe_path="/healthz", steps="25")
    message = await scene.told(service, "ProbeRejected")
    assert "GET /healthz is answered 404 on every way" in message
    assert "set probe-path" in message
    assert "probe-expect=200-399,404" in message
    assert "probe-path" in await scene.event(service, "ProbeRejected")
    assert all(scene.trail[at, service] == [0.0] for at in CLUSTERS)
    await scene.ask(service, probe_path=None)
    await scene.reach(service, "Completed", 60.0)
    assert await scene.all_calls_failed(service) == []


async def test_mirror_with_our_annotations_starts_nothing(scene: Scene, service: str) -> None:
    """Linkerd copies our annotations to the mirror, and no mirror is ever migrated itself."""
    await scene.rise(service)
    mirror = f"{service}-{LEGACY}"
    found, _ = await scene.pair.mesh.clusters[EKS].api.list(SERVICES)
    (copied,) = [s["metadata"]["annotations"] for s in found if s["metadata"]["name"] == mirror]
    assert copied[PREFIX + "target"] == EKS
    await scene.ask(service, dwell="1s")
    await scene.reach(service, "Completed", 60.0)
    for cluster in CLUSTERS:
        api = scene.pair.mesh.clusters[cluster].api
        migrations, _ = await api.list(MIGRATIONS)
        pins, _ = await api.list(PROFILES)
        names = {found["metadata"]["name"].partition(".")[0] for found in (*migrations, *pins)}
        assert service in names
        assert names.isdisjoint({f"{service}-{far}" for far in CLUSTERS})


async def test_sigterm_gives_the_lease_back(scene: Scene, service: str) -> None:
    """A controller told to end in mid-migration does so within 5 s and gives its lease back."""
    await scene.rise(service)
    controller = scene.pair.controller
    assert await scene.lease_holder(LEGACY) != ""
    os.kill(controller.pid, signal.SIGTERM)
    await scene.until(lambda: not controller.running(), "it goes on", service, TERM_S)
    child = controller._child
    assert child is not None
    assert child.returncode == 0
    assert await scene.lease_holder(LEGACY) == ""
    controller.start()
    await scene.ask(service, dwell="1s")
    await scene.reach(service, "Completed", 60.0)
    assert all(scene.trail[at, service] == [0.0, 25.0, 99.9, 100.0] for at in CLUSTERS)
    assert await scene.all_calls_failed(service) == []
