"""What the values bring along: names, Pods, monitoring, CRDs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.deploy.rendering import CHART, ROOT, example, one, render, run, template

pytestmark = pytest.mark.usefixtures("helm")

EVERYTHING = Path(__file__).with_name("everything.yaml")
RULES = ROOT / "dashboards" / "out" / "rules.yaml"


def test_values_reach_the_pods() -> None:
    """What the values say of Pods is in both Deployments as it is written; the Pod of helm test has what it needs."""
    objects, values = render(EVERYTHING), yaml.safe_load(EVERYTHING.read_text())
    for name in ("controller", "prober"):
        pod, asked = one(objects, "Deployment", f"migrate-{name}")["spec"]["template"], values[name]
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
            assert spec[key] == asked[key]
        assert asked["podLabels"].items() <= pod["metadata"]["labels"].items()
        assert asked["podAnnotations"].items() <= pod["metadata"]["annotations"].items()
        assert container["env"] == asked["extraEnv"]
        assert asked["extraVolumes"][0] in spec["volumes"]
        assert asked["extraVolumeMounts"][0] in container["volumeMounts"]
        assert container["image"].endswith(f"/{name}:0.1.0@{values['images']['digests'][name]}")
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
    mesh = one(objects, "NetworkPolicy", "migrate-mesh")["spec"]
    assert values["networkPolicy"]["extraEgress"][0] in mesh["egress"]
    check, deployed = (
        one(objects, "Pod", "migrate-check")["spec"],
        one(objects, "Deployment", "migrate-controller")["spec"]["template"]["spec"],
    )
    assert check["serviceAccountName"] == deployed["serviceAccountName"]
    assert check["containers"][0]["image"] == deployed["containers"][0]["image"]
    assert all(volume in check["volumes"] for volume in deployed["volumes"])


def test_labels_that_are_selected_by_are_not_taken() -> None:
    """A label by which Services and policies select Pods cannot be given another value."""
    done = template(example("legacy"), "--set=prober.podLabels.app\\.kubernetes\\.io/name=mine")
    assert done.returncode != 0
    assert "prober.podLabels.app.kubernetes.io/name: the chart writes this label" in done.stderr


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("fullnameOverride=us", "us-controller"),
        ("nameOverride=us", "migrate-us-controller"),
        ("nameOverride=rate", "migrate-controller"),
    ],
)
def test_names_begin_as_is_written(written: str, expected: str) -> None:
    """The one override begins all names; the other stands behind the release's name, unless that has it already."""
    objects = render(example("legacy"), f"--set={written}")
    one(objects, "Deployment", expected)
    settings = one(objects, "ConfigMap", expected)["data"]["controller.yaml"]
    assert yaml.safe_load(settings)["lease"]["name"] == expected
    assert one(objects, "Role", f"{expected}-lease")["rules"][0]["resourceNames"] == [expected]


def test_a_package_holds_rules_and_dashboards(tmp_path: Path) -> None:
    """A packaged chart has the dashboards as they are, and the alerts with the severities and runbooks asked for."""
    assert run("helm", "package", str(CHART), f"--destination={tmp_path}").returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    done = run("helm", "template", "migrate", str(package), f"--values={EVERYTHING}")
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    built = sorted((ROOT / "dashboards" / "out").glob("*.json"))
    for path in built:
        found = one(objects, "ConfigMap", f"migrate-dashboard-{path.stem}")
        assert found["data"] == {path.name: path.read_text()}
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "Migrations"}
    assert built
    rules = one(objects, "PrometheusRule", "migrate")["spec"]
    wanted = yaml.safe_load(RULES.read_text())
    for group in wanted["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                new = {"page": "critical", "ticket": "warning"}[rule["labels"]["severity"]]
                page = Path(rule["annotations"]["runbook_url"]).name
                rule["labels"]["severity"] = new
                rule["annotations"]["runbook_url"] = f"https://runbooks.example/{page}"
    assert rules == wanted


def test_rules_are_as_built_where_nothing_is_asked() -> None:
    """With the defaults the PrometheusRule says what dashboards/out/rules.yaml does."""
    found = one(render(example("legacy"), "--set=rules.enabled=true"), "PrometheusRule", "migrate")
    assert found["spec"] == yaml.safe_load(RULES.read_text())


def test_pods_are_monitored_by_their_own_labels() -> None:
    """The PodMonitor selects the Pods of both programs and their port, and keeps the labels that they expose."""
    objects = render(EVERYTHING)
    monitor = one(objects, "PodMonitor", "migrate")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (selected,) = monitor["spec"]["selector"]["matchExpressions"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    for found in (o for o in objects if o["kind"] == "Deployment"):
        pod = found["spec"]["template"]
        assert pod["metadata"]["labels"][selected["key"]] in selected["values"]
        assert endpoint["port"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]}


@pytest.mark.parametrize("keep", [True, False])
def test_crds_outlive_the_chart_unless_they_are_not_to(keep: bool) -> None:
    """Both kinds are in the chart's templates, so that they are upgraded, and kept by helm where that is asked."""
    objects = render(example("eks"), f"--set=crds.keep={str(keep).lower()}")
    for path in sorted((ROOT / "deploy" / "chart" / "files" / "crds").glob("*.yaml")):
        plain = yaml.safe_load(path.read_text())
        found = one(objects, plain["kind"], plain["metadata"]["name"])
        assert found["spec"] == plain["spec"]
        kept = {"helm.sh/resource-policy": "keep"} if keep else None
        assert found["metadata"].get("annotations") == kept
    assert "CustomResourceDefinition" not in {
        found["kind"] for found in render(example("eks"), "--set=crds.enabled=false")
    }
