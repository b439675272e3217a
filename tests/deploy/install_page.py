"""Somebody who follows deploy/README.md: a shell, and two real API servers where nothing is installed yet."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from deploy.servers.kube_apiserver import RealApi, find_binaries
from tests.deploy.rendering import ROOT, tool
from tests.deploy.server import install, known_crds
from tests.parts import missing, need_api_servers

QUICK_START = "From two linked clusters to the first migrated Service"
NOT_HERE = ("PUSH=1 make images",)
"""What needs a registry."""
PUBLIC_ISSUER = ("--anonymous-auth=true",)
"""The flag of an API server whose keys everybody may read, as those of EKS can be read from the Internet."""

EVERYBODY_READS_KEYS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "everybody-reads-keys"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:service-account-issuer-discovery",
    },
    "subjects": [
        {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": "system:unauthenticated",
        }
    ],
}


def page(root: Path = ROOT) -> str:
    """Return the install page of a checkout, or of a release that is unpacked."""
    return (root / "deploy" / "README.md").read_text()


def commands(heading: str, root: Path = ROOT) -> list[str]:
    """Return the commands of the page's first code block under a heading."""
    section = page(root).split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks[:1] for line in block.splitlines()]


class Shell:
    """A shell in a folder with the page's files, and a kubeconfig of both clusters."""

    def __init__(
        self, folder: Path, servers: Mapping[str, RealApi], environ: Mapping[str, str] = os.environ
    ) -> None:
        self.folder = folder
        self.servers = servers
        merged = {"apiVersion": "v1", "kind": "Config"} | {
            part: [entry for server in servers.values() for entry in server.kubeconfig()[part]]
            for part in ("clusters", "users", "contexts")
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump(merged))
        tools = [path.parent for name in ("helm", "kubectl") if (path := _client(name))]
        self.environ = {
            "PATH": ":".join([*map(str, tools), environ["PATH"]]),
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "REGISTRY": "registry.example.com/mesh-migrate",
        }

    async def run(self, command: str) -> str:
        """Run one command to its good end; return what it says."""
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
    """Return the program beside the API servers' binaries, built, or on PATH."""
    beside = find_binaries()
    if beside is not None and os.access(beside / name, os.X_OK):
        return beside / name
    return tool(name)


def need_clients() -> None:
    """Skip, or where nothing may be skipped fail, without real API servers and a kubectl."""
    need_api_servers()
    if _client("kubectl") is None:
        missing("kubectl is missing: `make tools` builds it into .tools/bin, or put it on PATH")


@asynccontextmanager
async def two_clusters(folder: Path) -> AsyncIterator[dict[str, RealApi]]:
    """Two kube-apiservers by name, of which eks trusts legacy's tokens; both have service-a. ``folder`` takes files."""
    spaces = ("default", "linkerd-multicluster")
    servers = {"legacy": RealApi("legacy", namespaces=spaces, flags=PUBLIC_ISSUER)}
    try:
        await servers["legacy"].start()
        (folder / "legacy.pem").write_bytes(servers["legacy"].ca_pem())
        flags = (*_trust(servers["legacy"].url), f"--oidc-ca-file={folder / 'legacy.pem'}")
        servers["eks"] = RealApi("eks", namespaces=spaces, flags=flags)
        await servers["eks"].start()
        for server in servers.values():
            async with server.session() as session:
                await _fill(session)
        async with servers["legacy"].session() as session:
            await install(session, [EVERYBODY_READS_KEYS])
        yield servers
    finally:
        await asyncio.gather(*(server.stop() for server in servers.values()))


def _trust(issuer: str) -> list[str]:
    """Return the flags of a kube-apiserver that trusts an issuer as the page has EKS do it."""
    (asked,) = re.findall(r"--oidc identityProviderConfigName=legacy,(\S+)", page())
    given = dict(pair.split("=") for pair in asked.split(","))
    assert given.pop("issuerUrl") == "$ISSUER"
    return [
        f"--oidc-issuer-url={issuer}",
        f"--oidc-client-id={given['clientId']}",
        f"--oidc-username-claim={given['usernameClaim']}",
        f"--oidc-username-prefix={given['usernamePrefix']}",
    ]


async def _fill(session: aiohttp.ClientSession) -> None:
    """Have the kinds of Linkerd and service-a, and none of ours: nobody was here before."""
    await install(session, known_crds())
    for kind in ("migrations", "fleets"):
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        async with session.delete(f"{path}/{kind}.migrate.tradeshift") as answer:
            assert answer.status == 200
    body = {"metadata": {"name": "service-a"}, "spec": {"ports": [{"port": 80}]}}
    async with session.post("/api/v1/namespaces/default/services", json=body) as answer:
        assert answer.status == 201
