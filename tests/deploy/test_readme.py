"""The commands of deploy/README.md, run as they stand there, on two real API servers with real clients."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from controller.kube.api import ClusterAccess
from tests.deploy.check_pod import HERE, THERE, run_check
from tests.deploy.install_page import (
    NOT_HERE,
    QUICK_START,
    Shell,
    commands,
    need_clients,
    page,
    two_clusters,
)
from tests.deploy.rendering import ROOT, example, one, render
from tests.deploy.server import install

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("helm")]

README = page()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
AWS = """#!/bin/sh
case "$*" in
  *get-caller-identity*) echo 111122223333 ;;
  *describe-identity-provider-config*) echo ACTIVE ;;
esac
for word; do case "$word" in '{'*) printf '%s' "$word" >"$HOME/policy.json" ;; esac; done
"""
"""Stands for the AWS CLI: it answers what is asked, and keeps the policy that it is given."""
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
TRIAL = "To try it: a kubeconfig"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """Two kube-apiservers where nothing is installed yet, with a Service that both have."""
    need_clients()
    folder = tmp_path_factory.mktemp("readme")
    (folder / "deploy").symlink_to(ROOT / "deploy")
    async with two_clusters(folder) as servers:
        yield Shell(folder, servers)


def test_ten_commands_are_ten() -> None:
    """From two linked clusters to the first migrated Service it takes ten commands, no more."""
    assert len(commands(QUICK_START)) <= 10


@pytest.mark.asyncio(loop_scope="module")
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


@pytest.mark.asyncio(loop_scope="module")
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
