"""What the product relies on when it writes, the same for the embedded and the real API server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.real.client import (
    JSON_PATCH,
    STRATEGIC_PATCH,
    Client,
    config_map,
    fleet,
    migration,
    service,
    split,
)


def _assert_failure(body: dict[str, Any], code: int, reason: str) -> None:
    found = (body["kind"], body["status"], body["code"], body["reason"])
    assert found == ("Status", "Failure", code, reason)


async def test_created_object_is_stamped(api: Client) -> None:
    """A created object comes back with uid, creation time, version and generation 1."""
    made = await api.create(api.splits(), split("service-a", ("service-a", 1000)))
    metadata = made.body["metadata"]
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    assert made.status == 201
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    assert (metadata["generation"], metadata["namespace"]) == (1, api.namespace)
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 1
    assert (await api.get(api.splits("service-a"))).body == made.body


async def test_second_create_is_already_exists(api: Client) -> None:
    """Creating what is there is 409 AlreadyExists and leaves it as it is."""
    made = await api.create(api.splits(), split("service-a", ("service-a", 1000)))
    again = await api.create(api.splits(), split("service-a", ("service-a", 1)))
    _assert_failure(again.body, 409, "AlreadyExists")
    assert again.status == 409
    assert again.body["details"] == {
        "name": "service-a",
        "group": "split.smi-spec.io",
        "kind": "trafficsplits",
    }
    assert (await api.get(api.splits("service-a"))).body == made.body


async def test_generate_name_makes_names_of_its_own(api: Client) -> None:
    """Two objects of one generateName get two names that begin with it."""
    body = config_map("") | {"metadata": {"generateName": "made-"}}
    made = [await api.create(api.core("configmaps"), body) for _ in range(2)]
    names = {answer.body["metadata"]["name"] for answer in made}
    assert len(names) == 2
    assert all(name.startswith("made-") and len(name) == len("made-") + 5 for name in names)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_absent_object_is_not_found(api: Client, method: str) -> None:
    """What is not there is 404 NotFound, with the name in the details."""
    body = {"metadata": {"labels": {"a": "b"}}} if method == "PATCH" else None
    answer = await api.send(
        method, api.core("services", "gone"), body, content_type="application/merge-patch+json"
    )
    _assert_failure(answer.body, 404, "NotFound")
    assert answer.body["message"] == 'services "gone" not found'
    assert answer.body["details"] == {"name": "gone", "kind": "services"}


async def test_object_needs_its_namespace(api: Client) -> None:
    """Creating in a namespace that is not there is 404 for the namespace."""
    api.namespace = "nowhere"
    answer = await api.create(api.core("services"), service("service-a"))
    _assert_failure(answer.body, 404, "NotFound")
    assert answer.body["details"] == {"name": "nowhere", "kind": "namespaces"}


async def test_object_for_another_address_is_bad_request(api: Client) -> None:
    """A body that names another object, namespace or kind than the path is 400."""
    await api.create(api.core("configmaps"), config_map("a"))
    answers = [
        await api.put(api.core("configmaps", "a"), config_map("b")),
        await api.create(api.core("configmaps"), config_map("c", namespace="elsewhere")),
        await api.create(api.core("configmaps"), service("d")),
        await api.create(api.splits(), {"metadata": {"name": "no-kind"}}),
    ]
    for answer in answers:
        _assert_failure(answer.body, 400, "BadRequest")


async def test_uppercase_service_name_is_refused(api: Client) -> None:
    """A Service cannot be called serviceA, and the answer says what a name looks like."""
    answer = await api.create(api.core("services"), service("serviceA"))
    _assert_failure(answer.body, 422, "Invalid")
    assert answer.body["message"] == (
        'Service "serviceA" is invalid: metadata.name: Invalid value: "serviceA": a lowercase RFC '
        "1123 label must consist of lower case alphanumeric characters or '-', and must start and "
        "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
        "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


async def test_uppercase_split_name_is_refused(api: Client) -> None:
    """A TrafficSplit cannot be called serviceA; one named as a domain can be."""
    answer = await api.create(api.splits(), split("serviceA", ("a", 1)))
    _assert_failure(answer.body, 422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"
    assert answer.body["message"].startswith(
        'TrafficSplit.split.smi-spec.io "serviceA" is invalid: metadata.name: Invalid value: '
        '"serviceA": a lowercase RFC 1123 subdomain must consist of'
    )
    assert (await api.create(api.splits(), split("a.b", ("a", 1)))).status == 201


async def test_service_name_has_no_dots(api: Client) -> None:
    """A Service cannot be named as a domain."""
    answer = await api.create(api.core("services"), service("a.b"))
    _assert_failure(answer.body, 422, "Invalid")
    assert answer.body["message"].endswith("must not contain dots")


async def test_bad_annotation_key_and_label_value_are_refused(api: Client) -> None:
    """Labels and annotations outside the grammar are 422, with a cause for each."""
    labelled = config_map("a", labels={"q": "bad value"}, annotations={"a/b/c": "1"})
    answer = await api.create(api.core("configmaps"), labelled)
    _assert_failure(answer.body, 422, "Invalid")
    fields = {cause["field"] for cause in answer.body["details"]["causes"]}
    assert fields == {"metadata.labels", "metadata.annotations"}


async def test_service_gets_its_defaults(api: Client) -> None:
    """A Service comes back with type, protocol, target port and an address of its own."""
    made = await api.create(api.core("services"), service("service-a"))
    spec = made.body["spec"]
    port = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}
    assert (spec["type"], spec["ports"]) == ("ClusterIP", [port])
    assert spec["clusterIP"].startswith("10.96.")
    assert "generation" not in made.body["metadata"]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, {"spec.ports"}),
        ({"ports": [{"port": 80}, {"port": 81}]}, {"spec.ports[0].name", "spec.ports[1].name"}),
        ({"ports": [{"port": 0}]}, {"spec.ports[0].port"}),
    ],
)
async def test_service_needs_sound_ports(
    api: Client, spec: dict[str, Any], fields: set[str]
) -> None:
    """A Service without ports, with unnamed ones or an impossible one is 422."""
    answer = await api.create(api.core("services"), service("service-a") | {"spec": spec})
    _assert_failure(answer.body, 422, "Invalid")
    assert fields <= {cause["field"] for cause in answer.body["details"]["causes"]}


@pytest.mark.parametrize(
    "spec",
    [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.com"}],
    ids=["headless", "external"],
)
async def test_service_without_address_needs_no_ports(api: Client, spec: dict[str, Any]) -> None:
    """A headless and an ExternalName Service may do without ports."""
    made = await api.create(api.core("services"), service("service-a") | {"spec": spec})
    assert made.status == 201
    assert made.body["spec"].get("clusterIP") == spec.get("clusterIP")


@pytest.mark.parametrize("weight", [0, -5, 10**9, "500m"])
async def test_split_crd_accepts_harmful_weights(api: Client, weight: Any) -> None:
    """The TrafficSplit CRD takes weights that break proxies: the product must not write them."""
    made = await api.create(api.splits(), split("service-a", ("service-a", weight)))
    assert made.status == 201
    assert made.body["spec"]["backends"][0]["weight"] == weight


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ({"service": "a"}, "Required value"),
        ({"service": "a", "weight": 0.5}, "must be of type integer,string"),
        ({"service": 1, "weight": 1}, "must be of type string"),
    ],
)
async def test_split_crd_refuses_what_its_schema_does(
    api: Client, backend: dict[str, Any], message: str
) -> None:
    """A backend without weight, with a fraction in v1alpha1 or a numeric service is 422."""
    body = split("service-a")
    body["spec"]["backends"] = [backend]
    answer = await api.create(api.splits(), body)
    _assert_failure(answer.body, 422, "Invalid")
    assert message in answer.body["message"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("target", "", 'Invalid value: "": spec.target in body should be at least 1 chars long'),
        ("target", "a" * 64, "spec.target: Too long: may not be more than 63 bytes"),
        ("target", None, "spec.target: Required value"),
        ("waves", [], "Invalid value: 0: spec.waves in body should have at least 1 items"),
        ("maxInProgress", 0, "maxInProgress in body should be greater than or equal to 1"),
        ("defaults", {f"k{n}": "" for n in range(31)}, "Too many: 31: must have at most 30 items"),
        (
            "stopTheLine",
            {"reverts": 1, "within": "1d"},
            "within in body should match '^0*[1-9]",
        ),
        ("windows", [{"kind": "shut"}], 'supported values: "allow", "deny"'),
    ],
)
async def test_fleet_crd_refuses_what_its_schema_does(
    api: Client, field: str, value: Any, message: str
) -> None:
    """A Fleet that is too short, too long, too small or no word of its fields is 422, in the same words."""
    spec = {"target": "eks", "waves": [{"name": "a", "services": [{"namespace": "a"}]}]}
    body = fleet(api.namespace, spec | {field: value})
    answer = await api.create(api.fleets(), body)
    _assert_failure(answer.body, 422, "Invalid")
    assert message in answer.body["message"]


async def test_a_fleet_is_of_no_namespace_and_has_a_status_apart(api: Client) -> None:
    """A Fleet is made without a namespace, its status is written by itself, and only its spec counts as a change."""
    spec = {"target": "eks", "waves": [{"name": "a", "services": [{"namespace": "a"}]}]}
    made = await api.create(
        api.fleets(), fleet(api.namespace, spec) | {"status": {"wave": "1/1 a"}}
    )
    assert made.status == 201
    assert "namespace" not in made.body["metadata"]
    assert "status" not in made.body
    told = {"status": {"state": "Open", "odd": 1}, "spec": {"target": "other"}}
    patched = await api.merge(api.fleets(f"{api.namespace}/status"), told)
    assert patched.body["status"] == {"state": "Open"}
    assert (patched.body["spec"], patched.body["metadata"]["generation"]) == (spec, 1)
    changed = await api.merge(api.fleets(api.namespace), {"spec": {"maxInProgress": 3}})
    assert changed.body["metadata"]["generation"] == 2


async def test_unknown_fields_of_a_split_are_pruned(api: Client) -> None:
    """What the TrafficSplit CRD does not know is not stored, a status included."""
    body = split("service-a", ("service-a", 1))
    body["spec"]["matches"] = []
    made = await api.create(api.splits(), body | {"status": {"phase": "X"}})
    assert made.status == 201
    assert set(made.body) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(made.body["spec"]) == {"service", "backends"}


async def test_both_versions_of_a_split_are_one_object(api: Client) -> None:
    """A write through v1alpha2 is seen through v1alpha1, apiVersion apart."""
    await api.create(api.splits(), split("service-a", ("service-a", 1000)))
    newer = api.splits("service-a", version="v1alpha2")
    patch = {"spec": {"backends": [{"service": "service-a", "weight": 0.5}]}}
    patched = await api.merge(newer, patch)
    older = await api.get(api.splits("service-a"))
    assert patched.body["apiVersion"] == "split.smi-spec.io/v1alpha2"
    assert older.body["apiVersion"] == "split.smi-spec.io/v1alpha1"
    assert older.body["spec"] == patched.body["spec"]
    assert older.version == patched.version


async def test_unchanged_invalid_field_does_not_block_a_patch(api: Client) -> None:
    """A split whose fraction only v1alpha2 allows may still be labelled through v1alpha1."""
    newer = api.splits(version="v1alpha2")
    await api.create(newer, split("service-a", ("service-a", 0.5), version="v1alpha2"))
    patched = await api.merge(api.splits("service-a"), {"metadata": {"labels": {"a": "b"}}})
    assert patched.status == 200
    spec = {"service": "a", "backends": [{"service": "a", "weight": 0.7}]}
    refused = await api.merge(api.splits("service-a"), {"spec": spec})
    _assert_failure(refused.body, 422, "Invalid")


async def test_emptied_endpoint_slice_says_null(api: Client) -> None:
    """An EndpointSlice without endpoints says null, not an empty list."""
    path = api.group("discovery.k8s.io", "v1", "endpointslices")
    labels = {"kubernetes.io/service-name": "service-a"}
    endpoint = {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "service-a-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"port": 80}],
    }
    made = await api.create(path, body)
    emptied = await api.merge(f"{path}/service-a-1", {"endpoints": []})
    assert made.body["endpoints"] == [endpoint]
    assert made.body["ports"] == [{"name": "", "protocol": "TCP", "port": 80}]
    assert emptied.body["endpoints"] is None
    assert emptied.body["metadata"]["generation"] == 2


# Concurrency


async def test_put_over_a_newer_version_is_a_conflict(api: Client) -> None:
    """A PUT with an older resourceVersion is 409 and changes nothing."""
    made = await api.create(api.splits(), split("service-a", ("service-a", 1000)))
    newer = await api.merge(api.splits("service-a"), {"metadata": {"labels": {"a": "b"}}})
    answer = await api.put(api.splits("service-a"), made.body)
    _assert_failure(answer.body, 409, "Conflict")
    assert answer.body["message"].startswith(
        'Operation cannot be fulfilled on trafficsplits.split.smi-spec.io "service-a": '
        "the object has been modified"
    )
    assert (await api.get(api.splits("service-a"))).body == newer.body


@pytest.mark.parametrize("kind", ["merge", "json", "strategic"])
async def test_patch_of_another_version_is_a_conflict(api: Client, kind: str) -> None:
    """A patch of any type that carries an older resourceVersion is 409, with the current one not."""
    path = api.core("services", "service-a")
    made = await api.create(api.core("services"), service("service-a"))
    current = await api.merge(path, {"metadata": {"labels": {"a": "b"}}})

    async def patched(version: str) -> int:
        merge = {"metadata": {"resourceVersion": version, "labels": {"a": version}}}
        if kind == "merge":
            return (await api.merge(path, merge)).status
        if kind == "strategic":
            sent = await api.send("PATCH", path, merge, content_type=STRATEGIC_PATCH)
            return sent.status
        steps = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/metadata/labels/a", "value": version},
        ]
        return (await api.send("PATCH", path, steps, content_type=JSON_PATCH)).status

    assert await patched(made.version) == 409
    assert await patched(current.version) == 200


async def test_one_of_two_patches_of_a_version_wins(api: Client) -> None:
    """Of ten patches that carry the same version at once, exactly one is done."""
    made = await api.create(api.splits(), split("service-a", ("service-a", 1000)))

    def patch(number: int) -> dict[str, Any]:
        labels = {"a": str(number)}
        return {"metadata": {"resourceVersion": made.version, "labels": labels}}

    answers = await asyncio.gather(
        *(api.merge(api.splits("service-a"), patch(number)) for number in range(10))
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9


async def test_put_of_a_custom_resource_needs_a_version(api: Client) -> None:
    """A PUT without resourceVersion is 422 for a split and a Lease, and fine for a Service."""
    lease = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}}
    leases = api.group("coordination.k8s.io", "v1", "leases")
    await api.create(api.splits(), split("a", ("a", 1)))
    await api.create(leases, lease)
    made = await api.create(api.core("services"), service("a"))
    refused = [
        await api.put(api.splits("a"), split("a", ("a", 2))),
        await api.put(f"{leases}/a", lease),
    ]
    for answer in refused:
        _assert_failure(answer.body, 422, "Invalid")
        assert answer.body["details"]["causes"][0]["field"] == "metadata.resourceVersion"
    put = await api.put(api.core("services", "a"), service("a", labels={"a": "b"}))
    assert put.status == 200
    assert put.body["spec"]["clusterIP"] == made.body["spec"]["clusterIP"]


async def test_put_of_another_incarnation_is_a_conflict(api: Client) -> None:
    """A PUT with the uid of an object that was deleted and made anew is 409."""
    first = await api.create(api.core("configmaps"), config_map("a"))
    await api.delete(api.core("configmaps", "a"))
    await api.create(api.core("configmaps"), config_map("a"))
    stale = config_map("a", uid=first.body["metadata"]["uid"], labels={"a": "b"})
    _assert_failure((await api.put(api.core("configmaps", "a"), stale)).body, 409, "Conflict")


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_delete_keeps_to_its_preconditions(api: Client, field: str) -> None:
    """A DELETE with another uid or version is 409; with the right one the object goes."""
    made = await api.create(api.core("configmaps"), config_map("a"))
    path = api.core("configmaps", "a")
    refused = await api.delete(path, {"preconditions": {field: "1"}})
    _assert_failure(refused.body, 409, "Conflict")
    right = {"preconditions": {field: made.body["metadata"][field]}}
    assert (await api.delete(path, right)).status == 200
    assert (await api.get(path)).status == 404


async def test_versions_rise_with_every_write_of_any_resource(api: Client) -> None:
    """One counter numbers the writes of all resources, upwards."""
    answers = [
        await api.create(api.core("configmaps"), config_map("a")),
        await api.create(api.splits(), split("a", ("a", 1))),
        await api.create(api.migrations(), migration("a")),
        await api.merge(api.core("configmaps", "a"), {"data": {"a": "b"}}),
        await api.merge(api.splits("a"), {"metadata": {"labels": {"a": "b"}}}),
    ]
    versions = [int(answer.version) for answer in answers]
    assert versions == sorted(set(versions))


async def test_write_that_changes_nothing_is_no_write(api: Client) -> None:
    """Patches and PUTs that change nothing keep the version, and no watch sees them."""
    made = await api.create(api.splits(), split("service-a", ("service-a", 1000)))
    path = api.splits("service-a")
    spec = made.body["spec"]
    async with api.watch(api.splits(), resourceVersion=made.version) as events:
        answers = [
            await api.merge(path, {"spec": spec}, fieldManager="someone-else"),
            await api.merge(path, {}),
            await api.put(path, made.body),
        ]
        assert [answer.version for answer in answers] == [made.version] * 3
        changed = await api.merge(path, {"metadata": {"labels": {"a": "b"}}})
        event = await events.next()
        assert event is not None
        assert event["object"]["metadata"]["resourceVersion"] == changed.version


async def test_dry_run_leaves_no_trace(api: Client) -> None:
    """With dryRun=All a create and a patch answer as if done, and nothing is stored."""
    dry = await api.create(api.splits(), split("a", ("a", 1)), dryRun="All")
    assert dry.status == 201
    assert "resourceVersion" not in dry.body["metadata"]
    assert (await api.get(api.splits("a"))).status == 404
    made = await api.create(api.splits(), split("a", ("a", 1)))
    patch = {"metadata": {"labels": {"a": "b"}}}
    patched = await api.merge(api.splits("a"), patch, dryRun="All")
    assert patched.body["metadata"]["labels"] == {"a": "b"}
    assert (await api.get(api.splits("a"))).body == made.body


async def test_generation_counts_changes_of_the_spec(api: Client) -> None:
    """Weights raise the generation of a split; labels and annotations do not."""
    await api.create(api.splits(), split("a", ("a", 1000)))
    labelled = await api.merge(api.splits("a"), {"metadata": {"annotations": {"x": "y"}}})
    weighed = await api.merge(api.splits("a"), {"spec": split("a", ("a", 999))["spec"]})
    found = [answer.body["metadata"]["generation"] for answer in (labelled, weighed)]
    assert found == [1, 2]


# Status


async def test_status_is_written_through_its_subresource_alone(api: Client) -> None:
    """A Migration's status survives what the main resource is told, and is set by /status."""
    created = await api.create(api.migrations(), migration("m") | {"status": {"phase": "Holding"}})
    assert "status" not in created.body
    status = {"phase": "Progressing", "share": "10/100", "ways": [{"points": 1.5}]}
    set_status = await api.merge(api.migrations("m/status"), {"status": status})
    assert set_status.body["status"] == status
    ignored = await api.merge(api.migrations("m"), {"status": {"phase": "Soaking"}})
    assert ignored.body == set_status.body
    assert (await api.get(api.migrations("m/status"))).body == set_status.body
    assert set_status.body["metadata"]["generation"] == 1


async def test_status_subresource_changes_nothing_else(api: Client) -> None:
    """Annotations in a write to /status are ignored."""
    await api.create(api.migrations(), migration("m"))
    patch = {"metadata": {"annotations": {"x": "y"}}, "status": {"phase": "Holding"}}
    answer = await api.merge(api.migrations("m/status"), patch)
    assert "annotations" not in answer.body["metadata"]
    assert answer.body["status"] == {"phase": "Holding"}


async def test_put_of_status_needs_the_current_version(api: Client) -> None:
    """A PUT to /status with an older version is 409, with the current one 200."""
    made = await api.create(api.migrations(), migration("m"))
    path = api.migrations("m/status")
    first = await api.put(path, made.body | {"status": {"phase": "Holding"}})
    stale = await api.put(path, made.body | {"status": {"phase": "Soaking"}})
    assert (first.status, stale.status) == (200, 409)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"phase": "X"}, 'status.phase: Unsupported value: "X": supported values: "Pending", '),
        ({"history": [{}] * 11}, "status.history: Too many: 11: must have at most 10 items"),
        ({"asOf": "2026-01-01T00:00:00"}, "must be of type date-time"),
        ({"asOf": "yesterday"}, "must be of type date-time"),
        ({"shares": {"eks": 1}}, "in body must be of type string"),
        ({"ways": [{"clean": 1.5}]}, "in body must be of type integer"),
        ({"conditions": [{"type": "Completed"}]}, "status.conditions[0].status: Required value"),
    ],
)
async def test_status_outside_the_schema_is_refused(
    api: Client, status: dict[str, Any], message: str
) -> None:
    """A Migration's status that its CRD does not allow is 422, and says which field."""
    await api.create(api.migrations(), migration("m"))
    answer = await api.merge(api.migrations("m/status"), {"status": status})
    _assert_failure(answer.body, 422, "Invalid")
    assert message in answer.body["message"]


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ({"shares": {"eks": "1", "legacy": "2"}},) * 2,
        ({"asOf": "2026-01-01T00:00:00.123456Z"},) * 2,
        ({"asOf": "2026-01-01T00:00:00+01:00"},) * 2,
        ({"nope": 1, "ways": [{"nope": 1, "points": 1}]}, {"ways": [{"points": 1}]}),
        ({"ways": [{"clean": 764.0}]}, {"ways": [{"clean": 764}]}),
    ],
)
async def test_status_is_kept_as_the_schema_has_it(
    api: Client, status: dict[str, Any], kept: dict[str, Any]
) -> None:
    """Of a Migration's status what the CRD knows is kept as it came, the rest is dropped."""
    await api.create(api.migrations(), migration("m"))
    answer = await api.merge(api.migrations("m/status"), {"status": status})
    assert answer.status == 200
    assert answer.body["status"] == kept


async def test_split_has_no_status(api: Client) -> None:
    """The TrafficSplit CRD has no status subresource: its path is 404."""
    await api.create(api.splits(), split("a", ("a", 1)))
    assert (await api.merge(api.splits("a/status"), {"status": {}})).status == 404


# managedFields


def _owner(body: dict[str, Any], *path: str) -> list[str]:
    """Return the managers that own a field, e.g. ("f:spec", "f:backends")."""
    owners = []
    for entry in body["metadata"].get("managedFields", []):
        node = entry["fieldsV1"]
        for part in path:
            node = node.get(part) if node is not None else None
        if node is not None:
            owners.append(entry["manager"])
    return owners


async def test_hand_editor_of_weights_is_named(api: Client) -> None:
    """Who wrote spec.backends last owns it alone; the rest stays with who wrote that."""
    annotations = {"migrate.tradeshift/record": "{}"}
    body = split("a", ("a", 1000), annotations=annotations)
    await api.create(api.splits(), body, fieldManager="migrate-controller")
    patch = {"spec": {"backends": [{"service": "a", "weight": 5}]}}
    edited = await api.merge(api.splits("a"), patch, fieldManager="kubectl-edit")
    record = ("f:metadata", "f:annotations", "f:migrate.tradeshift/record")
    assert _owner(edited.body, "f:spec", "f:backends") == ["kubectl-edit"]
    assert _owner(edited.body, "f:spec", "f:service") == ["migrate-controller"]
    assert _owner(edited.body, *record) == ["migrate-controller"]
    entry = next(
        e for e in edited.body["metadata"]["managedFields"] if e["manager"] == "kubectl-edit"
    )
    written = datetime.fromisoformat(entry["time"])
    assert (entry["operation"], entry["apiVersion"], entry["fieldsType"]) == (
        "Update",
        "split.smi-spec.io/v1alpha1",
        "FieldsV1",
    )
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)
    back = await api.merge(
        api.splits("a"), {"spec": body["spec"]}, fieldManager="migrate-controller"
    )
    assert _owner(back.body, "f:spec", "f:backends") == ["migrate-controller"]


async def test_manager_is_the_user_agent_by_default(api: Client) -> None:
    """Without fieldManager the first part of the User-Agent is the manager."""
    made = await api.create(api.core("services"), service("a"))
    assert _owner(made.body, "f:spec", "f:type") == ["contract"]


async def test_each_annotation_has_an_owner(api: Client) -> None:
    """Annotations are owned key by key, so that two writers do not take each other's."""
    path = api.core("services", "a")
    await api.create(api.core("services"), service("a"))
    for manager in ("one", "two"):
        patch = {"metadata": {"annotations": {manager: "x"}}}
        answer = await api.merge(path, patch, fieldManager=manager)
    assert _owner(answer.body, "f:metadata", "f:annotations", "f:one") == ["one"]
    assert _owner(answer.body, "f:metadata", "f:annotations", "f:two") == ["two"]


async def test_status_has_an_owner_of_its_own(api: Client) -> None:
    """A write to /status has its own entry, which names the subresource."""
    labelled = migration("m")
    labelled["metadata"]["labels"] = {"a": "b"}
    await api.create(api.migrations(), labelled, fieldManager="mc")
    patch = {"status": {"phase": "Holding"}}
    answer = await api.merge(api.migrations("m/status"), patch, fieldManager="mc")
    entries = answer.body["metadata"]["managedFields"]
    assert sorted(entry.get("subresource", "") for entry in entries) == ["", "status"]


# Everything else


async def test_answers_carry_the_date(api: Client) -> None:
    """Every answer, a failure too, says the server's time."""
    for path in (api.core("services"), api.core("services", "gone")):
        date = parsedate_to_datetime((await api.get(path)).headers["Date"])
        assert abs(datetime.now(UTC) - date) < timedelta(minutes=1)


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic YTpi"])
async def test_without_a_known_token_all_is_401(api: Client, header: str) -> None:
    """A request without a known bearer token is 401 with a Status, whatever it asks for."""
    for path in (api.core("services"), "/apis"):
        answer = await api.send("GET", path, headers={"Authorization": header})
        assert answer.status == 401
        _assert_failure(answer.body, 401, "Unauthorized")


async def test_event_is_created_and_counted_up(api: Client) -> None:
    """An Event on a Service can be created, and its count and time raised by a patch."""
    event = {
        "metadata": {"name": "service-a.1"},
        "involvedObject": {"kind": "Service", "namespace": api.namespace, "name": "service-a"},
        "reason": "Raised",
        "message": "10 %",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "migrate-controller"},
    }
    made = await api.create(api.core("events"), event)
    assert made.status == 201
    patch = {"count": 2, "lastTimestamp": "2026-01-01T00:00:05Z"}
    counted = await api.merge(api.core("events", "service-a.1"), patch)
    assert (counted.body["count"], counted.body["lastTimestamp"]) == (2, "2026-01-01T00:00:05Z")
    found = await api.get(api.core("events"), fieldSelector="involvedObject.name=service-a")
    assert found.names == ["service-a.1"]


async def test_lease_is_taken_by_one(api: Client) -> None:
    """A Lease renewed by PUT keeps its microseconds, and a stale holder meets a 409."""
    path = api.group("coordination.k8s.io", "v1", "leases")
    spec = {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000001Z",
        "renewTime": "2026-01-01T00:00:00.000001Z",
        "leaseTransitions": 0,
    }
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "migrate"},
        "spec": spec,
    }
    made = await api.create(path, body)
    assert made.body["spec"] == spec
    renewed = spec | {"renewTime": "2026-01-01T00:00:02.500000Z"}
    put = await api.put(f"{path}/migrate", made.body | {"spec": renewed})
    assert put.body["spec"] == renewed
    stolen = made.body | {"spec": spec | {"holderIdentity": "two"}}
    _assert_failure((await api.put(f"{path}/migrate", stolen)).body, 409, "Conflict")


async def test_unserved_paths_and_methods_are_refused(api: Client) -> None:
    """An unknown resource or group is 404, a PUT of a collection 405."""
    unknown = await api.get(api.core("nopes"))
    no_group = await api.get("/apis/nope.example.com/v1/nopes")
    put = await api.put(api.core("services"), service("a"))
    assert (unknown.status, no_group.status, put.status) == (404, 404, 405)
    _assert_failure(put.body, 405, "MethodNotAllowed")
