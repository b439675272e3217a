"""``kubectl migrate check`` against a real kube-apiserver: who refuses the writes, and whose rights were asked.

Legacy is real, eks embedded: what is asked here, quotas, admission, webhooks and RBAC, only a real one has.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from controller.cli.exit_codes import Exit
from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh.objects import link_object
from tests.real.client import Client, Json, connected
from tests.unit.cli.cli_cluster import Ended, decoded, run
from tests.unit.decide.check_pair import GATEWAYS, IDENTITY, KINDS, well

pytestmark = pytest.mark.real

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "migrate-controller"
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
NEW_SPLITS = {
    "apiGroups": ["split.smi-spec.io"],
    "apiVersions": ["*"],
    "operations": ["CREATE"],
    "resources": ["trafficsplits"],
}


class HalfReal:
    """service-a in a real legacy and an embedded eks, in a namespace of this test."""

    def __init__(self, server: RealApi, client: Client, far: EmbeddedApi, folder: Path) -> None:
        self.server = server
        self.client = client
        self.far = far
        self.folder = folder
        self.namespace = client.namespace
        self.made: list[str] = []

    async def start(self) -> None:
        """Make service-a and the Links."""
        self.far.put(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        for plural, body in well("eks", "service-a", self.namespace):
            self.far.put(_whole(plural, body))
        self.far.put(_whole("links", link_object("legacy", "10.9.9.9", IDENTITY)))
        for plural, body in well("legacy", "service-a", self.namespace):
            if body["metadata"]["name"] == "service-a":
                body["metadata"]["annotations"] = {"migrate.tradeshift/split": "trafficsplit"}
            await self.create(_path(plural, self.namespace), _whole(plural, body))
        await self.create(
            _path("links", GATEWAYS), _whole("links", link_object("eks", "x", IDENTITY))
        )

    async def stop(self) -> None:
        """Delete what other tests of the same server could see."""
        for path in reversed(self.made):
            await self.client.delete(path)

    async def create(self, path: str, body: Json) -> Json:
        """Make an object in legacy."""
        done = await self.client.create(path, body)
        assert done.status == 201, done.body
        self.made.append(f"{path}/{done.body['metadata']['name']}")
        return done.body

    async def account(self, name: str, *rules: Json) -> None:
        """A service account of the test's namespace that may do this, in all namespaces."""
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        meta = {"name": f"{self.namespace}-{name}"}
        await self.create(
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": {"name": name}}
        )
        await self.create(f"{RBAC}/clusterroles", {"metadata": meta, "rules": list(rules)})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **meta}
        binding = {"metadata": meta, "roleRef": role, "subjects": [subject]}
        await self.create(f"{RBAC}/clusterrolebindings", binding)

    async def token(self, name: str) -> str:
        """A token of a service account, as kubectl create token gives it."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        done = await self.client.create(path, body)
        assert done.status == 201, done.body
        return str(done.body["status"]["token"])

    async def deny(self, name: str, unless: str, message: str) -> None:
        """A policy that refuses new splits of the test's namespace unless this expression holds."""
        named = {"metadata": {"name": f"{self.namespace}-{name}"}}
        constraints = {"resourceRules": [NEW_SPLITS], "namespaceSelector": _only(self.namespace)}
        validations = [{"expression": unless, "message": message}]
        spec = {"matchConstraints": constraints, "validations": validations}
        await self.create(f"{ADMISSION}/validatingadmissionpolicies", {**named, "spec": spec})
        binding = {"policyName": named["metadata"]["name"], "validationActions": ["Deny"]}
        path = f"{ADMISSION}/validatingadmissionpolicybindings"
        await self.create(path, {**named, "spec": binding})

    async def until_refused(self, controller: str = "migrate/migrate-controller") -> str:
        """Check until a write is refused: the API server has to see a new rule itself; give the sentence."""
        async with asyncio.timeout(30):
            while True:
                done = await self.check("service-a", "--controller", controller)
                if done.code == Exit.BLOCKED:
                    return sentence(done)

    async def check(self, *argv: str, token: str | None = None) -> Ended:
        """Check service-a, as the administrator or with another's token in legacy."""
        merged: Json = {"apiVersion": "v1", "kind": "Config", "current-context": "contract"}
        for part in ("clusters", "users", "contexts"):
            merged[part] = [*self.server.kubeconfig()[part], *self.far.kubeconfig()[part]]
        if token is not None:
            merged["users"][0]["user"] = {"token": token}
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(merged))
        where = ("--kubeconfig", str(kubeconfig), "-n", self.namespace)
        asked = argv or ("service-a", "--controller", f"{self.namespace}/{ACCOUNT}")
        return await asyncio.to_thread(run, "check", *asked, *where, "-o", "json")


def _whole(plural: str, body: Json) -> Json:
    version, kind = KINDS[plural]
    return {"apiVersion": version, "kind": kind, **body}


def _path(plural: str, namespace: str) -> str:
    version = KINDS[plural][0]
    return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{plural}"


def reasons(done: Ended) -> list[str]:
    """The reasons found of service-a."""
    (only,) = decoded(done.out)["services"]
    return [finding["reason"] for finding in only["findings"]]


def sentence(done: Ended) -> str:
    """The one finding of service-a."""
    (only,) = decoded(done.out)["services"]
    (found,) = only["findings"]
    assert (found["level"], found["reason"]) == ("BLOCK", "WriteRefused"), found
    return str(found["message"])


@pytest.fixture
async def pair(real_server: RealApi, tmp_path: Path) -> AsyncIterator[HalfReal]:
    """service-a, ready to migrate."""
    async with connected(real_server) as client, EmbeddedApi("eks") as far:
        made = HalfReal(real_server, client, far, tmp_path)
        try:
            await made.start()
            yield made
        finally:
            await made.stop()


async def test_nothing_refuses_an_administrator(pair: HalfReal) -> None:
    """A real API server takes every write that would be made, stores none, and nothing blocks."""
    done = await pair.check("service-a")
    assert (done.code, reasons(done)) == (Exit.OK, [])
    for path in (_path("trafficsplits", pair.namespace), _path("serviceprofiles", GATEWAYS)):
        names = (await pair.client.get(path)).names
        assert not [name for name in names if name.startswith("service-a")]


async def test_a_quota_that_is_full_refuses_the_split(pair: HalfReal) -> None:
    """A namespace that may hold no more TrafficSplits is found before the controller meets it."""
    quota = "count/trafficsplits.split.smi-spec.io"
    path = f"/api/v1/namespaces/{pair.namespace}/resourcequotas"
    await pair.create(path, {"metadata": {"name": "full"}, "spec": {"hard": {quota: "0"}}})
    status = {"status": {"hard": {quota: "0"}, "used": {quota: "0"}}}
    assert (await pair.client.merge(f"{path}/full/status", status)).status == 200
    told = await pair.until_refused()
    assert told.startswith(f"legacy refuses a new TrafficSplit {pair.namespace}/service-a: 403")
    assert "exceeded quota: full" in told


async def test_a_policy_that_denies_is_found(pair: HalfReal) -> None:
    """A ValidatingAdmissionPolicy that lets nobody make splits is told in its own words."""
    await pair.deny("splits", "false", "splits are made by Flux only")
    assert "splits are made by Flux only" in await pair.until_refused()


@pytest.mark.parametrize(
    ("answers", "words"), [(True, "not on Fridays"), (False, "failed calling webhook")]
)
async def test_a_webhook_that_denies_or_is_away_is_found(
    pair: HalfReal, answers: bool, words: str
) -> None:
    """A webhook's denial, and one that must be asked and does not answer, are told."""
    async with _denying(pair.server) as url:
        client = {"url": url if answers else "https://127.0.0.1:9/"}
        hook = {
            "name": "no.example.com",
            "clientConfig": {**client, "caBundle": _bundle(pair.server)},
            "rules": [NEW_SPLITS],
            "namespaceSelector": _only(pair.namespace),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }
        body = {"metadata": {"name": f"{pair.namespace}-hook"}, "webhooks": [hook]}
        await pair.create(f"{ADMISSION}/validatingwebhookconfigurations", body)
        told = await pair.until_refused()
    assert words in told


async def test_rights_that_the_controller_lacks_are_named(pair: HalfReal) -> None:
    """The controller's account is asked about, as it is: what it may not do is a BLOCK of the clusters."""
    every = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    splits = {"apiGroups": ["split.smi-spec.io"], "resources": ["*"], "verbs": ["create", "patch"]}
    await pair.account(ACCOUNT, every, splits)
    done = await pair.check()
    told = decoded(done.out)
    who = f"{pair.namespace}/{ACCOUNT}"
    lacking = [f["message"] for f in told["general"] if f["reason"] == "RightsMissing"]
    assert done.code == Exit.BLOCKED
    assert (
        f"in legacy {who} may not create serviceprofiles.linkerd.io in namespace {GATEWAYS}"
        in lacking
    )
    assert not [line for line in lacking if "trafficsplits" in line]
    assert f"legacy: asked for the rights of {who}" in told["notes"]
    assert f"eks: writes were tried as you: there is no service account {who}" in told["notes"]


async def test_an_account_with_all_rights_lacks_none(pair: HalfReal) -> None:
    """An account that may do everything is asked about, and nothing blocks."""
    await pair.account(ACCOUNT, EVERYTHING)
    done = await pair.check()
    assert (done.code, decoded(done.out)["general"]) == (Exit.OK, [])


async def test_writes_are_tried_as_the_controller_where_one_may(pair: HalfReal) -> None:
    """A policy against the controller alone refuses nobody else, and is found by acting as it."""
    await pair.account(ACCOUNT, EVERYTHING)
    user = f"system:serviceaccount:{pair.namespace}:{ACCOUNT}"
    await pair.deny("splits", f"request.userInfo.username != '{user}'", "it has not opted in")
    told = await pair.until_refused(f"{pair.namespace}/{ACCOUNT}")
    assert "it has not opted in" in told
    alone = await pair.check("service-a")
    assert (alone.code, reasons(alone)) == (Exit.OK, [])


async def test_what_one_may_not_write_oneself_is_no_finding(pair: HalfReal) -> None:
    """A developer who may only read gets a report; a note says what was not tried and not asked."""
    read: dict[str, Any] = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
    await pair.account("developer", read)
    done = await pair.check("service-a", token=await pair.token("developer"))
    told = decoded(done.out)
    assert (done.code, reasons(done)) == (Exit.OK, [])
    for resource in ("trafficsplits", "serviceprofiles"):
        assert any(f"you may not create {resource}" in note for note in told["notes"])


async def test_what_may_not_be_read_is_told(pair: HalfReal) -> None:
    """Without the rights to read namespaces, Links and ServiceProfiles the rest is judged, and notes say so."""
    rule = {
        "apiGroups": ["", "discovery.k8s.io", "split.smi-spec.io", "gateway.networking.k8s.io"],
        "resources": ["services", "endpointslices", "trafficsplits", "httproutes"],
        "verbs": ["list"],
    }
    await pair.account("reader", rule)
    token = await pair.token("reader")
    done = await pair.check("service-a", "--other-context", "eks", token=token)
    told = decoded(done.out)
    assert (done.code, reasons(done)) == (Exit.OK, [])
    for resource in ("namespaces", "links", "serviceprofiles", "migrations"):
        assert any(f"{resource} were not read: 403" in note for note in told["notes"])


async def test_a_pin_that_may_not_be_read_is_no_finding(pair: HalfReal) -> None:
    """Who may make ServiceProfiles and not list them is not told that a pin which is there is refused."""
    name = f"service-a.{pair.namespace}.svc.cluster.local"
    meta = {"name": name, "namespace": GATEWAYS}
    await pair.create(
        _path("serviceprofiles", GATEWAYS), _whole("serviceprofiles", {"metadata": meta})
    )
    read = {
        "apiGroups": ["", "discovery.k8s.io", "split.smi-spec.io", "gateway.networking.k8s.io"],
        "resources": ["services", "endpointslices", "trafficsplits", "httproutes"],
        "verbs": ["list"],
    }
    make = {"apiGroups": ["linkerd.io"], "resources": ["serviceprofiles"], "verbs": ["create"]}
    await pair.account("maker", read, make)
    token = await pair.token("maker")
    done = await pair.check("service-a", "--other-context", "eks", token=token)
    assert (done.code, reasons(done)) == (Exit.OK, [])


async def test_services_that_may_not_be_read_are_an_error(pair: HalfReal) -> None:
    """Where not even Services may be listed there is no report, but the server's own sentence."""
    await pair.account("nobody", {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]})
    token = await pair.token("nobody")
    done = await pair.check("service-a", "--other-context", "eks", token=token)
    assert (done.code, done.out) == (Exit.FAILED, "")
    assert "context contract refused: 403" in done.err


def _only(namespace: str) -> Json:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def _bundle(server: RealApi) -> str:
    return b64encode(server.ca_pem()).decode()


@asynccontextmanager
async def _denying(server: RealApi) -> AsyncIterator[str]:
    """A webhook that denies everything, with the API server's own certificate, which is for 127.0.0.1."""

    async def deny(request: web.Request) -> web.Response:
        asked = await request.json()
        status = {"message": "not on Fridays"}
        answer = {"uid": asked["request"]["uid"], "allowed": False, "status": status}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**review, "response": answer})

    app = web.Application()
    app.router.add_post("/", deny)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = server._certificate()
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
