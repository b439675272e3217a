"""What ``kubectl migrate check`` asks for is what the chart grants: neither more nor less."""

from __future__ import annotations

import yaml

from controller.cli.rehearsal import needed
from controller.splits.kinds import PROVIDER_OF
from tests.deploy.rendering import MANIFESTS

Verb = tuple[str, str, str]


def granted(cluster: str) -> set[Verb]:
    """Group, resource and verb of all that the controller's roles grant, but for its lease."""
    documents = [d for d in yaml.safe_load_all((MANIFESTS / f"{cluster}.yaml").read_text()) if d]
    return {
        (group, resource, verb)
        for found in documents
        if found["kind"] in ("ClusterRole", "Role")
        and found["metadata"]["name"] in ("migrate-controller", "migrate-controller-pins")
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_check_asks_for_what_the_chart_grants() -> None:
    """A right that is granted is asked for, and one that is asked for is granted, so a finding is never wrong."""
    for cluster in ("legacy", "eks"):
        asked = set()
        for right in needed("linkerd-multicluster", PROVIDER_OF, ["default"]):
            wanted = right.attributes()
            sub = f"/{wanted['subresource']}" if "subresource" in wanted else ""
            asked.add((wanted.get("group", ""), wanted["resource"] + sub, wanted["verb"]))
        assert asked == granted(cluster)
