"""``drained``: whether anything still needs the origin of a migration, or whether that is not known. Pure.

Yes is said only where everything that is known says so: completed, both splits in force at 100 %, no way past
them, and calls to the origin's pods were measured and there were none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import UNSET

from controller.cli import show
from controller.cli.exit_codes import Exit
from controller.cli.migration import Migration
from controller.decide.gates import finished
from controller.decide.input import Input, input_of
from controller.decide.preflight import Finding, document
from controller.domain import Observed, Phase
from controller.domain.reasons import Level, Reason
from controller.domain.status import MigrationStatus

NEEDED = frozenset(
    {
        Reason.CALLERS_BYPASS,
        Reason.CALLERS_DO_NOT_FOLLOW,
        Reason.CALLERS_UNMESHED,
        Reason.SAME_PODS,
        Reason.SERVICE_EXPOSED,
        Reason.FEDERATED_MEMBER,
        Reason.INGRESS_DIALS_PODS,
        Reason.PROFILE_WINS,
        Reason.ROUTE_WINS,
        Reason.MOVED_SINCE,
    }
)
"""Findings by which somebody still calls the origin's pods, or may at any time."""

UNSURE = frozenset({Reason.CALLERS_MAY_NOT_FOLLOW, Reason.TRAFFIC_AMBIGUOUS})
"""Findings by which it is not known whether somebody does."""


class Verdict(StrEnum):
    """Whether the origin may be scaled down."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


CODES = {Verdict.YES: Exit.OK, Verdict.NO: Exit.BLOCKED, Verdict.UNKNOWN: Exit.UNREACHED}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer about one Service. ``needed`` is what speaks against it, ``unsure`` what is not known, and
    ``notes`` say what could not be looked at. ``told`` is what the controller says of the origin's calls."""

    observed: Observed
    origin: str
    target: str
    needed: tuple[Finding, ...]
    unsure: tuple[Finding, ...]
    told: str
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What speaks against it counts more than what is not known."""
        if self.needed:
            return Verdict.NO
        return Verdict.UNKNOWN if self.unsure or self.notes else Verdict.YES


def answer(
    observed: Observed,
    found: Iterable[Finding],
    migration: Migration,
    now: datetime,
    notes: Iterable[str] = (),
) -> Answer:
    """Return whether the origin may be scaled down. ``found`` is what ``check`` finds, ``notes`` are sentences
    about what was to be looked at and could not be."""
    status = migration.status
    findings = tuple(found)
    needed = (
        *_unfinished(observed, status, now),
        *_calls(status, "some", Reason.ORIGIN_CALLED),
        *(finding for finding in findings if finding.reason in NEEDED),
    )
    unsure = (
        *_calls(status, "unknown", Reason.ORIGIN_CALLS_UNKNOWN),
        *(finding for finding in findings if finding.reason in UNSURE),
    )
    return Answer(
        observed=observed,
        origin=status.origin,
        target=status.observed.target,
        needed=needed,
        unsure=unsure,
        told=status.message,
        notes=tuple(notes),
    )


def _unfinished(observed: Observed, status: MigrationStatus, now: datetime) -> Iterator[Finding]:
    """Find what is not as a completed migration leaves it: as it is told, and as the splits were just read."""
    reason = Reason(status.reason)
    if status.phase != Phase.COMPLETED:
        message = f"it is {status.phase or 'not begun'} at {status.share} %: {status.message}"
        yield Finding(Level.BLOCK, reason, message)
        return
    if status.asks_otherwise:
        asked = f"the annotations ask for {status.asked_target} now"
        yield Finding(Level.BLOCK, Reason.TARGET_CHANGED, asked)
    yield from _as_they_stand(input_of(observed, now))


def _as_they_stand(given: Input) -> Iterator[Finding]:
    """Find what the splits that were just read have otherwise; a share below 100 % is told by MovedSince."""
    ruling = finished.completed(given)
    if ruling is None or ruling.reason is not Reason.COMPLETED:
        message = ruling.message if ruling else "the splits carry no completed attempt any more"
        yield Finding(Level.BLOCK, ruling.reason if ruling else Reason.SPLIT_MISSING, message)


def _calls(status: MigrationStatus, calls: str, reason: Reason) -> Iterator[Finding]:
    """Find what the controller measured of calls to the origin; an older one measured nothing."""
    told = "unknown" if status.origin_calls is UNSET else status.origin_calls
    if status.phase == Phase.COMPLETED and told == calls:
        yield Finding(Level.WARN, reason, status.message)


def page(answer: Answer) -> str:
    """Return the answer as text: in a sentence, then why."""
    name, origin = answer.observed.key.service, answer.origin
    said = {
        Verdict.YES: f"yes, {origin} may be scaled down: {answer.told}",
        Verdict.NO: f"no, {origin} is still needed",
        Verdict.UNKNOWN: f"not known whether {origin} is still needed",
    }[answer.verdict]
    parts = [f"{name}: {said}"]
    rows = [(found.reason, found.message, found.meaning.do) for found in _all(answer)]
    if rows:
        parts.append(show.table(("REASON", "FOUND", "DO"), rows))
    parts += [f"Note: {note}" for note in answer.notes]
    return "\n".join(parts)


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as JSON has it."""
    return {
        "namespace": answer.observed.key.namespace,
        "service": answer.observed.key.service,
        "origin": answer.origin,
        "target": answer.target,
        "drained": answer.verdict.value,
        "findings": document(_all(answer)),
        "told": answer.told,
        "notes": list(answer.notes),
    }


def _all(answer: Answer) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys((*answer.needed, *answer.unsure)))
