"""Whatever a developer writes into an annotation: nothing moves, and the answer says what to write instead."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.observed import CLUSTERS, PREFIX
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from tests.integration.stories.scene import QUICK, Scene, playing

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

A = "service-a"
TEN_KB = "1,2,3,4," * 1280


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair with one Service, all on legacy."""
    async with playing(Plan()) as scene:
        await scene.service(A)
        yield scene


@pytest.mark.parametrize(
    ("key", "text", "answer"),
    [
        ("steps", TEN_KB, "is 10,240 bytes long, and no value has more than 1,024"),
        ("probe-path", "/x\r\nhost: other", 'is "/x\\r\\nhost: other", which holds a space'),
        ("probe-path", "http://other/x", "which is a URL, and probes go to this Service"),
        ("probepath", "/healthz", "is not a key: write migrate.tradeshift/probe-path=/healthz"),
        ("target", "ekz", 'is "ekz", which is neither of the two clusters'),
        ("slo-success", "100", "write migrate.tradeshift/slo-success=99.99"),
        ("steps", "50,10", "where 10 is not above the step before it: write rising percentages"),
        ("probe-expect", "200-599", "that is how a gateway reports a loop"),
    ],
    ids=["10kB", "crlf", "url", "unknown", "target", "slo", "steps", "expect"],
)
async def test_wrong_annotation_is_answered(scene: Scene, key: str, text: str, answer: str) -> None:
    """A value outside the grammar moves nothing; Migration and Event name the key and what to write."""
    before = len(await scene.events(A, "Malformed"))
    named = PREFIX + key
    await scene.pair.annotate(LEGACY, A, {**QUICK, "target": EKS, "steps": "25", key: text})
    await scene.until(lambda: answer in scene.status(A).get("message", ""), "no answer", A)
    status = scene.status(A)
    assert (status["phase"], status["reason"]) == ("Pending", "Malformed")
    assert named in status["message"]
    assert "write" in status["message"]
    assert "\r" not in status["message"]
    assert len(status["message"]) < 1000
    assert {c["type"]: c["status"] for c in status["conditions"]}["Blocked"] == "True"
    assert named in await scene.event(A, "Malformed", more_than=before)
    assert all(scene.trail[cluster, A] == [0.0] for cluster in CLUSTERS)
    await scene.pair.annotate(LEGACY, A, {**dict.fromkeys(QUICK), "target": None, key: None})
    await scene.until(lambda: scene.status(A)["reason"] != "Malformed", "it is not forgotten", A)


async def test_two_targets_are_a_conflict(scene: Scene) -> None:
    """A Service annotated with another target in each cluster moves nowhere, and both are told."""
    await scene.pair.annotate(LEGACY, A, {"target": EKS})
    await scene.pair.annotate(EKS, A, {"target": LEGACY})
    wanted = f'{PREFIX}target is "{EKS}" in {LEGACY} and "{LEGACY}" in {EKS}: write one value'
    await scene.until(lambda: wanted in scene.status(A).get("message", ""), "no answer", A)
    assert scene.status(A)["reason"] == "Malformed"
    assert all(scene.trail[cluster, A] == [0.0] for cluster in CLUSTERS)
    await scene.pair.annotate(EKS, A, {"target": None})
    await scene.pair.annotate(LEGACY, A, {**QUICK, "steps": "25"})
    await scene.reach(A, "Completed", 60.0)
    assert [scene.failed(cluster, A) for cluster in CLUSTERS] == [[], []]
