"""The stop rule: whether so many attempts of a Fleet were ended by evidence that nothing of it rises any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.domain import Key
from controller.domain.fleet import Fleet, StopRule

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LineState:
    """How a Fleet's line stands. ``services`` fell lately, the last one last; ``since`` is when the rule was met.
    ``changes`` is when one of them counts no more (None: never)."""

    stopped: bool = False
    services: tuple[Key, ...] = ()
    since: datetime | None = None
    changes: datetime | None = None


def line_of(fleet: Fleet, falls: Mapping[Key, datetime], now: datetime) -> LineState:
    """Return how the line stands. ``falls`` is by Service when its last attempt was ended by evidence.

    A line that was stopped stays so until a person resumes it: only falls after ``resumed-at`` count. A time that is
    yet to come, by a clock that is ahead or a slip of the hand, counts from then on: else nothing would stop until
    then. What fell longer before the Fleet was made than the rule looks back is none of its attempts. A Service counts
    once, by its last fall: more than that no record keeps.
    """
    rule = fleet.line
    if rule is None:
        return LineState()
    within = timedelta(seconds=rule.within_s)
    found = sorted((at, key) for key, at in falls.items() if at > _after(fleet, within, now))
    ahead = _ahead(fleet, now)
    last = _met(found, rule)
    if last is not None:
        services = tuple(key for _, key in found[last - rule.reverts + 1 :])
        return LineState(True, services, found[last][0], min(ahead, default=None))
    counting = {key: at + within for at, key in found if now - at <= within}
    return LineState(
        services=tuple(counting), changes=min([*counting.values(), *ahead], default=None)
    )


def _ahead(fleet: Fleet, now: datetime) -> tuple[datetime, ...]:
    """Return the time of resuming where it is yet to come."""
    resumed = fleet.by_hand.resumed_at
    return (resumed,) if resumed is not None and resumed > now else ()


def _met(found: Sequence[tuple[datetime, Key]], rule: StopRule) -> int | None:
    """Return with which of these the rule was met first, None where it is not."""
    for last in range(rule.reverts - 1, len(found)):
        lasted = found[last][0] - found[last - rule.reverts + 1][0]
        if lasted.total_seconds() <= rule.within_s:
            return last
    return None


def _after(fleet: Fleet, within: timedelta, now: datetime) -> datetime:
    """Return since when what fell counts."""
    made = fleet.created - within if fleet.created else LONG_AGO
    resumed = fleet.by_hand.resumed_at
    return made if resumed is None or _ahead(fleet, now) else max(resumed, made)


def stopped_message(line: LineState, rule: StopRule, fleet: str) -> str:
    """Return why nothing rises, for people."""
    who = ", ".join(map(str, line.services[-3:]))
    return (
        f"{len(line.services)} attempts of Fleet {fleet} were ended by evidence, and {rule.reverts} within"
        f" {stretch(rule.within_s)} stop the line (the last: {who}): see to them, then kubectl migrate fleet"
        f" resume {fleet}"
    )


def stretch(seconds: float) -> str:
    """Return a stretch of time in the largest unit that has it whole."""
    whole = int(seconds)
    for unit, length in (("h", 3600), ("m", 60)):
        if whole % length == 0:
            return f"{whole // length}{unit}"
    return f"{whole}s"
