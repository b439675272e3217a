"""Structural schemas of custom resources: unknown fields are pruned, the rest is checked.

The part of openAPIV3Schema that the CRDs here use: type, properties, additionalProperties, items,
required, enum, bounds and patterns, format date-time, `x-kubernetes-int-or-string` and
`x-kubernetes-preserve-unknown-fields`. A CRD that uses more raises when it is loaded, so that this
server is never laxer than a real one without anybody knowing. It is in one thing: rules in CEL are let
be, and only a real API server refuses by them.
"""

from __future__ import annotations

import re
from typing import Any

from deploy.stand_ins.apiserver.failures import Cause

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "integer,string": (int, str),
}
_NAMES: tuple[tuple[str, type], ...] = (
    ("boolean", bool),
    ("integer", int),
    ("number", float),
    ("string", str),
    ("array", list),
    ("object", dict),
    ("null", type(None)),
)
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
)
_LEAST = (
    ("minItems", "have at least {least} items"),
    ("minLength", "be at least {least} chars long"),
    ("minimum", "be greater than or equal to {least}"),
)
_UNDERSTOOD = frozenset(
    {
        "type", "properties", "additionalProperties", "items", "required", "enum", "minItems",
        "maxItems", "minLength", "maxLength", "pattern", "minimum", "maxProperties", "format",
        "description", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }
)  # fmt: skip


def demand_understood(schema: Any) -> None:
    """Raise ValueError for a schema that says something this module would ignore."""
    unknown = schema.keys() - _UNDERSTOOD
    if unknown:
        raise ValueError(f"the embedded API server does not know {sorted(unknown)} in a schema")
    for inner in schema.get("properties", {}).values():
        demand_understood(inner)
    for field in ("items", "additionalProperties"):
        if field in schema:
            demand_understood(schema[field])


def prune(schema: Any, value: Any) -> Any:
    """Return the value without the fields that its schema does not know, and without its nulls, as a real server does
    (PruneNonNullableNullsWithoutDefaults); 1.0 becomes an integer."""
    if isinstance(value, list):
        items = schema.get("items")
        return value if items is None else [prune(items, item) for item in value]
    if not isinstance(value, dict):
        whole = isinstance(value, float) and value.is_integer()
        return int(value) if whole and schema.get("type") == "integer" else value
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields", False)
    kept = {}
    for key, inner in value.items():
        if inner is None and (key in known or others is not None):
            continue
        if key in known:
            kept[key] = prune(known[key], inner)
        elif others is not None:
            kept[key] = prune(others, inner)
        elif keeps_unknown:
            kept[key] = inner
    return kept


def schema_causes(schema: Any, value: Any, old: Any, path: str = "") -> list[Cause]:
    """Return what is wrong with a value, except where it is what it was before.

    That exception is kube-apiserver's ratcheting: a split whose weight only the other version
    allows may still be labelled. Lists have no identity for it: an unchanged one is excused whole.
    """
    if value == old and type(value) is type(old):
        return []
    wrong = _own_cause(schema, value, path)
    if wrong is not None:
        return [wrong]
    if isinstance(value, list):
        items = schema.get("items", {})
        return [
            cause
            for index, item in enumerate(value)
            for cause in schema_causes(items, item, None, f"{path}[{index}]")
        ]
    return _field_causes(schema, value, old, path) if isinstance(value, dict) else []


def _field_causes(schema: Any, value: dict[str, Any], old: Any, path: str) -> list[Cause]:
    causes = [
        Cause("FieldValueRequired", "Required value", f"{path}.{key}".lstrip("."))
        for key in schema.get("required", ())
        if key not in value
    ]
    before = old if isinstance(old, dict) else {}
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, inner in value.items():
        field = known.get(key, others)
        if field is not None:
            here = f"{path}.{key}".lstrip(".")
            causes += schema_causes(field, inner, before.get(key), here)
    return causes


def _own_cause(schema: Any, value: Any, path: str) -> Cause | None:
    """Return what is wrong with a value itself, whatever is in it."""
    expected = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")
    if expected is not None:
        allowed = _TYPES[expected]
        # bool is an int to Python, never to JSON.
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            return _type_cause(value, expected, path)
    if isinstance(value, str) and schema.get("format") == "date-time":
        if _DATE_TIME.fullmatch(value) is None:
            return _type_cause(value, "date-time", path)
    elif "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{one}"' for one in schema["enum"])
        message = f'Unsupported value: "{value}": supported values: {supported}'
        return Cause("FieldValueNotSupported", message, path)
    return _bound_cause(schema, value, path)


def _bound_cause(schema: Any, value: Any, path: str) -> Cause | None:
    """Return by how much a value is too long, too short or too small."""
    size = value if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 0
    for bound, what in _LEAST:
        if bound in schema and size < schema[bound]:
            shown = f'"{value}"' if isinstance(value, str) else size
            message = f"{path} in body should {what.format(least=schema[bound])}"
            return Cause("FieldValueInvalid", f"Invalid value: {shown}: {message}", path)
    for bound in ("maxItems", "maxProperties"):
        if size > schema.get(bound, size):
            message = f"Too many: {size}: must have at most {schema[bound]} items"
            return Cause("FieldValueTooMany", message, path)
    if size > schema.get("maxLength", size):
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        return Cause("FieldValueTooLong", message, path)
    pattern = schema.get("pattern")
    if pattern is not None and re.search(pattern, value) is None:
        message = f"Invalid value: \"{value}\": {path} in body should match '{pattern}'"
        return Cause("FieldValueInvalid", message, path)
    return None


def _type_cause(value: Any, expected: str, path: str) -> Cause:
    found = (
        value
        if expected == "date-time"
        else next(name for name, kind in _NAMES if isinstance(value, kind))
    )
    message = f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
    return Cause("FieldValueTypeInvalid", message, path)
