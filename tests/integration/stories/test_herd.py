"""A hundred Services whose targets turn bad in one instant, under the calls of clients in both clusters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controller.decide.resolve import away_for
from controller.domain import SplitKind
from deploy.local.observed import CLUSTERS
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import PROFILES, SPLITS
from tests.benchmarks.ground import SHARE_PERMILLE, shifted_record, written_split
from tests.integration.stories.scene import Scene, pin_key, playing

pytestmark = [pytest.mark.story, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

HERD = tuple(f"herd-{number}" for number in range(100))
CALLED = HERD[:10]
"""Of these Services there are clients, in both clusters."""

SPECS = {"slo-success": "99", "probe-rate": "1", "paused": "true"}
BACK_S = 60.0
"""With enough CPU for one process that is the whole mesh; how soon it is on two quiet cores, `make bench` tells."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair with a hundred Services at 25 %, armed."""
    async with playing(Plan()) as scene:
        for name in HERD:
            await scene.pair.service(name)
            await scene.pair.split(LEGACY, name, local=100, mirror=0)
            await scene.pair.split(EKS, name, local=0, mirror=100)
        for name in CALLED:
            await scene.pair.callers(name, "shop", rate_hz=5.0)
        await asyncio.gather(*(scene.ask(name, target=EKS, **SPECS) for name in HERD))
        await _pinned(scene)
        await asyncio.gather(*(_lift(scene, name) for name in HERD))
        await scene.until(
            lambda: all(_is(scene, name, 25.0, "Holding") for name in HERD),
            "not armed",
            HERD[0],
            120.0,
        )
        yield scene


async def _pinned(scene: Scene) -> None:
    patience = scene.patience(120.0)
    for cluster in CLUSTERS:
        pins: set[tuple[str, str]] = set()
        while not pins.issuperset(pin_key(name) for name in HERD):
            await patience.wait()
            found, _ = await scene.pair.mesh.clusters[cluster].api.list(PROFILES)
            pins = {(p["metadata"]["namespace"], p["metadata"]["name"]) for p in found}


async def _lift(scene: Scene, name: str) -> None:
    """Write 25 % and the record as the controller would have: it takes one slot, and a minute, for each."""
    record = shifted_record(SPECS, SplitKind.TRAFFICSPLIT)
    for cluster in CLUSTERS:
        away = away_for(SHARE_PERMILLE, is_target=cluster == EKS)
        body = written_split(cluster, name, away, record)
        api = scene.pair.mesh.clusters[cluster].api
        await api.merge(SPLITS, ("default", name), body, "migrate-controller")


def _is(scene: Scene, name: str, percent: float, phase: str) -> bool:
    stands = all(scene.trail.get((cluster, name), [-1.0])[-1] == percent for cluster in CLUSTERS)
    return stands and scene.status(name).get("phase") == phase


@pytest.mark.timeout(420)
async def test_a_hundred_are_brought_home_and_no_call_fails_by_it(scene: Scene) -> None:
    """When the targets of a hundred fail at once all splits go back, and no call fails but by a target."""
    for name in HERD:
        scene.pair.workloads[EKS, name].fail(1.0)
    await scene.until(
        lambda: all(_is(scene, name, 0.0, "Reverted") for name in HERD),
        "not all are back",
        HERD[0],
        BACK_S,
    )
    failed = [await scene.all_calls_failed(name) for name in CALLED]
    assert [one for some in failed for one in some] == []
    assert {scene.status(name)["reason"] for name in HERD} == {"TargetBad"}
