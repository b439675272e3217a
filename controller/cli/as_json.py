"""JSON as the commands print it: the same value to a program, and nothing in it that moves a terminal's cursor."""

from __future__ import annotations

import json

import msgspec


def as_json(value: object, *, indent: int = 0) -> str:
    """Return JSON in which control characters and marks of direction are escaped, on one line without ``indent``."""
    text = msgspec.json.encode(value)
    if indent:
        text = msgspec.json.format(text, indent=indent)
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text.decode()
    )
