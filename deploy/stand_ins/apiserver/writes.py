"""Create, update, patch, delete: what a write does to an object before it is stored.

The order of the checks and what survives of a client's metadata follow kube-apiserver 1.36; the
contract suite (tests/real/test_api_contract.py) holds both to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deploy.stand_ins.apiserver import defaults, failures, names, patches
from deploy.stand_ins.apiserver.ownership import Author, managed_fields
from deploy.stand_ins.apiserver.resources import Resource
from deploy.stand_ins.apiserver.schema import prune, schema_causes
from deploy.stand_ins.apiserver.store import Store, Stored, unstored

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)

_GENERATED_SUFFIX = 5
_CLUSTER_IPS = 65_000


@dataclass(frozen=True, slots=True)
class Target:
    """What a write is for: an object, or the collection it is created in (name "")."""

    resource: Resource
    version: str
    namespace: str
    name: str = ""
    subresource: str = ""


class Writes:
    """The semantics of writes, over a Store. Synchronous: a write is done when it returns."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._cluster_ips = 0

    def create(
        self, target: Target, given: dict[str, Any], manager: str, *, dry_run: bool = False
    ) -> Stored:
        """Create an object; raises ApiError."""
        resource = target.resource
        body = self._body(target, given)
        metadata = body["metadata"]
        if metadata.get("resourceVersion"):
            raise failures.ApiError(
                500, "", "resourceVersion should not be set on objects to be created"
            )
        self._demand_namespace(target)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:_GENERATED_SUFFIX]
        if resource.has_status:
            body.pop("status", None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = self._now()
        metadata.pop("managedFields", None)
        metadata.pop("generation", None)
        if resource.has_generation:
            metadata["generation"] = 1
        body = self._completed(target, body, None)
        if self._store.get(resource.key, target.namespace, metadata["name"]):
            raise failures.already_exists(resource, metadata["name"])
        author = Author(manager, resource.api_version(target.version))
        _own(body, managed_fields(body, None, author, self._now()))
        if dry_run:
            return unstored(resource, body)
        return self._store.put(resource, body)

    def update(
        self, target: Target, given: dict[str, Any], manager: str, *, dry_run: bool = False
    ) -> Stored:
        """Replace an object, or its status; raises ApiError."""
        old = self.existing(target)
        body = self._body(target, given)
        if not body["metadata"].get("resourceVersion") and not target.resource.unconditional_update:
            cause = failures.Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise failures.invalid(target.resource, target.name, [cause])
        return self._replace(target, old, body, manager, dry_run=dry_run)

    def patch(
        self, target: Target, content_type: str, patch: Any, manager: str, *, dry_run: bool = False
    ) -> Stored:
        """Patch an object, or its status; raises ApiError."""
        apply = _patcher(target.resource, content_type)
        old = self.existing(target)
        try:
            patched = apply(old.decoded(target.version), patch)
        except patches.PatchFailed:
            raise failures.rejected_patch() from None
        except patches.PatchMalformed as malformed:
            raise failures.bad_request(f"error decoding patch: {malformed}") from None
        if not isinstance(patched, dict):
            raise failures.rejected_patch()
        body = self._body(target, patched)
        return self._replace(target, old, body, manager, dry_run=dry_run)

    def delete(
        self, target: Target, preconditions: dict[str, Any], *, dry_run: bool = False
    ) -> Stored:
        """Delete an object, at once; with a namespace everything in it goes. Raises ApiError."""
        old = self.existing(target)
        uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
        if uid is not None and uid != old.body["metadata"]["uid"]:
            why = f"the UID in the precondition ({uid}) does not match the UID in record"
            raise failures.conflict(target.resource, target.name, why)
        if version is not None and version != str(old.version):
            why = (
                f"the ResourceVersion in the precondition ({version}) does not match the "
                f"ResourceVersion in record ({old.version}). The object might have been modified"
            )
            raise failures.conflict(target.resource, target.name, why)
        if dry_run:
            return old
        if target.resource.plural == "namespaces":
            for resource in self._store.resources.values():
                if resource.namespaced:
                    for inside in self._store.objects(resource.key, target.name):
                        self._store.remove(inside)
        return self._store.remove(old)

    def existing(self, target: Target) -> Stored:
        """Return the object a request names; raises the 404."""
        resource = target.resource
        found = self._store.get(resource.key, target.namespace, target.name)
        if found is None:
            raise failures.not_found(resource, target.name)
        return found

    def _demand_namespace(self, target: Target) -> None:
        store = self._store
        if target.resource.namespaced and not store.get("namespaces", "", target.namespace):
            raise failures.not_found(store.resources["namespaces"], target.namespace)

    def _body(self, target: Target, given: dict[str, Any]) -> dict[str, Any]:
        """Check that an object is for this address, and return it without apiVersion and kind."""
        resource = target.resource
        api_version = resource.api_version(target.version)
        found = (given.get("apiVersion", ""), given.get("kind", ""))
        defaulted = (found[0] or api_version, found[1] or resource.kind)
        if found != (api_version, resource.kind) and not (
            resource.builtin and defaulted == (api_version, resource.kind)
        ):
            raise failures.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): "
                f"it says apiVersion {found[0]!r} and kind {found[1]!r}"
            )
        body = {key: value for key, value in given.items() if key not in ("apiVersion", "kind")}
        body["metadata"] = metadata = dict(body.get("metadata") or {})
        if not names.texts_only(metadata):
            raise failures.bad_request("labels and annotations are maps of strings")
        name = metadata.get("name", "")
        if target.name and name not in ("", target.name):
            raise failures.bad_request(
                f"the name of the object ({name}) does not match the name on the URL "
                f"({target.name})"
            )
        if resource.namespaced and metadata.setdefault("namespace", target.namespace) not in (
            "",
            target.namespace,
        ):
            raise failures.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        return body

    def _completed(
        self, target: Target, body: dict[str, Any], old: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Fill in defaults, prune unknown fields, and refuse what is invalid."""
        resource, metadata = target.resource, body["metadata"]
        defaults.drop_empty(body)
        name = metadata.get("name", "")
        if not name:
            told = "Required value: name or generateName is required"
            cause = failures.Cause("FieldValueRequired", told, "metadata.name")
            raise failures.invalid(resource, "", [cause])
        causes = names.name_causes(resource, name) + names.metadata_causes(metadata)
        if resource.builtin:
            defaults.fill_in(resource, body, self._next_cluster_ip())
        if resource.plural == "services":
            causes += defaults.service_causes(body)
        schema = resource.schemas.get(target.version)
        if schema is not None:
            body = {"metadata": metadata} | prune(schema, body) | {"metadata": metadata}
            causes += schema_causes(schema, body, old)
        if causes:
            raise failures.invalid(resource, name, causes)
        return body

    def _next_cluster_ip(self) -> str:
        self._cluster_ips = self._cluster_ips % _CLUSTER_IPS + 1
        return f"10.96.{self._cluster_ips // 256}.{self._cluster_ips % 256}"

    def _replace(
        self, target: Target, old: Stored, body: dict[str, Any], manager: str, *, dry_run: bool
    ) -> Stored:
        resource, before = target.resource, old.body
        metadata, old_metadata = body["metadata"], before["metadata"]
        if metadata.get("resourceVersion", str(old.version)) not in ("", str(old.version)):
            raise failures.conflict(resource, target.name)
        if metadata.get("uid", old_metadata["uid"]) != old_metadata["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {old_metadata['uid']}"
            )
            raise failures.conflict(resource, target.name, why)
        if target.subresource == "status":
            body = {**before, "metadata": dict(old_metadata), "status": body.get("status")}
            if body["status"] is None:
                del body["status"]
        else:
            body = _carry_over(resource, body, before)
        body = self._completed(target, body, before)
        metadata = body["metadata"]
        for field in ("managedFields", "generation", "resourceVersion"):
            metadata.pop(field, None)
        if _meaning(body) == _meaning(before):
            return old
        if resource.has_generation:
            bumped = _generation_subject(resource, body) != _generation_subject(resource, before)
            metadata["generation"] = old_metadata["generation"] + bumped
        author = Author(manager, resource.api_version(target.version), target.subresource)
        _own(body, managed_fields(body, before, author, self._now()))
        if dry_run:
            return unstored(resource, body, old.version)
        return self._store.put(resource, body)

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def _patcher(resource: Resource, content_type: str) -> Callable[[Any, Any], Any]:
    if content_type == JSON_PATCH:
        return patches.json_patch
    if content_type == MERGE_PATCH:
        return patches.merge_patch
    if content_type == STRATEGIC_PATCH and resource.builtin:
        return lambda document, patch: patches.strategic_merge(document, patch, resource.merge_keys)
    accepted = PATCH_TYPES if resource.builtin else (JSON_PATCH, MERGE_PATCH)
    raise failures.unsupported_media_type(accepted)


def _carry_over(resource: Resource, body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Put back what a write of the main resource may not change."""
    metadata, old_metadata = body["metadata"], before["metadata"]
    metadata["name"] = old_metadata["name"]
    metadata["uid"] = old_metadata["uid"]
    metadata["creationTimestamp"] = old_metadata["creationTimestamp"]
    if resource.has_status:
        body = {key: value for key, value in body.items() if key != "status"}
        if "status" in before:
            body["status"] = before["status"]
    if resource.plural == "services":
        # An allocated address stays with its Service through a PUT that does not name it.
        spec = body["spec"] = dict(body.get("spec") or {})
        for field in ("clusterIP", "clusterIPs"):
            if spec.get("type") != "ExternalName" and not spec.get(field):
                spec[field] = before["spec"].get(field)
        if not spec.get("clusterIPs"):
            spec.pop("clusterIPs", None)
    return body


def _meaning(body: dict[str, Any]) -> dict[str, Any]:
    """What of an object a write can change: the rest is the server's own bookkeeping."""
    bookkeeping = ("managedFields", "generation", "resourceVersion")
    metadata = {k: v for k, v in body["metadata"].items() if k not in bookkeeping}
    return body | {"metadata": metadata}


def _generation_subject(resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
    ignored = ("metadata", "status") if resource.has_status else ("metadata",)
    return {key: value for key, value in body.items() if key not in ignored}


def _own(body: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    if entries:
        body["metadata"]["managedFields"] = entries
