"""What a Link's selector takes, and how it is shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube.objects import (
    DECODERS,
    LinkObject,
    NamespaceObject,
    Requirement,
    Resource,
    Selector,
    Undecodable,
)

EXPORTED = Selector(labels=(("mirror.linkerd.io/exported", "true"),))
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))
REQUIREMENTS = st.builds(
    Requirement,
    key=st.sampled_from("abc"),
    operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Near"]),
    values=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
)


@pytest.mark.parametrize(
    ("requirement", "labels", "admitted", "shown"),
    [
        (Requirement("a", "In", ("x", "y")), {"a": "y"}, True, "a in (x,y)"),
        (Requirement("a", "In", ("x",)), {}, False, "a in (x)"),
        (Requirement("a", "NotIn", ("x",)), {"a": "x"}, False, "a notin (x)"),
        (Requirement("a", "NotIn", ("x",)), {}, True, "a notin (x)"),
        (Requirement("a", "Exists"), {"a": ""}, True, "a"),
        (Requirement("a", "DoesNotExist"), {"a": ""}, False, "!a"),
        (Requirement("a", "Near"), {"a": ""}, False, "a near ()"),
    ],
)
def test_a_requirement(
    requirement: Requirement,
    labels: dict[str, str],
    admitted: bool,
    shown: str,
) -> None:
    """Each operator of Kubernetes takes what kubectl's selectors take, and is shown as kubectl shows it."""
    assert (requirement.admits(labels), str(requirement)) == (admitted, shown)


@given(LABELS, LABELS, st.lists(REQUIREMENTS, max_size=3).map(tuple))
def test_a_selector_is_all_of_its_parts(
    labels: dict[str, str], asked: dict[str, str], requirements: tuple[Requirement, ...]
) -> None:
    """Labels are admitted when each part admits them; of a selector without parts, none are."""
    selector = Selector(tuple(asked.items()), requirements)
    parts = [labels.get(key) == value for key, value in asked.items()]
    parts += [requirement.admits(labels) for requirement in requirements]
    assert selector.admits(labels) == (bool(parts) and all(parts))


def test_a_link_is_read() -> None:
    """A Link names the other cluster, its domain and its selector; without one it mirrors nothing."""
    spec = {
        "targetClusterName": "eks",
        "targetClusterDomain": "cluster.local",
        "selector": {
            "matchLabels": {"mirror.linkerd.io/exported": "true"},
            "matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}],
        },
    }
    body = {"metadata": {"name": "eks", "namespace": "linkerd-multicluster"}, "spec": spec}
    link = DECODERS[Resource.LINKS](json.dumps(body).encode())
    assert isinstance(link, LinkObject)
    assert (link.cluster, link.domain) == ("eks", "cluster.local")
    assert str(link.selector) == "mirror.linkerd.io/exported=true,team in (a)"
    bare = DECODERS[Resource.LINKS](b'{"metadata": {"name": "eks"}}')
    assert isinstance(bare, LinkObject)
    assert (str(bare.selector), bare.selector.admits({"a": "x"})) == ("<none>", False)
    assert isinstance(DECODERS[Resource.LINKS](b'{"metadata": {"name": 1}}'), Undecodable)


def test_a_namespace_is_read() -> None:
    """Of a namespace its name is kept."""
    found = DECODERS[Resource.NAMESPACES](b'{"metadata": {"name": "shop"}}')
    assert isinstance(found, NamespaceObject)
    assert found.metadata.name == "shop"


def test_the_usual_selector() -> None:
    """The selector that Linkerd writes takes what is exported, and nothing else."""
    assert EXPORTED.admits({"mirror.linkerd.io/exported": "true", "app": "a"})
    assert not EXPORTED.admits({"mirror.linkerd.io/exported": "remote-discovery"})
