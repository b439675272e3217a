"""The three patch types, the same for the embedded and the real API server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.client import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Answer,
    Client,
    service,
    split,
)


async def _made(api: Client) -> Answer:
    annotations = {"keep": "1", "drop": "2"}
    body = split("a", ("a", 1000), ("a-eks", 0), annotations=annotations)
    return await api.create(api.splits(), body)


async def test_merge_patch_merges_removes_and_replaces(api: Client) -> None:
    """A merge patch merges maps, removes what is null, and replaces lists whole."""
    await _made(api)
    patch = {
        "metadata": {"annotations": {"drop": None, "new": "3"}},
        "spec": {"backends": [{"service": "a", "weight": 1}]},
    }
    answer = await api.merge(api.splits("a"), patch)
    assert answer.body["metadata"]["annotations"] == {"keep": "1", "new": "3"}
    spec = {"service": "a", "backends": [{"service": "a", "weight": 1}]}
    assert answer.body["spec"] == spec


async def test_weights_and_record_change_in_one_event(api: Client) -> None:
    """A patch of weights and annotation together is one version and one event."""
    made = await _made(api)
    backends = [{"service": "a", "weight": 900}, {"service": "a-eks", "weight": 100}]
    patch = {"metadata": {"annotations": {"record": "x"}}, "spec": {"backends": backends}}
    async with api.watch(api.splits(), resourceVersion=made.version) as events:
        patched = await api.merge(api.splits("a"), patch)
        (event,) = await events.take(1)
    assert event == {"type": "MODIFIED", "object": patched.body}
    assert patched.body["spec"]["backends"] == backends
    assert patched.body["metadata"]["annotations"]["record"] == "x"


async def test_last_annotation_removed_leaves_no_annotations(api: Client) -> None:
    """Annotations that a patch empties are absent, not an empty map."""
    await _made(api)
    patch = {"metadata": {"annotations": {"drop": None, "keep": None}}}
    answer = await api.merge(api.splits("a"), patch)
    assert "annotations" not in answer.body["metadata"]


async def test_json_patch_does_its_operations_in_order(api: Client) -> None:
    """A JSON patch tests, adds, replaces, copies, moves and removes, slashes in keys escaped."""
    await _made(api)
    steps = [
        {"op": "test", "path": "/spec/service", "value": "a"},
        {"op": "add", "path": "/metadata/annotations/migrate.tradeshift~1target", "value": "eks"},
        {"op": "remove", "path": "/metadata/annotations/drop"},
        {"op": "replace", "path": "/spec/backends/0/weight", "value": 7},
        {"op": "add", "path": "/spec/backends/-", "value": {"service": "b", "weight": 1}},
        {"op": "copy", "from": "/metadata/annotations/keep", "path": "/metadata/annotations/too"},
        {"op": "move", "from": "/spec/backends/1", "path": "/spec/backends/0"},
    ]
    answer = await api.send("PATCH", api.splits("a"), steps, content_type=JSON_PATCH)
    assert answer.body["metadata"]["annotations"] == {
        "keep": "1",
        "too": "1",
        "migrate.tradeshift/target": "eks",
    }
    assert answer.body["spec"]["backends"] == [
        {"service": "a-eks", "weight": 0},
        {"service": "a", "weight": 7},
        {"service": "b", "weight": 1},
    ]


@pytest.mark.parametrize(
    "step",
    [
        {"op": "test", "path": "/spec/service", "value": "b"},
        {"op": "remove", "path": "/spec/nope"},
        {"op": "replace", "path": "/spec/backends/9", "value": 1},
        {"op": "add", "path": "/spec/backends/9", "value": {}},
        {"op": "add", "path": "/nope/nope", "value": 1},
    ],
    ids=["test", "remove", "replace", "index", "parent"],
)
async def test_json_patch_is_done_whole_or_not_at_all(api: Client, step: dict[str, Any]) -> None:
    """A JSON patch with a step that cannot be done is 422, and its other steps are not done."""
    made = await _made(api)
    steps = [{"op": "replace", "path": "/spec/backends/0/weight", "value": 7}, step]
    answer = await api.send("PATCH", api.splits("a"), steps, content_type=JSON_PATCH)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert (await api.get(api.splits("a"))).body == made.body


async def test_json_patch_replaces_what_is_absent(api: Client) -> None:
    """Replacing an absent annotation adds it: no proof that it was there, a test step is."""
    await _made(api)
    steps = [{"op": "replace", "path": "/metadata/annotations/new", "value": "x"}]
    answer = await api.send("PATCH", api.splits("a"), steps, content_type=JSON_PATCH)
    assert answer.status == 200
    assert answer.body["metadata"]["annotations"]["new"] == "x"


async def test_json_patch_must_be_a_list(api: Client) -> None:
    """A JSON patch that is no list is 400."""
    await _made(api)
    step = {"op": "remove", "path": "/spec/service"}
    answer = await api.send("PATCH", api.splits("a"), step, content_type=JSON_PATCH)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_strategic_patch_merges_ports_by_number(api: Client) -> None:
    """A strategic merge patch of a Service adds, changes and deletes single ports."""
    await api.create(api.core("services"), service("a"))
    path = api.core("services", "a")

    async def ports(*patch: dict[str, Any]) -> dict[int, str]:
        answer = await api.send(
            "PATCH", path, {"spec": {"ports": list(patch)}}, content_type=STRATEGIC_PATCH
        )
        assert answer.status == 200, answer.body
        return {port["port"]: port["name"] for port in answer.body["spec"]["ports"]}

    assert await ports({"port": 81, "name": "admin"}) == {80: "http", 81: "admin"}
    assert await ports({"port": 80, "name": "web"}) == {80: "web", 81: "admin"}
    assert await ports({"port": 80, "$patch": "delete"}) == {81: "admin"}


async def test_strategic_patch_sets_and_removes_annotations(api: Client) -> None:
    """A strategic merge patch, as `kubectl annotate` sends, sets an annotation and removes it."""
    await api.create(api.core("services"), service("a", annotations={"keep": "1"}))
    path = api.core("services", "a")
    found = []
    for value in ("eks", None):
        patch = {"metadata": {"annotations": {"migrate.tradeshift/target": value}}}
        answer = await api.send("PATCH", path, patch, content_type=STRATEGIC_PATCH)
        found.append(answer.body["metadata"]["annotations"])
    assert found == [{"keep": "1", "migrate.tradeshift/target": "eks"}, {"keep": "1"}]


async def test_strategic_patch_of_a_custom_resource_is_unsupported(api: Client) -> None:
    """A strategic merge patch of a split is 415."""
    await _made(api)
    answer = await api.send("PATCH", api.splits("a"), {}, content_type=STRATEGIC_PATCH)
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_patch_needs_its_content_type(api: Client) -> None:
    """A patch sent as application/json is 415."""
    await api.create(api.core("services"), service("a"))
    answer = await api.send("PATCH", api.core("services", "a"), {})
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_patch_cannot_rename(api: Client) -> None:
    """A patch of metadata.name is 400."""
    await api.create(api.core("services"), service("a"))
    patch = {"metadata": {"name": "b"}}
    answer = await api.send("PATCH", api.core("services", "a"), patch, content_type=MERGE_PATCH)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
