"""The commands of deploy/README.md, run as they stand there, on two real API servers with real clients."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from controller.kube.api import ClusterAccess
from deploy.servers.kube_apiserver import RealApi, find_binaries
from tests.deploy.check_pod import HERE, THERE, run_check
from tests.deploy.rendering import ROOT, example, one, render, tool
from tests.deploy.server import install, known_crds
from tests.parts import missing, need_api_servers

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("helm")]

README = (ROOT / "deploy" / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
AWS = """#!/bin/sh
case "$*" in
  *get-caller-identity*) echo 111122223333 ;;
  *describe-identity-provider-config*) echo ACTIVE ;;
esac
for word; do case "$word" in '{'*) printf '%s' "$word" >"$HOME/policy.json" ;; esac; done
"""
"""Stands for the AWS CLI: it answers what is asked, and keeps the policy that it is given."""
NOT_HERE = ("PUSH=1 make images",)
"""What needs a registry."""
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
QUICK_START = "From two linked clusters to the first migrated Service"
TRIAL = "To try it: a kubeconfig"
PUBLIC_ISSUER = ("--anonymous-auth=true",)
"""The flag of an API server whose keys everybody may read, as those of EKS can be read from the Internet."""


def commands(heading: str) -> list[str]:
    """The commands of the first code block under a heading."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks[:1] for line in block.splitlines()]


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
    folder = tmp_path_factory.mktemp("readme")
    spaces = ("default", "linkerd-multicluster")
    legacy = RealApi("legacy", namespaces=spaces, flags=PUBLIC_ISSUER)
    servers = {"legacy": legacy}

    async def start() -> None:
        await legacy.start()
        (folder / "legacy.pem").write_bytes(legacy.ca_pem())
        flags = (*trust(legacy.url), f"--oidc-ca-file={folder / 'legacy.pem'}")
        servers["eks"] = RealApi("eks", namespaces=spaces, flags=flags)
        await servers["eks"].start()
        for server in servers.values():
            async with server.session() as session:
                await _fill(session)
        async with legacy.session() as session:
            await install(session, [EVERYBODY_READS_KEYS])

    async def stop() -> None:
        await asyncio.gather(*(server.stop() for server in servers.values()))

    asyncio.run(start())
    yield Shell(folder, servers)
    asyncio.run(stop())


def trust(issuer: str) -> list[str]:
    """The flags of a kube-apiserver that trusts an issuer as the README has EKS do it."""
    (asked,) = re.findall(r"--oidc identityProviderConfigName=legacy,(\S+)", README)
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


def test_ten_commands_are_ten() -> None:
    """From two linked clusters to the first migrated Service it takes ten commands, no more."""
    assert len(commands(QUICK_START)) <= 10


async def test_install_upgrade_and_remove(shell: Shell, tmp_path: Path) -> None:
    """The README's commands install it, upgrade it, break its glass and remove it, as they are written."""
    for command in commands(QUICK_START):
        if not command.startswith(NOT_HERE):
            await shell.run(command)
    annotated = await shell.run("kubectl --context legacy get service service-a --output yaml")
    assert "migrate.tradeshift/target: eks" in annotated
    issuer, _, _ = commands("eks trusts legacy")
    said = await shell.run(f"{issuer}; echo $ISSUER")
    assert said.strip() == shell.servers["legacy"].url
    await _trusted(shell, tmp_path)
    for command in commands("Upgrade"):
        await shell.run(command)

    for command in commands(TRIAL):
        await shell.run(command)
    assert await _lets_in(shell, tmp_path)
    (rotate,) = re.findall(r"^    (deploy/peer-kubeconfig .*)$", OPERATIONS, re.MULTILINE)
    await shell.run(rotate)
    assert await _lets_in(shell, tmp_path)
    said = await shell.run("deploy/peer-kubeconfig eks 1h migrate/migrate-prober")
    (claims,) = re.findall(r"token: [^.]+[.]([^.]+)[.]", said)
    assert b"system:serviceaccount:migrate:migrate-prober" in b64decode(f"{claims}==", b"-_")
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


async def test_aws_is_told_who_the_controller_is(shell: Shell) -> None:
    """The commands for AWS run as they are written, and the role is for the controller's account in legacy alone."""
    aws = shell.folder / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(AWS)
    aws.chmod(0o755)
    typed = [*commands("eks trusts legacy"), *commands("A plugin in place of trust")]
    await shell.run("\n".join([f"PATH={aws.parent}:$PATH", *typed]))
    (statement,) = json.loads((shell.folder / "policy.json").read_text())["Statement"]
    issuer = shell.servers["legacy"].url.removeprefix("https://")
    assert (
        statement["Principal"]["Federated"] == f"arn:aws:iam::111122223333:oidc-provider/{issuer}"
    )
    assert statement["Condition"]["StringEquals"] == {
        f"{issuer}:sub": "system:serviceaccount:migrate:migrate-controller",
        f"{issuer}:aud": "sts.amazonaws.com",
    }


async def _trusted(shell: Shell, folder: Path) -> None:
    """A token of the controller's ServiceAccount in legacy, as the kubelet projects it, lets it into eks by the chart's
    kubeconfig; and with it the controller's rights are enough for the Pod of helm test."""
    account = "--context legacy --namespace migrate"
    for name, audience in (("there", "--audience migrate"), ("here", "")):
        token = await shell.run(f"kubectl {account} create token migrate-controller {audience}")
        (folder / f"{name}.token").write_text(token.strip())
    text = await shell.run(
        f"kubectl {account} get configmap migrate-controller-peer --output 'jsonpath={{.data.kubeconfig}}'"
    )
    there = folder / "there"
    there.write_text(text.replace("/var/run/secrets/migrate/token", str(folder / "there.token")))
    async with asyncio.timeout(30):  # the keys of an issuer are fetched in the server's own time
        while not await _is_let_in(there):  # noqa: ASYNC110 - it is another process's doing
            await asyncio.sleep(0.2)
    objects = render(example("legacy-token"))
    legacy = shell.servers["legacy"]
    (folder / "here.pem").write_bytes(legacy.ca_pem())
    text = one(objects, "ConfigMap", "migrate-check")["data"]["kubeconfig"]
    for path, real in (
        ("https://kubernetes.default.svc", legacy.url),
        (f"{MOUNTED}/ca.crt", str(folder / "here.pem")),
        (f"{MOUNTED}/token", str(folder / "here.token")),
    ):
        text = text.replace(path, real)
    (folder / "here").write_text(text)
    done = await run_check(objects, {HERE: folder / "here", THERE: there})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RightsMissing" not in done.stdout
    assert "may not" not in done.stdout


async def _lets_in(shell: Shell, folder: Path) -> bool:
    """Whether the kubeconfig in the Secret, as the controller mounts it, leads into eks as its account."""
    text = await shell.run(
        "kubectl --context legacy --namespace migrate get secret migrate-peer "
        "--output 'go-template={{ .data.kubeconfig | base64decode }}'"
    )
    (folder / "kubeconfig").write_text(text)
    return await _is_let_in(folder / "kubeconfig")


async def _is_let_in(kubeconfig: Path) -> bool:
    """Whether a kubeconfig leads to somebody who may list splits."""
    credentials = await ClusterAccess(str(kubeconfig)).load()
    headers = {"Authorization": str(await credentials.authorization())}
    path = f"{credentials.server}/apis/split.smi-spec.io/v1alpha2/trafficsplits"
    async with (
        aiohttp.ClientSession() as session,
        session.get(path, headers=headers, ssl=credentials.tls or True) as answer,
    ):
        return answer.status == 200
