"""What one cluster's streams said last, by Service. No I/O and no clock: changes come in, keys go out.

An object that is older than what is known is ignored: the answer to our own write is applied at once, and
the watch's echo of an earlier state may still come after it. A list replaces all that was known when it was asked
for, by lower versions too: a restore of etcd takes them back, and what a quorum says is what there is. Only what
came since, the answer to a write of ours, stays where it is newer than the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
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
from controller.domain.annotation_schema import EXCLUDED
from controller.kube.objects import (
    EXPORTED,
    MIRROR_CLUSTER,
    OPAQUE_PORTS,
    POLICIES,
    REMOTE_DISCOVERY,
    Change,
    Deleted,
    Freshness,
    Listed,
    Listing,
    ManagedFields,
    MigrationObject,
    Resource,
    ServiceObject,
    Undecodable,
    Upserted,
    endpoints_of,
    identify,
)
from controller.mesh import pin
from controller.mesh.splits import foreign_owner_of_service, mirror_name
from controller.mesh.splits.canary import CANARY
from controller.mesh.splits.kinds import PROVIDER_OF, PROVIDERS
from controller.runtime.read_splits import ReadSplits
from controller.runtime.service_index import ServiceIndex
from controller.runtime.unreadable import Asked, UnreadableObjects

NEEDED = (
    Resource.SERVICES,
    Resource.ENDPOINTSLICES,
    *PROVIDER_OF,
    Resource.SERVICEPROFILES,
    Resource.GRPCROUTES,
    Resource.POLICY_HTTPROUTES,
)
"""What must have been listed, and be current, before anything rises. What is not served is current, and empty."""

WATCHED = (*NEEDED, Resource.MIGRATIONS, Resource.NAMESPACES)
"""What is followed in each cluster."""

LEASE_WATCHED = (*WATCHED, Resource.FLEETS)
"""What is followed in the cluster that holds the lease. A Fleet can say stay, so there they are needed too."""

Name = tuple[str, str]


class _Stale:
    """Which of what is needed is not kept up to date, and why; Fleets are needed where they are followed."""

    def __init__(self) -> None:
        self._found: dict[Resource, str] = dict.fromkeys(NEEDED, "it was not listed yet")

    def note(self, change: Freshness) -> bool:
        """Take in how fresh a resource is; report whether that is another answer than before."""
        if change.resource not in (*NEEDED, Resource.FLEETS):
            return False
        was = self._found.get(change.resource, "")
        self._found[change.resource] = (
            "" if change.current else f"{change.resource} {change.reason}"
        )
        return bool(was) == change.current

    @property
    def reason(self) -> str:
        """Return what is not current, "" where everything is."""
        return next((reason for reason in self._found.values() if reason), "")


class ClusterStore:
    """One cluster, by Service. ``far`` is the other cluster, ``domain`` this one's DNS domain and ``gateways``
    the namespace of its gateway."""

    def __init__(self, name: str, far: str, domain: str, gateways: str) -> None:
        self.name = name
        self._far = far
        self._gateways = gateways
        self._index = ServiceIndex(far, domain, gateways)
        self._objects: dict[Resource, dict[Name, Any]] = {kind: {} for kind in Resource}
        self._stale = _Stale()
        self._kinds: frozenset[SplitKind] = frozenset()
        self._answered: set[SplitKind] = set()
        self._read_canaries: dict[SplitKind, datetime | None] = {}
        self._since_listing: dict[Resource, set[Name]] = {}
        self._unreadable = UnreadableObjects()
        self._splits = ReadSplits(far)

    # --- what comes in -------------------------------------------------------------------------------

    def apply(self, change: Change) -> set[Key]:
        """Take one change in; return the Services that it is about."""
        if isinstance(change, Freshness):
            return set(self.annotated()) if self._stale.note(change) else set()
        if isinstance(change, Listing):
            self._since_listing[change.resource] = set()
            return set()
        if isinstance(change, Listed):
            return self._replace(change)
        if isinstance(change, Deleted):
            return self._remove(change)
        return self._upsert(change)

    def _replace(self, change: Listed) -> set[Key]:
        known = self._objects[change.resource]
        since = self._since_listing.pop(change.resource, set())
        newer = {n for n in since & known.keys() if _newer(identify(known[n])[2], change.version)}
        listed = {identify(found)[:2]: found for found in change.objects}
        keys: set[Key] = set()
        there = known.keys() | self._unreadable.names(change.resource)
        for name in there - listed.keys() - newer:
            keys |= self._drop(change.resource, name)
        for name in listed.keys() - newer:
            if known.get(name) != listed[name]:
                keys |= self._put(change.resource, name, listed[name])
        if provider := PROVIDER_OF.get(change.resource):
            before, kind = self._kinds, {provider.KIND}
            self._kinds = before | kind if change.served else before - kind
            self._answered &= self._kinds
            keys |= self._note_answers(set(self._index.splits))
            if self._kinds != before:  # every migration may have waited for that
                keys |= set(self.annotated())
        return keys

    def _remove(self, change: Deleted) -> set[Key]:
        name = (change.namespace, change.name)
        known = self._version(change.resource, name)
        if known is None or _newer(known, change.resource_version):
            return set()
        return self._drop(change.resource, name)

    def _upsert(self, change: Upserted) -> set[Key]:
        name, version = identify(change.object)[:2], identify(change.object)[2]
        before = self._version(change.resource, name)
        # What could not be read may have been spoiled on its way: the same version may be read now.
        unread = bool(self._unreadable.version(change.resource, *name))
        if before is not None and ((before == version and not unread) or _newer(before, version)):
            return set()
        self._since_listing.get(change.resource, set()).add(name)
        return self._put(change.resource, name, change.object)

    def _put(self, resource: Resource, name: Name, found: Any) -> set[Key]:
        """Let an object take the place of what is known by its name."""
        if isinstance(found, Undecodable):
            return self._note_unreadable(resource, name, found)
        keys = self._drop(resource, name)
        self._objects[resource][name] = found
        keys |= self._index.add(resource, found)
        return keys | self._note_answers(keys)

    def _note_unreadable(self, resource: Resource, name: Name, found: Undecodable) -> set[Key]:
        """Keep what is known by this name; return whoever may be waiting for a word of it."""
        known = self._objects[resource].get(name)
        keys = set[Key]()
        if known is not None:
            keys = self._index.remove(resource, known) | self._index.add(resource, known)
        self._unreadable.note(resource, found, keys)
        return keys | set(self.annotated())

    def _drop(self, resource: Resource, name: Name) -> set[Key]:
        found = self._objects[resource].pop(name, None)
        keys = set(self.annotated()) if self._unreadable.clear(resource, *name) else set[Key]()
        if found is None:
            return keys
        about = self._index.remove(resource, found)
        for key in about:
            self._splits.forget(key, (name[1], resource))
        return keys | about

    def _version(self, resource: Resource, name: Name) -> str | None:
        """Return the latest version that is known of an object, None where there is no such object."""
        known = self._objects[resource].get(name)
        unread = self._unreadable.version(resource, *name)
        return unread or (None if known is None else identify(known)[2])

    def rename(self, domain: str) -> set[Key]:
        """Take this for the cluster's DNS domain; return the Services of which ServiceProfiles now tell."""
        return self._index.rename(domain, list(self._objects[Resource.SERVICEPROFILES].values()))

    def _note_answers(self, keys: set[Key]) -> set[Key]:
        """Note which kinds of split were seen to be answered; return who may have waited for the first answer."""
        silent = self._kinds - self._answered
        if not silent:
            return set()
        waiting = (key for key in keys if self._index.kinds(key) & silent)
        splits = (split for key in waiting for split in self.splits(key))
        found = {split.kind for split in splits if split.answered and split.kind in silent}
        self._answered |= found
        return set(self.annotated()) if found else set()

    # --- what is asked ------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, str]:
        """Return the DNS domain of this cluster, and that of the other as its mirrors here say it ("": none does)."""
        return self._index.domain, self._index.far_domain

    @property
    def current(self) -> bool:
        """Report whether everything that is needed was listed and is kept up to date."""
        return not self._stale.reason

    @property
    def stale_reason(self) -> str:
        """Return what is not current, "" where everything is."""
        return self._stale.reason

    def annotated(self) -> Iterable[Key]:
        """Return the Services that carry an annotation of ours, or have a split with a record."""
        for name, found in self._objects[Resource.SERVICES].items():
            if _asks(found):
                yield Key(*name)
        for key in self._index.splits:
            if self.has_record(key):
                yield key

    def is_annotated(self, key: Key) -> bool:
        """Return whether the Service itself carries an annotation of ours."""
        found = self._objects[Resource.SERVICES].get(key)
        return found is not None and _asks(found)

    def has_record(self, key: Key) -> bool:
        """Return whether a split of the Service carries our record."""
        return self._index.has_record(key)

    def objects(self, resource: Resource) -> Mapping[Name, Any]:
        """Return what is known of a resource, by namespace and name."""
        return self._objects[resource]

    def migration(self, key: Key) -> MigrationObject | None:
        """Return the Migration of this Service in this cluster."""
        found = self._objects[Resource.MIGRATIONS].get(key)
        return found if isinstance(found, MigrationObject) else None

    def observed(self, key: Key, *, writing: bool) -> ObservedCluster:
        """Return one Service as it is seen here."""
        mirror = Key(key.namespace, mirror_name(key.service, self._far))
        service = self._objects[Resource.SERVICES].get(key)
        rivals = self._index.judged(key, service.ports if service else ())
        unreadable = self._unreadable.why(
            Asked(key, mirror.service, self._index.domain, key in self._index.splits)
        )
        return ObservedCluster(
            name=self.name,
            current=self.current and not unreadable,
            stale_reason=self.stale_reason,
            unreadable=unreadable,
            service=self.service(key),
            mirror=self._service(mirror, mirror=True),
            other_mirrors=tuple(sorted(set(self._index.other_mirrors.get(key, {}).values()))),
            false_mirror=self.service(mirror) is not None,
            endpoints=self.endpoints(key),
            mirror_endpoints=self.endpoints(mirror),
            splits=self.splits(key),
            twins=_twins(key, map(self._objects[Resource.SERVICES].get, self._index.twins(key))),
            conflicts=rivals.winning,
            overruled=rivals.losing,
            pin=self.pin(key),
            split_kinds=self._kinds,
            also_in=self._index.also_in(key),
            unanswered={kind: self._canary(kind) for kind in self._kinds - self._answered},
            silent=self._silent(),
            writing=writing,
        )

    def service(self, key: Key) -> ObservedService | None:
        """Return the Service itself, never a mirror of another."""
        return self._service(key, mirror=False)

    def endpoints(self, key: Key) -> Endpoints:
        """Add up the slices of a Service."""
        found = endpoints_of(self._index.slices.get(key, {}).values())
        strange = found.strange or self._index.trespass(key)
        return replace(found, strange=strange) if strange else found

    def slice_names(self, key: Key) -> frozenset[str]:
        """Return the names of the slices of a Service."""
        return frozenset(self._index.slices.get(key, {}))

    def splits(self, key: Key) -> tuple[Split, ...]:
        """Read every split that is about this Service: first what Linkerd follows, then by name."""
        here = self._index.splits.get(key, {})
        profile = next(iter(self._index.profiles.get(key, {}).values()), None)
        found = [
            (self._splits.read(key, (name, of), here[name, of], profile), resource)
            for resource in PROVIDER_OF
            for name, of in sorted(here)
            if of is resource
        ]
        return tuple(self._as_it_stands(split, key, of) for split, of in found if split is not None)

    def _as_it_stands(self, split: Split, key: Key, resource: Resource) -> Split:
        """Return a split with the version that stands, also where that cannot be read: a rollback replaces it."""
        version = self._unreadable.version(resource, key.namespace, split.name)
        return replace(split, resource_version=version) if version else split

    def _canary(self, kind: SplitKind) -> datetime | None:
        """Return when the canary of a kind was made, None where there is none."""
        made = self._objects[PROVIDERS[kind].RESOURCE].get((self._gateways, CANARY))
        return made.metadata.creation_timestamp if made else None

    def canary_read(self, kind: SplitKind) -> None:
        """Note that the canary of a kind, and what answers it, were just read from the API server itself."""
        self._read_canaries[kind] = self._canary(kind)

    def _silent(self) -> frozenset[SplitKind]:
        """Return the kinds that the API server itself knows no answer for; a canary that was made anew asks anew."""
        read = self._read_canaries.items()
        return frozenset(
            k for k, made in read if k not in self._answered and made == self._canary(k)
        )

    def pin(self, key: Key) -> Pin | None:
        """Read the pin of this Service."""
        found = next(iter(self._index.pins.get(key, {}).values()), None)
        return None if found is None else pin.read(found)

    def _service(self, key: Key, *, mirror: bool) -> ObservedService | None:
        found = self._objects[Resource.SERVICES].get(key)
        return _observed(found) if found is not None and found.is_mirror == mirror else None


def _observed(found: ServiceObject) -> ObservedService:
    """Return a Service as it is seen, or a mirror of one."""
    meta, mirror = found.metadata, found.is_mirror
    asked_by, asked = _asked(meta.managers)
    return ObservedService(
        uid=meta.uid,
        ports=found.ports,
        cluster_ip=found.cluster_ip,
        type=found.type,
        session_affinity=found.session_affinity,
        opaque_ports=meta.annotations.get(OPAQUE_PORTS),
        mirror_of=meta.labels.get(MIRROR_CLUSTER, "") if mirror else "",
        exposed=found.exposed,
        federated=found.is_federated,
        remote_discovery=mirror and REMOTE_DISCOVERY in meta.labels,
        exported=meta.labels.get(EXPORTED, ""),
        annotations={k: v for k, v in meta.annotations.items() if k.startswith(PREFIX)},
        foreign=foreign_owner_of_service(meta),
        asked=asked or meta.creation_timestamp,
        asked_by=asked_by,
        policies=tuple(sorted(k for k in meta.annotations if k.startswith(POLICIES))),
    )


def _asks(found: ServiceObject) -> bool:
    """Return whether a Service itself, and not a mirror of it, carries an annotation of ours that asks for anything."""
    asked = (
        a for a in found.metadata.annotations if a.startswith(PREFIX) and a != PREFIX + EXCLUDED
    )
    return not found.is_mirror and any(asked)


def _twins(key: Key, services: Iterable[ServiceObject | None]) -> tuple[str, ...]:
    """Return the names of other Services that lead to the same pods; a mirror leads to a gateway."""
    return tuple(sorted(_twin(key, one) for one in services if one and not one.is_mirror))


def _twin(key: Key, found: ServiceObject) -> str:
    meta = found.metadata
    name = meta.name if meta.namespace == key.namespace else f"{meta.namespace}/{meta.name}"
    kind = "headless" if found.cluster_ip == "None" else found.exposed
    return f"{name} ({kind})" if kind else name


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
