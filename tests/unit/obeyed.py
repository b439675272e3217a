"""What whoever obeys splits has written beside them, for objects that were kept without it."""

from __future__ import annotations

from typing import Any

from deploy.stand_ins.mesh.adaptor import with_overrides


def with_profiles(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects of a cluster with the ServiceProfiles that the SMI adaptor makes of the TrafficSplits."""
    return [*objects, *(profile_of(body) for body in objects if body["kind"] == "TrafficSplit")]


def profile_of(split: dict[str, Any]) -> dict[str, Any]:
    """Return what the SMI adaptor makes of a split."""
    profile = with_overrides(split, None)
    profile["metadata"]["resourceVersion"] = "1"
    return {"kind": "ServiceProfile", **profile}
