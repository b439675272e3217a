"""Both kinds of split, as an API server has them: what they are called, and what they say."""

from __future__ import annotations

from typing import Any

PLURALS = ("trafficsplits", "httproutes")


def is_of_split(path: str) -> bool:
    """Tell whether a call's path is that of a split, or of all of them."""
    return any(f"/{plural}" in path for plural in PLURALS)


def backends_of(split: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Give ``service`` and ``weight`` of each backend of a split or a patch, None where none are said."""
    spec = split.get("spec") or {}
    if "rules" not in spec:
        found: list[dict[str, Any]] | None = spec.get("backends")
        return found
    return [
        {"service": ref.get("name"), "weight": ref.get("weight")}
        for rule in spec["rules"]
        for ref in rule.get("backendRefs") or ()
    ]


def somebodys(name: str, mirror: str, *, away: int, route: bool) -> dict[str, Any]:
    """Make a split as people write them, ``away`` of 1,000 calls to the mirror; ``route`` says which kind."""
    weights = {name: 1000 - away, mirror: away}
    metadata = {"name": name, "namespace": "default"}
    if route:
        refs = [{"name": s, "port": 80, "weight": weight} for s, weight in weights.items()]
        parent = {"group": "", "kind": "Service", "name": name, "port": 80}
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {"parentRefs": [parent], "rules": [{"backendRefs": refs}]},
        }
    backends = [{"service": s, "weight": weight} for s, weight in weights.items()]
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": metadata,
        "spec": {"service": name, "backends": backends},
    }
