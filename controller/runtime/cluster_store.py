"""What one cluster's streams said last, by Service. No I/O and no clock: changes come in, keys go out.

An object that is older than what is known is ignored: the answer to our own write is absorbed at once, and
the watch's echo of an earlier state may still come after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controller.domain import (
    PREFIX,
    Endpoints,
    Key,
    ObservedCluster,
    ObservedService,
    Pin,
    Split,
    SplitKind,
)
from controller.kube.objects import (
    MIRROR_CLUSTER,
    OPAQUE_PORTS,
    Change,
    Deleted,
    EndpointSliceObject,
    Freshness,
    Listed,
    ManagedFields,
    MigrationObject,
    Resource,
    ServiceObject,
    ServiceProfileObject,
    Undecodable,
    Upserted,
    endpoints_of,
    identify,
)
from controller.mesh import conflicts, pin
from controller.mesh.splits import foreign_owner, mirror_name
from controller.mesh.splits.kinds import PROVIDER_OF

NEEDED = (
    Resource.SERVICES,
    Resource.ENDPOINTSLICES,
    *PROVIDER_OF,
    Resource.SERVICEPROFILES,
)
"""What must have been listed, and be current, before anything rises."""

WATCHED = (*NEEDED, Resource.MIGRATIONS)
"""What is followed in each cluster."""

Name = tuple[str, str]


class ClusterStore:
    """One cluster, by Service. ``far`` is the other cluster, whose mirrors are here, and ``gateways`` the
    namespace of this cluster's gateway, whose ServiceProfiles are pins."""

    def __init__(self, name: str, far: str, domain: str, gateways: str) -> None:
        self.name = name
        self._far = far
        self._domain = domain
        self._gateways = gateways
        self._objects: dict[Resource, dict[Name, Any]] = {kind: {} for kind in Resource}
        self._slices: dict[Key, dict[str, EndpointSliceObject]] = {}
        self._splits: dict[Key, dict[tuple[str, Resource], Any]] = {}
        self._pins: dict[Key, ServiceProfileObject] = {}
        self._conflicts: dict[Key, dict[tuple[Resource, Name], str]] = {}
        self._elsewhere: dict[Key, set[str]] = {}
        self._stale: dict[Resource, str] = dict.fromkeys(NEEDED, "it was not listed yet")
        self._kinds: frozenset[SplitKind] = frozenset()

    # --- what is told -------------------------------------------------------------------------------

    def apply(self, change: Change) -> set[Key]:
        """Take one change in; give the Services that it is about."""
        if isinstance(change, Freshness):
            return self._freshen(change)
        if isinstance(change, Listed):
            return self._replace(change)
        if isinstance(change, Deleted):
            return self._remove(change)
        return self._upsert(change)

    def _freshen(self, change: Freshness) -> set[Key]:
        if change.resource not in NEEDED:
            return set()
        was = self._stale.get(change.resource, "")
        self._stale[change.resource] = (
            "" if change.current else f"{change.resource} {change.reason}"
        )
        return set(self.annotated()) if bool(was) == change.current else set()

    def _replace(self, change: Listed) -> set[Key]:
        known = self._objects[change.resource]
        keep = {identify(found)[:2] for found in change.objects}
        keys: set[Key] = set()
        for name in [name for name in known if name not in keep]:
            keys |= self._drop(change.resource, name)
        for found in change.objects:
            keys |= self._upsert(Upserted(change.cluster, change.resource, found))
        if provider := PROVIDER_OF.get(change.resource):
            before, kind = self._kinds, {provider.KIND}
            self._kinds = before | kind if change.served else before - kind
            if self._kinds != before:  # every migration may have waited for that
                keys |= set(self.annotated())
        return keys

    def _remove(self, change: Deleted) -> set[Key]:
        name = (change.namespace, change.name)
        known = self._objects[change.resource].get(name)
        if known is None or _newer(identify(known)[2], change.resource_version):
            return set()
        return self._drop(change.resource, name)

    def _upsert(self, change: Upserted) -> set[Key]:
        namespace, name, version = identify(change.object)
        known = self._objects[change.resource].get((namespace, name))
        if known is not None:
            before = identify(known)[2]
            if before == version or _newer(before, version):
                return set()
        keys = self._drop(change.resource, (namespace, name)) if known is not None else set()
        if isinstance(change.object, Undecodable):
            return keys
        self._objects[change.resource][(namespace, name)] = change.object
        return keys | self._index(change.resource, change.object)

    def _index(self, resource: Resource, found: Any) -> set[Key]:
        if isinstance(found, EndpointSliceObject):
            key = Key(found.metadata.namespace, found.service)
            self._slices.setdefault(key, {})[found.metadata.name] = found
            return self._with_origin(key)
        if provider := PROVIDER_OF.get(resource):
            about = set(provider.services_of(found))
            for key in about:
                self._splits.setdefault(key, {})[found.metadata.name, resource] = found
            return about | self._conflict(resource, found)
        if isinstance(found, ServiceProfileObject):
            if not self._is_pin(found):
                return self._conflict(resource, found)
            pinned = pin.key_of(found.metadata.name, self._domain)
            if pinned is None:
                return set()
            self._pins[pinned] = found
            return {pinned}
        if isinstance(found, ServiceObject) and (leads := self._leads_elsewhere(found)):
            origin, cluster = leads
            self._elsewhere.setdefault(origin, set()).add(cluster)
            return {origin, *self._with_origin(Key(found.metadata.namespace, found.metadata.name))}
        if isinstance(found, (ServiceObject, MigrationObject)):
            return self._with_origin(Key(found.metadata.namespace, found.metadata.name))
        return set()

    def _drop(self, resource: Resource, name: Name) -> set[Key]:
        found = self._objects[resource].pop(name, None)
        if found is None:
            return set()
        if isinstance(found, EndpointSliceObject):
            behind = Key(found.metadata.namespace, found.service)
            self._slices.get(behind, {}).pop(name[1], None)
            return self._with_origin(behind)
        if provider := PROVIDER_OF.get(resource):
            about = set(provider.services_of(found))
            for key in about:
                self._splits.get(key, {}).pop((name[1], resource), None)
            return about | self._no_conflict(resource, found)
        if isinstance(found, ServiceProfileObject):
            if not self._is_pin(found):
                return self._no_conflict(resource, found)
            pinned = pin.key_of(found.metadata.name, self._domain)
            return {pinned} if pinned and self._pins.pop(pinned, None) else set()
        if isinstance(found, ServiceObject) and (leads := self._leads_elsewhere(found)):
            origin, cluster = leads
            self._elsewhere.get(origin, set()).discard(cluster)
            return {origin, *self._with_origin(Key(*name))}
        return self._with_origin(Key(*name))

    def _is_pin(self, found: ServiceProfileObject) -> bool:
        return found.metadata.namespace == self._gateways

    def _conflict(self, resource: Resource, found: Any) -> set[Key]:
        """Note what an object takes from an HTTPRoute of the Service itself; give the Services it is about."""
        keys, what = conflicts.of(found, self._domain)
        for key in keys if what else ():
            self._conflicts.setdefault(key, {})[resource, identify(found)[:2]] = what
        return set(keys) if what else set()

    def _no_conflict(self, resource: Resource, found: Any) -> set[Key]:
        keys, what = conflicts.of(found, self._domain)
        for key in keys if what else ():
            self._conflicts.get(key, {}).pop((resource, identify(found)[:2]), None)
        return set(keys) if what else set()

    def _with_origin(self, key: Key) -> set[Key]:
        """A change of a mirror is a change of the Service that it mirrors."""
        suffix = f"-{self._far}"
        if key.service.endswith(suffix):
            return {key, Key(key.namespace, key.service.removesuffix(suffix))}
        return {key}

    def _leads_elsewhere(self, found: ServiceObject) -> tuple[Key, str] | None:
        """Return of which Service this is the mirror, and to which cluster, where that is not the far one."""
        cluster = found.metadata.labels.get(MIRROR_CLUSTER, "")
        if not found.is_mirror or cluster in ("", self._far):
            return None
        return Key(
            found.metadata.namespace, found.metadata.name.removesuffix(f"-{cluster}")
        ), cluster

    # --- what is asked ------------------------------------------------------------------------------

    @property
    def current(self) -> bool:
        """Whether everything that is needed was listed and is kept up to date."""
        return not any(self._stale.values())

    @property
    def stale_reason(self) -> str:
        """Return what is not current, "" where everything is."""
        return next((reason for reason in self._stale.values() if reason), "")

    def annotated(self) -> Iterable[Key]:
        """Return the Services that carry an annotation of ours, or have a split with a record."""
        for (namespace, name), found in self._objects[Resource.SERVICES].items():
            if not found.is_mirror and any(
                a.startswith(PREFIX) for a in found.metadata.annotations
            ):
                yield Key(namespace, name)
        for key in self._splits:
            if self.has_record(key):
                yield key

    def is_annotated(self, key: Key) -> bool:
        """Return whether the Service itself carries an annotation of ours."""
        found = self._objects[Resource.SERVICES].get(key)
        return (
            found is not None
            and not found.is_mirror
            and any(a.startswith(PREFIX) for a in found.metadata.annotations)
        )

    def has_record(self, key: Key) -> bool:
        """Return whether a split of the Service carries our record."""
        return any(
            a.startswith(PREFIX)
            for found in self._splits.get(key, {}).values()
            for a in found.metadata.annotations
        )

    def migration(self, key: Key) -> MigrationObject | None:
        """Return the Migration of this Service in this cluster."""
        found = self._objects[Resource.MIGRATIONS].get(key)
        return found if isinstance(found, MigrationObject) else None

    def observed(self, key: Key, *, writing: bool) -> ObservedCluster:
        """Return one Service as it is seen here."""
        mirror = Key(key.namespace, mirror_name(key.service, self._far))
        return ObservedCluster(
            name=self.name,
            current=self.current,
            stale_reason=self.stale_reason,
            service=self.service(key),
            mirror=self._service(mirror, mirror=True),
            other_mirrors=tuple(sorted(self._elsewhere.get(key, ()))),
            endpoints=self.endpoints(key),
            mirror_endpoints=self.endpoints(mirror),
            splits=self.splits(key),
            conflicts=tuple(what for _, what in sorted(self._conflicts.get(key, {}).items())),
            pin=self.pin(key),
            split_kinds=self._kinds,
            writing=writing,
        )

    def service(self, key: Key) -> ObservedService | None:
        """Return the Service itself, never a mirror of another."""
        return self._service(key, mirror=False)

    def endpoints(self, key: Key) -> Endpoints:
        """Add up the slices of a Service."""
        return endpoints_of(self._slices.get(key, {}).values())

    def splits(self, key: Key) -> tuple[Split, ...]:
        """Read every split that is about this Service: first what Linkerd follows, then by name."""
        mirror = mirror_name(key.service, self._far)
        here = self._splits.get(key, {})
        found = [
            provider.read(here[name, of], key, mirror)
            for resource, provider in PROVIDER_OF.items()
            for name, of in sorted(here)
            if of is resource
        ]
        return tuple(split for split in found if split is not None)

    def pin(self, key: Key) -> Pin | None:
        """Read the pin of this Service."""
        found = self._pins.get(key)
        return None if found is None else pin.read(found)

    def _service(self, key: Key, *, mirror: bool) -> ObservedService | None:
        found = self._objects[Resource.SERVICES].get(key)
        if found is None or found.is_mirror != mirror:
            return None
        meta = found.metadata
        asked_by, asked = _asked(meta.managers)
        return ObservedService(
            uid=meta.uid,
            ports=found.ports,
            cluster_ip=found.cluster_ip,
            type=found.type,
            session_affinity=found.session_affinity,
            opaque_ports=meta.annotations.get(OPAQUE_PORTS),
            mirror_of=meta.labels.get(MIRROR_CLUSTER, "") if mirror else "",
            annotations={k: v for k, v in meta.annotations.items() if k.startswith(PREFIX)},
            foreign=foreign_owner(
                meta.labels,
                [owner.kind for owner in meta.owner_references],
                [entry.manager for entry in meta.managers],
            ),
            asked=asked or meta.creation_timestamp,
            asked_by=asked_by,
        )


def _newer(one: str, other: str) -> bool:
    """Return whether resource version ``one`` is later; not where either is no number."""
    return one.isdigit() and other.isdigit() and int(one) > int(other)


def _asked(managers: Iterable[ManagedFields]) -> tuple[str, Any]:
    """Return who wrote an annotation of ours last, and when."""
    owners = [
        entry
        for entry in managers
        if any(name.startswith(f"f:{PREFIX}") for name in _annotation_fields(entry.fields_v1))
    ]
    last = max(owners, key=lambda e: str(e.time), default=None)
    return ("", None) if last is None else (last.manager, last.time)


def _annotation_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = fields.get("f:metadata", {}).get("f:annotations", {})
    return found
