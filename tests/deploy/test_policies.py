"""Who may talk to whom: the mesh policy and the NetworkPolicies against what the programs serve and dial."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from aiohttp import web

from controller.report.health import Health, serve
from controller.report.metrics import Metrics
from prober.contract import CONTROL_PATH, PATH
from prober.server import Server
from prober.settings import Settings
from prober.telemetry import new_metrics
from tests.deploy.rendering import EXAMPLES, Json, example, one, render

pytestmark = pytest.mark.usefixtures("helm")

IDENTITY = "serviceaccount.identity.linkerd.cluster.local"
with_mesh = pytest.mark.parametrize(
    "values", [path for path in EXAMPLES if path.stem != "bare"], ids=lambda path: path.stem
)


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    """The objects of a kind, of the mesh's where another group has it too."""
    return [found for found in objects if found["kind"] == kind]


def doors(objects: list[Json], server: str) -> dict[str, str]:
    """The paths that the mesh lets through to a Server, and the route that each belongs to."""
    return {
        match["path"]["value"]: route["metadata"]["name"]
        for route in of_kind(objects, "HTTPRoute")
        if route["spec"]["parentRefs"][0]["name"] == server
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    }


def let_in(objects: list[Json], route: str) -> set[str]:
    """The identities and networks that may use a route."""
    found: set[str] = set()
    for policy in of_kind(objects, "AuthorizationPolicy"):
        if policy["spec"]["targetRef"]["name"] == route:
            for ref in policy["spec"]["requiredAuthenticationRefs"]:
                spec = one(objects, ref["kind"], ref["name"])["spec"]
                found |= set(spec.get("identities", ()))
                found |= {network["cidr"] for network in spec.get("networks", ())}
    return found


def served(app: web.Application) -> set[str]:
    """The paths that an application answers."""
    return {resource.canonical for resource in app.router.resources()}


@with_mesh
def test_mesh_knows_every_path_of_the_prober(values: Path) -> None:
    """The prober's paths are all let through to somebody, and no path is that it does not serve."""
    app = Server(Settings(cluster="legacy", token_file="token"), new_metrics("legacy")).app()
    assert set(doors(render(values), "migrate-prober")) == served(app)


async def test_mesh_knows_every_path_of_the_controller() -> None:
    """So are the paths that the controller serves to the network; its board is on loopback."""
    runner = await serve(("127.0.0.1", 0), Metrics("test"), Health(dict))
    try:
        assert runner.app is not None
        assert set(doors(render(example("legacy")), "migrate-controller")) == served(runner.app)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("name", "caller"),
    [
        ("legacy", f"migrate-controller.migrate.{IDENTITY}"),
        ("eks", f"linkerd-gateway.linkerd-multicluster.{IDENTITY}"),
    ],
)
def test_stream_is_for_one_caller(name: str, caller: str) -> None:
    """The stream is the controller's beside it, and the gateway's where the controller comes from afar."""
    objects = render(example(name))
    assert let_in(objects, doors(objects, "migrate-prober")[PATH]) == {caller}


@with_mesh
def test_control_path_is_for_probers(values: Path) -> None:
    """It is asked by the prober beside it, and through its cluster's gateway by the other one, wherever that is."""
    objects = render(values)
    callers = {
        caller.partition(".")[0]
        for caller in let_in(objects, doors(objects, "migrate-prober")[CONTROL_PATH])
    }
    assert callers == {"migrate-prober", "linkerd-gateway"}


@with_mesh
def test_metrics_are_prometheus(values: Path) -> None:
    """Metrics are read by the identities and networks of the values, and the stream by none of them."""
    objects = render(values)
    for server in ("migrate-prober", "migrate-controller"):
        if "/metrics" in doors(objects, server):
            readers = let_in(objects, doors(objects, server)["/metrics"])
            large = values.stem == "large"
            assert readers == ({"10.0.0.0/8"} if large else {f"prometheus.linkerd-viz.{IDENTITY}"})


@with_mesh
def test_default_is_deny(values: Path) -> None:
    """All our Pods are denied by default, both paths, and their Servers let nobody in by themselves."""
    objects = render(values)
    deny = one(objects, "NetworkPolicy", "migrate-deny")["spec"]
    assert set(deny) == {"podSelector", "policyTypes"}
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    for found in of_kind(objects, "Deployment"):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert deny["podSelector"]["matchLabels"].items() <= labels.items()
        server = one(objects, "Server", found["metadata"]["name"])["spec"]
        assert "accessPolicy" not in server
        assert server["podSelector"]["matchLabels"].items() <= labels.items()
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert server["port"] == container["ports"][0]["containerPort"]


@pytest.mark.parametrize(
    "values",
    [p for p in EXAMPLES if p.stem != "bare" and "role: controller" in p.read_text()],
    ids=lambda path: path.stem,
)
def test_controller_reaches_what_its_settings_name(values: Path) -> None:
    """The ports of the Prometheus and API servers that the values name are open to the controller."""
    objects = render(values)
    text = one(objects, "ConfigMap", "migrate-controller")["data"]["controller.yaml"]
    urls = [
        cluster["prometheus"]["url"]
        for cluster in yaml.safe_load(text)["clusters"].values()
        if "prometheus" in cluster
    ]
    for found in of_kind(objects, "ConfigMap"):
        if found["metadata"]["name"] == "migrate-controller-peer":
            kubeconfig = yaml.safe_load(found["data"]["kubeconfig"])
            urls.append(kubeconfig["clusters"][0]["cluster"]["server"])
    outside = {
        port["port"]
        for rule in one(objects, "NetworkPolicy", "migrate-controller")["spec"]["egress"]
        for port in rule.get("ports", ())
    }
    for url in urls:
        parts = urlsplit(url)
        assert (parts.port or {"https": 443, "http": 80}[parts.scheme]) in outside


@with_mesh
def test_prober_is_reached_by_its_callers(values: Path) -> None:
    """The prober's port, and the proxy's before it, are open to our Pods and the gateway alone."""
    objects = render(values)
    deployment = one(objects, "Deployment", "migrate-prober")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (rule,) = one(objects, "NetworkPolicy", "migrate-prober")["spec"]["ingress"]
    assert {p["port"] for p in rule["ports"]} == {container["ports"][0]["containerPort"], 4143}
    ours, gateway = rule["from"]
    assert ours == {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "mesh-migrate"}}}
    where = {"kubernetes.io/metadata.name": "linkerd-multicluster"}
    assert gateway == {"namespaceSelector": {"matchLabels": where}}
