"""Both kinds of split, as an API server has them: what they are called, and what they say."""

from __future__ import annotations

from typing import Any

PLURALS = ("trafficsplits", "httproutes")


def is_of_split(path: str) -> bool:
    """Return whether a call's path is that of a split, or of all of them."""
    return any(f"/{plural}" in path for plural in PLURALS)


def backends_of(split: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return ``service`` and ``weight`` of each backend of a split or a patch, None where none are said."""
    spec = split.get("spec") or {}
    if "rules" not in spec:
        found: list[dict[str, Any]] | None = spec.get("backends")
        return found
    return [
        {"service": ref.get("name"), "weight": ref.get("weight")}
        for rule in spec["rules"]
        for ref in rule.get("backendRefs") or ()
    ]
