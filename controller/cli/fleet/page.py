"""A Fleet as people read it, within 100 columns. Pure: the time is an argument."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from controller.cli import show
from controller.cli.arguments import PROG
from controller.cli.asking import listed
from controller.cli.fleet.objects import Fleet
from controller.domain.fleet_status import FleetCounts, FleetStatus, Time, WaveStatus

WIDTH = 100
"""Columns of a page."""

WIDEST = 40
"""Columns of what stands before a text; behind a wider one the text begins on a line of its own."""

_COMMAND = re.compile(r"kubectl migrate [a-z]+ [a-z]+(?: [^\s,;.]+)?")
_HARD_SPACE = "\N{NO-BREAK SPACE}"
"""At which no line is broken."""


def page(fleet: Fleet, now: datetime) -> str:
    """Return all that is worth knowing of one Fleet now."""
    lines = [*_wrapped("", _headline(fleet))]
    lines += _waves(fleet, now)
    for text in _remarks(fleet, now):
        lines += _wrapped("", text)
    for label, text in _lists(fleet.status):
        lines += _wrapped(label, text)
    return "\n".join(lines)


def line(fleet: Fleet) -> str:
    """Return what a Fleet is now in one line, for a log."""
    status = fleet.status
    said = (status.state or "not told of", status.wave, *_counts(status.counts))
    return "   ".join((fleet.name, *filter(None, said)))


def _headline(fleet: Fleet) -> str:
    status, counts = fleet.status, fleet.status.counts
    moved = f"{counts.completed} of {counts.total} moved"
    percent = f"{100 * counts.completed // counts.total} %" if counts.total else ""
    said = ", ".join((moved, *_counts(counts)))
    route = f"{status.origin or '?'} → {fleet.target}"
    return "   ".join(filter(None, (fleet.name, route, status.state, said, percent)))


def _counts(counts: FleetCounts | WaveStatus) -> list[str]:
    """Return how many are at what, without what nobody is at."""
    known = {
        "under way": counts.under_way,
        "reverted": counts.reverted,
        "blocked": counts.blocked,
    }
    return [f"{number} {word}" for word, number in known.items() if number]


# --- waves ----------------------------------------------------------------------------------------


def _waves(fleet: Fleet, now: datetime) -> Iterator[str]:
    waves = fleet.status.waves
    names = max((len(wave.name) for wave in waves), default=0)
    numbers = max((len(str(wave.number)) for wave in waves), default=0)
    totals = max((len(_moved(wave)) for wave in waves), default=0)
    for wave in waves:
        place = f"{wave.number:>{numbers}} {wave.name:<{names}}  {_moved(wave):>{totals}}  "
        yield from _wrapped(place, _wave(wave, now))


def _moved(wave: WaveStatus) -> str:
    return f"{wave.completed}/{wave.total}"


def _wave(wave: WaveStatus, now: datetime) -> str:
    """Return where a wave is: what it waits for, or how many of it are at what."""
    out = f"{wave.excluded} excluded" if wave.excluded else ""
    waiting = f"{wave.waiting} waiting" if wave.waiting and wave.state == "Open" else ""
    counts = ", ".join(filter(None, (*_counts(wave), waiting, out)))
    if wave.message.startswith(wave.state):  # it says the state, and how many are at what
        since = f" {show.ago(wave.completed_at or None, now)} ago" if wave.completed_at else ""
        said = f"{wave.state}{since}" if wave.state in ("Completed", "Open") else wave.message
        return ": ".join(filter(None, (said, counts)))
    return ". ".join(filter(None, (wave.message or wave.state, counts)))


# --- what else is known ---------------------------------------------------------------------------


def _remarks(fleet: Fleet, now: datetime) -> Iterator[str]:
    status = fleet.status
    if not fleet.is_told:
        yield "The controller has not told of it: does it run, and does it hold its Lease in this cluster?"
    elif fleet.is_late:
        yield f"Told of generation {status.observed_generation}, before the spec was changed."
    if fleet.is_paused:
        yield f"Paused: go on with {PROG} fleet resume {fleet.name}"
    yield from filter(None, (_by_hand(fleet), _line(fleet, now), _window(status)))
    if following := status.opens_next:
        at = f" {_time(following.at)}" if following.at else ""
        yield f"Next: {following.wave} opens{at}{' by hand' if following.how == 'byHand' else ''}."


def _by_hand(fleet: Fleet) -> str:
    asked = {"Rolled back by hand": "rollback", "Led back by hand": "return"}
    said = [f"{text}: {fleet.own(key)}" for text, key in asked.items() if fleet.own(key)]
    return f"{'. '.join(said)}. Take it away with --undo." if said else ""


def _line(fleet: Fleet, now: datetime) -> str:
    line = fleet.status.line
    who = f" ({listed(line.services)})" if line.services else ""
    counted = f"{line.reverts} of {line.limit} reverts within {line.within}{who}"
    if line.stopped:
        since = f" since {show.ago(line.since or None, now)}" if line.since else ""
        return f"Line stopped{since}: {counted}. See to them, then {PROG} fleet resume {fleet.name}"
    return f"{counted}." if line.reverts else ""


def _window(status: FleetStatus) -> str:
    window = status.window
    if window.closed:
        until = f" until {_time(window.until)}" if window.until else ""
        return f"Closed{until}{_because(window.reason or '')}: shares stand still, a bad target is still left."
    if window.next_closes:
        return f"Closes {_time(window.next_closes)}{_because(window.next_reason or '')}."
    return ""


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _time(when: Time) -> str:
    return when.astimezone(UTC).strftime("%a %d %b %H:%M UTC") if when else ""


def _lists(status: FleetStatus) -> Iterator[tuple[str, str]]:
    """Return who needs a person, what is wrong in the Fleet, and who is not moved by it, each with a label."""
    for need in status.needs_person:
        yield "Needs a person   ", f"{need.service}: {need.reason}. {need.message}"
    for problem in status.problems:
        yield "Problem   ", f"{problem.where}: {problem.message}"
    apart = (
        ("Excluded   ", status.counts.excluded, status.excluded),
        (
            "Unfit   ",
            status.counts.unfit,
            [f"{one.service} ({one.reason})" for one in status.unfit],
        ),
        ("In no wave   ", status.unplaced.count, status.unplaced.services),
    )
    for label, count, names in apart:
        if count or names:
            yield label, _some(count, names)


def _some(count: int, names: Sequence[str]) -> str:
    """Return how many there are, and some by name; a status names 50 at most."""
    count = max(count, len(names))
    shown = names[:3]
    more = count - len(shown)
    return (
        f"{count}: {', '.join(shown)}{f' and {more} more' if more else ''}" if shown else str(count)
    )


def _wrapped(label: str, text: str) -> list[str]:
    """Return lines of at most WIDTH columns: a label, and a text that stays to the right of it. What is to be typed
    stays on one line, where it fits on one.
    """
    if len(label) > WIDEST:
        return [*textwrap.wrap(label, WIDTH), *_wrapped("    ", text)]
    lines = textwrap.wrap(
        _COMMAND.sub(lambda found: found[0].replace(" ", _HARD_SPACE), text),
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label) or "  ",
        break_on_hyphens=False,
    )
    return [line.replace(_HARD_SPACE, " ") for line in lines]
