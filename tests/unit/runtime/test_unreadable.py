"""Objects that cannot be read: unknown, named, and never absent; of every kind that decides anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.domain import Key
from controller.kube.objects import DECODERS, Deleted, Freshness, Listed, Resource, Upserted
from controller.runtime.cluster_store import NEEDED, ClusterStore
from tests.scenarios.world import service_body, slice_body
from tests.scenarios.world_mesh import Pod

A = Key("default", "service-a")
B = Key("default", "service-b")
GATEWAYS = "linkerd-multicluster"
PROFILE = "service-a.default.svc.cluster.local"
BODIES: dict[Resource, dict[str, Any]] = {
    Resource.SERVICES: service_body(A),
    Resource.ENDPOINTSLICES: slice_body(A, [Pod("10.0.0.1:8080")], "http"),
    Resource.TRAFFICSPLITS: {
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {
            "service": "service-a",
            "backends": [
                {"service": "service-a", "weight": 750},
                {"service": "service-a-eks", "weight": 250},
            ],
        },
    },
    Resource.HTTPROUTES: {
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"parentRefs": [{"kind": "Service", "group": "core", "name": "service-a"}]},
    },
    Resource.SERVICEPROFILES: {"metadata": {"name": PROFILE, "namespace": GATEWAYS}, "spec": {}},
    Resource.GRPCROUTES: {
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"parentRefs": [{"kind": "Service", "group": "core", "name": "service-a"}]},
    },
    Resource.POLICY_HTTPROUTES: {
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"parentRefs": [{"kind": "Service", "group": "core", "name": "service-a"}]},
    },
}
FAULTS: dict[Resource, dict[str, Any]] = {
    Resource.SERVICES: {"spec": 7},
    Resource.ENDPOINTSLICES: {"endpoints": 7},
}


def good(resource: Resource, version: int = 10) -> Any:
    """Return the object, as it is read."""
    body = BODIES[resource]
    whole = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
    return DECODERS[resource](json.dumps(whole).encode())


def bad(resource: Resource, version: int = 11, **meta: Any) -> Any:
    """Return the same in another shape."""
    body = {**BODIES[resource], **FAULTS.get(resource, {"spec": 7})}
    whole = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version), **meta}}
    return DECODERS[resource](json.dumps(whole).encode())


def known(*objects: tuple[Resource, Any]) -> ClusterStore:
    """Return legacy, listed and current, with these objects in it."""
    store = ClusterStore("legacy", "eks", "cluster.local", GATEWAYS)
    for resource in NEEDED:
        listed = tuple(found for kind, found in objects if kind is resource)
        store.apply(Listed("legacy", resource, listed))
        store.apply(Freshness("legacy", resource, current=True))
    return store


def everything() -> ClusterStore:
    """Return legacy with one good object of each kind."""
    return known(*((resource, good(resource)) for resource in BODIES))


@pytest.mark.parametrize("resource", NEEDED)
@pytest.mark.parametrize("by", ["watch", "list"])
def test_what_was_known_stays(resource: Resource, by: str) -> None:
    """What cannot be read any more is as it was, is named, and makes the cluster unknown for its Service alone."""
    store = everything()
    before = store.observed(A, writing=False)
    if by == "watch":
        store.apply(Upserted("legacy", resource, bad(resource)))
    else:
        store.apply(Listed("legacy", resource, (bad(resource),)))
    found = store.observed(A, writing=False)
    assert not found.current
    assert f"{resource} {bad(resource).name} in {bad(resource).namespace} cannot be read" in (
        found.unreadable
    )
    for name in ("service", "endpoints", "pin", "conflicts", "split_kinds"):
        assert getattr(found, name) == getattr(before, name)
    assert len(found.splits) == len(before.splits)
    assert store.current
    assert store.observed(B, writing=False).current == (resource not in SPLITS)


SPLITS = (Resource.TRAFFICSPLITS, Resource.HTTPROUTES)


@pytest.mark.parametrize("resource", NEEDED)
def test_what_was_never_read_is_there(resource: Resource) -> None:
    """An object that could never be read is unknown for the Service that it may be about, and not absent."""
    store = known((resource, bad(resource)))
    assert not store.observed(A, writing=False).current


@pytest.mark.parametrize("resource", NEEDED)
def test_what_was_spoiled_on_its_way_is_read_by_the_same_version(resource: Resource) -> None:
    """The API server's own answer counts though it is no newer than what could not be read."""
    store = everything()
    store.apply(Upserted("legacy", resource, bad(resource, 20)))
    store.apply(Upserted("legacy", resource, good(resource, 20)))
    assert store.observed(A, writing=False).current


@pytest.mark.parametrize("resource", NEEDED)
@pytest.mark.parametrize("end", ["read", "deleted", "listed without"])
def test_what_can_be_read_again_or_is_gone_is_known(resource: Resource, end: str) -> None:
    """A good version, a deletion or a list without it end that it is unknown; an older word does not."""
    store = everything()
    store.apply(Upserted("legacy", resource, bad(resource, 20)))
    name = bad(resource).name
    namespace = bad(resource).namespace
    store.apply(Upserted("legacy", resource, good(resource, 15)))
    store.apply(Deleted("legacy", resource, namespace, name, "15"))
    assert not store.observed(A, writing=False).current
    if end == "read":
        store.apply(Upserted("legacy", resource, good(resource, 21)))
    elif end == "deleted":
        store.apply(Deleted("legacy", resource, namespace, name, "21"))
    else:
        store.apply(Listed("legacy", resource, ()))
    assert store.observed(A, writing=False).current


def test_a_split_that_cannot_be_read_is_replaced_by_its_version() -> None:
    """What is written to it for a rollback names the version that stands, so that it is accepted."""
    store = everything()
    store.apply(Upserted("legacy", Resource.TRAFFICSPLITS, bad(Resource.TRAFFICSPLITS, 20)))
    versions = {split.kind: split.resource_version for split in store.splits(A)}
    assert set(versions.values()) == {"20", "10"}


@pytest.mark.parametrize(
    ("name", "service", "about"),
    [
        ("service-a-x2z", "service-a", True),
        ("service-a-x2z", "service-a-eks", True),
        ("service-a-x2z", "service-ab", False),
        ("anything", "service-a", True),
        ("service-a-x2z", 7, True),
        ("service-a-eks-x2z", 7, True),
        ("service-ab-x2z", 7, False),
    ],
)
def test_whose_slice_cannot_be_read(name: str, service: object, about: bool) -> None:
    """A slice that was never read is the Service's, or its mirror's, of its label, else of its name."""
    labels = {"kubernetes.io/service-name": service}
    found = bad(Resource.ENDPOINTSLICES, name=name, labels=labels)
    store = known((Resource.ENDPOINTSLICES, found))
    assert store.observed(A, writing=False).current != about


@pytest.mark.parametrize("labels", [7, None, {}])
def test_a_slice_whose_labels_cannot_be_read(labels: object) -> None:
    """Labels of another shape name no Service, and break nothing."""
    found = bad(Resource.ENDPOINTSLICES, labels=labels)
    assert found.service == ""


@pytest.mark.parametrize(("name", "about"), [("service-a-eks", True), ("service-ab", False)])
def test_a_mirror_that_cannot_be_read(name: str, about: bool) -> None:
    """A Service that cannot be read is itself, and the mirror of another by its name."""
    store = known((Resource.SERVICES, bad(Resource.SERVICES, name=name)))
    assert store.observed(A, writing=False).current != about


def test_a_split_by_any_name_may_be_the_one_that_would_be_made() -> None:
    """Beside a split that cannot be read none is made in its namespace; who has one already is not held up."""
    resource = Resource.TRAFFICSPLITS
    odd = (resource, bad(resource, name="odd"))
    assert not known(odd).observed(A, writing=False).current
    assert known(odd, (resource, good(resource))).observed(A, writing=False).current
    other = (resource, bad(resource, name="odd", namespace="shop"))
    assert known(other).observed(A, writing=False).current


def test_a_migration_that_cannot_be_read_decides_nothing() -> None:
    """What people are told holds nobody up."""
    store = everything()
    found = DECODERS[Resource.MIGRATIONS](
        b'{"metadata": {"name": "service-a", "namespace": "default"}, "status": 7}'
    )
    store.apply(Upserted("legacy", Resource.MIGRATIONS, found))
    assert store.observed(A, writing=False).current
