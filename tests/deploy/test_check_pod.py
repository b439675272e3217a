"""`helm test`: what kubectl migrate check says, of Services and of what all of them need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from deploy.stand_ins.apiserver import EmbeddedApi
from tests.deploy.check_pod import HERE, THERE, run_check
from tests.deploy.rendering import example, render
from tests.unit.decide.check_pair import GATEWAYS, CheckPair

pytestmark = pytest.mark.usefixtures("helm")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[CheckPair]:
    """Legacy and eks, with service-a ready to migrate, and a kubeconfig for each: eks's context is called peer."""
    async with EmbeddedApi("legacy") as legacy, EmbeddedApi("eks") as eks:
        made = CheckPair({"legacy": legacy, "eks": eks}, tmp_path / "kubeconfig")
        made.service()
        peer = eks.kubeconfig()
        peer["contexts"][0]["name"] = peer["current-context"] = "peer"
        (tmp_path / "there").write_text(yaml.safe_dump(peer))
        (tmp_path / "here").write_text(yaml.safe_dump(legacy.kubeconfig()))
        yield made


@pytest.mark.parametrize(
    ("broken", "code"), [("nothing", 0), ("a Service", 0), ("the gateway's namespace", 5)]
)
async def test_only_what_all_services_need_fails_it(
    pair: CheckPair, tmp_path: Path, broken: str, code: int
) -> None:
    """What is wrong with one Service is told and fails nothing; what is missing for all of them fails."""
    if broken == "a Service":
        pair.remove("legacy", "services", "service-a-eks")
    if broken == "the gateway's namespace":
        pair.apis["eks"].remove("namespaces", "", GATEWAYS)
    files = {HERE: tmp_path / "here", THERE: tmp_path / "there"}
    done = await run_check(render(example("legacy")), files)
    assert done.returncode == code, done.stdout + done.stderr
    assert "service-a" in done.stdout
    assert ("MirrorMissing" in done.stdout) == (broken == "a Service")
    assert ("NamespaceMissing" in done.stdout) == (code == 5)


async def test_a_cluster_that_is_not_reached_fails_it(pair: CheckPair, tmp_path: Path) -> None:
    """Where the other cluster does not answer the test fails, and says so."""
    await pair.apis["eks"].stop()
    files = {HERE: tmp_path / "here", THERE: tmp_path / "there"}
    done = await run_check(render(example("legacy")), files)
    assert done.returncode == 6
    assert "context peer is not reached" in done.stderr
