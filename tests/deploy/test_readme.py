"""The commands of deploy/README.md, run as they stand there, on two real API servers with real clients."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from controller.kube.api import ClusterAccess
from deploy.servers.kube_apiserver import RealApi, find_binaries
from tests.deploy.rendering import ROOT, tool
from tests.deploy.server import install, known_crds
from tests.parts import missing, need_api_servers
from tests.real.bare_pair import CLUSTERS

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("helm")]

README = (ROOT / "deploy" / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
NOT_HERE = ("PUSH=1 make images",)
"""What needs a registry."""


def commands(heading: str) -> list[str]:
    """The commands of the first code block under a heading."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks[:1] for line in block.splitlines()]


class Shell:
    """A shell in a copy of what the commands need, with a kubeconfig of both clusters."""

    def __init__(self, folder: Path, servers: dict[str, RealApi]) -> None:
        self.folder = folder
        self.servers = servers
        merged = {"apiVersion": "v1", "kind": "Config"} | {
            part: [entry for server in servers.values() for entry in server.kubeconfig()[part]]
            for part in ("clusters", "users", "contexts")
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump(merged))
        (folder / "deploy").symlink_to(ROOT / "deploy")
        tools = [path.parent for name in ("helm", "kubectl") if (path := _client(name))]
        self.environ = {
            "PATH": ":".join([*map(str, tools), os.environ["PATH"]]),
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "REGISTRY": "registry.example.com/mesh-migrate",
        }

    async def run(self, command: str) -> str:
        """Run one command to its good end; gives what it says."""
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _client(name: str) -> Path | None:
    """The program beside the API servers' binaries, built, or on PATH."""
    beside = find_binaries()
    if beside is not None and os.access(beside / name, os.X_OK):
        return beside / name
    return tool(name)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Two kube-apiservers where nothing is installed yet, with a Service that both have."""
    need_api_servers()
    if _client("kubectl") is None:
        missing("kubectl is missing: `make tools` builds it into .tools/bin, or put it on PATH")
    found = {
        name: RealApi(name, namespaces=("default", "linkerd-multicluster")) for name in CLUSTERS
    }

    async def start() -> None:
        await asyncio.gather(*(server.start() for server in found.values()))
        for server in found.values():
            async with server.session() as session:
                await install(session, known_crds())
                body = {"metadata": {"name": "service-a"}, "spec": {"ports": [{"port": 80}]}}
                async with session.post("/api/v1/namespaces/default/services", json=body) as answer:
                    assert answer.status == 201

    async def stop() -> None:
        await asyncio.gather(*(server.stop() for server in found.values()))

    asyncio.run(start())
    yield Shell(tmp_path_factory.mktemp("readme"), found)
    asyncio.run(stop())


def test_ten_commands_are_ten() -> None:
    """From two linked clusters to the first migrated Service it takes ten commands, no more."""
    assert len(commands("From two linked clusters to the first migrated Service")) <= 10


async def test_install_upgrade_and_remove(shell: Shell, tmp_path: Path) -> None:
    """The README's commands install it, upgrade it, break its glass and remove it, as they are written."""
    for command in commands("From two linked clusters to the first migrated Service"):
        if not command.startswith(NOT_HERE):
            await shell.run(command)
    annotated = await shell.run("kubectl --context legacy get service service-a --output yaml")
    assert "migrate.tradeshift/target: eks" in annotated
    assert await _lets_in(shell, tmp_path)

    for command in commands("Upgrade"):
        await shell.run(command)
    (rotate,) = re.findall(r"^    (deploy/peer-kubeconfig .*)$", OPERATIONS, re.MULTILINE)
    await shell.run(rotate)
    assert await _lets_in(shell, tmp_path)
    for command in commands("Admission policies"):
        await shell.run(command.replace("kubectl ", "kubectl --context legacy "))

    (plain,) = re.findall(r"^for .*deploy/manifests/.*$", README, re.MULTILINE)
    await shell.run(plain.replace("apply", "apply --force-conflicts --dry-run=server"))

    # The splits and pins of a Service that was moved: plain objects, which stay.
    split = {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"service": "service-a", "backends": [{"service": "service-a", "weight": 1000}]},
    }
    async with shell.servers["legacy"].session() as session:
        await install(session, [split])
    for command in commands("Remove it all, without touching traffic"):
        await shell.run(command.replace("delete namespace", "delete --wait=false namespace"))
    left = await shell.run(
        "kubectl --context legacy get clusterroles,validatingadmissionpolicies -o name"
    )
    assert "migrate" not in left
    assert "service-a" in await shell.run("kubectl --context legacy get trafficsplits -o name")
    bare = await shell.run("kubectl --context legacy get service service-a --output yaml")
    assert "migrate.tradeshift" not in bare


async def _lets_in(shell: Shell, folder: Path) -> bool:
    """Whether the kubeconfig in the Secret, as the controller mounts it, leads into eks as its account."""
    text = await shell.run(
        "kubectl --context legacy --namespace migrate get secret migrate-peer "
        "--output 'go-template={{ .data.kubeconfig | base64decode }}'"
    )
    (folder / "kubeconfig").write_text(text)
    credentials = await ClusterAccess(str(folder / "kubeconfig")).load()
    headers = {"Authorization": str(await credentials.authorization())}
    path = f"{credentials.server}/apis/split.smi-spec.io/v1alpha2/trafficsplits"
    async with (
        aiohttp.ClientSession() as session,
        session.get(path, headers=headers, ssl=credentials.tls or True) as answer,
    ):
        return answer.status == 200
