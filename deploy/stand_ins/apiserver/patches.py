"""The three patch types: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge.

Each takes a document and a decoded patch and returns a new document; none changes its arguments.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class PatchFailed(Exception):  # noqa: N818 - it is the finding, "the patch failed"
    """A JSON patch whose test does not hold or whose path leads nowhere."""


class PatchMalformed(Exception):  # noqa: N818 - as PatchFailed
    """A patch that is not of the shape its type demands."""


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge(
    document: Any, patch: Any, merge_keys: Mapping[str, str], path: str = ""
) -> Any:
    """Apply a strategic merge patch.

    `merge_keys` names the field by which a list is merged, by the list's dotted path (items of
    lists add nothing to a path); other lists are replaced. Understood: `$patch: delete|replace`,
    `$deleteFromPrimitiveList/<field>`; `$setElementOrder/<field>` and `$retainKeys` only order or
    restate what the patch says, and are left out.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace" or not isinstance(document, dict):
        document = {}
    merged = dict(document)
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            merged[field] = [item for item in merged.get(field, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            inner = f"{path}.{key}".lstrip(".")
            old = merged.get(key)
            if isinstance(value, list) and inner in merge_keys:
                merged[key] = _merge_list(old or [], value, merge_keys, inner)
            else:
                merged[key] = strategic_merge(old, value, merge_keys, inner)
    return merged


def _merge_list(
    old: list[Any], patch: list[Any], merge_keys: Mapping[str, str], path: str
) -> list[Any]:
    field = merge_keys[path]
    if any(item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if "$patch" not in item]
    merged = list(old)
    fresh: list[Any] = []
    for item in patch:
        if field not in item:
            raise PatchMalformed(f"map: {item} does not contain declared merge key: {field}")
        at = next((i for i, there in enumerate(merged) if there.get(field) == item[field]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            fresh.append(strategic_merge({}, item, merge_keys, path))
        else:
            merged[at] = strategic_merge(merged[at], item, merge_keys, path)
    # New items come first, as kube-apiserver has them when the patch does not order the list.
    return fresh + merged


def json_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 6902 patch.

    Raises PatchMalformed when it is not a list of known operations, PatchFailed when a path is not
    there or a test does not hold.
    """
    if not isinstance(patch, list) or not all(isinstance(step, dict) for step in patch):
        raise PatchMalformed(
            "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    patched = copy.deepcopy(document)
    for step in patch:
        patched = _json_patch_step(patched, step)
    return patched


def _json_patch_step(document: Any, step: dict[str, Any]) -> Any:
    operation, pointer = step.get("op"), step.get("path")
    if not isinstance(pointer, str):
        raise PatchMalformed("missing path")
    if operation == "test":
        if _lookup(document, pointer) != step.get("value"):
            raise PatchFailed(f"testing value {pointer} failed")
        return document
    if operation == "remove":
        return _remove(document, pointer)
    if operation == "add":
        return _add(document, pointer, copy.deepcopy(step.get("value")))
    if operation == "replace":
        return _replace(document, pointer, copy.deepcopy(step.get("value")))
    if operation == "copy":
        return _add(document, pointer, copy.deepcopy(_lookup(document, step.get("from", ""))))
    if operation == "move":
        source = step.get("from", "")
        moved = _lookup(document, source)
        return _add(_remove(document, source), pointer, moved)
    raise PatchMalformed(f"unexpected kind: {operation}")


def _tokens(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise PatchFailed(f"no such path: {pointer}")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _index(holder: list[Any], token: str, *, beyond: bool) -> int:
    if token == "-" and beyond:  # noqa: S105 - RFC 6901's word for the end of a list
        return len(holder)
    last = len(holder) if beyond else len(holder) - 1
    if not token.isdecimal() or int(token) > last:
        raise PatchFailed(f"no such index: {token}")
    return int(token)


def _lookup(document: Any, pointer: str) -> Any:
    for token in _tokens(pointer):
        if isinstance(document, list):
            document = document[_index(document, token, beyond=False)]
        elif isinstance(document, dict) and token in document:
            document = document[token]
        else:
            raise PatchFailed(f"no such path: {pointer}")
    return document


def _holder(document: Any, pointer: str) -> tuple[Any, str]:
    *parents, last = _tokens(pointer)
    escaped = [parent.replace("~", "~0").replace("/", "~1") for parent in parents]
    return _lookup(document, "".join(f"/{parent}" for parent in escaped)), last


def _add(document: Any, pointer: str, value: Any) -> Any:
    if pointer == "":
        return value
    holder, last = _holder(document, pointer)
    if isinstance(holder, list):
        holder.insert(_index(holder, last, beyond=True), value)
    elif isinstance(holder, dict):
        holder[last] = value
    else:
        raise PatchFailed(f"no such path: {pointer}")
    return document


def _replace(document: Any, pointer: str, value: Any) -> Any:
    """Replace a value; an absent key is added, where RFC 6902 wants a failure.

    So does kube-apiserver, because its library (evanphx/json-patch v4) does.
    """
    if pointer == "":
        return value
    holder, last = _holder(document, pointer)
    if not isinstance(holder, list):
        return _add(document, pointer, value)
    holder[_index(holder, last, beyond=False)] = value
    return document


def _remove(document: Any, pointer: str) -> Any:
    holder, last = _holder(document, pointer)
    if isinstance(holder, list):
        del holder[_index(holder, last, beyond=False)]
    elif isinstance(holder, dict) and last in holder:
        del holder[last]
    else:
        raise PatchFailed(f"no such path: {pointer}")
    return document
