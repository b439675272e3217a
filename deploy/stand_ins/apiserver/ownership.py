"""managedFields: who wrote which field last.

A leaf is anything but a non-empty object: lists are leaves (custom resources have them so, as their
CRDs declare no list type), and "." stands for the existence of an object itself, as in kube-apiserver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]

# Never owned: identity and what the server itself writes (structured-merge-diff's stripMeta).
_SERVER_FIELDS = frozenset(
    {
        "name", "namespace", "creationTimestamp", "uid", "generation", "managedFields",
        "resourceVersion",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: the field manager, through which version, to which subresource ("" for none)."""

    manager: str
    api_version: str
    subresource: str = ""


def _leaves(body: dict[str, Any]) -> dict[Path, Any]:
    found: dict[Path, Any] = {}

    def walk(path: Path, value: Any) -> None:
        if isinstance(value, dict) and value:
            if len(path) > 1 or path[0] != "metadata":
                found[(*path, ".")] = True
            for key, inner in value.items():
                walk((*path, key), inner)
        else:
            found[path] = value

    for key, value in body.items():
        if key == "metadata":
            owned = {k: v for k, v in value.items() if k not in _SERVER_FIELDS}
            if owned:
                walk(("metadata",), owned)
        else:
            walk((key,), value)
    return found


def _to_fields(paths: set[Path]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for path in sorted(paths):
        node = fields
        for part in path:
            node = node.setdefault(part if part == "." else f"f:{part}", {})
    return fields


def _to_paths(fields: dict[str, Any], prefix: Path = ()) -> set[Path]:
    paths: set[Path] = set()
    for key, inner in fields.items():
        path = (*prefix, key.removeprefix("f:"))
        paths |= _to_paths(inner, path) if inner else {path}
    return paths


def managed_fields(
    new: dict[str, Any], old: dict[str, Any] | None, author: Author, time: str
) -> list[dict[str, Any]]:
    """Return the managedFields of `new`, written by `author` at `time` (RFC 3339) over `old`.

    An object whose creation owned nothing is never tracked, as in kube-apiserver.
    """
    entries: list[dict[str, Any]] = [] if old is None else old["metadata"].get("managedFields", [])
    if old is not None and not entries:
        return []
    after, before = _leaves(new), {} if old is None else _leaves(old)
    written = {path for path, value in after.items() if before.get(path, author) != value}
    lost = written | (before.keys() - after.keys())
    key = (author.manager, author.api_version, author.subresource)
    kept: list[dict[str, Any]] = []
    mine: set[Path] = set()
    my_time = time
    for entry in entries:
        paths = _to_paths(entry["fieldsV1"])
        if (entry["manager"], entry["apiVersion"], entry.get("subresource", "")) == key:
            mine = paths
            my_time = entry["time"] if (paths - lost) | written == paths else time
        elif not paths & lost:
            kept.append(entry)
        elif paths - lost:
            kept.append(entry | {"fieldsV1": _to_fields(paths - lost)})
    mine = (mine - lost) | written
    if mine:
        entry = {
            "manager": author.manager,
            "operation": "Update",
            "apiVersion": author.api_version,
            "time": my_time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _to_fields(mine),
        }
        kept.append(entry | ({"subresource": author.subresource} if author.subresource else {}))
    return kept
