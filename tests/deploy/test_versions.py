"""Which versions of Kubernetes the chart is for: what it renders for each, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.rendering import CHART, ROOT, Json, example, one, render, template

pytestmark = pytest.mark.usefixtures("helm")

EVERYTHING = Path(__file__).with_name("everything.yaml")
OLDEST = "1.25"
POLICIES = "1.30"
"""The first that has admission policies."""
NEWEST = "1.37"
NOT_KUBERNETES = ("linkerd.io/", "monitoring.coreos.com/")
RESERVED = re.compile(
    r"\.(as|break|const|continue|else|for|function|if|import|let|loop|namespace|package|return)\b"
)
"""Fields by names that CEL reserves: Kubernetes wants them written as `__namespace__`."""
WITHOUT_POLICIES = "--set=guards.enabled=false"


def on(version: str, *more: str) -> list[str]:
    """The arguments that render for a version."""
    return [f"--kube-version={version}.0", *more]


def test_the_oldest_is_what_the_chart_says() -> None:
    """The versions tested here begin with that of Chart.yaml, which the README names."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert f"{OLDEST} or newer" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("values", [EVERYTHING, example("eks-user")], ids=lambda path: path.stem)
@pytest.mark.parametrize("version", [OLDEST, "1.27", "1.29", POLICIES, NEWEST])
def test_objects_fit_the_schemas_of_a_version(version: str, values: Path) -> None:
    """Every object of Kubernetes' own kinds fits the schemas that this version published: no field that it has not."""
    policies = float(version) >= float(POLICIES)
    seen = set()
    for found in render(values, *on(version, *([] if policies else [WITHOUT_POLICIES]))):
        if not any(group in found["apiVersion"] for group in NOT_KUBERNETES):
            kubernetes_validate.validate(found, version, strict=True)
            seen.add(found["kind"])
    assert {"CustomResourceDefinition", "Deployment", "PodDisruptionBudget"} <= seen
    assert ("ValidatingAdmissionPolicy" in seen) == policies


def rules(schema: Json | list[Any]) -> Iterator[Json]:
    """Every rule in CEL of a CRD's schema, at any depth: the published schemas do not look below `items`."""
    if isinstance(schema, dict):
        yield from schema.get("x-kubernetes-validations", ())
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from rules(inner)


@pytest.mark.parametrize(
    ("version", "fields"), [(OLDEST, {"rule", "message"}), ("1.28", {"rule", "message", "reason"})]
)
def test_rules_are_what_a_version_reads(version: str, fields: set[str]) -> None:
    """The CRDs' rules have the fields of the version, and no name in them is one that CEL reserved until lately."""
    fleets = one(
        render(example("eks"), *on(version, WITHOUT_POLICIES)),
        "CustomResourceDefinition",
        "fleets.migrate.tradeshift",
    )
    found = list(rules(fleets["spec"]["versions"]))
    assert set().union(*found) == fields
    assert [rule for rule in found if RESERVED.search(rule["rule"])] == []


@pytest.mark.parametrize(("version", "there"), [(OLDEST, False), ("1.27", True)])
def test_broken_pods_may_be_evicted_where_that_can_be_said(version: str, there: bool) -> None:
    """A budget says that broken Pods may be evicted from 1.27 on; before, the server would drop it."""
    objects = render(example("eks"), *on(version, WITHOUT_POLICIES))
    budget = one(objects, "PodDisruptionBudget", "migrate-prober")["spec"]
    assert ("unhealthyPodEvictionPolicy" in budget) == there


@pytest.mark.parametrize(
    ("name", "version", "more", "said"),
    [
        ("legacy", "1.29", [], "guards.enabled: admission policies need Kubernetes 1.30"),
        (
            "labelled",
            "1.29",
            [WITHOUT_POLICIES],
            "namespaces: labelled is kept by admission policies",
        ),
        ("legacy", "1.24", [WITHOUT_POLICIES], "incompatible with Kubernetes v1.24.0"),
    ],
)
def test_what_a_version_lacks_is_refused(
    name: str, version: str, more: list[str], said: str
) -> None:
    """What an older cluster cannot keep stops helm with a sentence, where it was asked for."""
    done = template(example(name), *on(version, *more))
    assert done.returncode != 0
    assert said in done.stderr
