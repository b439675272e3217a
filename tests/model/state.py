"""One moment of the model: two API servers, the controllers, what is in flight, what people ask for.

Everything is a tuple of small numbers, so that equal moments are equal values. Times and resource versions
matter to the product only by their order (the model's specs dwell and soak for no time), so
:func:`canonical` numbers them anew from zero: moments that differ in nothing else become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from controller.domain import Attempt, Latch, MigrationSpec, Record, Reverted, SplitKind

CLUSTERS = ("legacy", "eks")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
BEAT = timedelta(minutes=1)
"""Between two moments of the model: more than a pin's age and a step's settling."""

ORIGIN_READY = 3

STORED: list[MigrationSpec] = []
"""The specs that stand in records, by number."""


class Over(NamedTuple):
    """The latch, as ``Reverted``."""

    reason: str
    message: str
    at: int


class Try(NamedTuple):
    """An attempt; ``home`` is in the order of CLUSTERS, ``spec`` a place in STORED."""

    number: int
    target: str
    baseline: tuple[int, int]
    spec: int
    started: int


class Note(NamedTuple):
    """A record."""

    fencing_token: int
    made: int | None
    attempt: Try | None
    share: int
    since: int | None
    completed: int | None
    reverted: Over | None


class Copy(NamedTuple):
    """A latch on a pin."""

    target: str
    attempt: int
    reverted: Over


class SplitAt(NamedTuple):
    """A split on an API server, or as a controller saw it."""

    version: int
    away: int
    note: Note | None


class PinAt(NamedTuple):
    """A pin on an API server, or as a controller saw it."""

    version: int
    latch: Copy | None


class Place(NamedTuple):
    """One cluster's objects."""

    split: SplitAt | None
    pin: PinAt | None


class SplitWrite(NamedTuple):
    """A write of a split that was decided; ``version`` None makes it."""

    cluster: int
    away: int
    note: Note
    version: int | None
    revert: bool


class PinWrite(NamedTuple):
    """A write of a pin that was decided."""

    cluster: int
    latch: Copy | None
    version: int | None


class Reading(NamedTuple):
    """A hand that reads what became of its write."""

    cluster: int


Hand = SplitWrite | PinWrite | Reading | None


class Controller(NamedTuple):
    """A process: its term, what it saw last in each cluster, and its hands by cluster.

    ``reading`` are the clusters whose split is still to be read before an attempt begins (None: it is not
    asked for). ``failed`` is a FAIL that it heard of in the present attempt (a place in WEATHERS, 0: none):
    above the baseline points never come down.
    """

    fencing_token: int
    leads: bool
    may_roll_back: bool
    views: tuple[Place, Place]
    splits: tuple[Hand, Hand] = (None, None)
    pins: tuple[Hand, Hand] = (None, None)
    reading: tuple[int, ...] | None = None
    failed: int = 0


class Moment(NamedTuple):
    """Everything. ``over`` are the (target, number) whose callers were rolled back; ``touched``: somebody
    wrote or deleted objects by hand, so that some promises are not the product's any more."""

    servers: tuple[Place, Place]
    controllers: tuple[Controller, ...]
    loose: tuple[SplitWrite | PinWrite, ...] = ()
    spec: int = 0
    weather: int = 0
    over: frozenset[tuple[str, int]] = frozenset()
    touched: bool = False


# --- to the product's own words and back ----------------------------------------------------------


def when(time: int) -> datetime:
    """Return a time of the model as the product has it."""
    return EPOCH + time * BEAT


def _time(moment: datetime) -> int:
    return int((moment - EPOCH) / BEAT)


def _maybe(time: int | None) -> datetime | None:
    return None if time is None else when(time)


def stored_place(spec: MigrationSpec) -> int:
    """Return a stored spec's place."""
    if spec not in STORED:
        STORED.append(spec)
    return STORED.index(spec)


@cache
def record_of(note: Note) -> Record:
    """Return the record."""
    a = note.attempt
    return Record(
        kind=SplitKind.TRAFFICSPLIT,
        fencing_token=note.fencing_token,
        made=_maybe(note.made),
        attempt=None
        if a is None
        else Attempt(
            number=a.number,
            origin=CLUSTERS[1 - CLUSTERS.index(a.target)],
            target=a.target,
            baseline=dict(zip(CLUSTERS, a.baseline, strict=True)),
            origin_ready=ORIGIN_READY,
            spec=STORED[a.spec],
            started=when(a.started),
        ),
        share_permille=note.share,
        since=_maybe(note.since),
        completed=_maybe(note.completed),
        reverted=None if note.reverted is None else _reverted(note.reverted),
    )


def _reverted(over: Over) -> Reverted:
    return Reverted(over.reason, over.message, when(over.at))


def latch_of(copy: Copy) -> Latch:
    """Return the latch."""
    return Latch(copy.target, copy.attempt, _reverted(copy.reverted))


def over_of(reverted: Reverted) -> Over:
    """Return a latch back."""
    return Over(reverted.reason, reverted.message, _time(reverted.at))


def copy_of(latch: Latch | None) -> Copy | None:
    """Return a pin's latch back."""
    if latch is None:
        return None
    return Copy(latch.target, latch.attempt, over_of(latch.reverted))


def note_of(record: Record) -> Note:
    """Return a record back."""
    return Note(
        fencing_token=record.fencing_token,
        made=_back(record.made),
        attempt=_try_of(record.attempt) if record.attempt else None,
        share=record.share_permille,
        since=_back(record.since),
        completed=_back(record.completed),
        reverted=over_of(record.reverted) if record.reverted else None,
    )


def _try_of(attempt: Attempt) -> Try:
    baseline = (attempt.baseline[CLUSTERS[0]], attempt.baseline[CLUSTERS[1]])
    spec, started = stored_place(attempt.spec), _time(attempt.started)
    return Try(attempt.number, attempt.target, baseline, spec, started)


def _back(moment: datetime | None) -> int | None:
    return None if moment is None else _time(moment)


# --- canonical form -------------------------------------------------------------------------------


@cache
def _note_times(note: Note) -> tuple[int, ...]:
    found = [note.made, note.since, note.completed]
    found.append(note.attempt and note.attempt.started)
    found.append(note.reverted and note.reverted.at)
    return tuple(time for time in found if time is not None)


def _things(moment: Moment) -> Iterator[Any]:
    """Return everything that carries a time or a version: splits, pins and writes."""
    for place in (*moment.servers, *(view for c in moment.controllers for view in c.views)):
        yield from place
    for controller in moment.controllers:
        yield from controller.splits
        yield from controller.pins
    yield from moment.loose


def times(moment: Moment) -> set[int]:
    """Return every time that stands anywhere."""
    found: set[int] = set()
    for thing in _things(moment):
        if isinstance(thing, (SplitAt, SplitWrite)):
            if thing.note is not None:
                found.update(_note_times(thing.note))
        elif isinstance(thing, (PinAt, PinWrite)) and thing.latch is not None:
            found.add(thing.latch.reverted.at)
    return found


def versions(moment: Moment, cluster: int) -> tuple[set[int], set[int]]:
    """Return the resource versions of one cluster's split and pin that anybody knows."""
    splits: set[int] = set()
    pins: set[int] = set()
    for place in (moment.servers[cluster], *(c.views[cluster] for c in moment.controllers)):
        if place.split:
            splits.add(place.split.version)
        if place.pin:
            pins.add(place.pin.version)
    hands: list[Hand] = [
        *(hand for c in moment.controllers for hand in (*c.splits, *c.pins)),
        *moment.loose,
    ]
    for hand in hands:
        if hand is None or isinstance(hand, Reading) or hand.cluster != cluster:
            continue
        if hand.version is not None:
            (splits if isinstance(hand, SplitWrite) else pins).add(hand.version)
    return splits, pins


def canonical(moment: Moment) -> Moment:
    """Number times and versions from zero, in their order, and sort what is in flight."""
    clock = _ranks(times(moment))
    ranks = tuple(tuple(_ranks(found) for found in versions(moment, at)) for at in (0, 1))
    if _is_same(clock) and all(_is_same(rank) for pair in ranks for rank in pair):
        return moment._replace(loose=_sorted(moment.loose))
    return moment._replace(
        servers=_places(moment.servers, clock, ranks),
        controllers=tuple(
            c._replace(
                views=_places(c.views, clock, ranks),
                splits=tuple(_hand(hand, clock, ranks) for hand in c.splits),
                pins=tuple(_hand(hand, clock, ranks) for hand in c.pins),
            )
            for c in moment.controllers
        ),
        loose=_sorted(_hand(write, clock, ranks) for write in moment.loose),
    )


Ranks = Mapping[int, int]


def _ranks(found: set[int]) -> Ranks:
    return {value: rank for rank, value in enumerate(sorted(found))}


def _is_same(ranks: Ranks) -> bool:
    return all(value == rank for value, rank in ranks.items())


def _sorted(writes: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(writes), key=repr))


def _places(pair: tuple[Place, Place], clock: Ranks, ranks: Any) -> tuple[Place, Place]:
    one, other = pair
    return _place(one, clock, *ranks[0]), _place(other, clock, *ranks[1])


def _place(place: Place, clock: Ranks, splits: Ranks, pins: Ranks) -> Place:
    split, pin = place
    if split is not None:
        note = split.note and _note(split.note, clock)
        split = SplitAt(splits[split.version], split.away, note)
    if pin is not None:
        pin = PinAt(pins[pin.version], pin.latch and _copy(pin.latch, clock))
    return Place(split, pin)


def _hand(hand: Any, clock: Ranks, ranks: Any) -> Any:
    if hand is None or isinstance(hand, Reading):
        return hand
    splits, pins = ranks[hand.cluster]
    if isinstance(hand, SplitWrite):
        version = None if hand.version is None else splits[hand.version]
        return hand._replace(note=_note(hand.note, clock), version=version)
    version = None if hand.version is None else pins[hand.version]
    return hand._replace(latch=hand.latch and _copy(hand.latch, clock), version=version)


def _note(note: Note, clock: Ranks) -> Note:
    a = note.attempt
    return note._replace(
        made=None if note.made is None else clock[note.made],
        attempt=a and a._replace(started=clock[a.started]),
        since=None if note.since is None else clock[note.since],
        completed=None if note.completed is None else clock[note.completed],
        reverted=note.reverted and note.reverted._replace(at=clock[note.reverted.at]),
    )


def _copy(copy: Copy, clock: Ranks) -> Copy:
    return copy._replace(reverted=copy.reverted._replace(at=clock[copy.reverted.at]))
