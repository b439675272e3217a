"""An API server as the core can tell it from the outside: JSON objects, revisions, conflicts, a log to watch.

Writes come with a field manager, and whoever changes a field owns it. A server that is away answers nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.domain import PREFIX
from controller.kube.objects import (
    DECODERS,
    Change,
    Deleted,
    KubeObject,
    Listed,
    Resource,
    Undecodable,
    Upserted,
)

WATCHED = (
    Resource.SERVICES,
    Resource.ENDPOINTSLICES,
    Resource.TRAFFICSPLITS,
    Resource.HTTPROUTES,
    Resource.SERVICEPROFILES,
    Resource.MIGRATIONS,
)

Json = dict[str, Any]


class AwayError(Exception):
    """Nobody answered; ``done`` says whether the write was done all the same (the caller cannot know)."""


class ConflictError(Exception):
    """The object has another resource version than the write names."""


class ExistsError(Exception):
    """There is such an object already."""


class MissingError(Exception):
    """There is no such object."""


class Api:
    """One cluster's objects. ``lose`` is how many of the next writes are done without an answer."""

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.name = name
        self._clock = clock
        self._objects: dict[tuple[Resource, str, str], Json] = {}
        self._revision = 100
        self.log: list[Change] = []
        self.away = False
        self.lose = 0
        self.unserved: set[Resource] = set()
        self.delay_s = 0.0

    # --- what the product does ----------------------------------------------------------------------

    def listed(self) -> list[Listed]:
        """Return everything that is watched."""
        return [
            Listed(
                self.name,
                resource,
                tuple(
                    _decoded(resource, body)
                    for (kind, _, _), body in self._objects.items()
                    if kind is resource
                ),
                served=resource not in self.unserved,
            )
            for resource in WATCHED
        ]

    def read(self, resource: Resource, namespace: str, name: str) -> KubeObject | Undecodable:
        """Read one object over the wire."""
        self._answer()
        return _decoded(resource, self.get(resource, namespace, name))

    def write(
        self, resource: Resource, body: Mapping[str, Any], *, make: bool, manager: str
    ) -> KubeObject | Undecodable:
        """Create or merge-patch over the wire."""
        self._answer()
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        done = (
            self.create(resource, body, manager=manager)
            if make
            else self.patch(resource, namespace, name, body, manager=manager)
        )
        if self.lose > 0:
            self.lose -= 1
            raise AwayError("the answer was lost")
        return _decoded(resource, done)

    def _answer(self) -> None:
        if self.away:
            raise AwayError(f"{self.name} is away")

    # --- what is so, away or not --------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object as it stands; MissingError where there is none."""
        try:
            return self._objects[resource, namespace, name]
        except KeyError:
            raise MissingError(f"{resource} {namespace}/{name}") from None

    def has(self, resource: Resource, namespace: str, name: str) -> bool:
        """Return whether there is such an object."""
        return (resource, namespace, name) in self._objects

    def create(self, resource: Resource, body: Mapping[str, Any], *, manager: str) -> Json:
        """Make an object; ExistsError where there is one."""
        whole: Json = copy.deepcopy(dict(body))
        at = (resource, whole["metadata"]["namespace"], whole["metadata"]["name"])
        if at in self._objects:
            raise ExistsError(str(at))
        whole["metadata"]["creationTimestamp"] = _stamp(self._clock())
        whole["metadata"].setdefault("uid", f"uid-{self._revision}")
        return self._store(at, {}, whole, manager)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        manager: str,
    ) -> Json:
        """Merge-patch an object, where its version is the one that the patch names or names none."""
        before = self.get(resource, namespace, name)
        named = body.get("metadata", {}).get("resourceVersion")
        if named is not None and named != before["metadata"]["resourceVersion"]:
            raise ConflictError(f"{named} is not {before['metadata']['resourceVersion']}")
        after = _merged(before, body)
        return self._store((resource, namespace, name), before, after, manager)

    def put(self, resource: Resource, body: Mapping[str, Any], *, manager: str = "kubectl") -> Json:
        """Make an object or replace all of it."""
        at = (resource, body["metadata"]["namespace"], body["metadata"]["name"])
        if at not in self._objects:
            return self.create(resource, body, manager=manager)
        before = self._objects[at]
        whole: Json = copy.deepcopy(dict(body))
        for kept in ("creationTimestamp", "uid", "managedFields"):
            if kept in before["metadata"]:
                whole["metadata"].setdefault(kept, before["metadata"][kept])
        return self._store(at, before, whole, manager)

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object; nothing where there is none."""
        if self._objects.pop((resource, namespace, name), None) is not None:
            self._revision += 1
            self.log.append(Deleted(self.name, resource, namespace, name, str(self._revision)))

    def _store(
        self, at: tuple[Resource, str, str], before: Json, after: Json, manager: str
    ) -> Json:
        meta = after["metadata"]
        meta.pop("resourceVersion", None)
        if before and _bare(before) == _bare(after):
            meta["resourceVersion"] = before["metadata"]["resourceVersion"]
            return before  # as a real API server: what changes nothing makes no revision
        _own(before, after, manager, _stamp(self._clock()))
        self._revision += 1
        meta["resourceVersion"] = str(self._revision)
        self._objects[at] = after
        self.log.append(Upserted(self.name, at[0], _decoded(at[0], after)))
        return after


def _bare(body: Json) -> Json:
    meta = {
        k: v for k, v in body["metadata"].items() if k not in ("resourceVersion", "managedFields")
    }
    return {**body, "metadata": meta}


def _decoded(resource: Resource, body: Json) -> KubeObject | Undecodable:
    return DECODERS[resource](json.dumps(body).encode())


def _stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _merged(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(before)) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _own(before: Json, after: Json, manager: str, now: str) -> None:
    """Whoever changes a field of the spec, or an annotation of ours, owns it from then on."""
    spec = _changed(before.get("spec", {}), after.get("spec", {}))
    notes = _changed(
        before.get("metadata", {}).get("annotations", {}),
        after["metadata"].get("annotations", {}),
    )
    notes = {note for note in notes if note.startswith(PREFIX)}
    entries = [_without(entry, spec, notes) for entry in after["metadata"].get("managedFields", [])]
    mine = next((e for e in entries if e["manager"] == manager), None)
    if mine is None:
        mine = {"manager": manager, "operation": "Update", "fieldsV1": {}}
        entries.append(mine)
    if spec or notes:
        mine["time"] = now
    fields = mine["fieldsV1"]
    fields.setdefault("f:spec", {}).update({f"f:{name}": {} for name in sorted(spec)})
    fields.setdefault("f:metadata", {}).setdefault("f:annotations", {}).update(
        {f"f:{note}": {} for note in sorted(notes)}
    )
    after["metadata"]["managedFields"] = entries


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {name for name in after if before.get(name) != after[name]}


def _without(entry: Json, spec: set[str], notes: set[str]) -> Json:
    fields = entry["fieldsV1"]
    kept_spec = {k: v for k, v in fields.get("f:spec", {}).items() if k[2:] not in spec}
    kept_notes = {
        k: v
        for k, v in fields.get("f:metadata", {}).get("f:annotations", {}).items()
        if k[2:] not in notes
    }
    return {
        **entry,
        "fieldsV1": {"f:spec": kept_spec, "f:metadata": {"f:annotations": kept_notes}},
    }
