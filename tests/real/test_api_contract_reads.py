"""Discovery and lists, the same for the embedded and the real API server."""

from __future__ import annotations

import base64
import json

import pytest

from tests.real.client import Client, config_map, migration, service, split


async def test_discovery_names_what_is_served(api: Client) -> None:
    """The group of TrafficSplit serves v1alpha1 and v1alpha2 and prefers the newer."""
    group = (await api.get("/apis/split.smi-spec.io")).body
    assert [version["version"] for version in group["versions"]] == ["v1alpha2", "v1alpha1"]
    assert group["preferredVersion"]["groupVersion"] == "split.smi-spec.io/v1alpha2"
    groups = (await api.get("/apis")).body["groups"]
    assert {"split.smi-spec.io", "linkerd.io", "migrate.tradeshift"} <= {g["name"] for g in groups}


@pytest.mark.parametrize(
    ("path", "plural", "kind", "short_names"),
    [
        ("/api/v1", "services", "Service", ["svc"]),
        ("/api/v1", "services/status", "Service", []),
        ("/apis/split.smi-spec.io/v1alpha1", "trafficsplits", "TrafficSplit", ["ts"]),
        ("/apis/linkerd.io/v1alpha2", "serviceprofiles", "ServiceProfile", ["sp"]),
        ("/apis/migrate.tradeshift/v1alpha1", "migrations", "Migration", ["mig"]),
        ("/apis/migrate.tradeshift/v1alpha1", "migrations/status", "Migration", []),
        ("/apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice", []),
        ("/apis/coordination.k8s.io/v1", "leases", "Lease", []),
    ],
)
async def test_discovery_describes_each_resource(
    api: Client, path: str, plural: str, kind: str, short_names: list[str]
) -> None:
    """A version lists its resources with kind, scope, verbs and short names."""
    resources = (await api.get(path)).body["resources"]
    found = next(resource for resource in resources if resource["name"] == plural)
    assert (found["kind"], found["namespaced"]) == (kind, True)
    assert found.get("shortNames", []) == short_names
    assert {"get", "patch", "update"} <= set(found["verbs"])


@pytest.mark.parametrize(
    "path", ["/apis/nope.example.com", "/apis/nope.example.com/v1", "/apis/linkerd.io/v1"]
)
async def test_discovery_of_what_is_not_served_is_404(api: Client, path: str) -> None:
    """A group or version that is not served is 404, which is how its absence is known."""
    assert (await api.get(path)).status == 404


async def test_split_without_a_namespace_is_listed_everywhere(api: Client) -> None:
    """A list over all namespaces holds the objects of each."""
    first = api.namespace
    await api.create(api.splits(), split("only-here", ("a", 1)))
    made = await api.create("/api/v1/namespaces", {"metadata": {"generateName": "t-"}})
    api.namespace = made.body["metadata"]["name"]
    await api.create(api.splits(), split("only-there", ("a", 1)))
    everywhere = await api.get("/apis/split.smi-spec.io/v1alpha1/trafficsplits")
    found = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in everywhere.body["items"]}
    assert {(first, "only-here"), (api.namespace, "only-there")} <= found
    assert (await api.get(api.splits())).names == ["only-there"]


async def test_list_is_in_order_and_has_a_version(api: Client) -> None:
    """A list is ordered by name and its version is not older than any item's."""
    for name in ("b", "c", "a"):
        await api.create(api.core("configmaps"), config_map(name))
    listed = await api.get(api.core("configmaps"))
    assert listed.names == ["a", "b", "c"]
    newest = max(int(item["metadata"]["resourceVersion"]) for item in listed.body["items"])
    assert int(listed.version) >= newest


async def test_items_of_custom_resources_alone_say_their_kind(api: Client) -> None:
    """Items of a list of Services have no kind, those of a list of Migrations do."""
    await api.create(api.core("services"), service("a"))
    await api.create(api.migrations(), migration("a"))
    services = await api.get(api.core("services"))
    migrations = await api.get(api.migrations())
    assert services.body["kind"] == "ServiceList"
    assert "kind" not in services.body["items"][0]
    assert migrations.body["kind"] == "MigrationList"
    assert migrations.body["items"][0]["kind"] == "Migration"


async def test_empty_list_has_items_and_a_version(api: Client) -> None:
    """A list of nothing has an empty list of items and a version to watch from."""
    listed = await api.get(api.splits())
    assert listed.body["items"] == []
    assert int(listed.version) > 0


async def test_pages_show_the_list_as_it_was_at_the_first(api: Client) -> None:
    """Pages together are the list of the first page's version, whatever is written meanwhile."""
    for number in range(7):
        await api.create(api.core("configmaps"), config_map(f"c{number}"))
    page = await api.get(api.core("configmaps"), limit="3")
    first = page.version
    assert page.body["metadata"]["remainingItemCount"] == 4
    await api.delete(api.core("configmaps", "c5"))
    await api.create(api.core("configmaps"), config_map("c55"))
    names = page.names
    versions = {page.version}
    while token := page.body["metadata"].get("continue"):
        query = {"limit": "3", "continue": token}
        page = await api.get(api.core("configmaps"), **query)
        names += page.names
        versions.add(page.version)
    assert names == [f"c{number}" for number in range(7)]
    assert versions == {first}


async def test_expired_page_is_410_with_a_token_that_goes_on(api: Client) -> None:
    """A continue token from before the compaction is 410 Expired, and brings one that works."""
    for number in range(4):
        await api.create(api.splits(), split(f"s{number}", ("a", 1)))
    page = await api.get(api.splits(), limit="2")
    token = page.body["metadata"]["continue"]
    # kube-apiserver keeps what it saw itself in memory, whatever etcd forgets. Version 1 is from
    # before there were TrafficSplits, so that only the compacted etcd could know it.
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    old = base64.urlsafe_b64encode(json.dumps(content | {"rv": 1}).encode()).decode().rstrip("=")
    await api.server.compact()
    expired = await api.get(api.splits(), **{"limit": "2", "continue": old})
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    fresh = {"limit": "2", "continue": expired.body["metadata"]["continue"]}
    assert (await api.get(api.splits(), **fresh)).names == ["s2", "s3"]


async def test_garbled_page_token_is_bad_request(api: Client) -> None:
    """A continue token that is none is 400."""
    answer = await api.get(api.core("configmaps"), **{"continue": "abc"})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("a=1", ["one"]),
        ("a==1", ["one"]),
        ("a!=1", ["none", "two"]),
        ("a in (1,2)", ["one", "two"]),
        ("a notin (1)", ["none", "two"]),
        ("a", ["one", "two"]),
        ("!a", ["none"]),
        ("a,b=x", ["two"]),
        ("a in (1,2),b", ["two"]),
        ("mirror.linkerd.io/mirrored-service=true", ["two"]),
        ("", ["none", "one", "two"]),
    ],
)
async def test_label_selector_selects(api: Client, selector: str, names: list[str]) -> None:
    """A label selector of any form selects as kube-apiserver does."""
    mirrored = {"mirror.linkerd.io/mirrored-service": "true"}
    await api.create(api.core("configmaps"), config_map("none"))
    await api.create(api.core("configmaps"), config_map("one", labels={"a": "1"}))
    two = config_map("two", labels={"a": "2", "b": "x", **mirrored})
    await api.create(api.core("configmaps"), two)
    assert (await api.get(api.core("configmaps"), labelSelector=selector)).names == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name==a", ["a"]),
        ("metadata.name!=a", ["b"]),
        ("metadata.name=a,metadata.namespace=nowhere", []),
    ],
)
async def test_field_selector_selects_by_name(api: Client, selector: str, names: list[str]) -> None:
    """A field selector selects by name and namespace, of custom resources too."""
    for name in ("a", "b"):
        await api.create(api.splits(), split(name, ("a", 1)))
    assert (await api.get(api.splits(), fieldSelector=selector)).names == names


@pytest.mark.parametrize(
    "query", [{"labelSelector": "a b"}, {"fieldSelector": "spec.service=a"}], ids=["label", "field"]
)
async def test_unknown_selector_is_bad_request(api: Client, query: dict[str, str]) -> None:
    """A selector that is none, or of a field that is not indexed, is 400."""
    answer = await api.get(api.splits(), **query)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_list_of_a_version_to_come_is_a_timeout(api: Client) -> None:
    """A list of a version the server has not reached is 504, with when to try again."""
    answer = await api.get(api.core("configmaps"), resourceVersion="99999999")
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["Retry-After"] == "1"


async def test_list_of_any_version_is_served(api: Client) -> None:
    """A list with resourceVersion 0, or of at least a version that was seen, is served."""
    made = await api.create(api.core("configmaps"), config_map("a"))
    least = await api.get(
        api.core("configmaps"), resourceVersion=made.version, resourceVersionMatch="NotOlderThan"
    )
    anything = await api.get(api.core("configmaps"), resourceVersion="0")
    assert least.names == ["a"]
    assert anything.status == 200


async def test_list_of_an_exact_version_is_as_it_was(api: Client) -> None:
    """A list of exactly an earlier version shows what was there then."""
    await api.create(api.core("configmaps"), config_map("a"))
    then = await api.create(api.core("configmaps"), config_map("b"))
    await api.delete(api.core("configmaps", "a"))
    changed = {"data": {"x": "y"}}
    await api.merge(api.core("configmaps", "b"), changed)
    exact = await api.get(
        api.core("configmaps"), resourceVersion=then.version, resourceVersionMatch="Exact"
    )
    assert exact.names == ["a", "b"]
    assert "data" not in exact.body["items"][1]
    assert exact.version == then.version


async def test_match_needs_a_version(api: Client) -> None:
    """A resourceVersionMatch without resourceVersion is 422."""
    answer = await api.get(api.core("configmaps"), resourceVersionMatch="Exact")
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
"""What kubectl takes rather than anything else."""


@pytest.mark.parametrize("include", ["", "Metadata", "Object", "None"])
async def test_a_migration_is_printed_by_its_columns(api: Client, include: str) -> None:
    """Asked for a Table, a list, an object and a watch have the CRD's columns, and of the object what is wanted."""
    await api.create(api.migrations(), migration("service-a"))
    told = {"status": {"service": "service-a", "phase": "Soaking", "observed": {"target": "eks"}}}
    await api.merge(api.migrations("service-a/status"), told)
    query = {"includeObject": include} if include else {}
    found = [
        (await api.send("GET", path, query=query, headers={"Accept": TABLE})).body
        for path in (api.migrations(), api.migrations("service-a"))
    ]
    async with api.session.get(
        api.migrations(), params={"watch": "1", **query}, headers={"Accept": TABLE}
    ) as stream:
        found.append(json.loads(await stream.content.readline())["object"])
    for table in found:
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        heads = [(column["name"], column["type"]) for column in table["columnDefinitions"]]
        assert heads == [
            *((name, "string") for name in ("Name", "Service", "Target", "Phase", "Share")),
            *((name, "string") for name in ("Verdict", "Reason", "Asked")),
            ("Age", "date"),
        ]
        assert [column["priority"] for column in table["columnDefinitions"]] == [*[0] * 7, 1, 0]
        (row,) = table["rows"]
        *cells, age = row["cells"]
        assert cells == ["service-a", "service-a", "eks", "Soaking", None, None, None, None]
        assert age.endswith("s")
        kinds = {"Object": "Migration", "None": None}
        given = row["object"] or {}
        assert given.get("kind") == kinds.get(include, "PartialObjectMetadata")
        assert bool(given.get("metadata")) == (include != "None")


async def test_what_takes_plain_json_first_has_no_table(api: Client) -> None:
    """A Table is for who would rather have one."""
    accept = ",".join(reversed(TABLE.split(",")))
    found = await api.send("GET", api.migrations(), headers={"Accept": accept})
    assert found.body["kind"] == "MigrationList"
