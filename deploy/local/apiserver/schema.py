"""Structural schemas of custom resources: unknown fields are pruned, the rest is checked.

The part of openAPIV3Schema that the CRDs here use: types, properties, items, required,
`x-kubernetes-int-or-string`, `x-kubernetes-preserve-unknown-fields`.
"""

from __future__ import annotations

from typing import Any

from deploy.local.apiserver.failures import Cause

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "integer,string": (int, str),
}


def prune(schema: Any, value: Any) -> Any:
    """Return the value without the fields that its schema does not know."""
    if isinstance(value, list):
        items = schema.get("items")
        return value if items is None else [prune(items, item) for item in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields", False)
    kept = {}
    for key, inner in value.items():
        if key in known:
            kept[key] = prune(known[key], inner)
        elif keeps_unknown:
            kept[key] = inner
    return kept


def schema_causes(schema: Any, value: Any, old: Any, path: str = "") -> list[Cause]:
    """Say what is wrong with a value, except where it is what it was before.

    That exception is kube-apiserver's ratcheting: a split whose weight only the other version
    allows may still be labelled. Lists have no identity for it: an unchanged one is excused whole.
    """
    if value == old and type(value) is type(old):
        return []
    wrong = _type_cause(schema, value, path)
    if wrong is not None:
        return [wrong]
    if isinstance(value, list):
        items = schema.get("items", {})
        return [
            cause
            for index, item in enumerate(value)
            for cause in schema_causes(items, item, None, f"{path}[{index}]")
        ]
    if not isinstance(value, dict):
        return []
    causes = [
        Cause("FieldValueRequired", "Required value", f"{path}.{key}".lstrip("."))
        for key in schema.get("required", ())
        if key not in value
    ]
    before = old if isinstance(old, dict) else {}
    for key, inner in schema.get("properties", {}).items():
        if key in value:
            causes += schema_causes(inner, value[key], before.get(key), f"{path}.{key}".lstrip("."))
    return causes


def _type_cause(schema: Any, value: Any, path: str) -> Cause | None:
    if schema.get("x-kubernetes-int-or-string"):
        expected = "integer,string"
    elif "type" in schema:
        expected = schema["type"]
    else:
        return None
    allowed = _TYPES[expected]
    # bool is an int to Python, never to JSON.
    if isinstance(value, allowed) and not (isinstance(value, bool) and bool not in allowed):
        return None
    found = next(name for name, types in _NAMES if isinstance(value, types))
    message = f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
    return Cause("FieldValueTypeInvalid", message, path)


_NAMES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (float,)),
    ("string", (str,)),
    ("array", (list,)),
    ("object", (dict,)),
    ("null", (type(None),)),
)
