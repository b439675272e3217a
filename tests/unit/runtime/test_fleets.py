"""Fleets over both clusters' objects: whom they name, what is not known yet, and who is to be reconciled."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.domain import PREFIX, Key
from controller.kube.objects import (
    DECODERS,
    Deleted,
    Freshness,
    KubeObject,
    Listed,
    Resource,
    Undecodable,
    Upserted,
)
from controller.runtime.cluster_store import NEEDED
from controller.runtime.fleets import fleet_key
from controller.runtime.store import Store
from tests.scenarios.world import service_body

CLUSTERS = ("legacy", "eks")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
A, B = Key("default", "a"), Key("default", "b")
DEFAULT = {"name": "one", "services": [{"namespace": "default"}]}


def decoded(resource: Resource, body: dict[str, Any], version: int) -> KubeObject | Undecodable:
    """Return an object of this version."""
    whole = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
    return DECODERS[resource](json.dumps(whole).encode())


def service(key: Key, version: int = 1, **metadata: Any) -> KubeObject | Undecodable:
    """Return a Service."""
    return decoded(Resource.SERVICES, service_body(key, **metadata), version)


def fleet(*waves: dict[str, Any], version: int = 1, name: str = "f", **notes: str) -> Upserted:
    """Return the change that makes or changes a Fleet."""
    annotations = {PREFIX + key: value for key, value in notes.items()}
    body = {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"target": "eks", "waves": [*waves]},
    }
    return Upserted("legacy", Resource.FLEETS, decoded(Resource.FLEETS, body, version))


def space(version: int = 1, **metadata: Any) -> KubeObject | Undecodable:
    """Return the namespace default."""
    return decoded(Resource.NAMESPACES, {"metadata": {"name": "default", **metadata}}, version)


def store(*services: KubeObject | Undecodable, namespaces: bool = True) -> Store:
    """Return a store in which both clusters have these Services."""
    made = Store(
        dict.fromkeys(CLUSTERS, "linkerd-multicluster"), "cluster.local", fleets_in="legacy"
    )
    for cluster in CLUSTERS:
        for resource in NEEDED:
            listed = services if resource is Resource.SERVICES else ()
            made.apply(Listed(cluster, resource, listed, version="1"))
            made.apply(Freshness(cluster, resource, True))
        if namespaces:
            made.apply(Listed(cluster, Resource.NAMESPACES, (space(),), version="1"))
    return made


def test_without_a_fleet_nothing_is_kept() -> None:
    """A Service that says nothing is no migration until a Fleet names it, and none again when that is gone."""
    found = store(service(A))
    assert (found.is_migration(A), found.migrations()) == (False, set())
    assert found.apply(fleet(DEFAULT)) == {A, fleet_key("f")}
    assert (found.is_migration(A), found.migrations()) == (True, {A})
    assert found.known(A).annotated == ("legacy",)
    assert found.apply(Deleted("legacy", Resource.FLEETS, "", "f", "2")) == {fleet_key("f")}
    assert (found.is_migration(A), found.fleets.has("f"), found.known(A).annotated) == (
        False,
        False,
        (),
    )


def test_the_fleets_of_the_other_cluster_say_nothing() -> None:
    """Fleets count in the cluster that holds the lease alone."""
    found = store(service(A))
    change = fleet(DEFAULT)
    assert found.apply(Upserted("eks", Resource.FLEETS, change.object)) == set()
    assert not found.fleets.has("f")


def test_a_service_that_comes_is_named_and_one_that_goes_is_not() -> None:
    """A Fleet names Services as they come, go, and are labelled otherwise."""
    wave = {
        "name": "one",
        "services": [{"namespace": "default", "selector": {"matchLabels": {"k": "v"}}}],
    }
    found = store()
    found.apply(fleet(wave))
    assert not found.fleets.names(A)
    for cluster in CLUSTERS:
        found.apply(Upserted(cluster, Resource.SERVICES, service(A, 2, labels={"k": "v"})))
    assert found.fleets.waves_of("f") == {A: "one"}
    changed = service(A, 3, labels={"k": "w"})
    assert A in found.apply(
        Upserted("legacy", Resource.SERVICES, changed)
    ) or not found.is_migration(A)
    assert not found.fleets.names(A)


def test_nothing_begins_before_it_is_known_whom_a_fleet_names() -> None:
    """Until the namespaces of both clusters are listed, and everybody was looked at, a Fleet holds its Services."""
    found = store(service(A), namespaces=False)
    found.apply(fleet(DEFAULT))
    word = found.fleets.word(A, NOW)
    assert word is not None
    assert word.waits == (
        "whom its waves name is not known: the namespaces of legacy were not listed yet"
    )
    for cluster in CLUSTERS:
        found.apply(Listed(cluster, Resource.NAMESPACES, (space(),), version="1"))
    word = found.fleets.word(A, NOW)
    assert word is not None
    assert word.waits == "1 Services of Fleet f were not looked at yet"


@pytest.mark.parametrize("on", ["service", "namespace"])
def test_who_is_excluded_is_counted_and_asks_for_nothing(on: str) -> None:
    """Excluded by itself or by its namespace, a Service is no migration and is counted; its mirror is not."""
    excluded = {"annotations": {f"{PREFIX}excluded": "true"}}
    mirror = {
        **excluded,
        "labels": {
            "mirror.linkerd.io/mirrored-service": "true",
            "mirror.linkerd.io/cluster-name": "eks",
        },
    }
    one = service(A, 1, **excluded) if on == "service" else service(A)
    found = store(one, service(Key("default", "a-eks"), 1, **mirror))
    found.apply(fleet(DEFAULT))
    if on == "namespace":
        changed = found.apply(Upserted("eks", Resource.NAMESPACES, space(2, **excluded)))
        assert fleet_key("f") in changed
    programme = found.fleets.programme("f")
    assert (programme.excluded, programme.unfit) == (
        {A: 1},
        {Key("default", "a-eks"): "a mirror"},
    )
    assert not found.is_migration(A)
    found.apply(Upserted("eks", Resource.NAMESPACES, space(3)))
    assert found.is_migration(A) is (on == "namespace")


@pytest.mark.parametrize(
    ("key", "changed", "why"),
    [
        (Key("kube-system", "dns"), {}, "Kubernetes' or the mesh's own"),
        (Key("default", "kubernetes"), {}, "Kubernetes' or the mesh's own"),
        (Key("linkerd-multicluster", "gateway"), {}, "the gateway's own"),
        (A, {"clusterIP": "None"}, "headless"),
        (A, {"type": "ExternalName"}, "ExternalName"),
    ],
)
def test_who_can_never_be_split_is_never_taken(key: Key, changed: dict[str, Any], why: str) -> None:
    """Services of the clusters themselves, headless and ExternalName ones are counted with the reason."""
    body = service_body(key)
    made = decoded(Resource.SERVICES, {**body, "spec": {**body["spec"], **changed}}, 1)
    found = store(made)
    found.apply(fleet({"name": "one", "services": [{"namespaceSelector": {}}]}))
    assert found.fleets.programme("f").unfit == {key: why}
    assert not found.is_migration(key)


def test_our_own_services_are_never_taken() -> None:
    """The controller's and the probers' Services are ours wherever the chart put them."""
    found = store(service(A, 1, labels={"app.kubernetes.io/part-of": "mesh-migrate"}))
    found.apply(fleet(DEFAULT))
    assert found.fleets.programme("f").unfit == {A: "mesh-migrate's own"}


def test_who_is_in_no_wave_is_listed() -> None:
    """A Service that is exported, and that no wave names, is unplaced."""
    found = store(service(A), service(B))
    found.apply(fleet({"name": "one", "services": [{"namespace": "default", "names": ["a"]}]}))
    assert found.fleets.unplaced() == [B]


def test_what_asks_for_the_same_wakes_nobody() -> None:
    """A Fleet whose status alone is another is looked at, and its Services are not; an annotation wakes all."""
    found = store(service(A))
    found.apply(fleet(DEFAULT))
    assert found.apply(fleet(DEFAULT, version=2)) == {fleet_key("f")}
    assert found.apply(fleet(DEFAULT, version=3, rollback="all")) == {A, fleet_key("f")}


def test_what_time_changes_makes_its_services_due_once() -> None:
    """When a window begins, the Services of a Fleet are to be reconciled, and not again while it lasts."""
    found = store(service(A))
    body = {
        "metadata": {"name": "f"},
        "spec": {
            "target": "eks",
            "waves": [DEFAULT],
            "windows": [
                {"kind": "deny", "from": "2026-11-26T13:00:00Z", "until": "2026-11-26T14:00:00Z"}
            ],
        },
    }
    found.apply(Upserted("legacy", Resource.FLEETS, decoded(Resource.FLEETS, body, 1)))
    picture = found.fleets.picture("f", NOW)
    found.fleets.due()
    assert picture.changes == NOW + timedelta(hours=1)
    found.fleets.picture("f", NOW + timedelta(minutes=59))
    assert found.fleets.due() == set()
    found.fleets.picture("f", NOW + timedelta(hours=1))
    assert found.fleets.due() == {A, fleet_key("f")}
    found.fleets.picture("f", NOW + timedelta(hours=1))
    assert found.fleets.due() == set()
