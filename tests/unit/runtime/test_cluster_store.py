"""What a cluster's streams said last: lists, changes out of order, mirrors, and what is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.domain import PREFIX, Key, SplitKind
from controller.kube.objects import (
    DECODERS,
    MIRROR_OF,
    Deleted,
    Freshness,
    KubeObject,
    Listed,
    Listing,
    Resource,
    Undecodable,
    Upserted,
)
from controller.runtime.cluster_store import NEEDED, ClusterStore
from controller.runtime.store import Store
from tests.scenarios.world import service_body, slice_body
from tests.scenarios.world_mesh import Pod

A = Key("default", "service-a")
MIRROR = Key("default", "service-a-eks")
TARGET = {PREFIX + "target": "eks"}
GATEWAYS = "linkerd-multicluster"


def view() -> ClusterStore:
    """A view of legacy that knows nothing yet."""
    return ClusterStore("legacy", "eks", "cluster.local", GATEWAYS)


def decoded(resource: Resource, body: dict[str, Any], version: int) -> KubeObject | Undecodable:
    """An object of this version."""
    whole = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
    return DECODERS[resource](json.dumps(whole).encode())


def service(version: int, key: Key = A, **metadata: Any) -> KubeObject | Undecodable:
    """A Service of this version."""
    return decoded(Resource.SERVICES, service_body(key, **metadata), version)


def upsert(resource: Resource, found: KubeObject | Undecodable) -> Upserted:
    """A change in legacy."""
    return Upserted("legacy", resource, found)


def split(version: int, mirror: int, name: str = "service-a") -> KubeObject | Undecodable:
    """A TrafficSplit of this version with this weight on the mirror."""
    backends = [
        {"service": "service-a", "weight": 1000 - mirror},
        {"service": "service-a-eks", "weight": mirror},
    ]
    body = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"service": "service-a", "backends": backends},
    }
    return decoded(Resource.TRAFFICSPLITS, body, version)


def away(known: ClusterStore) -> list[int]:
    """The mirror's part in each split of service-a."""
    return [one.away_permille for one in known.splits(A)]


def test_an_older_object_is_ignored() -> None:
    """The echo of an earlier state does not undo what is known already; the same and later ones are taken."""
    known = view()
    assert known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250))) == {A}
    assert known.apply(upsert(Resource.TRAFFICSPLITS, split(8, 100))) == set()
    assert away(known) == [250]
    known.apply(upsert(Resource.TRAFFICSPLITS, split(10, 500)))
    assert away(known) == [500]


def test_versions_are_numbers_not_text() -> None:
    """Version 10 is later than 9."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 1)))
    known.apply(upsert(Resource.TRAFFICSPLITS, split(10, 2)))
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 1)))
    assert away(known) == [2]


def test_a_deletion_that_is_older_than_what_is_known_is_ignored() -> None:
    """A split that was deleted and made again stays where the deletion is heard of late."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250)))
    gone = Deleted("legacy", Resource.TRAFFICSPLITS, "default", "service-a", "8")
    assert known.apply(gone) == set()
    assert away(known) == [250]
    gone = Deleted("legacy", Resource.TRAFFICSPLITS, "default", "service-a", "10")
    assert known.apply(gone) == {A}
    assert away(known) == []


def test_a_list_removes_what_is_not_in_it() -> None:
    """What a list does not hold does not exist, and its migration is looked at."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250)))
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 1, name="other")))
    listed = Listed("legacy", Resource.TRAFFICSPLITS, (split(9, 250),))
    assert A in known.apply(listed)
    assert away(known) == [250]
    assert A in known.apply(Listed("legacy", Resource.TRAFFICSPLITS, ()))
    assert away(known) == []


LISTING = Listing("legacy", Resource.TRAFFICSPLITS)


def listed(*found: Any, version: str) -> Listed:
    """A list of all TrafficSplits, of this version."""
    return Listed("legacy", Resource.TRAFFICSPLITS, found, version=version)


@pytest.mark.parametrize("found", [(split(7, 1),), ()])
def test_an_answer_to_a_write_outlives_an_older_list(found: Any) -> None:
    """What a write of ours was answered while a list was under way stays, where it is newer than that list."""
    known = view()
    known.apply(LISTING)
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250)))
    known.apply(listed(*found, version="8"))
    assert away(known) == [250]


def test_an_answer_to_a_write_does_not_outlive_a_newer_list() -> None:
    """What changed between that answer and the list is as the list says."""
    known = view()
    known.apply(LISTING)
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250)))
    assert known.apply(listed(split(10, 500), version="12")) == {A}
    assert away(known) == [500]
    known.apply(LISTING)
    known.apply(upsert(Resource.TRAFFICSPLITS, split(13, 100)))
    assert known.apply(listed(version="14")) == {A}
    assert away(known) == []


def test_a_list_replaces_what_was_known_also_by_lower_versions() -> None:
    """After a restore of etcd the list is what there is, however high the versions were that were known before."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(900, 250)))
    known.apply(upsert(Resource.TRAFFICSPLITS, split(901, 1, name="made-since")))
    known.apply(LISTING)
    assert known.apply(listed(split(450, 100), version="500")) == {A}
    assert away(known) == [100]
    assert known.apply(upsert(Resource.TRAFFICSPLITS, split(510, 101))) == {A}
    assert away(known) == [101]


def test_a_list_of_what_is_known_is_no_news() -> None:
    """An object that is listed as it is known has nobody look at its Service."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(9, 250)))
    known.apply(Listed("legacy", Resource.TRAFFICSPLITS, (split(9, 250),), version="9"))
    known.apply(LISTING)
    assert known.apply(listed(split(9, 250), version="20")) == set()


def test_a_kind_that_is_not_served_is_known_by_the_list() -> None:
    """Which kinds of split a cluster serves is not known before it was listed."""
    known = view()
    assert known.observed(A, writing=False).split_kinds == frozenset()
    known.apply(Listed("legacy", Resource.TRAFFICSPLITS, ()))
    assert known.observed(A, writing=False).split_kinds == {SplitKind.TRAFFICSPLIT}
    known.apply(Listed("legacy", Resource.TRAFFICSPLITS, (), served=False))
    assert known.observed(A, writing=False).split_kinds == frozenset()


def test_a_kind_that_is_served_at_last_is_news_for_every_migration() -> None:
    """A list that says that a kind is served now, or no longer, has every annotated Service looked at."""
    known = view()
    known.apply(Listed("legacy", Resource.TRAFFICSPLITS, (), served=False))
    asked = service(5, annotations={f"{PREFIX}target": "eks"})
    known.apply(upsert(Resource.SERVICES, asked))
    assert known.apply(Listed("legacy", Resource.TRAFFICSPLITS, ())) == {A}
    assert known.apply(Listed("legacy", Resource.TRAFFICSPLITS, ())) == set()
    assert known.apply(Listed("legacy", Resource.TRAFFICSPLITS, (), served=False)) == {A}


@pytest.mark.parametrize("missing", NEEDED)
def test_current_needs_every_resource(missing: Resource) -> None:
    """A cluster is current when all that is needed was listed and is kept up to date; the reason is told."""
    known = view()
    for resource in NEEDED:
        known.apply(Freshness("legacy", resource, current=True))
    assert known.current
    known.apply(Freshness("legacy", missing, current=False, reason="was not heard for 45 s"))
    assert not known.current
    assert known.stale_reason == f"{missing} was not heard for 45 s"


def test_nothing_is_current_before_it_was_listed() -> None:
    """A view that heard nothing is not current and says so."""
    assert not view().current
    assert view().stale_reason == "it was not listed yet"


def test_slices_of_a_mirror_are_about_the_service() -> None:
    """A change of a mirror's endpoints is a change of the migration, and counts as the mirror's."""
    known = view()
    part = decoded(Resource.ENDPOINTSLICES, slice_body(MIRROR, [Pod("10.0.0.1:1")]), 5)
    assert A in known.apply(upsert(Resource.ENDPOINTSLICES, part))
    observed = known.observed(A, writing=False)
    assert (observed.mirror_endpoints.ready, observed.endpoints.ready) == (1, 0)


def test_a_mirror_is_no_service_of_its_own() -> None:
    """A mirrored Service is seen as the mirror, is not annotated, and cannot stand for the Service."""
    labels = {"mirror.linkerd.io/mirrored-service": "true"}
    known = view()
    assert A in known.apply(
        upsert(Resource.SERVICES, service(5, MIRROR, labels=labels, annotations=TARGET))
    )
    assert not known.is_annotated(MIRROR)
    assert list(known.annotated()) == []
    assert known.observed(A, writing=False).mirror is not None
    assert known.observed(MIRROR, writing=False).service is None


def test_a_service_that_is_named_like_a_mirror_is_none() -> None:
    """Without Linkerd's label a Service of the mirror's name is not taken for the mirror."""
    known = view()
    assert A in known.apply(upsert(Resource.SERVICES, service(5, MIRROR)))
    observed = known.observed(A, writing=False)
    assert (observed.mirror, observed.false_mirror) == (None, True)


def test_a_mirror_is_seen_by_its_kind_and_a_service_by_its_export() -> None:
    """A mirror of remote discovery is marked as such, and a Service says what its export label says."""
    labels = {
        "mirror.linkerd.io/mirrored-service": "true",
        "mirror.linkerd.io/remote-discovery": "eks",
    }
    known = view()
    known.apply(upsert(Resource.SERVICES, service(5, MIRROR, labels=labels)))
    known.apply(upsert(Resource.SERVICES, service(6, labels={"mirror.linkerd.io/exported": "x"})))
    observed = known.observed(A, writing=False)
    assert observed.mirror is not None
    assert observed.service is not None
    assert (observed.mirror.remote_discovery, observed.service.exported) == (True, "x")
    assert (observed.false_mirror, observed.service.remote_discovery) == (False, False)


def test_a_service_of_the_same_name_is_a_namesake_and_news() -> None:
    """Another namespace's Service of that name, a mirror too, is told of each, until it is gone."""
    known, shop = view(), Key("shop", "service-a")
    labels = {"mirror.linkerd.io/mirrored-service": "true"}
    known.apply(upsert(Resource.SERVICES, service(5)))
    known.apply(upsert(Resource.SERVICES, service(6, Key("shop", "service-b"))))
    assert known.observed(A, writing=False).also_in == ()
    assert known.apply(upsert(Resource.SERVICES, service(7, shop, labels=labels))) == {A, shop}
    assert known.observed(A, writing=False).also_in == ("shop",)
    assert known.observed(shop, writing=False).also_in == ("default",)
    gone = Deleted("legacy", Resource.SERVICES, "shop", "service-a", "8")
    assert known.apply(gone) == {A, shop}
    assert known.observed(A, writing=False).also_in == ()


def test_a_split_that_changes_its_service_leaves_the_old_one() -> None:
    """A split that is pointed elsewhere is looked at for both Services."""
    known = view()
    known.apply(upsert(Resource.TRAFFICSPLITS, split(5, 1)))
    body = {
        "metadata": {"name": "service-a", "namespace": "default"},
        "spec": {"service": "service-b", "backends": []},
    }
    moved = decoded(Resource.TRAFFICSPLITS, body, 6)
    assert known.apply(upsert(Resource.TRAFFICSPLITS, moved)) == {A, Key("default", "service-b")}
    assert away(known) == []


def test_the_asker_is_who_wrote_our_annotation_last() -> None:
    """Of several field managers the one whose write of our annotations is latest is named, with the time."""
    entries = [
        {
            "manager": manager,
            "operation": "Update",
            "time": time,
            "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{note}": {}}}},
        }
        for manager, time, note in [
            ("jane", "2026-01-01T00:00:01Z", PREFIX + "target"),
            ("joe", "2026-01-01T00:00:02Z", PREFIX + "dwell"),
            ("helm", "2026-01-01T00:00:03Z", "other"),
        ]
    ]
    known = view()
    known.apply(upsert(Resource.SERVICES, service(5, annotations=TARGET, managedFields=entries)))
    found = known.observed(A, writing=False).service
    assert found is not None
    assert found.asked is not None
    assert (found.asked_by, found.asked.second) == ("joe", 2)


def profile(version: int, name: str, namespace: str = GATEWAYS) -> KubeObject | Undecodable:
    """A ServiceProfile of this version, with routes."""
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"routes": [{}]}}
    return decoded(Resource.SERVICEPROFILES, body, version)


def test_service_profiles_are_named_in_the_clusters_own_domain() -> None:
    """Under another domain other profiles are pins and conflicts, and those of whom both told are news."""
    known, b = view(), Key("default", "service-b")
    for found in (
        profile(5, "service-a.default.svc.cluster.local"),
        profile(6, "service-b.default.svc.legacy.example"),
        profile(7, "service-b.default.svc.legacy.example", "clients"),
    ):
        known.apply(upsert(Resource.SERVICEPROFILES, found))
    assert (known.pin(A) is None, known.pin(b) is None) == (False, True)
    assert known.rename("legacy.example") == {A, b}
    assert known.domains[0] == "legacy.example"
    assert (known.pin(A) is None, known.pin(b) is None) == (True, False)
    assert known.observed(b, writing=False).conflicts == (
        "the ServiceProfile service-b.default.svc.legacy.example in clients, with routes",
    )


# --- the state above the views -------------------------------------------------------------------------------


def test_only_migrations_are_looked_at() -> None:
    """A change of a Service that is not annotated gives no key, and of one that is it does."""
    store = Store({"legacy": GATEWAYS, "eks": GATEWAYS}, "cluster.local")
    assert store.apply(upsert(Resource.SERVICES, service(5))) == set()
    assert store.apply(upsert(Resource.SERVICES, service(6, annotations=TARGET))) == {A}
    assert store.is_migration(A)
    assert store.migrations() == {A}


def test_a_split_with_a_record_is_a_migration() -> None:
    """A record without an annotated Service is a migration still: its path back is armed."""
    store = Store({"legacy": GATEWAYS, "eks": GATEWAYS}, "cluster.local")
    body = {
        "metadata": {
            "name": "service-a",
            "namespace": "default",
            "annotations": {PREFIX + "record": "{}"},
        },
        "spec": {"service": "service-a", "backends": []},
    }
    found = decoded(Resource.TRAFFICSPLITS, body, 5)
    assert store.apply(upsert(Resource.TRAFFICSPLITS, found)) == {A}
    assert store.migrations() == {A}


def pods_of(
    key: Key,
    version: int,
    *addresses: str,
    port: int = 8080,
    by: str = "endpointslice-controller.k8s.io",
) -> Upserted:
    """An EndpointSlice of a Service with pods at these addresses."""
    body = {
        "metadata": {
            "name": f"{key.service}-1",
            "namespace": key.namespace,
            "labels": {
                "kubernetes.io/service-name": key.service,
                "endpointslice.kubernetes.io/managed-by": by,
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "http", "port": port}],
    }
    return upsert(Resource.ENDPOINTSLICES, decoded(Resource.ENDPOINTSLICES, body, version))


def test_services_of_the_same_pods_are_twins() -> None:
    """Another Service is a twin while an endpoint and a port are both Services', and each change is about both."""
    known, twin = view(), Key("default", "twin")
    for key in (A, twin):
        known.apply(upsert(Resource.SERVICES, service(1, key)))
    known.apply(pods_of(A, 1, "10.1.0.1", "10.1.0.2"))
    assert known.apply(pods_of(twin, 1, "10.1.0.2")) == {A, twin}
    assert known.observed(A, writing=False).twins == ("twin",)
    assert known.observed(twin, writing=False).twins == ("service-a",)
    assert known.apply(pods_of(twin, 2, "10.1.0.2", port=9090)) == {A, twin}
    assert known.observed(A, writing=False).twins == ()
    known.apply(pods_of(twin, 3, "10.1.0.1"))
    gone = Deleted("legacy", Resource.ENDPOINTSLICES, "default", "twin-1", "3")
    assert known.apply(gone) == {A, twin}
    assert known.observed(A, writing=False).twins == ()


def test_a_twin_of_another_namespace_is_named_with_it() -> None:
    """Endpoints made by hand in another namespace are named with that; those of no Service are nobody's."""
    known, other = view(), Key("shop", "by-hand")
    known.apply(upsert(Resource.SERVICES, service(1)))
    known.apply(pods_of(A, 1, "10.1.0.1"))
    known.apply(pods_of(other, 1, "10.1.0.1"))
    assert known.observed(A, writing=False).twins == ()
    known.apply(upsert(Resource.SERVICES, service(1, other)))
    assert known.observed(A, writing=False).twins == ("shop/by-hand",)


def test_an_endpoint_that_is_somebody_elses_is_named() -> None:
    """An address of the API server's behind a Service, and a Pod of this cluster behind a mirror, are said."""
    known, api, pods = view(), Key("default", "kubernetes"), Key("shop", "till")
    known.apply(upsert(Resource.SERVICES, service(1)))
    known.apply(pods_of(api, 1, "10.0.0.1", port=6443))
    known.apply(pods_of(pods, 1, "10.1.0.7"))
    known.apply(pods_of(A, 1, "10.1.0.1"))
    known.apply(pods_of(MIRROR, 1, "192.0.2.1", by="another"))
    observed = known.observed(A, writing=False)
    assert (observed.endpoints.strange, observed.mirror_endpoints.strange) == ("", "")
    known.apply(pods_of(A, 2, "10.1.0.1", "10.0.0.1"))
    known.apply(pods_of(MIRROR, 2, "192.0.2.1", "10.1.0.7", by="another"))
    observed = known.observed(A, writing=False)
    assert observed.endpoints.strange == "10.0.0.1 in the EndpointSlice service-a-1, the API server"
    assert observed.mirror_endpoints.strange == (
        "10.1.0.7 in the EndpointSlice service-a-eks-1, a Pod of another Service"
    )


def mirror_of(version: int, fqdn: str, key: Key = MIRROR) -> Upserted:
    """A mirror in legacy of a Service that is called so in eks."""
    labels = {"mirror.linkerd.io/mirrored-service": "true", "mirror.linkerd.io/cluster-name": "eks"}
    found = service(version, key, labels=labels, annotations={MIRROR_OF: fqdn})
    return upsert(Resource.SERVICES, found)


def test_mirrors_tell_the_other_clusters_domain() -> None:
    """A cluster has the domain that most mirrors of its Services tell, until then and without any the last one
    that was known; what is annotated so and is no mirror tells none."""
    store, b = Store({"legacy": GATEWAYS, "eks": GATEWAYS}, "cluster.local"), Key("b", "b-eks")
    fake = service(4, b, annotations={MIRROR_OF: "b.b.svc.fake"})
    store.apply(upsert(Resource.SERVICES, fake))
    assert store.domain("eks") == "cluster.local"
    store.apply(mirror_of(5, "service-a.default.svc.eks.example"))
    assert store.domain("eks") == "eks.example"
    for version, name in enumerate("bcd", start=6):
        key = Key(name, f"{name}-eks")
        store.apply(mirror_of(version, f"{name}.{name}.svc.other", key))
    assert store.domain("eks") == "other"
    assert store.domain("legacy") == "cluster.local"
    store.apply(Listed("legacy", Resource.SERVICES, ()))
    assert store.domain("eks") == "other"


def test_a_domain_that_is_written_counts_for_more_than_a_mirror() -> None:
    """What the settings say of one cluster's domain is not changed by any mirror."""
    store = Store(
        {"legacy": GATEWAYS, "eks": GATEWAYS}, "cluster.local", domains={"eks": "eks.example"}
    )
    store.apply(mirror_of(5, "service-a.default.svc.other"))
    assert {name: store.domain(name) for name in store.clusters} == {
        "legacy": "cluster.local",
        "eks": "eks.example",
    }


def test_fleets_are_needed_where_they_are_followed() -> None:
    """Until the Fleets of the cluster that holds the lease are listed it is not current; of the other nobody asks."""
    known, other = view(), ClusterStore("eks", "legacy", "cluster.local", GATEWAYS)
    known.apply(Freshness("legacy", Resource.FLEETS, False, "not listed yet"))
    for resource in NEEDED:
        known.apply(Freshness("legacy", resource, True))
        other.apply(Freshness("eks", resource, True))
    assert other.current
    assert (known.current, known.stale_reason) == (False, "fleets not listed yet")
    known.apply(Listed("legacy", Resource.FLEETS, (), served=False))
    known.apply(Freshness("legacy", Resource.FLEETS, True))
    assert known.current
