"""What people and tools are told of a Fleet: its status, and an Event for each thing that came to be otherwise.

Pure: what holds for it comes in. Only its conditions are read back, for the time since when each holds, and what was
told last, so that nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from msgspec import UNSET, UnsetType

from controller.decide.fleet.line import stretch
from controller.decide.fleet.progress import Picture, Programme, Tally, WaveState, WaveView
from controller.domain import Key
from controller.domain.annotation_schema import visible
from controller.domain.fleet import MemberState
from controller.domain.fleet_status import (
    NEEDING,
    SHOWN,
    FleetCondition,
    FleetCounts,
    FleetStatus,
    LineStatus,
    OpensNext,
    ProblemStatus,
    ServiceNeed,
    Time,
    UnfitStatus,
    Unplaced,
    WaveStatus,
    WindowStatus,
)
from controller.report.status import Event


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a Fleet when it is told: its Services, what holds for it, and who is in no wave."""

    programme: Programme
    picture: Picture
    unplaced: Sequence[Key] = ()


def status_of(told: Told, before: FleetStatus, now: datetime) -> FleetStatus:
    """Return the status of a Fleet at this time, going on from the one before."""
    fleet, found = told.picture.fleet, told.picture
    tallies = told.programme.tallies
    waves = tuple(_wave(told, view) for view in found.waves)
    counts = _counts(told, waves)
    first = next((v.wave for v in found.waves if v.state is not WaveState.COMPLETED), None)
    state = _state(found)
    return FleetStatus(
        observed_generation=fleet.generation,
        state=state,
        origin=fleet.origin,
        wave=f"{first.number}/{len(waves)} {first.name}" if first else "",
        moved=f"{counts.completed}/{counts.total}",
        counts=counts,
        needs_person=tuple(islice(_needing(tallies.values()), NEEDING)),
        waves=waves,
        window=_window(found),
        line=_line(found),
        opens_next=_opens_next(found),
        problems=tuple(ProblemStatus(p.where, visible(p.message)) for p in fleet.problems)
        + tuple(_torn(told.programme)),
        excluded=_names(told.programme.excluded),
        unfit=tuple(
            UnfitStatus(str(key), why)
            for key, why in islice(sorted(told.programme.unfit.items()), SHOWN)
        ),
        unplaced=Unplaced(len(told.unplaced), _names(told.unplaced)),
        conditions=_conditions(before, told, state, now),
    )


def _names(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(map(str, islice(sorted(keys), SHOWN)))


def _time(when: datetime | None) -> Time:
    return UNSET if when is None else when.replace(microsecond=0)


def _torn(programme: Programme) -> Iterator[ProblemStatus]:
    for key, message in islice(sorted(programme.torn.items()), SHOWN):
        yield ProblemStatus(f"service {key}", message)


def _wave(told: Told, view: WaveView) -> WaveStatus:
    wave, tally = view.wave, told.programme.tallies[view.wave.number]
    count = {state: len(keys) for state, keys in tally.by_state.items()}
    started = [one.started for one in tally.members.values() if one and one.started]
    return WaveStatus(
        name=wave.name,
        number=wave.number,
        state=view.state,
        opens="byHand" if wave.by_hand else "automatically",
        together=wave.together,
        total=len(tally.members),
        completed=count[MemberState.COMPLETED],
        under_way=count[MemberState.UNDER_WAY],
        reverted=count[MemberState.REVERTED],
        blocked=count[MemberState.BLOCKED],
        waiting=count[MemberState.WAITING],
        excluded=sum(number == wave.number for number in told.programme.excluded.values()),
        opened_at=_time(min(started, default=None)),
        completed_at=_time(view.completed_at),
        opens_at=_time(view.until),
        message=visible(_message(told, view, tally)),
    )


def _message(told: Told, view: WaveView, tally: Tally) -> str:
    """Return in a sentence how a wave is, and what it waits for."""
    if view.unclear:
        return view.unclear
    if view.nobody:
        where = f"spec.waves[{view.wave.number - 1}]"
        return f"Names no Service that can be moved: correct {where}.services, or take the wave out"
    if view.waits:
        said = view.waits.removeprefix(f"wave {view.wave.name} ")
        return said[:1].upper() + said[1:]
    if view.returns:
        return f"Goes back to {told.picture.fleet.origin}: {len(tally.going_back)} left"
    if view.state is WaveState.BAKING and view.baked:
        return f"Completed; bakes until {view.baked:%Y-%m-%d %H:%M} UTC"
    if view.state is WaveState.COMPLETED:
        return "Completed" if tally.members else "All that it names are excluded"
    return f"Open: {', '.join(_open_parts(tally)) or 'nobody is under way'}"


def _open_parts(tally: Tally) -> Iterator[str]:
    words = {
        MemberState.UNDER_WAY: "under way",
        MemberState.REVERTED: "reverted",
        MemberState.BLOCKED: "blocked",
        MemberState.WAITING: "waiting",
    }
    for state, word in words.items():
        if keys := tally.by_state[state]:
            yield f"{len(keys)} {word}"


def _counts(told: Told, waves: Sequence[WaveStatus]) -> FleetCounts:
    return FleetCounts(
        total=sum(wave.total for wave in waves),
        completed=sum(wave.completed for wave in waves),
        under_way=sum(wave.under_way for wave in waves),
        reverted=sum(wave.reverted for wave in waves),
        blocked=sum(wave.blocked for wave in waves),
        waiting=sum(wave.waiting for wave in waves),
        excluded=len(told.programme.excluded),
        unfit=len(told.programme.unfit),
    )


def _needing(tallies: Iterable[Tally]) -> Iterator[ServiceNeed]:
    for tally in tallies:
        for state in (MemberState.REVERTED, MemberState.BLOCKED):
            for key in sorted(tally.by_state[state]):
                known = tally.members[key]
                if known is not None:
                    yield ServiceNeed(str(key), visible(known.reason), visible(known.message))


def _state(found: Picture) -> str:
    """Return in one word how a Fleet is; what keeps everybody comes before how far it is."""
    views = found.waves
    waves = {view.state for view in views}
    rows = (
        (bool(found.unclear), "Invalid"),
        (any(view.rollback for view in views), "RollingBack"),
        (any(view.returns for view in views), "Returning"),
        (waves <= {WaveState.COMPLETED}, "Completed"),
        (found.fleet.by_hand.paused, "Paused"),
        (bool(found.stopped), "Stopped"),
        (bool(found.closed), "Closed"),
        (WaveState.OPEN in waves, "Open"),
    )
    return next((word for holds, word in rows if holds), "Waits")


def _window(found: Picture) -> WindowStatus:
    state = found.windows
    return WindowStatus(
        closed=state.closed,
        until=_time(state.until),
        reason=visible(state.reason) if state.closed else UNSET,
        next_closes=_time(state.next_closes),
        next_reason=visible(state.next_reason) if state.next_closes else UNSET,
    )


def _line(found: Picture) -> LineStatus:
    rule, line = found.fleet.line, found.line
    if rule is None:
        return LineStatus()
    return LineStatus(
        stopped=line.stopped,
        reverts=len(line.services),
        limit=rule.reverts,
        within=stretch(rule.within_s),
        since=_time(line.since),
        services=tuple(map(str, line.services)),
    )


def _opens_next(found: Picture) -> OpensNext | UnsetType:
    for view in found.waves:
        if view.state is WaveState.WAITING:
            how = "byHand" if view.wave.by_hand else "automatically"
            return OpensNext(view.wave.name, how, visible(view.waits), _time(view.until))
    return UNSET


def _conditions(
    before: FleetStatus, told: Told, state: str, now: datetime
) -> tuple[FleetCondition, ...]:
    fleet = told.picture.fleet
    wrong = [p.message for p in fleet.problems]
    moving = any(tally.by_state[MemberState.UNDER_WAY] for tally in told.programme.tallies.values())
    rows = (
        ("Valid", not wrong, "Problems" if wrong else "Read", " ".join(wrong)),
        ("Progressing", moving, state, ""),
        ("Completed", state == "Completed", state, ""),
    )
    since = {(one.type, one.status): one.last_transition_time for one in before.conditions}
    made = []
    for name, holds, reason, message in rows:
        status = "True" if holds else "False"
        known = since.get((name, status), UNSET)
        made.append(
            FleetCondition(
                type=name,
                status=status,
                reason=reason,
                message=visible(message)[:32768],
                last_transition_time=_time(now) if known is UNSET else known,
                observed_generation=fleet.generation,
            )
        )
    return tuple(made)


def progressed(programme: Programme, picture: Picture) -> dict[str, datetime]:
    """Return, of each open wave, when one of its Services was raised or completed last, or began."""
    found: dict[str, datetime] = {}
    for view in picture.waves:
        members = programme.tallies[view.wave.number].members.values()
        times = [
            time
            for one in members
            if one
            for time in (one.rose, one.completed, one.started)
            if time is not None
        ]
        if view.state is WaveState.OPEN and times:
            found[view.wave.name] = max(times)
    return found


def events_of(before: FleetStatus, after: FleetStatus, fleet: str) -> Iterator[Event]:
    """Yield what came to be otherwise since the status before. Of a Fleet that is told of for the first time only what
    is wrong, and what opens."""
    yield from _wave_events(before, after)
    yield from _line_events(before.line, after.line, fleet)
    yield from _window_events(before.window, after.window)
    told = {problem.message for problem in before.problems}
    new = (problem.message for problem in after.problems if problem.message not in told)
    yield from (Event("FleetProblem", message, "Warning") for message in new)
    if after.state != before.state and after.state == "RollingBack":
        yield Event("FleetRollback", "who is named by rollback is rolled back", "Warning")
    if after.state != before.state and after.state == "Returning":
        yield Event("FleetReturn", f"waves go back to {after.origin}", "Warning")


def _wave_events(before: FleetStatus, after: FleetStatus) -> Iterator[Event]:
    known = {wave.name: wave.state for wave in before.waves}
    for wave in after.waves:
        was = known.get(wave.name, "Waiting")
        if wave.state == "Open" and was == "Waiting":
            yield Event("WaveOpened", f"wave {wave.name} is open: {wave.total} Services")
        if wave.state in ("Baking", "Completed") and was in ("Waiting", "Open") and wave.total:
            yield Event(
                "WaveCompleted", f"wave {wave.name} is completed: {wave.completed} Services"
            )


def _line_events(before: LineStatus, after: LineStatus, fleet: str) -> Iterator[Event]:
    if after.stopped and not before.stopped:
        who = ", ".join(after.services)
        resume = f"see to them, then kubectl migrate fleet resume {fleet}"
        yield Event("LineStopped", f"{after.reverts} reverts ({who}): {resume}", "Warning")
    if before.stopped and not after.stopped:
        yield Event("LineResumed", "the line goes on")


def _window_events(before: WindowStatus, after: WindowStatus) -> Iterator[Event]:
    if after.closed and not before.closed:
        until = "" if after.until is UNSET else f" until {after.until:%Y-%m-%d %H:%M} UTC"
        yield Event("WindowClosed", f"nothing rises{until}: {after.reason or 'a window'}")
    if before.closed and not after.closed:
        yield Event("WindowOpened", "no window keeps anybody any more")
