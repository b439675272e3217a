"""From an HTTP request to a read, a watch or a write, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from deploy.stand_ins.apiserver import discovery, failures
from deploy.stand_ins.apiserver.resources import Resource
from deploy.stand_ins.apiserver.writes import PATCH_TYPES, Target

# What a body may say it is; "octet-stream" is aiohttp's word for a request that does not say.
_DECODED = ("application/json", "application/octet-stream", *PATCH_TYPES)

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-embedded"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the counters know it; `code` is the HTTP status of the answer."""

    verb: str
    resource: str
    namespace: str
    name: str
    manager: str
    user_agent: str
    code: int


def verb_of(request: web.BaseRequest, target: Target) -> str:
    """Return the verb as RBAC has it: get, list, watch, create, update, patch, delete."""
    if request.method == "GET":
        if target.name:
            return "get"
        return "watch" if request.query.get("watch") in ("true", "1") else "list"
    verb = _VERBS.get(request.method)
    # Only a create is for a collection, and a create is for nothing else.
    if verb is None or (verb == "create") == bool(target.name):
        raise failures.method_not_allowed()
    if verb == "create" and target.resource.namespaced and not target.namespace:
        raise failures.method_not_allowed()
    return verb


def manager_of(request: web.BaseRequest) -> str:
    """Return the field manager: the query's, else the first part of the User-Agent."""
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return request.query.get("fieldManager") or agent[:128]


def path_parts(path: str) -> list[str]:
    """Split a path at its slashes."""
    return [part for part in path.split("/") if part]


def target_of(resources: Iterable[Resource], parts: list[str]) -> Target | None:
    """Return what a path names; None for a discovery document. Raises the 404."""
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = next(
        (
            r
            for r in resources
            if r.group == group and version in r.versions and r.plural == rest[0]
        ),
        None,
    )
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise failures.unknown_path()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if (subresource and not (subresource == "status" and resource.has_status)) or (
        name and resource.namespaced and not namespace
    ):
        raise failures.unknown_path()
    return Target(resource, version, namespace, name, subresource)


def plain_document(resources: Iterable[Resource], path: str) -> bytes:
    """Return what is no object: health, version, discovery; raises the 404."""
    if path in ("/readyz", "/livez", "/healthz"):
        return b"ok"
    if path == "/version":
        return msgspec.json.encode(VERSION)
    return msgspec.json.encode(discovery.document(resources, path_parts(path)))


async def json_body(request: web.BaseRequest) -> Any:
    """Return the decoded body, {} for none; raises the 400, and the 415 of a protobuf."""
    if request.content_type not in _DECODED and request.can_read_body:
        raise failures.unsupported_media_type(("application/json",))
    raw = await request.read()
    try:
        return msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError as error:
        raise failures.bad_request(
            f"couldn't get version/kind; json parse error: {error}"
        ) from None


async def json_object(request: web.BaseRequest) -> dict[str, Any]:
    """Return the decoded body, which must be an object; raises the 400."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise failures.bad_request("the object provided is unrecognized")
    return body
