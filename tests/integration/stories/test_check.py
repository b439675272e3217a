"""A preflight beside the controller: what ``check`` says blocks is what the controller holds for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controller.cli.exit_codes import Exit
from deploy.local.observed import CLUSTERS
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from deploy.stand_ins.mesh.kube import LINKS, SERVICES
from tests.integration.stories.scene import Scene, playing
from tests.unit.cli.cli_cluster import decoded, run

pytestmark = [pytest.mark.story, pytest.mark.asyncio(loop_scope="module")]

A = "service-a"
ONE = {"slo-success": "99", "probe-rate": "20", "steps": "25", "dwell": "1h"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """A pair; each test brings a Service of its own."""
    async with playing(Plan()) as scene:
        yield scene


async def found(scene: Scene, name: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Check a Service; give the exit code, and level and message by reason."""
    where = ("--kubeconfig", str(scene.pair.kubeconfig), "--context", LEGACY)
    done = await asyncio.to_thread(run, "check", name, *where, "-o", "json")
    assert done.out, done.err
    (only,) = decoded(done.out)["services"]
    return done.code, {f["reason"]: (f["level"], f["message"]) for f in only["findings"]}


async def until_found(
    scene: Scene, name: str, *reasons: str, there: bool = True
) -> tuple[int, dict[str, tuple[str, str]]]:
    """Check until these reasons are found, or are no more: what they are about follows in its own time."""
    patience = scene.patience(30.0)
    while True:
        code, findings = await found(scene, name)
        if all((reason in findings) is there for reason in reasons):
            return code, findings
        await patience.wait()


async def test_nothing_blocks_and_then_it_moves(scene: Scene) -> None:
    """Where check finds nothing that blocks, the controller moves the Service's callers."""
    await scene.service("fit", rate_hz=5)
    code, reasons = await found(scene, "fit")
    assert (code, {level for level, _ in reasons.values()} - {"WARN"}) == (Exit.OK, set())
    await scene.ask("fit", **ONE, target=EKS)
    await scene.stands("fit", 25.0)
    code, reasons = await found(scene, "fit")
    assert code == Exit.OK, reasons


async def test_what_blocks_is_what_the_controller_holds_for(scene: Scene) -> None:
    """Ports that differ are a BLOCK before anything is asked; asked for, the Migration holds in the same words."""
    await scene.service("ports", rate_hz=5)
    body = {"spec": {"ports": [{"name": "http", "port": 81, "protocol": "TCP"}]}}
    await scene.pair.mesh.clusters[EKS].api.merge(SERVICES, ("default", "ports"), body, "kubectl")
    await scene.pair.mesh.mirrored()
    code, reasons = await found(scene, "ports")
    assert (code, reasons["PortsDiffer"][0]) == (Exit.BLOCKED, "BLOCK")
    await scene.ask("ports", **ONE, target=EKS)
    said = await scene.told("ports", "PortsDiffer")
    assert said == reasons["PortsDiffer"][1]


async def test_a_gateway_that_is_dead(scene: Scene) -> None:
    """A gateway that does not answer its probe is a BLOCK by its name, and none when it is back."""
    await scene.service("dead", rate_hz=5)
    await scene.pair.mesh.gateway(EKS).die()
    try:
        await until_found(scene, "dead", "GatewayNotAlive")
    finally:
        await scene.pair.mesh.gateway(EKS).revive()
    await until_found(scene, "dead", "GatewayNotAlive", there=False)


async def test_a_service_that_is_not_exported(scene: Scene) -> None:
    """Labels that the Link's selector does not take are told with the selector."""
    await scene.service("hidden", rate_hz=5)
    body = {"metadata": {"labels": {"mirror.linkerd.io/exported": None}}}
    await scene.pair.mesh.clusters[EKS].api.merge(SERVICES, ("default", "hidden"), body, "kubectl")
    _, reasons = await until_found(scene, "hidden", "NotExported")
    assert "selector, mirror.linkerd.io/exported=true" in reasons["NotExported"][1]
    assert "MirrorMissing" in reasons
    assert len((await scene.pair.mesh.clusters[LEGACY].api.list(LINKS))[0]) == 1


async def test_an_application_that_depends_on_its_host(scene: Scene) -> None:
    """An application that serves one Host only is found by the probers, and told by check before a call moved."""
    await scene.service("vhost", rate_hz=5)
    for cluster in CLUSTERS:
        scene.pair.workloads[cluster, "vhost"].serve_only("vhost")
    await scene.ask("vhost", **ONE, target=EKS)
    await scene.told("vhost", "ProbeRejected")
    await scene.until(
        lambda: any(w["reason"] == "HostHeaderMatters" for w in scene.status("vhost")["warnings"]),
        "the Host is not told",
        "vhost",
    )
    code, reasons = await until_found(scene, "vhost", "ProbeRejected", "HostHeaderMatters")
    assert (code, reasons["ProbeRejected"][0]) == (Exit.BLOCKED, "BLOCK")
    level, message = reasons["HostHeaderMatters"]
    assert (level, "answers 200 where its Host is vhost, and 404" in message) == ("WARN", True)
    assert scene.trail[LEGACY, "vhost"] == [0.0]
