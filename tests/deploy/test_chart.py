"""The chart in every path of installing it that deploy/README.md names."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml

from controller.runtime.settings import load as load_controller
from deploy.servers.kube_apiserver import RealApi
from prober.settings import load as load_prober
from tests.deploy import schemas
from tests.deploy.rendering import (
    CHART,
    EXAMPLES,
    MANIFESTS,
    ROOT,
    Json,
    example,
    one,
    render,
    run,
    template,
)
from tests.deploy.server import Refused, apply, as_user, install, path_of

pytestmark = pytest.mark.usefixtures("helm")

README = (ROOT / "deploy" / "README.md").read_text()
PODS = ("migrate-controller", "migrate-prober")
every_example = pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)


def deployments(objects: list[Json]) -> list[Json]:
    """The Deployments among them."""
    return [found for found in objects if found["kind"] == "Deployment"]


def test_readme_names_every_example() -> None:
    """The README's table of paths to install names each values file there is, and no other."""
    assert set(re.findall(r"`examples/([a-z-]+)\.yaml`", README)) == {p.stem for p in EXAMPLES}


@every_example
def test_lint(values: Path) -> None:
    """Helm's own lint finds nothing, warnings included."""
    done = run("helm", "lint", "--strict", str(CHART), f"--values={values}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@every_example
def test_settings_are_good(values: Path, tmp_path: Path) -> None:
    """The settings that the chart writes are settings that both programs take."""
    objects = render(values)
    for name, load in (("controller", load_controller), ("prober", load_prober)):
        for found in objects:
            if (found["kind"], found["metadata"]["name"]) == ("ConfigMap", f"migrate-{name}"):
                path = tmp_path / f"{name}.yaml"
                path.write_text(found["data"][f"{name}.yaml"])
                load(path, {})
    one(objects, "ConfigMap", "migrate-prober")


def test_more_settings_go_through(tmp_path: Path) -> None:
    """What stands under controller.settings is in the settings file, as the example of large fleets has it."""
    found = one(render(example("large")), "ConfigMap", "migrate-controller")
    path = tmp_path / "controller.yaml"
    path.write_text(found["data"]["controller.yaml"])
    assert load_controller(path, {}).max_in_progress == 50


def test_both_programs_are_of_one_installation() -> None:
    """The installation of the values is in the settings of controller and prober."""
    objects = render(example("legacy"), "--set=installation=blue")
    for name in ("controller", "prober"):
        text = one(objects, "ConfigMap", f"migrate-{name}")["data"][f"{name}.yaml"]
        assert yaml.safe_load(text)["installation"] == "blue"


@every_example
def test_probers_are_where_the_controller_looks(values: Path) -> None:
    """The prober Service has the name and port of the settings, and is exported: the other cluster asks it through
    the gateway."""
    objects = render(values)
    service = one(objects, "Service", "prober")
    assert service["metadata"]["labels"]["mirror.linkerd.io/exported"] == "true"
    role = yaml.safe_load(values.read_text())["role"]
    if role == "controller":
        text = one(objects, "ConfigMap", "migrate-controller")["data"]["controller.yaml"]
        settings = yaml.safe_load(text)
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        assert settings["prober"]["service"] == f"{name}.{namespace}:8080"
        urls = {name: c["prober"] for name, c in settings["clusters"].items()}
        assert urls == {
            "legacy": "ws://prober.migrate.svc.cluster.local:8080",
            "eks": "ws://prober-eks.migrate.svc.cluster.local:8080",
        }
    assert [port["port"] for port in service["spec"]["ports"]] == [8080]


def test_each_cluster_may_have_its_own_domain(tmp_path: Path) -> None:
    """The cluster's own DNS domain is in the settings; the other's where it is written, else its Link is asked."""
    domains = "--set=clusterDomain=one.example", "--set=peer.clusterDomain=two.example"
    for written, expected in (((), {}), (domains, {"legacy": "one.example", "eks": "two.example"})):
        found = one(render(example("legacy"), *written), "ConfigMap", "migrate-controller")
        path = tmp_path / "controller.yaml"
        path.write_text(found["data"]["controller.yaml"])
        assert load_controller(path, {}).domains == (expected or {"legacy": "cluster.local"})


@every_example
def test_pods_are_two_and_apart(values: Path) -> None:
    """Each program has two replicas at least, spread, with a budget that never blocks a broken one."""
    objects = render(values)
    for found in deployments(objects):
        name = found["metadata"]["name"]
        labels = {"app.kubernetes.io/name": name}
        assert found["spec"]["replicas"] >= 2
        spread = found["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {s["topologyKey"] for s in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        budget = one(objects, "PodDisruptionBudget", name)["spec"]
        assert budget["selector"]["matchLabels"] == labels
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe", "resources"} <= set(container)


@every_example
def test_mounts_can_change_under_way(values: Path) -> None:
    """Settings, tokens and kubeconfig are mounted as folders, so that they are rotated without a restart."""
    for found in deployments(render(values)):
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert all("subPath" not in mount for mount in container["volumeMounts"])


@pytest.mark.parametrize(
    ("written", "restarts"),
    [("paused=true", False), ("max_in_progress=5", False), ("log_level=debug", True)],
)
def test_only_what_is_not_re_read_restarts(written: str, restarts: bool) -> None:
    """A setting that is re-read leaves the Pods alone; one that is read at the start replaces them."""
    before, after = (
        one(render(example("legacy"), *more), "Deployment", "migrate-controller")["spec"][
            "template"
        ]
        for more in ((), (f"--set=controller.settings.{written}",))
    )
    assert (before != after) == restarts


@every_example
def test_no_secret_is_written(values: Path) -> None:
    """The chart holds no secret: those it needs are named, and made by whoever owns them."""
    assert [found for found in render(values) if found["kind"] == "Secret"] == []


# --- what helm refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("role=both", "role"),
        ("cluster.name=Legacy", "cluster"),
        ("peer.acess.token=a", "acess"),
        ("peer.access.kubeconfigSecret=", "write exactly one of token, exec and kubeconfigSecret"),
        ("peer.access.token.server=http://eks", "server"),
        ("controller.settings.lease=1", "the chart writes this key itself"),
        ("namespaces=some", "namespaces"),
        ("guards.action=Audit", "action"),
        ("guards.editorGroups[0]=it's", "editorGroups"),
        ("images.registry=", "registry"),
        ("images.digests.prober=latest", "prober"),
        ("fullnameOverride=Migrate", "fullnameOverride"),
        ("prober.toleration[0].key=a", "toleration"),
        ("controller.extraEnv[0].value=a", "name"),
        ("rules.severities.info=low", "info"),
        ("guards.otherPairs[0].cluster=us", "user"),
        ("cluster.prometheus.matchers.a-b=c", "a-b"),
        (
            "cluster.prometheus.url=prometheus:9090",
            "the prometheus.url of legacy is no http(s):// URL",
        ),
    ],
)
def test_wrong_values_are_refused(written: str, said: str) -> None:
    """A value that cannot be used stops helm, and the message names its place."""
    done = template(example("legacy"), f"--set={written}")
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("url", ["http://jane:hunter2@thanos:9090", "https://thanos?token=hunter2"])
def test_a_prometheus_url_with_a_secret_is_refused_and_not_quoted(url: str) -> None:
    """A user, a password or a query in the URL of a Prometheus stops helm, which names the Secret's place."""
    done = template(example("legacy"), f"--set=peer.prometheus.url={url}")
    assert done.returncode != 0
    assert (
        "the prometheus.url of eks is no http(s):// URL, or has a user, a password" in done.stderr
    )
    assert "basicAuthSecret" in done.stderr
    assert "hunter2" not in done.stderr


def test_every_way_to_say_who_one_is_comes_from_secrets(tmp_path: Path) -> None:
    """Each Secret of a Prometheus is mounted by its keys where the settings look for them, and the ConfigMap
    has the paths alone."""
    ways = {
        "headersSecret": {"headers_file": "headers"},
        "tokenSecret": {"token_file": "token"},
        "basicAuthSecret": {"username_file": "username", "password_file": "password"},
        "clientCertSecret": {"cert_file": "tls.crt", "key_file": "tls.key"},
        "caSecret": {"ca_file": "ca.crt"},
    }
    url = "--set=cluster.prometheus.url=https://p"
    for way, files in ways.items():
        objects = render(example("legacy"), url, f"--set=cluster.prometheus.{way}=s3")
        path = tmp_path / "controller.yaml"
        path.write_text(one(objects, "ConfigMap", "migrate-controller")["data"]["controller.yaml"])
        settings = load_controller(path, {}).clusters["legacy"].prometheus
        folder = "/etc/migrate/prometheus-legacy"
        assert {name: getattr(settings, name) for name in files} == {
            name: f"{folder}/{key}" for name, key in files.items()
        }
        pod = one(objects, "Deployment", "migrate-controller")["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["prometheus-legacy"]["projected"]["sources"] == [
            {"secret": {"name": "s3", "items": [{"key": k, "path": k} for k in files.values()]}}
        ]
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounts["prometheus-legacy"] == folder
        assert "prometheus-eks" not in volumes


def test_every_value_is_in_the_schema() -> None:
    """Whatever values.yaml has, the schema knows by name, at every level."""

    def unknown(values: Json, schema: Json, path: str) -> list[str]:
        found = []
        for key, value in values.items():
            inner = schema.get("properties", {}).get(key)
            if inner is None:
                found.append(f"{path}{key}")
            elif isinstance(value, dict) and "properties" in inner:
                found += unknown(value, inner, f"{path}{key}.")
        return found

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert unknown(values, schema, "") == []


# --- the plain manifests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifest", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_manifests_are_current(manifest: Path) -> None:
    """The plain manifests are what the chart renders now: `make manifests` writes them."""
    assert manifest.read_text() == template(example(manifest.stem), "--skip-tests").stdout


# --- in a real API server ---------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.usefixtures("kubeconform")
def test_kubeconform(cluster: RealApi, tmp_path: Path) -> None:
    """Every object of every example fits the schema of its kind, strictly: no key that is not there."""
    objects = {path: template(path).stdout for path in EXAMPLES}
    documents = [d for text in objects.values() for d in yaml.safe_load_all(text) if d]

    async def publish() -> None:
        async with cluster.session() as session:
            await schemas.write(session, documents, tmp_path)

    asyncio.run(publish())
    for path, text in objects.items():
        location = f"-schema-location={tmp_path}/{schemas.LOCATION}"
        done = run("kubeconform", "-strict", "-summary", location, text=text)
        assert done.returncode == 0, f"{path.stem}: {done.stdout}{done.stderr}"
        assert "Skipped: 0" in done.stdout
    misspelt = objects[EXAMPLES[0]].replace(
        "terminationGracePeriodSeconds", "terminationGraceSeconds"
    )
    assert run("kubeconform", "-strict", location, text=misspelt).returncode == 1


@pytest.mark.real
@every_example
async def test_server_takes_all_of_it(cluster: RealApi, values: Path) -> None:
    """A real API server takes every object, with --dry-run=server and for real, twice: an upgrade is one too."""
    objects = render(values)
    async with cluster.session() as session:
        for found in objects:
            await apply(session, found, dry_run=True)
        # The Pod of helm test is deleted before it is made anew.
        lasting = [o for o in objects if "helm.sh/hook" not in o["metadata"].get("annotations", {})]
        for _ in range(2):
            await install(session, lasting)


@pytest.mark.real
async def test_helm_installs_and_removes(cluster: RealApi, tmp_path: Path) -> None:
    """`helm install`, `upgrade` and `uninstall` go through, over kinds that an earlier chart left, which are upgraded;
    they and their Migrations stay."""
    values = f"--values={example('labelled')}"
    helm = Helm(cluster, tmp_path, "by-helm")
    async with cluster.session() as session:
        await _remove_cluster_wide(session, render(example("labelled")))
        old = yaml.safe_load(
            (ROOT / "deploy" / "chart" / "files" / "crds" / "migrations.yaml").read_text()
        )
        columns = old["spec"]["versions"][0].pop("additionalPrinterColumns")
        async with session.delete(path_of(old)) as answer:
            assert answer.status in (200, 404)
        await _gone(session, path_of(old))
        await install(session, [old])
        first = ("install", "migrate", str(CHART), values, "--create-namespace")
        refused = await helm.run(*first)
        assert "cannot be imported into the current release" in refused.stderr
        await helm.good(*first, "--take-ownership")
        more = "--set=controller.replicas=3"
        said = await helm.good("upgrade", "migrate", str(CHART), values, more)
        assert "kubectl annotate service service-a migrate.tradeshift/target=eks" in said
        async with session.get(path_of(old)) as answer:
            new = (await answer.json())["spec"]["versions"][0]["additionalPrinterColumns"]
        assert [column["name"] for column in new] == [column["name"] for column in columns]
        migration = {
            "apiVersion": "migrate.tradeshift/v1alpha1",
            "kind": "Migration",
            "metadata": {"name": "a", "namespace": "default"},
        }
        await apply(session, migration)
        await helm.good("uninstall", "migrate")
        path = "/apis/migrate.tradeshift/v1alpha1/namespaces/default/migrations/a"
        async with session.get(path) as answer:
            assert answer.status == 200
        async with session.get("/apis/apps/v1/namespaces/by-helm/deployments") as answer:
            assert (await answer.json())["items"] == []


@pytest.mark.real
async def test_two_pairs_share_a_cluster(cluster: RealApi, tmp_path: Path) -> None:
    """Two releases of different names go into one cluster; policies let the other pair's controller and clusters be."""
    us = "system:serviceaccount:migrate-us:us-controller"
    other = f"--set=guards.otherPairs[0].cluster=us,guards.otherPairs[0].user={us}"
    one_pair, two = Helm(cluster, tmp_path, "migrate"), Helm(cluster, tmp_path, "migrate-us")
    async with cluster.session() as session:
        await _remove_cluster_wide(session, render(example("eks")))
        values = f"--values={example('eks')}"
        await one_pair.good(
            *("install", "migrate", str(CHART), values, other),
            *("--take-ownership", "--create-namespace"),
        )
        theirs = "--set=fullnameOverride=us,peer.name=us,crds.enabled=false,guards.enabled=false"
        await two.good("install", "us", str(CHART), values, theirs, "--create-namespace")

        async def taken(body: Json, **headers: str) -> bool:
            query = {"dryRun": "All"} if body["kind"] == "Service" else {}
            where = path_of(body, named=False)
            async with session.post(where, json=body, params=query, headers=headers) as answer:
                assert answer.status in (201, 422), await answer.text()
                return answer.status == 201

        async with asyncio.timeout(20):
            while await taken(_targeted("nowhere")):  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(0.05)
            while await taken(_with_record("any")):
                async with session.delete(path_of(_with_record("any"))) as answer:
                    assert answer.status in (200, 422)
        assert await taken(_targeted("us"))
        assert await taken(_targeted("legacy"))
        async with session.post(
            path_of(_with_record("theirs"), named=False),
            json=_with_record("theirs"),
            headers=as_user(us),
        ) as answer:
            assert answer.status == 201, await answer.text()
        await two.good("uninstall", "us")
        await one_pair.good("uninstall", "migrate")


def _targeted(cluster: str) -> Json:
    annotations = {"migrate.tradeshift/target": cluster}
    meta = {"name": "aimed", "namespace": "default", "annotations": annotations}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"ports": [{"port": 80}]},
    }


def _with_record(name: str) -> Json:
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"migrate.tradeshift/record": "{}"},
        },
        "spec": {"service": name, "backends": [{"service": name, "weight": 1000}]},
    }


class Helm:
    """Helm, as an administrator of a cluster, in a namespace."""

    def __init__(self, cluster: RealApi, folder: Path, namespace: str) -> None:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
        self._where = (f"--kubeconfig={kubeconfig}", f"--namespace={namespace}")

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, whatever that is."""
        return await asyncio.to_thread(run, "helm", *arguments, *self._where)

    async def good(self, *arguments: str) -> str:
        """Run it to its good end, and return what it says."""
        done = await self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


async def _gone(session: aiohttp.ClientSession, path: str) -> None:
    async with asyncio.timeout(20):
        while True:
            async with session.get(path) as answer:
                if answer.status == 404:
                    return
            await asyncio.sleep(0.05)


async def _remove_cluster_wide(session: aiohttp.ClientSession, objects: list[Json]) -> None:
    """What other tests applied outside of the release's namespace is nobody's; helm wants it to be its own."""
    for found in objects:
        kept = found["kind"] == "CustomResourceDefinition"
        if found["metadata"].get("namespace") != "migrate" and not kept:
            async with session.delete(path_of(found)) as answer:
                assert answer.status in (200, 404)


@pytest.mark.real
@every_example
async def test_pods_are_restricted(cluster: RealApi, values: Path) -> None:
    """The Pods are taken in a namespace that enforces Pod Security `restricted`; a privileged one is not."""
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "restricted",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    async with cluster.session() as session:
        await apply(session, space)
        for found in deployments(render(values)):
            inner = found["spec"]["template"]
            meta = {**inner["metadata"], "name": "pod", "namespace": "restricted"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": inner["spec"]}
            await apply(session, pod, dry_run=True)
            (container,) = inner["spec"]["containers"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            free = {**container, "securityContext": {}}
            with pytest.raises(Refused, match="violates PodSecurity"):
                await apply(
                    session, {**pod, "spec": {**inner["spec"], "containers": [free]}}, dry_run=True
                )


def test_receivers_of_notifications_are_read_where_they_are_mounted() -> None:
    """The settings name the receivers' file in the folder where the Secret is, which may come later."""
    objects = render(example("notifications"))
    written = yaml.safe_load(
        one(objects, "ConfigMap", "migrate-controller")["data"]["controller.yaml"]
    )
    pod = one(objects, "Deployment", "migrate-controller")["spec"]["template"]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "notifications"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "notifications"]
    assert written["notifications"] == f"{mount['mountPath']}/receivers.yaml"
    assert "subPath" not in mount
    assert volume["secret"] == {"secretName": "migrate-notifications", "optional": True}
