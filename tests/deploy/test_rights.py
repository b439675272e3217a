"""What the controller may do: all of it is needed, and there is nothing more. On real API servers."""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml

from controller.cli.dry_run import needed
from controller.domain import PREFIX
from controller.kube.api import ClusterAccess
from controller.mesh.splits.kinds import PROVIDERS
from deploy.servers.kube_apiserver import RealApi
from tests.deploy.rendering import MANIFESTS, Json, one, render
from tests.deploy.server import apply, install, known_crds, path_of
from tests.parts import need_api_servers
from tests.real.bare_pair import CLUSTERS, QUICK, BarePair, Server, running
from tests.real.client import Client, fleet, migration, service

pytestmark = pytest.mark.real

ACCOUNT = "/api/v1/namespaces/migrate/serviceaccounts/migrate-controller"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/migrate/leases/migrate-controller"
ACCESS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
A = "service-a"
SMI = "service-smi"
"""A Service that asks for a TrafficSplit where both kinds are served."""
PLUGIN = """#!/bin/sh
cat <<END
{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "$KIND", "status": {{"token": "$(cat {file})"}}}}
END
"""
EVERYBODY = {
    ("authentication.k8s.io", "selfsubjectreviews", "create"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "create"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "create"),
}
"""What Kubernetes itself lets every user do: ask about himself."""


def access(cluster: str) -> list[Json]:
    """The accounts, roles and bindings of a cluster's manifest."""
    documents = yaml.safe_load_all((MANIFESTS / f"{cluster}.yaml").read_text())
    return [found for found in documents if found and found["kind"] in ACCESS]


@dataclass(frozen=True, slots=True)
class Grant:
    """One verb on one resource, of the controller's, in one cluster."""

    cluster: str
    role: str
    kind: str
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.cluster}: {self.verb} {self.resource}"

    def taken_from(self, role: Json) -> Json:
        """The role without it."""
        less = copy.deepcopy(role)
        for rule in less["rules"]:
            if self.group in rule["apiGroups"] and self.resource in rule["resources"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb != self.verb]
        less["rules"] = [rule for rule in less["rules"] if rule["verbs"]]
        return less


def grants(cluster: str) -> list[Grant]:
    """All that the manifest grants to the controller."""
    return [
        Grant(cluster, found["metadata"]["name"], found["kind"], group, resource, verb)
        for found in access(cluster)
        if found["kind"] in {"ClusterRole", "Role"} and found["metadata"]["name"] != "migrate-view"
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


# The other cluster's are the same without lease and Fleets: shown by test_clusters_differ_by_the_lease.
GRANTS = grants("legacy")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Two kube-apiservers with the chart's accounts, roles and bindings, each its cluster's."""
    need_api_servers()
    found = {name: RealApi(name) for name in CLUSTERS}

    async def start() -> None:
        await asyncio.gather(*(server.start() for server in found.values()))
        for name, server in found.items():
            async with server.session() as session:
                await install(session, known_crds())
                await install(session, access(name))

    async def stop() -> None:
        await asyncio.gather(*(server.stop() for server in found.values()))

    asyncio.run(start())
    yield dict(found)
    asyncio.run(stop())


async def token(session: aiohttp.ClientSession) -> str:
    """A token of the controller's own ServiceAccount, as a projected volume would have it."""
    async with session.post(
        f"{ACCOUNT}/token", json={"spec": {"expirationSeconds": 3600}}
    ) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["status"]["token"])


@asynccontextmanager
async def as_accounts(servers: dict[str, Server], folder: Path) -> AsyncIterator[BarePair]:
    """The controller over both, as its ServiceAccounts, with tokens in files; nobody holds the lease."""
    users: dict[str, Json] = {}
    for name, server in servers.items():
        async with _admin(server) as session:
            (folder / f"{name}.token").write_text(await token(session))
            async with session.delete(LEASE) as answer:
                assert answer.status in (200, 404)
        users[name] = {"tokenFile": str(folder / f"{name}.token")}
    async with running(servers, folder, users) as pair:
        yield pair


def _admin(server: Server) -> aiohttp.ClientSession:
    assert isinstance(server, RealApi)
    return server.session()


@asynccontextmanager
async def guarded(servers: dict[str, Server]) -> AsyncIterator[None]:
    """The guards of the manifests in force, in both clusters."""
    async with AsyncExitStack() as stack:
        for name, server in servers.items():
            session = await stack.enter_async_context(_admin(server))
            documents = yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text())
            guards = [d for d in documents if d and d["kind"].startswith("ValidatingAdmission")]
            await install(session, guards)
            stack.push_async_callback(_withdraw, session, guards)
            await _until_refused(session, refused=True)
        yield


async def _withdraw(session: aiohttp.ClientSession, guards: list[Json]) -> None:
    for found in guards:
        async with session.delete(path_of(found)) as answer:
            assert answer.status == 200
    await _until_refused(session, refused=False)


async def _until_refused(session: aiohttp.ClientSession, *, refused: bool) -> None:
    """Wait until a malformed annotation is refused, or is not any more: guards are read in the server's time."""
    bad = service("bad", annotations={"migrate.tradeshift/dwell": "60"})

    async def so() -> bool:
        path = "/api/v1/namespaces/default/services?dryRun=All"
        async with session.post(path, json=bad) as answer:
            return (answer.status == 422) == refused

    async with asyncio.timeout(20):
        await _until(so)


# --- nothing beyond -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("namespace", ["migrate", "linkerd-multicluster", "default", "kube-system"])
async def test_nothing_beyond_is_possible(
    servers: dict[str, Server], cluster: str, namespace: str
) -> None:
    """What the API server says the account may do in a namespace is what the manifest grants there."""
    server = servers[cluster]
    async with _admin(server) as session:
        headers = {"Authorization": f"Bearer {await token(session)}"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        async with session.post(path, json=review, headers=headers) as answer:
            status = (await answer.json())["status"]
    assert not status["incomplete"]
    may = {
        (group, resource, verb)
        for rule in status["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    of_the_namespace = {
        "migrate-controller-pins": "linkerd-multicluster",
        "migrate-controller-lease": "migrate",
    }
    granted = {
        (grant.group, grant.resource, grant.verb)
        for grant in grants(cluster)
        if of_the_namespace.get(grant.role, namespace) == namespace
    }
    assert may - EVERYBODY == granted
    assert not {verb for _, _, verb in may} & {"*", "delete", "deletecollection", "update"}
    assert all(rule["verbs"] == ["get"] for rule in status["nonResourceRules"])


def test_clusters_differ_by_the_lease() -> None:
    """In the cluster of the prober the controller has the same rights, without those on the lease and on Fleets."""
    here, there = ({(g.role, g.resource, g.verb) for g in grants(name)} for name in CLUSTERS)
    assert {resource for _, resource, _ in here - there} == {"leases", "fleets", "fleets/status"}
    assert there <= here


def test_check_asks_for_what_the_chart_grants() -> None:
    """The rights that kubectl migrate check asks for are those of the manifest, but for the lease and Fleets."""
    splits = [provider.RESOURCE for provider in PROVIDERS.values()]
    asked = {
        (f"{right.resource.plural}{right.subresource and '/'}{right.subresource}", right.verb)
        for right in needed("linkerd-multicluster", splits, ["default"])
    }
    assert asked == {(grant.resource, grant.verb) for grant in grants("eks")}


# --- all of it is needed --------------------------------------------------------------------------------------


async def test_migration_under_account_and_guards(
    servers: dict[str, Server], tmp_path: Path
) -> None:
    """From the annotation to Completed, the controller meets no ruling, by rights or by the guards."""
    async with guarded(servers), as_accounts(servers, tmp_path) as pair:
        await pair.exported(A)
        await pair.annotate(A, **QUICK, target="eks")
        await pair.fulfilled(A, "Completed")
        assert "forbidden" not in pair.controller.log.read_text()


async def test_tokens_are_rotated_without_a_restart(
    servers: dict[str, Server], tmp_path: Path
) -> None:
    """Tokens that are worth nothing any more are replaced in their files, and the migration goes on."""
    async with as_accounts(servers, tmp_path) as pair:
        await pair.exported(A)
        await pair.split_by_hand("eks", A, local=0, mirror=100)
        await pair.annotate(A, **{**QUICK, "dwell": "2s"}, split="trafficsplit", target="eks")
        await pair.stands(A, 100, 100)
        for name, server in servers.items():
            async with _admin(server) as session:
                # A new account of the same name: its rights are the old one's, the old one's tokens are not its.
                async with session.delete(ACCOUNT) as answer:
                    assert answer.status == 200
                await install(session, access(name))
                (tmp_path / f"{name}.token").write_text(await token(session))
        await pair.fulfilled(A, "Completed")


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("way", ["token", "exec"])
async def test_charts_kubeconfig_leads_in(
    servers: dict[str, Server], tmp_path: Path, way: str
) -> None:
    """The kubeconfig that the chart writes for a token or a plugin lets the controller in as its account."""
    server = servers["eks"]
    assert isinstance(server, RealApi)
    async with _admin(server) as session:
        (tmp_path / "token").write_text(await token(session))
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN.format(file=tmp_path / "token"))
    plugin.chmod(0o755)
    values = tmp_path / "values.yaml"
    how: Json = {
        "token": {"audience": "migrate"},
        "exec": {"command": str(plugin), "env": {"KIND": "ExecCredential"}},
    }
    reach = {"server": server.url, "certificateAuthority": server.ca_pem().decode()}
    values.write_text(yaml.safe_dump({"peer": {"access": {way: {**reach, **how[way]}}}}))
    found = one(render(values), "ConfigMap", "migrate-controller-peer")
    text = found["data"]["kubeconfig"].replace("/var/run/secrets/migrate", str(tmp_path))
    (tmp_path / "kubeconfig").write_text(text)
    credentials = await ClusterAccess(str(tmp_path / "kubeconfig")).load()
    headers = {"Authorization": str(await credentials.authorization())}
    path = f"{credentials.server}/apis/split.smi-spec.io/v1alpha2/trafficsplits"
    async with (
        aiohttp.ClientSession() as session,
        session.get(path, headers=headers, ssl=credentials.tls or True) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("grant", GRANTS, ids=str)
async def test_each_right_is_needed(
    servers: dict[str, Server], tmp_path: Path, grant: Grant
) -> None:
    """Without it the controller is refused in a life of ordinary events, and says which right it lacks."""
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(_admin(servers[grant.cluster]))
        (role,) = [
            found
            for found in access(grant.cluster)
            if (found["kind"], found["metadata"]["name"]) == (grant.kind, grant.role)
        ]
        await apply(admin, grant.taken_from(role))
        stack.push_async_callback(apply, admin, role)
        await _refused_to_do(admin, grant)
        pair = await stack.enter_async_context(as_accounts(servers, tmp_path))
        await stack.enter_async_context(_lived(pair))

        async def told() -> bool:
            said = f'cannot {grant.verb} resource \\"{grant.resource}\\"'
            return said in pair.controller.log.read_text().replace('\\\\"', '\\"')

        await pair.until(told, f"nobody missed it: {grant}", A, limit_s=45)


async def _refused_to_do(admin: aiohttp.ClientSession, grant: Grant) -> None:
    """Wait until the authorizer has seen the role without it."""
    resource, _, subresource = grant.resource.partition("/")
    namespace = "linkerd-multicluster" if grant.role.endswith("pins") else "migrate"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:serviceaccount:migrate:migrate-controller",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:migrate"],
            "resourceAttributes": {
                "group": grant.group,
                "resource": resource,
                "subresource": subresource,
                "verb": grant.verb,
                "namespace": namespace,
                "name": "migrate-controller",
            },
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    async with asyncio.timeout(10):
        while True:
            async with admin.post(path, json=review) as answer:
                if not (await answer.json())["status"]["allowed"]:
                    return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _lived(pair: BarePair) -> AsyncIterator[None]:
    life = asyncio.create_task(_life(pair))
    try:
        yield
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


async def _life(pair: BarePair) -> None:
    """What happens to a controller: specs well and badly written, moves, aborts, and others that write.

    It goes on until it is cancelled, because two that write at once is a matter of luck. One Service gets
    what is served, an HTTPRoute; the other asks for a TrafficSplit.
    """
    for name in (A, SMI):
        await pair.exported(name)
        await pair.split_by_hand("eks", name, local=0, mirror=100)
    await pair.annotate(SMI, **QUICK, split="trafficsplit", target="eks")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_moves(pair))
        tasks.create_task(_others(pair))
        tasks.create_task(_fleets(pair))


async def _moves(pair: BarePair) -> None:
    """One Service, there and back, again and again."""

    async def malformed() -> bool:
        return (await pair.status(A)).get("reason") == "Malformed"

    async def mended() -> bool:
        return not await malformed()

    async def moved() -> bool:
        return str((await pair.status(A)).get("share")).startswith(("10/", "50/"))

    for _ in range(3):  # an Event that was told before is counted up
        await pair.annotate(A, dwell="60")
        await _until(malformed)
        await pair.annotate(A, dwell=None, paused="true")
        await _until(mended)
    await pair.annotate(A, paused=None, **QUICK, target="eks")
    for attempt in itertools.count(2):
        await _until(moved)
        async with _hammered(pair, A):
            await pair.annotate(A, abort="true")
            await pair.fulfilled(A, "Reverted")
        await pair.annotate(A, abort=None, attempt=str(attempt))


async def _others(pair: BarePair) -> None:
    """Somebody else makes a Migration in the moment in which the controller does."""
    legacy = pair.clients["legacy"]
    for soon_s in itertools.cycle((0.002, 0.01, 0.05)):
        name = f"other-{secrets.token_hex(3)}"
        wish = {"annotations": {"migrate.tradeshift/dwell": "60"}}
        await legacy.create(legacy.core("services"), service(name, **wish))
        await asyncio.sleep(random.uniform(0, soon_s))
        await legacy.create(legacy.migrations(), migration(name))
        await asyncio.sleep(0.1)


async def _fleets(pair: BarePair) -> None:
    """A Fleet is paused and goes on, and is written without a pause, so that its status meets conflicts."""
    legacy = pair.clients["legacy"]
    wave = {"name": "first", "services": [{"namespace": pair.namespace, "names": [A]}]}
    await legacy.create(legacy.fleets(), fleet(pair.namespace, {"target": "eks", "waves": [wave]}))
    for count in itertools.count():
        paused = "true" if count % 40 < 20 else None
        said = {"labels": {"count": str(count)}, "annotations": {PREFIX + "paused": paused}}
        await legacy.merge(legacy.fleets(pair.namespace), {"metadata": said})


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 - what it waits for is in another process
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _hammered(pair: BarePair, name: str) -> AsyncIterator[None]:
    """Both pins are written without a pause, so that the controller's own writes meet conflicts."""
    profile = f"{name}.{pair.namespace}.svc.cluster.local"
    path = f"/apis/linkerd.io/v1alpha2/namespaces/linkerd-multicluster/serviceprofiles/{profile}"

    async def hammer(client: Client) -> None:
        for count in itertools.count():
            await client.merge(path, {"metadata": {"labels": {"count": str(count)}}})

    tasks = [asyncio.create_task(hammer(client)) for client in pair.clients.values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
