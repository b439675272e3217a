"""The model: what can happen next in a moment, with the product's own ``plan`` deciding.

Everything that a real shell, a network and two API servers can do to a decision is a step of its own: a write
is answered, applied unheard, lost, or late; a watch tells of a change at any time after it; a controller
is killed and another begins; the lease changes hands. The model's shell has the hands of the real one: one
write at a time for each object, a revert takes the place of a raise, an unclear outcome is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from controller.domain import (
    WHOLE,
    Endpoints,
    GlobalContext,
    Key,
    Observed,
    ObservedCluster,
    ObservedService,
    Pin,
    Plan,
    Port,
    ReadSplits,
    Split,
    SplitKind,
    Weights,
    WritePin,
    WriteSplit,
)
from tests.model import promises
from tests.model.search import BrokenError, Budget, Step
from tests.model.state import (
    CLUSTERS,
    ORIGIN_READY,
    Controller,
    Hand,
    Moment,
    Note,
    PinAt,
    PinWrite,
    Place,
    Reading,
    SplitAt,
    SplitWrite,
    canonical,
    copy_of,
    latch_of,
    note_of,
    record_of,
    times,
    versions,
    when,
)
from tests.model.weather import WEATHERS, WISHES

Decide = Callable[[Observed, datetime], Plan]

A = Key("default", "service-a")
SERVICE = ObservedService("uid", (Port("http", 80),), "10.0.0.1")
PODS = {"http": ("10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.3:8080")}
ROUNDS = 60
"""A calm that lasts longer than this never comes to rest."""


class Bounds(NamedTuple):
    """How often each trouble may come in one story; ``faults`` are writes or reads that go wrong."""

    faults: int = 0
    crashes: int = 0
    takeovers: int = 0
    weathers: int = 0
    specs: int = 0
    hands: int = 0


FREE = Bounds()

TROUBLES = {
    "faults": "wrong answers",
    "crashes": "crashes",
    "takeovers": "takeovers",
    "weathers": "changes of evidence",
    "wishes": "changes of annotations",
    "hands": "hand edits",
}
"""What the bounds are called for people."""


class Scene(NamedTuple):
    """A kind of stories: what may happen in each, and how many controllers there are."""

    bounds: Bounds
    controllers: int = 1

    @property
    def title(self) -> str:
        """Return it for people."""
        named = zip(TROUBLES.values(), self.bounds, strict=True)
        return ", ".join(f"{times} {what}" for what, times in named if times)


def enrolled(controllers: int = 1) -> Moment:
    """Begin with splits and pins made, all callers on legacy, and eks asked for."""
    note = Note(1, None, None, 0, None, None, None)
    places = tuple(Place(SplitAt(0, away, note), PinAt(0, None)) for away in (0, WHOLE))
    servers = (places[0], places[1])
    first = Controller(1, leads=True, may_roll_back=True, views=servers)
    second = Controller(1, leads=False, may_roll_back=False, views=servers)
    return Moment(servers, (first, second)[:controllers])


class World:
    """The steps of the model under one ``decide``: the product's plan, or one with a planted bug."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._decided: dict[Any, tuple[Any, ...]] = {}
        self._calm: dict[Moment, str] = {}

    # --- what can happen ----------------------------------------------------------------------------

    def steps(self, moment: Moment, budget: Budget) -> Iterator[Step[Moment]]:
        """Return everything that can happen next, within a budget of Bounds."""
        left = Bounds(*budget)
        for at in range(len(moment.controllers)):
            yield from self._look(moment, at)
            yield from _answers(moment, at)
            yield from self._reads(moment, at)
            yield from _tellings(moment, at)
            yield from _endings(moment, at)
        for write in moment.loose:
            line = f"a late {_words(write)} arrives"
            yield _step(line, FREE, partial(_loosened, moment, write))
        yield from _outside(moment, left)
        if left.hands:
            yield from _by_hand(moment)

    def _look(self, moment: Moment, at: int) -> Iterator[Step[Moment]]:
        """A controller looks, where that changes anything."""
        actions = self._plan(moment, at, just_read=False)
        after = _taken(moment, at, actions)
        if after != moment or self._raises(moment, at, actions):
            line = f"controller {at + 1} looks: {_told(actions)}"
            yield _step(line, FREE, partial(self._acted, moment, at, actions))

    def _acted(self, moment: Moment, at: int, actions: tuple[Any, ...]) -> Moment:
        who = moment.controllers[at]
        for action in actions:
            if isinstance(action, SplitWrite):
                promises.decided(moment, who, WEATHERS[who.failed or moment.weather], action)
        return _taken(moment, at, actions)

    def _raises(self, moment: Moment, at: int, actions: tuple[Any, ...]) -> bool:
        """Return whether a promise breaks in what is decided, though every hand is busy."""
        try:
            self._acted(moment, at, actions)
        except BrokenError:
            return True
        return False

    def _reads(self, moment: Moment, at: int) -> Iterator[Step[Moment]]:
        """Both splits are read, one after the other, before an attempt begins."""
        who = moment.controllers[at]
        if who.reading is None:
            return
        for cluster in who.reading:
            left = tuple(other for other in who.reading if other != cluster)
            after = _seen(moment, at=at, kind="splits", cluster=cluster)
            after = _with(after, at, reading=left or None)
            line = f"controller {at + 1} has read the split in {CLUSTERS[cluster]}"
            if left:
                yield _step(line, FREE, partial(_with, after, at))
            else:
                yield _step(f"{line}, and looks", FREE, partial(self._look_read, after, at))
        yield _step(
            f"controller {at + 1} cannot read the splits",
            Bounds(faults=1),
            partial(_with, moment, at, reading=None),
        )

    def _look_read(self, moment: Moment, at: int) -> Moment:
        return self._acted(moment, at, self._plan(moment, at, just_read=True))

    # --- deciding -----------------------------------------------------------------------------------

    def _plan(self, moment: Moment, at: int, *, just_read: bool) -> tuple[Any, ...]:
        """Ask the plan, and give its actions in the model's words."""
        who = moment.controllers[at]
        clock = max(times(moment), default=-1) + 1
        busy = tuple(bool(split or pin) for split, pin in zip(who.splits, who.pins, strict=True))
        weather = who.failed or moment.weather
        asked = (who[:4], busy, moment.spec, weather, clock, just_read)
        known = self._decided.get(asked)
        if known is None:
            observed = _observed(who, busy, moment.spec, weather, just_read=just_read)
            plan = self._decide(observed, when(clock))
            known = self._decided[asked] = tuple(
                _action(action, who) for action in plan.actions if not _is_copy(action)
            )
        return known

    # --- at rest ------------------------------------------------------------------------------------

    def check(self, moment: Moment) -> None:
        """Let everything that is under way happen, trouble end, and what must be so then be so.

        What breaks on the path there is left to the search: each of these steps is one of its own.
        """
        path = [moment]
        broken = self._calm.get(moment)
        while broken is None:
            try:
                after = self._calmer(path[-1])
            except BrokenError:
                broken = ""
                break
            if after == path[-1]:
                broken = _broken_at_rest(after)
            elif len(path) > ROUNDS:
                broken = "it never comes to rest"
            else:
                path.append(after)
                broken = self._calm.get(after)
        for passed in path:
            self._calm[passed] = broken
        if broken:
            raise BrokenError(f"when everything has calmed down: {broken}")

    def _calmer(self, moment: Moment) -> Moment:
        """One round without trouble: late writes land, hands are answered, watches tell, all look."""
        for write in moment.loose:
            moment = _loosened(moment, write)
        for at in range(len(moment.controllers)):
            who = moment.controllers[at]
            for kind in ("splits", "pins"):
                for cluster, hand in enumerate(getattr(who, kind)):
                    if hand is not None and not isinstance(hand, Reading):
                        moment = _applied(moment, hand)
                    moment = _seen(
                        _freed(moment, at, kind, cluster, None), at=at, kind=kind, cluster=cluster
                    )
            just_read = moment.controllers[at].reading is not None
            moment = canonical(_with(moment, at, reading=None))
            moment = canonical(_taken(moment, at, self._plan(moment, at, just_read=just_read)))
        return canonical(moment)


def _broken_at_rest(moment: Moment) -> str:
    try:
        promises.at_rest(moment)
    except BrokenError as broken:
        return str(broken)
    return ""


# --- steps that need no decision ------------------------------------------------------------------


def _answers(moment: Moment, at: int) -> Iterator[Step[Moment]]:
    """What becomes of what a controller's hands are on."""
    who = moment.controllers[at]
    for kind in ("splits", "pins"):
        for cluster, hand in enumerate(getattr(who, kind)):
            if isinstance(hand, Reading):
                line = f"controller {at + 1} reads the {kind[:-1]} in {CLUSTERS[cluster]}"
                freed = partial(_freed, moment, at, kind, cluster, None)
                yield _step(line, FREE, partial(_answered, freed, at, kind, cluster))
                yield _step(f"{line}, and is not answered", Bounds(faults=1), freed)
            elif hand is not None:
                yield from _fates(moment, at, kind, hand)


def _fates(
    moment: Moment, at: int, kind: str, write: SplitWrite | PinWrite
) -> Iterator[Step[Moment]]:
    """A write is answered, or goes wrong in one of three paths: then its hand reads what stands there."""
    words, cluster = f"{_words(write)} of controller {at + 1}", write.cluster
    done = partial(_applied, moment, write)
    late = moment._replace(loose=(*moment.loose, write))
    reading = partial(_freed, at=at, kind=kind, cluster=cluster, hand=Reading(cluster))
    free = partial(_freed, at=at, kind=kind, cluster=cluster, hand=None)
    yield _step(
        f"{words} is answered",
        FREE,
        partial(_answered, partial(_then, done, free), at, kind, cluster),
    )
    yield _step(
        f"{words} is applied, and the answer lost", Bounds(faults=1), partial(_then, done, reading)
    )
    yield _step(f"{words} is lost", Bounds(faults=1), partial(reading, moment))
    yield _step(f"{words} is late", Bounds(faults=1), partial(reading, late))


def _then(first: Callable[[], Moment], second: Callable[[Moment], Moment]) -> Moment:
    return second(first())


def _answered(done: Callable[[], Moment], at: int, kind: str, cluster: int) -> Moment:
    return _seen(done(), at, kind, cluster)


def _tellings(moment: Moment, at: int) -> Iterator[Step[Moment]]:
    """A watch tells a controller of what stands now."""
    for cluster, place in enumerate(moment.servers):
        view = moment.controllers[at].views[cluster]
        for kind, now, known in (
            ("splits", place.split, view.split),
            ("pins", place.pin, view.pin),
        ):
            if now != known:
                line = f"controller {at + 1} hears of the {kind[:-1]} in {CLUSTERS[cluster]}"
                yield _step(line, FREE, partial(_seen, moment, at=at, kind=kind, cluster=cluster))


def _endings(moment: Moment, at: int) -> Iterator[Step[Moment]]:
    """A controller is killed and another begins, or the lease goes to another."""
    who = moment.controllers[at]
    newest = max(c.fencing_token for c in moment.controllers) + 1
    fresh = Controller(newest, leads=True, may_roll_back=True, views=moment.servers)
    if who.leads:
        killed = _dropped(moment, at, everything=True)
        yield _step(
            f"controller {at + 1} is killed, and another begins",
            Bounds(crashes=1),
            partial(_put, killed, at, fresh),
        )
    for other, next_one in enumerate(moment.controllers):
        if who.leads and other != at:
            stopped = _with(_dropped(moment, at, everything=False), at, leads=False)
            leads = partial(
                _with, stopped, other, leads=True, may_roll_back=True, fencing_token=newest
            )
            if not next_one.leads:
                yield _step(
                    f"the lease goes from controller {at + 1} to {other + 1}",
                    Bounds(takeovers=1),
                    leads,
                )


def _outside(moment: Moment, left: Bounds) -> Iterator[Step[Moment]]:
    """Evidence changes, and so does what is asked."""
    for place, weather in enumerate(WEATHERS if left.weathers else ()):
        if place != moment.weather:
            yield _step(
                f"from now on {weather.name}",
                Bounds(weathers=1),
                partial(moment._replace, weather=place),
            )
    for place, spec in enumerate(WISHES if left.specs else ()):
        if place != moment.spec:
            yield _step(
                f"the owner writes {spec.name}",
                Bounds(specs=1),
                partial(moment._replace, spec=place),
            )


def _by_hand(moment: Moment) -> Iterator[Step[Moment]]:
    """Somebody edits weights, or deletes what the product made."""
    for cluster, (split, pin) in enumerate(moment.servers):
        name = CLUSTERS[cluster]
        if split is not None:
            edited = SplitAt(max(versions(moment, cluster)[0]) + 1, 300, split.note)
            yield _step(
                f"somebody edits the split in {name}",
                Bounds(hands=1),
                partial(_stands, moment, cluster, Place(edited, pin)),
            )
            yield _step(
                f"somebody deletes the split in {name}",
                Bounds(hands=1),
                partial(_stands, moment, cluster, Place(None, pin)),
            )
        if pin is not None:
            yield _step(
                f"somebody deletes the pin in {name}",
                Bounds(hands=1),
                partial(_stands, moment, cluster, Place(split, None)),
            )


def _step(line: str, cost: Bounds, after: Callable[[], Moment]) -> Step[Moment]:
    return Step(line, tuple(cost), lambda: canonical(after()))


# --- changing a moment ----------------------------------------------------------------------------


def _put(moment: Moment, at: int, who: Controller) -> Moment:
    controllers = tuple(who if n == at else c for n, c in enumerate(moment.controllers))
    return moment._replace(controllers=controllers)


def _with(moment: Moment, at: int, **changes: Any) -> Moment:
    return _put(moment, at, moment.controllers[at]._replace(**changes))


def _pair(pair: tuple[Any, Any], at: int, value: Any) -> tuple[Any, Any]:
    return (value, pair[1]) if at == 0 else (pair[0], value)


def _freed(moment: Moment, at: int, kind: str, cluster: int, hand: Hand) -> Moment:
    hands = getattr(moment.controllers[at], kind)
    return _with(moment, at, **{kind: _pair(hands, cluster, hand)})


def _seen(moment: Moment, at: int, kind: str, cluster: int) -> Moment:
    """A controller knows now what stands there."""
    views = moment.controllers[at].views
    now, view = moment.servers[cluster], views[cluster]
    view = view._replace(split=now.split) if kind == "splits" else view._replace(pin=now.pin)
    return _with(moment, at, views=_pair(views, cluster, view))


def _stands(moment: Moment, cluster: int, place: Place) -> Moment:
    return moment._replace(servers=_pair(moment.servers, cluster, place), touched=True)


def _loosened(moment: Moment, write: SplitWrite | PinWrite) -> Moment:
    loose = tuple(other for other in moment.loose if other != write)
    return _applied(moment._replace(loose=loose), write)


def _applied(moment: Moment, write: SplitWrite | PinWrite) -> Moment:
    """Do a write, where the version it names is the one that stands there."""
    place = moment.servers[write.cluster]
    stands = place.split if isinstance(write, SplitWrite) else place.pin
    if (stands.version if stands else None) != write.version:
        return moment
    splits, pins = versions(moment, write.cluster)
    if isinstance(write, PinWrite):
        made = PinAt(max(pins, default=-1) + 1, write.latch)
        return moment._replace(
            servers=_pair(moment.servers, write.cluster, place._replace(pin=made))
        )
    split = SplitAt(max(splits, default=-1) + 1, write.away, write.note)
    after = moment._replace(
        servers=_pair(moment.servers, write.cluster, place._replace(split=split))
    )
    promises.landed(moment, write, after)
    attempt = write.note.attempt
    if attempt is not None and place.split is not None:
        before = promises.share(place, write.cluster, attempt.target)
        now = promises.share(after.servers[write.cluster], write.cluster, attempt.target)
        if now < before:
            after = after._replace(over=after.over | {(attempt.target, attempt.number)})
    return after


def _dropped(moment: Moment, at: int, *, everything: bool) -> Moment:
    """What the hands were on may still arrive, and nobody hears of it."""
    who = moment.controllers[at]
    held = (*who.splits, *who.pins) if everything else who.splits
    loose = [
        hand
        for hand in held
        if isinstance(hand, (SplitWrite, PinWrite))
        and (everything or not getattr(hand, "revert", False))
    ]
    kept = tuple(h if isinstance(h, SplitWrite) and h.revert else None for h in who.splits)
    moment = moment._replace(loose=(*moment.loose, *loose))
    return moment if everything else _with(moment, at, splits=kept)


def _taken(moment: Moment, at: int, actions: tuple[Any, ...]) -> Moment:
    """Set the writer to what was decided, as the real ones: see ``controller/runtime/writer.py``."""
    moment = _heard(moment, at)
    for action in actions:
        who = moment.controllers[at]
        if isinstance(action, ReadSplits):
            if who.reading is None:
                there = tuple(k for k, view in enumerate(who.views) if view.split)
                moment = _with(moment, at, reading=there)
            continue
        kind = "splits" if isinstance(action, SplitWrite) else "pins"
        held = getattr(who, kind)[action.cluster]
        urgent = isinstance(action, SplitWrite) and action.revert
        if held is not None and (not urgent or getattr(held, "revert", False)):
            continue
        if isinstance(held, SplitWrite):
            moment = moment._replace(loose=(*moment.loose, held))
        moment = _freed(moment, at, kind, action.cluster, action)
    return moment


def _heard(moment: Moment, at: int) -> Moment:
    """Above the baseline a FAIL that was heard of stays one, until the attempt is over or the process ends."""
    who = moment.controllers[at]
    notes = [view.split.note for view in who.views if view.split and view.split.note]
    running = [n.attempt for n in notes if n.attempt and not n.reverted and not n.completed]
    above = any(
        promises.share(view, cluster, running[0].target) > running[0].baseline[cluster]
        for cluster, view in enumerate(who.views)
        if running
    )
    failed = who.failed or (moment.weather if WEATHERS[moment.weather].sticks else 0)
    return _with(moment, at, failed=failed if above else 0)


# --- to the product and back ----------------------------------------------------------------------


def _observed(
    who: Controller, busy: tuple[bool, ...], spec: int, weather: int, *, just_read: bool
) -> Observed:
    asked, found = WISHES[spec].spec, WEATHERS[weather]
    target = "legacy" if getattr(asked, "target", None) == "legacy" else "eks"
    ready = {name: found.target_ready if name == target else ORIGIN_READY for name in CLUSTERS}
    clusters = {}
    for cluster, name in enumerate(CLUSTERS):
        here, there = ready[name], ready[CLUSTERS[1 - cluster]]
        view = who.views[cluster]
        clusters[name] = ObservedCluster(
            name=name,
            current=True,
            service=SERVICE,
            mirror=SERVICE,
            endpoints=Endpoints(here, pods=PODS if here else {}),
            mirror_endpoints=Endpoints(there),
            splits=(_split(view.split, cluster),) if view.split else (),
            pin=view.pin
            and Pin(str(view.pin.version), when(-1), view.pin.latch and latch_of(view.pin.latch)),
            split_kinds=frozenset({SplitKind.TRAFFICSPLIT}),
            writing=busy[cluster],
        )
    context = GlobalContext(
        CLUSTERS, leads=who.leads, may_roll_back=who.may_roll_back, fencing_token=who.fencing_token
    )
    return Observed(
        A, context, clusters, asked, found.evidence(), has_slot=True, just_read=just_read
    )


def _split(split: SplitAt, cluster: int) -> Split:
    return Split(
        kind=SplitKind.TRAFFICSPLIT,
        name=A.service,
        resource_version=str(split.version),
        away_permille=split.away,
        weights=Weights(None, None),
        record=split.note and record_of(split.note),
    )


def _is_copy(action: Any) -> bool:
    """Return whether a write only tells a pin which attempt has begun: the model drops no record."""
    return isinstance(action, WritePin) and action.resource_version is not None and not action.latch


def _action(action: Any, who: Controller) -> Any:
    if isinstance(action, ReadSplits):
        return action
    cluster = CLUSTERS.index(action.cluster)
    version = None if action.resource_version is None else int(action.resource_version)
    if isinstance(action, WriteSplit):
        note = note_of(action.record)
        return SplitWrite(cluster, action.away_permille, note, version, action.revert)
    return PinWrite(cluster, copy_of(action.latch), version)


# --- words ----------------------------------------------------------------------------------------


def _told(actions: tuple[Any, ...]) -> str:
    words = ["read both splits" if isinstance(a, ReadSplits) else _words(a) for a in actions]
    return ", ".join(words) or "nothing to do"


def _words(write: SplitWrite | PinWrite) -> str:
    where = CLUSTERS[write.cluster]
    if isinstance(write, PinWrite):
        return f"the {'latch on the ' if write.latch else ''}pin in {where}"
    note = write.note
    what = "revert to" if write.revert else "share"
    number = f", attempt {note.attempt.number} to {note.attempt.target}" if note.attempt else ""
    return f"the {what} {note.share / 10:g} % in {where} (epoch {note.fencing_token}{number})"
