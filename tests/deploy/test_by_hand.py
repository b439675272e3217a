"""What the runbooks tell people to type where no controller moves anybody, with the admission policies in force."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml
from multidict import CIMultiDict

from controller.domain import PREFIX
from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import Json, example, render, tool
from tests.deploy.server import as_user, install, path_of

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("helm")]

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
CONTROLLER = "system:serviceaccount:migrate:migrate-controller"
GROUPS = "--as-group=migrate-split-editors"
MANAGED = {PREFIX + "record": '{"v":1}'}
META = {"name": "service-a", "namespace": "default", "annotations": MANAGED}
SPLIT: Json = {
    "apiVersion": "split.smi-spec.io/v1alpha1",
    "kind": "TrafficSplit",
    "metadata": META,
    "spec": {
        "service": "service-a",
        "backends": [
            {"service": "service-a", "weight": 750},
            {"service": "service-a-eks", "weight": 250},
        ],
    },
}
ROUTE: Json = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": META,
    "spec": {
        "parentRefs": [{"group": "core", "kind": "Service", "name": "service-a", "port": 80}],
        "rules": [
            {
                "backendRefs": [
                    {"name": "service-a", "port": 80, "weight": 750},
                    {"name": "service-a-eks", "port": 80, "weight": 250},
                ]
            }
        ],
    },
}


def blocks() -> list[str]:
    """What the page says to type, for service-a of default."""
    page = (RUNBOOKS / "cannot-go-home.md").read_text()
    section = page.partition("## By hand")[2].partition("\n## ")[0]
    typed = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [text.replace("SERVICE", "service-a").replace("NAMESPACE", "default") for text in typed]


async def guard(cluster: RealApi) -> None:
    """Have the admission policies in force, and splits that the controller made, which is gone."""
    policies = [
        found
        for found in render(example("labelled"))
        if found["kind"].startswith("ValidatingAdmissionPolicy")
        and not found["metadata"]["name"].startswith("migrate-namespaces")
    ]
    async with cluster.session() as session:
        await install(session, policies)
        for found in (SPLIT, ROUTE):
            path = path_of(found, named=False)
            async with session.post(path, json=found, headers=as_user(CONTROLLER)) as answer:
                assert answer.status == 201, await answer.text()
        async with asyncio.timeout(20):
            while await labels(session, SPLIT) != 422:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.05)


async def labels(session: aiohttp.ClientSession, found: Json) -> int:
    """Write a label on it as somebody without the group; returns the answer's status."""
    headers = CIMultiDict(as_user("somebody"))
    headers["Content-Type"] = "application/merge-patch+json"
    patch = {"metadata": {"labels": {"by": "somebody"}}}
    async with session.patch(path_of(found), json=patch, headers=headers) as answer:
        return answer.status


def type_in(cluster: RealApi, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Type it into a shell of an administrator."""
    found = tool("kubectl")
    assert found is not None
    config = folder / "kubeconfig"
    config.write_text(yaml.safe_dump(cluster.kubeconfig()))
    environ = {
        **os.environ,
        "KUBECONFIG": str(config),
        "USER": "ann",
        "PATH": f"{Path(found).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        ["bash", "-ec", text], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


async def weights(cluster: RealApi) -> list[list[int]]:
    """The weights of the TrafficSplit and of the HTTPRoute, the local Service's first."""
    async with cluster.session() as session:
        async with session.get(path_of(SPLIT)) as answer:
            split = (await answer.json())["spec"]["backends"]
        async with session.get(path_of(ROUTE)) as answer:
            route = (await answer.json())["spec"]["rules"][0]["backendRefs"]
    return [[backend["weight"] for backend in found] for found in (split, route)]


def test_the_runbooks_commands_move_callers_by_hand(cluster: RealApi, tmp_path: Path) -> None:
    """With the policies in force and no controller the commands of the page are taken, in the origin and in the target,
    are refused without the group, and taken without it once the glass is broken."""
    asyncio.run(guard(cluster))
    move, glass = blocks()
    refused = type_in(cluster, tmp_path, move.replace(GROUPS, ""))
    assert "mesh-migrate moves traffic with this split" in refused.stderr
    assert asyncio.run(weights(cluster)) == [[750, 250]] * 2
    moved = type_in(cluster, tmp_path, move)
    assert moved.returncode == 0, moved.stderr
    assert asyncio.run(weights(cluster)) == [[1000, 0]] * 2
    there = "LOCAL=0 MIRROR=1000"
    assert there in move
    moved = type_in(cluster, tmp_path, move.replace("LOCAL=1000 MIRROR=0", there, 1))
    assert moved.returncode == 0, moved.stderr
    assert asyncio.run(weights(cluster)) == [[0, 1000]] * 2
    broken = type_in(cluster, tmp_path, glass)
    assert broken.returncode == 0, broken.stderr
    until = "until " + move.replace("$ME ", "").partition("\n")[2].replace("\n", " && ").rstrip(
        " &"
    )
    moved = type_in(cluster, tmp_path, f"LOCAL=1000 MIRROR=0\n{until}; do sleep 0.1; done")
    assert moved.returncode == 0, moved.stderr
    assert asyncio.run(weights(cluster)) == [[1000, 0]] * 2


@pytest.mark.parametrize("page", ["cannot-go-home.md", "no-leader.md"])
def test_who_is_told_to_move_by_hand_is_told_how(page: str) -> None:
    """Each runbook that says so leads to the commands."""
    assert "#by-hand)" in (RUNBOOKS / page).read_text()
