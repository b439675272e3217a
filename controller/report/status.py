"""What people and tools are told: the status of the Migration object, and one Event per transition.

Pure: a decision comes in, a status and Events go out. A transition is another phase, another share, or another
reason that does not pass in the ordinary course; that a step's pause goes on is none. The status is a projection:
nothing is ever decided from it, and only its history and conditions are read back, to go on from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from controller.decide.resolve import asked_by, asked_target
from controller.domain import (
    WHOLE,
    CallPath,
    MigrationKnown,
    Observed,
    PathEvidence,
    Phase,
    Plan,
    Reason,
    Side,
    Verdict,
)
from controller.domain.annotation_schema import visible
from controller.domain.status import (
    NO_SERVICE,
    AskedBy,
    Condition,
    MigrationStatus,
    PathStatus,
    Percent,
    Reported,
    TrafficStatus,
    Transition,
    WarningStatus,
    readable,
)
from controller.evidence.clients.claimed import AT_REST_S, strays

REFRESH_S = 10.0
"""How often a status that changed without a transition is written, while there is something to watch."""

HISTORY = 10
LOUD = frozenset({Phase.REVERTING, Phase.REVERTED})


@dataclass(frozen=True, slots=True)
class Event:
    """An Event on the Service. ``kind`` is Normal or Warning."""

    reason: str
    message: str
    kind: str = "Normal"


@dataclass(frozen=True, slots=True)
class Note:
    """What makes a transition."""

    phase: str
    share: str
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """What was reported so far of one migration. ``written`` is the last status without its time (None: a status
    is to be written whatever it says)."""

    note: Note | None = None
    transitions: tuple[Transition, ...] = ()
    conditions: tuple[Condition, ...] = ()
    written: MigrationStatus | None = None
    written_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Telling:
    """What to write now: a status (None: nothing), Events, and the history that is true afterwards."""

    status: Mapping[str, Any] | None
    events: tuple[Event, ...]
    history: History


def remember(status: Mapping[str, Any]) -> History:
    """Return the history of a Migration that was written before this process began.

    Whatever in it is not of our shape is left out: it is for display only, and written back the API server
    would refuse all of the status for it.
    """
    found = readable(status)
    transitions = found.history[-HISTORY:]
    note = None
    if transitions:
        last = transitions[-1]
        note = Note(last.phase, last.share, last.noted)
    return History(note=note, transitions=transitions, conditions=found.conditions)


def stands(status: Mapping[str, Any], history: History) -> bool:
    """Return whether a Migration still has what was written last, in what distinguishes one state from another.

    Where it has not, somebody else wrote since: an older leader who did not know, the next one, a person.
    """
    written = history.written
    return written is not None and all(
        status.get(key) == value
        for key, value in (
            ("phase", written.phase),
            ("share", written.share),
            ("reason", written.reason),
        )
    )


def tell(
    history: History,
    observed: Observed,
    plan: Plan,
    known: MigrationKnown,
    now: datetime,
    now_s: float,
) -> Telling:
    """Return what to write of this decision. ``now`` is for people, ``now_s`` is monotonic."""
    note = _note(observed, plan)
    moved = note != history.note
    if moved:
        entry = Transition(
            at=_second(now),
            phase=note.phase,
            share=note.share,
            reason=_reason(plan),
            message=_sentence(observed, plan),
            noted=note.reason,
            target=visible(plan.target),
        )
        transitions = (*history.transitions, entry)[-HISTORY:]
        history = replace(history, note=note, transitions=transitions)
    conditions = _conditions(history.conditions, observed, plan, now)
    body = body_of(observed, plan, known, history.transitions, conditions)
    watched = bool(plan.probes) or plan.phase is Phase.REVERTING
    due = watched and now_s - history.written_s >= REFRESH_S
    fresh = body != history.written
    if not (moved or (fresh and (due or not watched))):
        return Telling(None, (), history)
    history = replace(history, conditions=conditions, written=body, written_s=now_s)
    events = (_event(observed, plan),) if moved else ()
    return Telling(_encoded(msgspec.structs.replace(body, as_of=_second(now))), events, history)


def _encoded(status: MigrationStatus) -> Mapping[str, Any]:
    """Return a status as it is written."""
    encoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(status))
    return encoded


def _second(when: datetime) -> datetime:
    """Return a time as Kubernetes has it, to the second."""
    return when.replace(microsecond=0)


def share_text(observed: Observed, plan: Plan) -> str:
    """Return the shares of both clusters in percent, in the settings' order: ``10/100``.

    ``10?`` says that these are the weights, and that callers were seen who do not follow them; ``-`` that the cluster
    has no such Service, so that there is nobody to shift.
    """
    return "/".join(
        percent(plan.shares.get(name)) + ("?" if _doubtful(observed, name) else "")
        if _is_there(observed, name)
        else NO_SERVICE
        for name in observed.context.clusters
    )


def _is_there(observed: Observed, cluster: str) -> bool:
    """Return whether a cluster has the Service or a split of it, or may have."""
    found = observed.clusters[cluster]
    return not found.current or found.service is not None or bool(found.splits)


def _doubtful(observed: Observed, cluster: str) -> bool:
    """Return whether callers who ignore the split make a difference: those go to the local Service."""
    traffic, split = observed.traffic.get(cluster), observed.clusters[cluster].split
    return bool(traffic and traffic.ignoring and split and split.away_permille)


def percent(share_permille: int | None) -> str:
    """Return a share for people; ``?`` where it is not known."""
    return "?" if share_permille is None else f"{share_permille / 10:g}"


def verdict_of(observed: Observed, plan: Plan) -> str:
    """Return the verdict of all four paths together, "" where nothing is probed."""
    found = [e.verdict for path, e in observed.paths.items() if path.side is not Side.APEX]
    if not plan.probes or not found:
        return ""
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if set(found) == {Verdict.PASS} and len(found) == 4 else Verdict.UNKNOWN


def _note(observed: Observed, plan: Plan) -> Note:
    waits = plan.ruling is None or plan.ruling.waits
    reason = "" if waits else _reason(plan)
    return Note(plan.phase, share_text(observed, plan), reason)


def _reason(plan: Plan) -> str:
    if plan.ruling is not None:
        return visible(plan.ruling.reason.value)
    return Reason.RAISING.value


def _sentence(observed: Observed, plan: Plan) -> str:
    """Return the transition as one sentence for people."""
    one, other = observed.context.clusters
    shares = f"share {share_text(observed, plan)} % ({one}/{other})"
    if plan.ruling is not None and not plan.ruling.waits:
        return f"{shares}: {visible(plan.ruling.message)}"
    return f"{shares}, next: {visible(plan.next)}" if plan.next else shares


def _event(observed: Observed, plan: Plan) -> Event:
    held = plan.ruling if plan.ruling is not None and not plan.ruling.waits else None
    loud = plan.phase in LOUD or (held is not None and not held.reason.meaning.quiet)
    reason = visible(held.reason.value) if held else plan.phase.value
    message = f"{plan.phase}: {_sentence(observed, plan)}"
    return Event(reason, message, "Warning" if loud else "Normal")


def body_of(
    observed: Observed,
    plan: Plan,
    known: MigrationKnown,
    transitions: Sequence[Transition],
    conditions: Sequence[Condition],
) -> MigrationStatus:
    """Return the status of this decision, without its time."""
    made = MigrationStatus(
        service=observed.key.service,
        observed=Reported(visible(plan.target), plan.number),
        clusters=tuple(observed.context.clusters),
        phase=plan.phase.value,
        share=share_text(observed, plan),
        shares={name: percent(share) for name, share in plan.shares.items()},
        verdict=verdict_of(observed, plan),
        reason=_reason(plan),
        message=visible(plan.ruling.message) if plan.ruling else "",
        next=visible(plan.next),
        waiting_for=visible(plan.waiting_for),
        alert=bool(plan.ruling and plan.ruling.alert),
        paths=tuple(_path(path, found) for path, found in sorted(observed.paths.items())),
        traffic=tuple(_traffic(observed, plan, name) for name in sorted(observed.traffic)),
        warnings=tuple(
            WarningStatus(reason, visible(message)) for reason, message in plan.warnings
        ),
        origin_calls=plan.origin_calls or UNSET,
        conditions=tuple(conditions),
        history=tuple(transitions),
        asked=_asked(observed, known),
    )
    return msgspec.structs.replace(made, **_fleet(observed))


def _fleet(observed: Observed) -> dict[str, str]:
    """Return the Fleet and the wave of a Service, and where its spec comes from; nothing where no Fleet names it."""
    word = observed.fleet
    if word is None:
        return {}
    return {"fleet": word.fleet, "wave": word.wave, "wish": asked_by(observed) or "service"}


def _asked(observed: Observed, known: MigrationKnown) -> AskedBy | UnsetType:
    """Return what is asked for and by whom; unset where nobody asks for anything."""
    if known.asked is None and observed.spec is None:
        return UNSET
    at = UNSET if known.asked is None else _second(known.asked)
    by = asked_by(observed) or known.asked_by
    return AskedBy(visible(by), visible(asked_target(observed)), at)


def _path(path: CallPath, found: PathEvidence) -> PathStatus:
    return PathStatus(
        callers=path.callers,
        side=path.side.value,
        verdict=found.verdict.value,
        reason=found.reason,
        objective=found.objective,
        points=round(found.points, 2),
        threshold=round(found.threshold, 2),
        clean=found.clean,
        needed=found.needed,
        usual_answer=visible(found.usual_answer),
        success_percent=_percent(found.success_share),
        bad_percent_3s=_percent(found.bad_share_3s),
    )


def _traffic(observed: Observed, plan: Plan, callers: str) -> TrafficStatus:
    found, claimed = observed.traffic[callers], plan.shares.get(callers)
    at_rest = min(observed.settled_s, observed.started_s) >= AT_REST_S
    return TrafficStatus(
        callers=callers,
        verdict=found.verdict.value if found.judged else "",
        reason=found.reason,
        unknown=visible(found.unknown),
        points=round(found.points, 2),
        threshold=round(found.threshold, 2),
        requests=found.requests,
        failures=found.failures,
        ignoring=tuple(map(visible, found.ignoring)),
        unmeshed=found.unmeshed,
        bad_percent=_percent(found.bad_share),
        origin_bad_percent=_percent(found.origin_bad_share),
        share_percent=_percent(found.share),
        claimed_percent=_percent(None if claimed is None else claimed / WHOLE),
        measured_requests=found.measured_requests,
        strays=at_rest and strays(found, claimed),
    )


def _percent(share: float | None) -> Percent:
    return UNSET if share is None else round(share * 100, 2)


def _conditions(
    before: Sequence[Condition], observed: Observed, plan: Plan, now: datetime
) -> tuple[Condition, ...]:
    """Return the four conditions; the time of each is when its status last changed."""
    blocked = plan.ruling is not None and not plan.ruling.waits
    phase = plan.phase
    states = {
        "Progressing": phase in (Phase.PROGRESSING, Phase.SOAKING, Phase.REVERTING),
        "Blocked": blocked and phase in (Phase.PENDING, Phase.HOLDING, Phase.SOAKING),
        "Reverted": phase is Phase.REVERTED,
        "Completed": phase is Phase.COMPLETED,
    }
    since = {(entry.type, entry.status): entry.last_transition_time for entry in before}
    found = []
    for name, true in states.items():
        status = "True" if true else "False"
        known = since.get((name, status), UNSET)
        found.append(
            Condition(
                type=name,
                status=status,
                reason=_reason(plan) if true else plan.phase.value,
                message=_sentence(observed, plan) if true else "",
                last_transition_time=_second(now) if known is UNSET else known,
            )
        )
    return tuple(found)
