"""Lists: selectors, pages, versions. An object is not encoded again, its bytes are joined."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from deploy.stand_ins.apiserver import failures
from deploy.stand_ins.apiserver.selectors import Predicate, field_selector, label_selector
from deploy.stand_ins.apiserver.store import Store, Stored, VersionExpired
from deploy.stand_ins.apiserver.tables import Tables
from deploy.stand_ins.apiserver.writes import Target

# In a continue token: go on with what there is now, though the list becomes inconsistent.
_WHATEVER_VERSION = -1


@dataclass(frozen=True, slots=True)
class _Page:
    version: int
    objects: list[Stored]
    start: str = ""


def predicates(target: Target, query: Mapping[str, str]) -> list[Predicate]:
    """Return what `labelSelector` and `fieldSelector` demand; raises the 400."""
    return [
        *label_selector(query.get("labelSelector", "")),
        *field_selector(target.resource, query.get("fieldSelector", "")),
    ]


def asked_version(query: Mapping[str, str]) -> int | None:
    """Return `resourceVersion`, None when absent or empty; raises what kube-apiserver answers."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdecimal():
        told = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}"'
        raise failures.ApiError(500, "", f"{told}: invalid syntax")
    return int(text)


def list_body(
    store: Store, target: Target, query: Mapping[str, str], tables: Tables | None = None
) -> bytes:
    """Return a List object as JSON, or the Table of it; raises ApiError."""
    wanted = predicates(target, query)
    page = _page(store, target, query)
    found = [
        stored
        for stored in page.objects
        if stored.key >= page.start and all(holds(stored.body) for holds in wanted)
    ]
    metadata: dict[str, Any] = {"resourceVersion": str(page.version)}
    limit = int(query.get("limit") or 0)
    if 0 < limit < len(found):
        metadata["continue"] = _token(page.version, found[limit - 1].key + "\0")
        if not wanted:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    if tables is not None:
        return msgspec.json.encode(tables.table(found, metadata))
    resource = target.resource
    # Items of built-in lists say no kind of their own, those of custom resources do.
    items = (
        [b"{" + stored.tail for stored in found]
        if resource.builtin
        else [stored.encoded(target.version) for stored in found]
    )
    head = (
        f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version(target.version)}",'
        f'"metadata":{msgspec.json.encode(metadata).decode()},"items":['
    )
    return head.encode() + b",".join(items) + b"]}"


def _page(store: Store, target: Target, query: Mapping[str, str]) -> _Page:
    key, namespace = target.resource.key, target.namespace or None
    version, match = asked_version(query), query.get("resourceVersionMatch", "")
    if query.get("continue"):
        return _next_page(store, key, namespace, query["continue"])
    if match and version is None:
        raise _forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if version is not None and version > store.version:
        raise failures.version_in_the_future(version, store.version)
    if match == "Exact" and version is not None:
        try:
            return _Page(version, store.objects_at(key, version, namespace))
        except VersionExpired as expired:
            raise failures.expired_version(expired.asked, expired.oldest) from None
    return _Page(store.version, store.objects(key, namespace))


def _next_page(store: Store, key: str, namespace: str | None, token: str) -> _Page:
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start = int(decoded["rv"]), str(decoded["start"])
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise failures.bad_request(
            f"invalid continue token: continue key is not valid: {error}"
        ) from None
    if version == _WHATEVER_VERSION:
        return _Page(store.version, store.objects(key, namespace), start)
    try:
        return _Page(version, store.objects_at(key, version, namespace), start)
    except VersionExpired:
        raise failures.expired_continue(_token(_WHATEVER_VERSION, start)) from None


def _token(version: int, start: str) -> str:
    content = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _forbidden(sentence: str) -> failures.ApiError:
    field = "resourceVersionMatch"
    return failures.ApiError(
        422,
        "Invalid",
        f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {sentence}',
        {
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [
                {
                    "reason": "FieldValueForbidden",
                    "message": f"Forbidden: {sentence}",
                    "field": field,
                }
            ],
        },
    )
