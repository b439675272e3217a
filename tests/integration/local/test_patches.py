"""The patch types, where the contract suite cannot reach: any document, rare directives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.stand_ins.apiserver.patches import (
    PatchFailed,
    PatchMalformed,
    json_patch,
    merge_patch,
    strategic_merge,
)

_KEYS = {"ports": "port"}
_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab/~"), inner)


_DOCUMENTS = st.recursive(
    _SCALARS,
    _branches,
    max_leaves=10,
)
_OBJECTS = st.dictionaries(st.sampled_from("ab/~"), _DOCUMENTS)


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}


@given(_OBJECTS, _OBJECTS)
def test_merge_patch_is_idempotent_and_changes_no_argument(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    """A merge patch applied twice is as applied once, and its arguments stay as they are."""
    before = copy.deepcopy((document, patch))
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    assert (document, patch) == before


@given(_OBJECTS)
def test_merge_patch_of_nothing_is_the_patch_without_nulls(patch: dict[str, Any]) -> None:
    """Applied to an empty object a merge patch is itself, without what it removes (RFC 7386)."""
    assert merge_patch({}, patch) == _without_nulls(patch)


@given(_OBJECTS, st.sampled_from("ab/~"), _DOCUMENTS)
def test_json_patch_finds_what_it_added(document: dict[str, Any], key: str, value: Any) -> None:
    """What a JSON patch adds under any key, it can test, copy and remove there."""
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    steps = [
        {"op": "add", "path": pointer, "value": value},
        {"op": "test", "path": pointer, "value": value},
        {"op": "copy", "from": pointer, "path": "/copied"},
        {"op": "remove", "path": pointer},
    ]
    before = copy.deepcopy(document)
    rest = {there: inner for there, inner in document.items() if there != key}
    assert json_patch(document, steps) == rest | {"copied": value}
    assert document == before


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ({"op": "test", "path": "/a", "value": 2}, PatchFailed),
        ({"op": "remove", "path": "/b"}, PatchFailed),
        ({"op": "remove", "path": "/list/2"}, PatchFailed),
        ({"op": "add", "path": "/list/3", "value": 1}, PatchFailed),
        ({"op": "add", "path": "/a/b", "value": 1}, PatchFailed),
        ({"op": "add", "path": "a", "value": 1}, PatchFailed),
        ({"op": "remove", "path": "/list/-"}, PatchFailed),
        ({"op": "move", "from": "/b", "path": "/c"}, PatchFailed),
        ({"op": "turn", "path": "/a"}, PatchMalformed),
        ({"op": "remove"}, PatchMalformed),
    ],
)
def test_json_patch_that_cannot_be_done_says_so(
    step: dict[str, Any], error: type[Exception]
) -> None:
    """A step that leads nowhere fails, one that is no step is malformed."""
    with pytest.raises(error):
        json_patch({"a": 1, "list": [1, 2]}, [step])


def test_strategic_patch_can_replace_instead_of_merge() -> None:
    """`$patch: replace` replaces a map, and in a list the whole list."""
    document = {"map": {"a": 1}, "ports": [{"port": 1}]}
    patch = {"map": {"$patch": "replace", "b": 2}, "ports": [{"$patch": "replace"}, {"port": 2}]}
    assert strategic_merge(document, patch, _KEYS) == {"map": {"b": 2}, "ports": [{"port": 2}]}


def test_strategic_patch_deletes_from_lists_of_texts() -> None:
    """`$deleteFromPrimitiveList` removes values, and ordering directives change nothing."""
    document = {"finalizers": ["a", "b"], "ports": [{"port": 1, "name": "x"}]}
    patch = {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/ports": [{"port": 1}],
        "ports": [{"port": 1, "name": "y"}],
    }
    assert strategic_merge(document, patch, _KEYS) == {
        "finalizers": ["b"],
        "ports": [{"port": 1, "name": "y"}],
    }


def test_strategic_patch_needs_the_key_of_a_list() -> None:
    """An item without the field its list is merged by is malformed."""
    with pytest.raises(PatchMalformed, match="does not contain declared merge key: port"):
        strategic_merge({"ports": []}, {"ports": [{"name": "x"}]}, _KEYS)
