"""The model of a Fleet: waves, a window, the stop rule and what people do by hand, with the product's code deciding.

Three Services: two in a wave that moves together and bakes, one in a wave that opens by hand. Time passes hour by hour.
What is decided is decided by the picture, the word and the plan that ship; what must never happen is said here, by the
shares and the hours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from controller.decide.decision import Decision, decide
from controller.decide.fleet.placing import Placement
from controller.decide.fleet.progress import Programme, picture
from controller.decide.fleet.standing import standing_of
from controller.decide.fleet.word import word_for
from controller.domain import Key, MigrationSpec, Observed, Reverted, Side, WriteSplit
from controller.domain.fleet import ALL, ByHand, Fleet, FleetWord, Standing, StopRule, Wave, Window
from tests.model.search import BrokenError, Budget, Found, Step, search
from tests.unit.decide.gates.inputs import BAD, given

BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 7
CLOSED = range(1, 3)
"""The hours in which a window keeps everybody."""

REVERTS, WITHIN = 2, 2
BAKE = 1
WAVES = (1, 1, 2)
"""The wave of each Service, by its number."""

SPEC = MigrationSpec(target="eks", steps=(100,), step_pause_s=0.0, soak_s=3600.0)
BY_EVIDENCE = "TargetBad"


@dataclass(frozen=True, slots=True)
class Service:
    """One Service: its record, in hours, what was decided last, and whether its target is bad. ``share`` is None before
    an attempt."""

    share: int | None = None
    started: int = 0
    since: int | None = None
    completed: int | None = None
    reverted: tuple[str, int] | None = None
    bad: bool = False
    known: Standing | None = None

    @property
    def shifted(self) -> bool:
        """Whether callers depend on its target, and may still be rolled back."""
        return bool(self.share) and self.completed is None


@dataclass(frozen=True, slots=True)
class Moment:
    """All that there is at one time, and what people asked by hand."""

    hour: int = 0
    services: tuple[Service, ...] = (Service(), Service(), Service())
    opened: bool = False
    paused: bool = False
    rollback: bool = False
    resumed: int | None = None


Word = Callable[[Moment, int], FleetWord]
"""What a Fleet says to a Service, by its number."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often each trouble may come: targets that turn bad, restarts, and what people do by hand."""

    bad: int = 0
    restarts: int = 0
    hands: int = 0

    @property
    def budget(self) -> Budget:
        """Return them as a search takes them."""
        return (self.bad, self.restarts, self.hands)

    @property
    def title(self) -> str:
        """Return what may happen, for people."""
        return f"a Fleet: {self.bad} bad, {self.restarts} restarts, {self.hands} by hand"


FREE, TURNS_BAD, RESTARTS, BY_HAND = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)


def explore(bounds: Bounds, word: Word | None = None, *, limit: int | None = None) -> Found:
    """Look at every moment within these bounds."""
    steps = partial(_steps, word or heard)
    return search(Moment(), bounds.budget, steps, lambda _: None, limit=limit)


def calm(moment: Moment) -> Moment:
    """Return what comes of a moment at the end of time, when nobody does anything more but each is decided, hour by
    hour, until it is quiet."""
    while True:
        after = moment
        for number in range(len(WAVES)):
            after = _decided(heard, after, number)
        if after == moment and moment.hour == HOURS:
            return moment
        moment = after if after != moment else replace(moment, hour=moment.hour + 1)


def time(hour: int) -> datetime:
    """Return the time of an hour."""
    return BEGAN + timedelta(hours=hour)


def key(number: int) -> Key:
    """Return the key of a Service."""
    return Key("shop", "abc"[number])


def fleet_of(moment: Moment) -> Fleet:
    """Return the Fleet as it stands."""
    return Fleet(
        "f",
        origin="legacy",
        target="eks",
        created=BEGAN,
        windows=(Window("deny", begins=time(CLOSED.start), ends=time(CLOSED.stop)),),
        line=StopRule(REVERTS, WITHIN * 3600.0),
        waves=(
            Wave("one", 1, together=True, bake_s=BAKE * 3600.0),
            Wave("two", 2, by_hand=True),
        ),
        by_hand=ByHand(
            opened=frozenset({"two"} if moment.opened else ()),
            paused=moment.paused,
            resumed_at=None if moment.resumed is None else time(moment.resumed),
            rollback=frozenset({ALL} if moment.rollback else ()),
        ),
    )


def heard(moment: Moment, number: int) -> FleetWord:
    """Return what the product's Fleet says to a Service."""
    fleet = fleet_of(moment)
    programme = Programme(fleet)
    for other, service in enumerate(moment.services):
        programme.tallies[WAVES[other]].put(key(other), service.known)
    unknown = "not all were looked at" if programme.unknown() else ""
    found = picture(fleet, programme.tallies, time(moment.hour), unknown=unknown)
    word = word_for(key(number), Placement((("f", WAVES[number]),)), {"f": found})
    assert word is not None
    return word


# --- what may happen next -------------------------------------------------------------------------------


def _steps(word: Word, moment: Moment, _left: Budget) -> Iterator[Step[Moment]]:
    for number, service in enumerate(moment.services):
        name = key(number).service
        yield Step(f"{name} is decided", FREE, partial(_decided, word, moment, number))
        if service.shifted and not service.bad:
            bad = replace(service, bad=True)
            yield Step(f"{name}'s target turns bad", TURNS_BAD, partial(_with, moment, number, bad))
    if moment.hour < HOURS:
        yield _by(moment, "an hour passes", FREE, hour=moment.hour + 1)
    blank = tuple(replace(service, known=None) for service in moment.services)
    yield _by(moment, "the controller restarts", RESTARTS, services=blank)
    if not moment.opened:
        yield _by(moment, "a person opens wave two", BY_HAND, opened=True)
    yield _by(moment, "a person pauses, or goes on", BY_HAND, paused=not moment.paused)
    yield _by(moment, "a person resumes the line", BY_HAND, resumed=moment.hour)
    yield _by(moment, "a person rolls back, or no more", BY_HAND, rollback=not moment.rollback)


def _by(moment: Moment, line: str, cost: Budget, **changed: Any) -> Step[Moment]:
    return Step(line, cost, lambda: replace(moment, **changed))


def _with(moment: Moment, number: int, service: Service) -> Moment:
    services = [*moment.services]
    services[number] = service
    return replace(moment, services=tuple(services))


def _decided(word: Word, moment: Moment, number: int) -> Moment:
    """Have a Service decided, do what is written, and see that no promise was broken by it."""
    before = moment.services[number]
    decision = decide(_observed(moment, number, word(moment, number)), time(moment.hour))
    after = replace(_written(before, decision), known=standing_of(decision))
    _promised(moment, number, after)
    return _with(moment, number, after)


def _observed(moment: Moment, number: int, word: FleetWord) -> Observed:
    service = moment.services[number]
    record: dict[str, Any] = {
        "since": None if service.since is None else time(service.since),
        "completed": None if service.completed is None else time(service.completed),
    }
    if service.reverted:
        reason, hour = service.reverted
        record["reverted"] = Reverted(reason, "it was", time(hour))
    paths: dict[Any, Any] = {("legacy", Side.TARGET): BAD} if service.bad else {}
    return given(
        service.share,
        asked=SPEC,
        begun={"started": time(service.started), "spec": SPEC},
        record=record,
        paths=paths,
        fleet=word,
        key=key(number),
        just_read=True,
    ).observed


def _written(before: Service, decision: Decision) -> Service:
    """Return a Service with the records that a decision writes; both splits are written at once."""
    record = next((a.record for a in decision.plan.actions if isinstance(a, WriteSplit)), None)
    if record is None or record.attempt is None:
        return before
    reverted = record.reverted
    return replace(
        before,
        share=record.share_permille,
        started=_hour(record.attempt.started) or 0,
        since=_hour(record.since),
        completed=_hour(record.completed),
        reverted=(reverted.reason, _hour(reverted.at) or 0) if reverted else None,
    )


def _hour(when: datetime | None) -> int | None:
    return None if when is None else round((when - BEGAN).total_seconds() / 3600)


# --- what must never happen -----------------------------------------------------------------------------


def _promised(moment: Moment, number: int, after: Service) -> None:
    """Raise BrokenError where a decision broke a promise."""
    before, name = moment.services[number], key(number).service
    was, now = before.share or 0, after.share or 0
    if now > was:
        for why in _reasons_to_stay(moment, number, was, now):
            raise BrokenError(f"{name} rose from {was} to {now}, though {why}")
    for why in _reasons_to_go_back(moment, number):
        if before.shifted and now != 0:
            raise BrokenError(f"{name} stands at {now}, though {why}")


def _reasons_to_stay(moment: Moment, number: int, was: int, now: int) -> Iterator[str]:
    if moment.paused:
        yield "the Fleet is paused"
    if moment.rollback:
        yield "a rollback is asked for"
    if was == 0 and WAVES[number] == 2:
        yield from _wave_waits(moment)
    if WAVES[number] == 1 and any(one.reverted for one in moment.services[:2]):
        yield "one of its wave was rolled back, and they move together"
    if now < 1000 and moment.hour in CLOSED:
        yield "a window is closed"
    if now < 1000 and _line_is_stopped(moment):
        yield "the line is stopped"


def _wave_waits(moment: Moment) -> Iterator[str]:
    done = [one.completed for one in moment.services[:2]]
    if not moment.opened:
        yield "nobody opened its wave"
    if None in done:
        yield "the first wave is not completed"
    elif moment.hour < max(hour or 0 for hour in done) + BAKE:
        yield "the first wave bakes"


def _line_is_stopped(moment: Moment) -> bool:
    after = -1 if moment.resumed is None else moment.resumed
    reverts = (one.reverted for one in moment.services)
    fell = sorted(r[1] for r in reverts if r and r[0] == BY_EVIDENCE and r[1] > after)
    return any(b - a <= WITHIN for a, b in zip(fell, fell[REVERTS - 1 :], strict=False))


def _reasons_to_go_back(moment: Moment, number: int) -> Iterator[str]:
    if moment.services[number].bad:
        yield "its target is bad"
    if moment.rollback:
        yield "a rollback is asked for"
    others = [one for n, one in enumerate(moment.services[:2]) if n != number]
    fallen = any(one.reverted and one.known for one in others)
    if WAVES[number] == 1 and fallen:
        yield "one of its wave was rolled back"
