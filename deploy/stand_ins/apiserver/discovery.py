"""What is served: /api, /apis, groups, versions and their resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploy.stand_ins.apiserver.failures import unknown_path
from deploy.stand_ins.apiserver.resources import Resource

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def document(resources: Iterable[Resource], parts: list[str]) -> dict[str, Any]:
    """Return the discovery document of a path's parts, e.g. ["apis", "linkerd.io"]; or the 404."""
    known = list(resources)
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["api", "v1"]:
            return _resources("", "v1", known)
        case ["apis"]:
            names = list(dict.fromkeys(r.group for r in known if r.group))
            groups = [_group(name, known) for name in names]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if any(r.group == group for r in known):
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, known)
        case ["apis", group, version] if any(
            r.group == group and version in r.versions for r in known
        ):
            return _resources(group, version, known)
    raise unknown_path()


def _group(name: str, known: list[Resource]) -> dict[str, Any]:
    versions = dict.fromkeys(v for r in known if r.group == name for v in r.versions)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resources(group: str, version: str, known: list[Resource]) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for resource in known:
        if resource.group != group or version not in resource.versions:
            continue
        entry = {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _VERBS,
            "shortNames": list(resource.short_names),
        }
        listed.append(entry)
        if resource.has_status:
            status = {"name": f"{resource.plural}/status", "singularName": "", "shortNames": []}
            listed.append(entry | status | {"verbs": ["get", "patch", "update"]})
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }
