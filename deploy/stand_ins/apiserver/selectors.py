"""Label and field selectors of lists and watches, as predicates over an object's body."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deploy.stand_ins.apiserver.failures import bad_request
from deploy.stand_ins.apiserver.resources import Resource

Predicate = Callable[[dict[str, Any]], bool]

_IN = re.compile(r"(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[^\s=!]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s=!]*)")
_EXISTS = re.compile(r"(?P<not>!?)\s*(?P<key>[^\s=!]+)")


def label_selector(text: str) -> list[Predicate]:
    """Read `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, separated by commas.

    An absent label passes `!=` and `notin`. Raises the 400 of kube-apiserver on anything else.
    """
    # A comma inside the brackets of `in (…)` separates values, not requirements.
    parts = re.split(r",(?![^(]*\))", text) if text.strip() else []
    return [_label_requirement(part.strip()) for part in parts]


def _label_requirement(part: str) -> Predicate:
    if matched := _IN.fullmatch(part):
        key, negated = matched["key"], matched["op"] == "notin"
        values = {value.strip() for value in matched["values"].split(",")}
        return lambda body: (_labels(body).get(key) in values) != negated
    if matched := _EQUAL.fullmatch(part):
        key, value, unequal = matched["key"], matched["value"], matched["op"] == "!="
        return lambda body: (_labels(body).get(key) == value) != unequal
    if matched := _EXISTS.fullmatch(part):
        key, absent = matched["key"], bool(matched["not"])
        return lambda body: (key in _labels(body)) != absent
    raise bad_request(f"unable to parse requirement: {part!r}")


def _labels(body: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = body["metadata"].get("labels") or {}
    return labels


def field_selector(resource: Resource, text: str) -> list[Predicate]:
    """Read `field=value`, `==` and `!=`, separated by commas.

    Fields are metadata.name, metadata.namespace and the resource's `field_labels`; another is 400.
    """
    return [_field_requirement(resource, part.strip()) for part in text.split(",") if part.strip()]


def _field_requirement(resource: Resource, part: str) -> Predicate:
    matched = _EQUAL.fullmatch(part)
    if matched is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    field, value, unequal = matched["key"], matched["value"], matched["op"] == "!="
    if field not in ("metadata.name", "metadata.namespace", *resource.field_labels):
        raise bad_request(f"field label not supported: {field}")
    path = field.split(".")

    def holds(body: dict[str, Any]) -> bool:
        found: Any = body
        for step in path:
            found = found.get(step, "") if isinstance(found, dict) else ""
        return bool(found == value) != unequal

    return holds
