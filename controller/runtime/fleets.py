"""All Fleets, whom they name, and how far they are. No I/O and no clock: objects and decisions come in, words go out.

Everything is kept up to date Service by Service: a change of one costs as much as that one, and where nothing changes
nothing is done. What is remembered is a cache of objects and records: it comes back from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.decide.decision import Decision
from controller.decide.fleet.placing import Placement, Seen, place
from controller.decide.fleet.progress import Picture, Programme, picture
from controller.decide.fleet.reading import Written, read
from controller.decide.fleet.standing import standing_of
from controller.decide.fleet.word import torn_between, torn_message, word_for
from controller.domain import PREFIX, Key
from controller.domain.annotation_schema import EXCLUDED
from controller.domain.fleet import Fleet, FleetWord, Standing
from controller.domain.identity import OWN_LABEL, is_of_the_platform
from controller.kube.objects import (
    EXPORTED,
    Change,
    Deleted,
    FleetObject,
    Freshness,
    Listed,
    Listing,
    NamespaceObject,
    Resource,
    ServiceObject,
    identify,
)
from controller.runtime.cluster_store import ClusterStore

NO_NAMESPACE = ""
"""A Fleet is of no namespace, and a Service always of one: so both may be keys of one queue."""

NEVER = datetime.max.replace(tzinfo=UTC)

NOTHING_SAID: frozenset[str] = frozenset()

NOWHERE = Placement()
"""Of a Service that no Fleet names and that nobody wants to move."""

FOLLOWED = (Resource.SERVICES, Resource.NAMESPACES, Resource.FLEETS)

LISTED = (Resource.SERVICES, Resource.NAMESPACES)
"""What must have been listed in both clusters before it is known whom a Fleet names."""


def fleet_key(name: str) -> Key:
    """Return by what a Fleet is queued among the Services."""
    return Key(NO_NAMESPACE, name)


@dataclass(slots=True)
class _Kept:
    """A Fleet with its Services; ``settled`` once something was decided for each of them."""

    programme: Programme
    settled: bool = False
    made: datetime | None = None
    picture: Picture | None = None


class Fleets:
    """The Fleets of the cluster ``at``, over both clusters' ``views``; ``gateways`` are the namespaces of the gateways,
    by cluster. Without a Fleet nothing is kept."""

    def __init__(
        self, views: Mapping[str, ClusterStore], gateways: Mapping[str, str], at: str = ""
    ) -> None:
        self._views = views
        self._gateways = gateways
        self.at = at
        self._kept: dict[str, _Kept] = {}
        self._placements: dict[Key, Placement] = {}
        self._standings: dict[Key, Standing] = {}
        self._listed: set[tuple[str, Resource]] = set()
        self._due: set[Key] = set()

    # --- what comes in -------------------------------------------------------------------------------

    def names_in(self, change: Change) -> frozenset[tuple[str, str]]:
        """Return what a change may be about, before it is applied: all that is known, where it is a list."""
        if isinstance(change, (Freshness, Listing)) or change.resource not in FOLLOWED:
            return frozenset()
        if not self._kept and change.resource is not Resource.FLEETS:
            return frozenset()
        if isinstance(change, Listed):
            known = self._views[change.cluster].objects(change.resource)
            found = {identify(one)[:2]: one for one in change.objects}
            return frozenset(
                name for name in known.keys() | found.keys() if known.get(name) != found.get(name)
            )
        if isinstance(change, Deleted):
            return frozenset({(change.namespace, change.name)})
        return frozenset({identify(change.object)[:2]})

    def apply(self, change: Change, names: Iterable[tuple[str, str]]) -> set[Key]:
        """Take in what a change, that the view has applied, says of these names; return who is to be reconciled."""
        self._note_listed(change)
        if not names:
            return set()
        if change.resource is Resource.FLEETS:
            return self._fleets_changed(change.cluster, names)
        if change.resource is Resource.NAMESPACES:
            spaces = {name for _, name in names}
            return self._place(key for key in _services(self._views) if key.namespace in spaces)
        return self._place(Key(*name) for name in names)

    def _note_listed(self, change: Change) -> None:
        listed = (change.cluster, change.resource)
        if isinstance(change, Listed) and listed[1] in LISTED and listed not in self._listed:
            self._listed.add(listed)
            self._forget_pictures()

    def _fleets_changed(self, cluster: str, names: Iterable[tuple[str, str]]) -> set[Key]:
        """Read these Fleets anew. Where one comes or goes whom the others name is looked at anew too."""
        if cluster != self.at:
            return set()
        keys = {fleet_key(name) for _, name in names}
        before = set(self.members())
        read_as = [self._reread(name) for _, name in sorted(names)]
        if True in read_as:
            for key, found in self._placements.items():
                self._put(key, found)
            self._place([*_services(self._views), *self._placements])
        return keys if set(read_as) == {None} else keys | before | set(self.members())

    def _reread(self, name: str) -> bool | None:
        """Read a Fleet anew; return whether it may name others than before, None where it asks for the same."""
        found = self._views[self.at].objects(Resource.FLEETS).get((NO_NAMESPACE, name))
        before = self._kept.get(name)
        if not isinstance(found, FleetObject):
            return self._kept.pop(name, None) is not None
        fleet = read(_written(found), self._clusters)
        if before is not None and before.programme.fleet == fleet:
            return None
        if before is not None and _names_the_same(before.programme.fleet, fleet):
            before.programme.fleet = fleet
            self._changed(name)
            return False
        self._kept[name] = _Kept(Programme(fleet), settled=bool(before and before.settled))
        return True

    def note(self, decision: Decision) -> None:
        """Take in what was decided for a Service, as far as a Fleet asks."""
        key = decision.key
        found = self._placements.get(key)
        if found is None or not found.is_member:
            return
        standing = standing_of(decision)
        if self._standings.get(key) == standing:
            return
        self._standings[key] = standing
        for name, number in found.places:
            self._kept[name].programme.tallies[number].put(key, standing)
            self._changed(name)

    # --- what is asked --------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Return whether there is a Fleet of this name."""
        return name in self._kept

    def names(self, key: Key) -> bool:
        """Return whether a Fleet has a say in a Service."""
        found = self._placements.get(key)
        return found is not None and found.is_member

    def members(self) -> Iterator[Key]:
        """Yield the Services in which a Fleet has a say."""
        return (key for key, found in self._placements.items() if found.is_member)

    def origin(self, key: Key) -> str:
        """Return the cluster that its Fleet moves a Service from, "" where no single one does."""
        found = self._placements.get(key)
        named = {name for name, _ in found.places} if found and found.is_member else set()
        return self._kept[named.pop()].programme.fleet.origin if len(named) == 1 else ""

    def all(self) -> list[str]:
        """Return the names of all Fleets."""
        return sorted(self._kept)

    def written(self, name: str) -> FleetObject:
        """Return a Fleet as its API server has it."""
        found: FleetObject = self._views[self.at].objects(Resource.FLEETS)[NO_NAMESPACE, name]
        return found

    def waves_of(self, name: str) -> dict[Key, str]:
        """Return the wave of each Service that a Fleet moves."""
        fleet = self._kept[name].programme.fleet
        tallies = self._kept[name].programme.tallies
        return {key: w.name for w in fleet.waves for key in tallies[w.number].members}

    def unplaced(self) -> list[Key]:
        """Return the Services that somebody exported or annotated, and that no Fleet names."""
        return [k for k, found in self._placements.items() if not found.places and found.wanted]

    def is_unknown(self, name: str) -> bool:
        """Return whether it is not known yet whom a Fleet names, or how they stand."""
        return not self._kept[name].settled

    def programme(self, name: str) -> Programme:
        """Return a Fleet with its Services."""
        return self._kept[name].programme

    def word(self, key: Key, now: datetime) -> FleetWord | None:
        """Return what Fleets say to a Service at a time, None where none has a say."""
        found = self._placements.get(key)
        if found is None or not found.is_member:
            return None
        pictures = {name: self.picture(name, now) for name, _ in found.places}
        bad = any(picture.fleet.bad_defaults for picture in pictures.values())
        return word_for(key, found, pictures, _said(self._views, key) if bad else NOTHING_SAID)

    def picture(self, name: str, now: datetime) -> Picture:
        """Return what holds for a Fleet at a time. Whoever it concerns that this is another than before is due."""
        kept = self._kept[name]
        before, made = kept.picture, kept.made
        if before is not None and made is not None and made <= now < (before.changes or NEVER):
            return before
        found = picture(
            kept.programme.fleet,
            kept.programme.tallies,
            now,
            unknown=self._unknown(kept),
            excluded=set(kept.programme.excluded.values()),
            before=before,
        )
        kept.picture, kept.made = found, now
        self._due |= _concerned(kept.programme, before, found)
        return found

    def due(self) -> set[Key]:
        """Return who is to be reconciled because of what was found out since this was asked last."""
        due, self._due = self._due, set()
        return due

    # --- how it is done -------------------------------------------------------------------------------

    @property
    def _clusters(self) -> tuple[str, str]:
        one, other = self._views
        return one, other

    def _unknown(self, kept: _Kept) -> str:
        """Return why it is not known whom a Fleet names, or how they stand; "" where it is."""
        for cluster in self._views:
            for resource in LISTED:
                if (cluster, resource) not in self._listed:
                    return f"whom its waves name is not known: the {resource} of {cluster} were not listed yet"
        if not kept.settled and (unknown := kept.programme.unknown()):
            return f"{unknown} Services of Fleet {kept.programme.fleet.name} were not looked at yet"
        kept.settled = True
        return ""

    def _place(self, keys: Iterable[Key]) -> set[Key]:
        """Find out anew whom Fleets name of these; return the Services of which that changed."""
        fleets = [kept.programme.fleet for _, kept in sorted(self._kept.items())]
        changed = set[Key]()
        for key in set(keys):
            found = place(key, _seen_in(self._views, self._gateways, key), fleets)
            before = self._placements.get(key, NOWHERE)
            if found != before:
                changed.add(key)
                self._replace(key, before, found)
        return changed | {fleet_key(name) for name in self._kept} if changed else changed

    def _replace(self, key: Key, before: Placement, after: Placement) -> None:
        self._take_out(key, before)
        self._placements.pop(key, None)
        if after != NOWHERE:
            self._placements[key] = after
            self._put(key, after)
        if not after.is_member:
            self._standings.pop(key, None)

    def _put(self, key: Key, found: Placement) -> None:
        """Have each Fleet that names a Service count it."""
        for name, number in found.places:
            if name not in self._kept:
                continue
            programme = self._kept[name].programme
            if found.unfit:  # a mirror has the annotations of its Service
                programme.unfit[key] = found.unfit
            elif found.excluded:
                programme.excluded[key] = number
            elif number in programme.tallies:
                programme.tallies[number].put(key, self._standings.get(key))
            if found.is_member and len(found.places) > 1:
                programme.torn[key] = _torn(self._kept, key, found)
            self._changed(name)

    def _take_out(self, key: Key, found: Placement) -> None:
        for name, number in found.places:
            if name in self._kept:
                programme = self._kept[name].programme
                programme.excluded.pop(key, None)
                programme.unfit.pop(key, None)
                programme.torn.pop(key, None)
                if number in programme.tallies:
                    programme.tallies[number].drop(key)
                self._changed(name)

    def _changed(self, name: str) -> None:
        """Have the picture of a Fleet made anew when it is asked for next, soon."""
        self._kept[name].made = None
        self._due.add(fleet_key(name))

    def _forget_pictures(self) -> None:
        for name in self._kept:
            self._changed(name)


def _services(views: Mapping[str, ClusterStore]) -> set[Key]:
    """Return every Service of both clusters."""
    return {Key(*name) for view in views.values() for name in view.objects(Resource.SERVICES)}


def _seen_in(
    views: Mapping[str, ClusterStore], gateways: Mapping[str, str], key: Key
) -> dict[str, Seen]:
    """Return a Service as Fleets see it, by cluster."""
    found: dict[str, Seen] = {}
    for cluster, view in views.items():
        service = view.objects(Resource.SERVICES).get(key)
        space = view.objects(Resource.NAMESPACES).get((NO_NAMESPACE, key.namespace))
        if isinstance(service, ServiceObject):
            found[cluster] = _seen(
                key,
                service,
                space if isinstance(space, NamespaceObject) else None,
                gateways=gateways.get(cluster, ""),
                recorded=view.has_record(key),
            )
    return found


def _said(views: Mapping[str, ClusterStore], key: Key) -> frozenset[str]:
    """Return the keys of the annotations that the owner of a Service wrote."""
    services = (view.objects(Resource.SERVICES).get(key) for view in views.values())
    return frozenset(
        annotation.removeprefix(PREFIX)
        for service in services
        if service is not None and not service.is_mirror
        for annotation in service.metadata.annotations
    )


def _torn(kept: Mapping[str, _Kept], key: Key, found: Placement) -> str:
    """Return that more than one wave names a Service, and which."""
    names = [
        torn_between(wave, name)
        for name, number in found.places
        if name in kept
        for wave in kept[name].programme.fleet.waves[number - 1 : number]
    ]
    return torn_message(key, names)


def _concerned(programme: Programme, before: Picture | None, after: Picture) -> set[Key]:
    """Return whom it concerns that another picture holds now; the Fleet itself, at each."""
    keys = {fleet_key(programme.fleet.name)}
    everybody = before is None or before.sign != after.sign
    known = () if before is None else before.waves
    for number, view in enumerate(after.waves):
        same = not everybody and number < len(known) and known[number].sign == view.sign
        if not same:
            keys |= set(programme.tallies[view.wave.number].members)
    return keys


def _names_the_same(one: Fleet, other: Fleet) -> bool:
    """Return whether two readings of a Fleet name the same Services, in the same waves."""
    waves = [[(wave.number, wave.services) for wave in fleet.waves] for fleet in (one, other)]
    return one.target == other.target and waves[0] == waves[1]


def _written(found: FleetObject) -> Written:
    meta = found.metadata
    return Written(
        name=meta.name,
        spec=found.spec,
        annotations=found.annotations,
        uid=meta.uid,
        generation=found.generation,
        created=meta.creation_timestamp,
    )


def _seen(
    key: Key,
    service: ServiceObject,
    space: NamespaceObject | None,
    *,
    gateways: str,
    recorded: bool,
) -> Seen:
    meta = service.metadata
    said = [meta.annotations, space.metadata.annotations if space else {}]
    own = any(a.startswith(PREFIX) and a != PREFIX + EXCLUDED for a in meta.annotations)
    return Seen(
        labels=meta.labels,
        namespace=space.metadata.labels if space else {},
        unfit=_unfit(key, service, gateways),
        wanted=not service.is_mirror and (own or EXPORTED in meta.labels),
        recorded=recorded,
        excluded=any(one.get(PREFIX + EXCLUDED, "false") != "false" for one in said),
    )


def _unfit(key: Key, service: ServiceObject, gateways: str) -> str:
    """Return why a Service is never a Fleet's, "" where it may be."""
    if service.is_mirror:
        return "a mirror"
    if service.metadata.labels.get(OWN_LABEL[0]) == OWN_LABEL[1]:
        return "mesh-migrate's own"
    if key.namespace == gateways:
        return "the gateway's own"
    if is_of_the_platform(key):
        return "Kubernetes' or the mesh's own"
    if service.type == "ExternalName":
        return "ExternalName"
    return "headless" if service.cluster_ip == "None" else ""
