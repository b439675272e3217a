"""Values as the commands print them for programs, as JSON or as YAML: the same value, and nothing in it that moves a
terminal's cursor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec


def as_json(value: object, *, indent: int = 0) -> str:
    """Return JSON in which control characters and marks of direction are escaped, on one line without ``indent``."""
    text = msgspec.json.encode(value)
    if indent:
        text = msgspec.json.format(text, indent=indent)
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text.decode()
    )


def as_yaml(value: object) -> str:
    """Return YAML, keys in their order; all that is not ASCII is escaped where any of it is no printable character."""
    import yaml  # noqa: PLC0415 - whoever asks for something else needs none of it

    plain = msgspec.to_builtins(value)

    def dumped(*, unicode: bool) -> str:
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=unicode, width=float("inf"))

    text = dumped(unicode=True)
    harmless = all(c.isprintable() or c == "\n" for c in text)
    return (text if harmless else dumped(unicode=False)).removesuffix("\n")


DOCUMENTS: Mapping[str, Callable[[object], str]] = MappingProxyType(
    {"json": lambda value: as_json(value, indent=2), "yaml": as_yaml}
)
"""By what ``-o`` asks for, what writes a value so."""


def print_document(value: object, output: str) -> None:
    """Write a value to stdout as ``json`` or ``yaml``."""
    sys.stdout.write(f"{DOCUMENTS[output](value)}\n")
