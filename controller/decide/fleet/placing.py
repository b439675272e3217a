"""Whom Fleets name: which wave a Service is in, or why it is in none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from controller.domain import Key
from controller.domain.fleet import Fleet, Selection, Wave

Place = tuple[str, int]
"""The name of a Fleet, and the number of a wave in it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A Service as it stands in one cluster. ``unfit`` says why it can never be split ("": it can), ``wanted`` that
    somebody exported or annotated it, ``recorded`` that its split has a record. ``namespace`` are the labels of its
    namespace, and ``excluded`` is said on either."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    wanted: bool = False
    recorded: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Which waves name a Service, of all Fleets, and why it is nevertheless in none."""

    places: tuple[Place, ...] = ()
    excluded: bool = False
    unfit: str = ""
    wanted: bool = False

    @property
    def is_member(self) -> bool:
        """Whether a Fleet has a say in it."""
        return bool(self.places) and not self.excluded and not self.unfit

    @property
    def place(self) -> Place | None:
        """The one wave that it moves in, None where there is none or more than one."""
        return self.places[0] if self.is_member and len(self.places) == 1 else None


def place(key: Key, seen: Mapping[str, Seen], fleets: Iterable[Fleet]) -> Placement:
    """Return which waves name a Service; ``seen`` is by cluster, where it is there at all."""
    places: list[Place] = []
    unfit = ""
    for fleet in fleets:
        found = _as_fleet_sees(seen, fleet)
        named = [] if found is None else [*_places(fleet, key, found)]
        places += named
        unfit = unfit or (found.unfit if found and named else "")
    return Placement(
        places=tuple(places),
        excluded=any(one.excluded for one in seen.values()),
        unfit=unfit,
        wanted=any(one.wanted and not one.unfit for one in seen.values()),
    )


def _as_fleet_sees(seen: Mapping[str, Seen], fleet: Fleet) -> Seen | None:
    """Return a Service as it is where it comes from; one that is there no more is the Fleet's while it has a record."""
    if not fleet.target:
        return next(iter(seen.values()), None)
    if fleet.origin in seen:
        return seen[fleet.origin]
    there = seen.get(fleet.target)
    return there if there is not None and there.recorded else None


def _places(fleet: Fleet, key: Key, seen: Seen) -> Iterator[Place]:
    yield from ((fleet.name, wave.number) for wave in fleet.waves if _names(wave, key, seen))


def _names(wave: Wave, key: Key, seen: Seen) -> bool:
    return any(_selects(selection, key, seen) for selection in wave.services)


def _selects(selection: Selection, key: Key, seen: Seen) -> bool:
    there = (
        selection.namespace == key.namespace
        if selection.namespace
        else selection.namespaces.admits(seen.namespace)
    )
    named = not selection.names or key.service in selection.names
    return there and named and selection.services.admits(seen.labels)
