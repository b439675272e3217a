"""What each verb asks of a Fleet, when it is refused, and what happens next. Pure: a Fleet in, a step out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from controller.cli.arguments import PROG, Asked
from controller.cli.asking import listed
from controller.cli.exit_codes import Exit, Failure
from controller.cli.fleet.objects import Fleet
from controller.cli.fleet.waves import refuse_unknown
from controller.domain.fleet import ALL
from controller.domain.fleet_status import WaveStatus, WindowStatus
from controller.domain.status import rfc3339


@dataclass(frozen=True, slots=True)
class Step:
    """What is asked: a ``change`` of annotations without their prefix (None removes one), empty where it ``stands`` so
    already; ``moves`` is what it would do to traffic, for a question ("": nothing); ``then`` what happens next.
    """

    change: Mapping[str, str | None]
    stands: str = ""
    moves: str = ""
    then: str = ""


def named(fleet: Fleet, asked: Asked) -> tuple[str, ...]:
    """Return the waves that are meant, in the Fleet's order. Raises Failure for one that it has not."""
    every = "" if asked.action == "open" else "--all"
    if not asked.waves:
        return _not_named(fleet, asked, every)
    if every and asked.every:
        raise Failure("--all is every wave: leave it out, or leave out the names", code=Exit.USAGE)
    for name in asked.waves:
        refuse_unknown(fleet.name, fleet.waves, name, every)
    return tuple(name for name in fleet.waves if name in asked.waves)


def _not_named(fleet: Fleet, asked: Asked, every: str) -> tuple[str, ...]:
    """Return every wave, where ``--all`` or ``--undo`` says so. Raises Failure where nothing does."""
    if every and (asked.every or asked.undo):
        return fleet.waves
    waves = f"Fleet {fleet.name} has {', '.join(fleet.waves)}"
    either = f", or {every}" if every else ""
    raise Failure(f"say which waves{either}: {waves}", code=Exit.USAGE)


def open_waves(fleet: Fleet, asked: Asked, _now: datetime) -> Step:
    """Return the step that opens waves, or closes them again. Raises Failure for one that opens by itself."""
    waves = named(fleet, asked)
    for name in waves:
        if name not in fleet.by_hand:
            message = fleet.wave(name).message
            raise Failure(
                f"wave {name} opens by itself, and not sooner by hand{message and f': {_small(message)}'}"
            )
    before = _asked(fleet, "open")
    if asked.undo:
        gone = tuple(name for name in waves if name in before)
        change = _change(fleet, "open", set(before) - set(gone), before)
        stands = f"{listed(waves)} is not opened by hand"
        return Step(
            change, stands, then=f"who of {listed(gone)} has not begun waits, all others go on"
        )
    change = _change(fleet, "open", {*before, *waves}, before)
    new = [fleet.wave(name) for name in waves if name not in before]
    stands = f"{listed(waves)} is opened already; {_turns(fleet, map(fleet.wave, waves))}"
    moves = f"let {_services(sum(_left(wave) for wave in new), fleet)} of {_waves(waves)} be moved"
    return Step(change, stands, f"{moves} to {fleet.target}", _turns(fleet, new))


def pause(fleet: Fleet, _asked: Asked, _now: datetime) -> Step:
    """Return the step that keeps everybody. Raises Failure where nobody is left to keep."""
    if fleet.status.state == "Completed":
        raise Failure(f"there is nothing to pause: Fleet {fleet.name} is Completed")
    then = (
        f"{_services(fleet.status.counts.under_way, fleet)} under way keep their shares, nobody begins, and a bad"
        f" target is still left; go on with {PROG} fleet resume {fleet.name}"
    )
    return Step(_new(fleet, paused="true"), "it is paused already", then=then)


def resume(fleet: Fleet, _asked: Asked, now: datetime) -> Step:
    """Return the step that ends a pause, and has the reverts that stopped the line count no more."""
    line, change = fleet.status.line, dict[str, str | None]()
    ends = []
    if fleet.is_paused:
        change["paused"] = None
        ends.append(f"end the pause of Fleet {fleet.name}")
    if line.stopped:
        change["resumed-at"] = rfc3339(now)
        who = f" ({listed(line.services)})" if line.services else ""
        ends.append(f"count the {line.reverts} reverts that stopped the line no more{who}")
    stands = "it is neither paused nor is its line stopped"
    if holds := _holds(fleet, but=("paused", "stopped")):
        stands += f"; {holds}"
    then = _holds(fleet, but=("paused", "stopped")) or "shares rise again where all is well"
    return Step(change, stands, " and ".join(ends), then)


def rollback(fleet: Fleet, asked: Asked, _now: datetime) -> Step:
    """Return the step that rolls waves back, or takes that away."""
    waves = named(fleet, asked)
    if asked.undo:
        then = (
            "who was rolled back stays so until another attempt is asked for:"
            f" {PROG} retry --all -A; who has not begun may"
        )
        moves = f"let who of {_waves(waves)} has not begun be moved to {fleet.target}"
        return _undone(fleet, asked, "rollback", waves, moves, then)
    told = _both(fleet, waves)
    under_way = sum(wave.under_way for wave in told)
    done = sum(wave.completed for wave in told)
    back = f"all calls of {_services(under_way, fleet)} go back at once"
    then = f"{back if under_way or not fleet.is_told else 'nobody is under way'}; who has not begun waits"
    if done:
        stays = "stays" if done == 1 else "stay"
        then += f"; {done} Completed {stays} in {fleet.target}: {PROG} fleet return is for those"
    moves = f"roll {_services(under_way, fleet)} of {_waves(waves)} back to {_origin(fleet)}"
    return _added(fleet, asked, "rollback", waves, moves, then)


def return_waves(fleet: Fleet, asked: Asked, _now: datetime) -> Step:
    """Return the step that leads waves back to where they came from, or takes that away."""
    waves = named(fleet, asked)
    if asked.undo:
        moves = f"let the Services of {_waves(waves)} be moved to {fleet.target} again"
        then = "; ".join(
            filter(None, (_holds(fleet), f"each is asked to go to {fleet.target} again"))
        )
        return _undone(fleet, asked, "return", waves, moves, then)
    done = sum(wave.completed for wave in _both(fleet, waves))
    back = f"{_services(done, fleet)} of {_waves(waves)}"
    first = next(reversed(waves), "")
    then = f"{first} goes first" if len(waves) > 1 else "they go as many at a time as raises do"
    if holds := _holds(fleet):
        then += f"; {holds}"
    moves = f"lead {back} back to {_origin(fleet)}"
    return _added(fleet, asked, "return", waves, moves, then)


VERBS: Mapping[str, Callable[[Fleet, Asked, datetime], Step]] = MappingProxyType(
    {
        "open": open_waves,
        "pause": pause,
        "resume": resume,
        "rollback": rollback,
        "return": return_waves,
    }
)


# --- annotations that name waves ------------------------------------------------------------------


def _asked(fleet: Fleet, key: str) -> tuple[str, ...]:
    """Return the waves that an annotation names, ``all`` as it stands."""
    text = fleet.own(key) or ""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _added(
    fleet: Fleet, asked: Asked, key: str, waves: Iterable[str], moves: str, then: str
) -> Step:
    before = _asked(fleet, key)
    stands = f"{key} is {fleet.own(key)} already"
    if ALL in before:
        return Step({}, stands)
    wanted = {ALL} if asked.every else {*before, *waves}
    return Step(_change(fleet, key, wanted, before), stands, moves, then)


def _undone(
    fleet: Fleet, asked: Asked, key: str, waves: Iterable[str], moves: str, then: str
) -> Step:
    before = _asked(fleet, key)
    every = fleet.waves if ALL in before else before
    left = set(every) - set(waves) if asked.waves else set()
    stands = f"{key} does not name {listed(tuple(waves)) if asked.waves else 'any wave'}"
    if left == set(every) or not before:
        return Step({}, stands)
    return Step(_change(fleet, key, left, before), stands, moves, then)


def _change(
    fleet: Fleet, key: str, wanted: set[str], before: Iterable[str]
) -> dict[str, str | None]:
    """Return the change to an annotation: names in the Fleet's order, behind them what it does not know."""
    if wanted == set(before):
        return {}
    order = [*fleet.waves, *(name for name in before if name not in fleet.waves), ALL]
    names = [name for name in dict.fromkeys(order) if name in wanted]
    return {key: ",".join(names) or None}


def _new(fleet: Fleet, **change: str) -> dict[str, str | None]:
    return {key: value for key, value in change.items() if fleet.own(key) != value}


# --- words ----------------------------------------------------------------------------------------


def _both(fleet: Fleet, waves: Iterable[str]) -> list[WaveStatus]:
    return [fleet.wave(name) for name in waves]


def _left(wave: WaveStatus) -> int:
    return wave.total - wave.completed


def _services(count: int, fleet: Fleet) -> str:
    """Return so many Services in words; where nothing was reported nobody knows how many."""
    if not fleet.is_told:
        return "all Services"
    return f"{count} Service{'' if count == 1 else 's'}"


def _waves(names: Iterable[str]) -> str:
    names = tuple(names)
    return f"wave{'' if len(names) == 1 else 's'} {listed(names)}"


def _origin(fleet: Fleet) -> str:
    return fleet.status.origin or "where they came from"


def _small(message: str) -> str:
    return message[:1].lower() + message[1:]


def _turns(fleet: Fleet, waves: Iterable[WaveStatus]) -> str:
    """Return when opened waves begin."""
    return "; ".join(filter(None, (_holds(fleet), *(_turn(fleet, wave) for wave in waves))))


def _turn(fleet: Fleet, wave: WaveStatus) -> str:
    if wave.state == "Completed":
        return f"{wave.name} is Completed"
    before = [
        w.name for w in fleet.status.waves if w.number < wave.number and w.state != "Completed"
    ]
    if before:
        return f"{wave.name} begins when {listed(before)} {'is' if len(before) == 1 else 'are'} finished"
    return f"{wave.name} begins" if fleet.is_told else ""


def _holds(fleet: Fleet, but: Iterable[str] = ()) -> str:
    """Return what keeps everybody besides, "" where nothing is known to."""
    status = fleet.status
    resume = f"{PROG} fleet resume {fleet.name}"
    found = {
        "told": (not fleet.is_told, "no controller has told of this Fleet: does it run?"),
        "invalid": (
            status.state == "Invalid",
            f"the Fleet is Invalid: see {PROG} fleet status {fleet.name}",
        ),
        "rolled": (
            bool(fleet.own("rollback")),
            f"who is rolled back by hand stays: {PROG} fleet rollback --undo",
        ),
        "paused": (fleet.is_paused, f"nothing rises before its pause ends: {resume}"),
        "stopped": (status.line.stopped, f"nothing rises before the line goes on: {resume}"),
        "closed": (status.window.closed, _closed(status.window)),
    }
    return "; ".join(text for key, (is_so, text) in found.items() if is_so and key not in but)


def _closed(window: WindowStatus) -> str:
    until = f"before {rfc3339(window.until)}" if window.until else "before its window opens"
    return f"nothing rises {until}{f' ({window.reason})' if window.reason else ''}"
