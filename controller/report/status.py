"""What people and tools are told: the status of the Migration object, and one Event per transition.

Pure: a decision comes in, a status and Events go out. A transition is another phase, another share, or another
reason that does not pass in the ordinary course; that a dwell goes on is none. The status is a projection:
nothing is ever decided from it, and only its history and conditions are read back, to go on telling them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from controller.domain import (
    CallPath,
    Malformed,
    MigrationKnown,
    MigrationSpec,
    Observed,
    PathEvidence,
    Phase,
    Plan,
    Reason,
    Side,
    TrafficEvidence,
    Verdict,
)

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
class Story:
    """What was told so far of one migration. ``written`` is the last status without its times."""

    note: Note | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    conditions: tuple[Mapping[str, Any], ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)
    written_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Telling:
    """What to write now: a status (None: nothing), Events, and the story that is true afterwards."""

    status: Mapping[str, Any] | None
    events: tuple[Event, ...]
    story: Story


def remember(status: Mapping[str, Any]) -> Story:
    """Take up the story of a Migration that was written before this process began.

    Whatever in it is not of our shape is left out: it is for display only.
    """
    history = tuple(entry for entry in _list(status, "history") if isinstance(entry, Mapping))
    conditions = tuple(
        entry
        for entry in _list(status, "conditions")
        if isinstance(entry, Mapping)
        and isinstance(entry.get("type"), str)
        and isinstance(entry.get("status"), str)
    )
    last = history[-1] if history else {}
    note = None
    if isinstance(last.get("phase"), str):
        note = Note(last["phase"], str(last.get("share", "")), str(last.get("noted", "")))
    return Story(note=note, history=history[-HISTORY:], conditions=conditions)


def stands(told: Mapping[str, Any], story: Story) -> bool:
    """Return whether a Migration still says what this story wrote last, in what tells one state from another.

    Where it does not, somebody else wrote since: an older leader who did not know, the next one, a person.
    """
    return all(told.get(key) == story.written.get(key) for key in ("phase", "share", "reason"))


def _list(status: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = status.get(name, ())
    return found if isinstance(found, (list, tuple)) else ()


def tell(
    story: Story,
    observed: Observed,
    plan: Plan,
    known: MigrationKnown,
    now: datetime,
    now_s: float,
) -> Telling:
    """Return what to write of this decision. ``now`` is for people, ``now_s`` is monotonic."""
    note = _note(observed, plan)
    moved = note != story.note
    if moved:
        entry = {
            "at": stamp(now),
            "phase": note.phase,
            "share": note.share,
            "reason": _reason(plan),
            "message": _sentence(observed, plan),
            "noted": note.reason,
        }
        story = replace(story, note=note, history=(*story.history, entry)[-HISTORY:])
    conditions = _conditions(story.conditions, observed, plan, now)
    body = body_of(observed, plan, known, story.history, conditions)
    watched = bool(plan.probes) or plan.phase is Phase.REVERTING
    due = watched and now_s - story.written_s >= REFRESH_S
    fresh = dict(body) != story.written
    if not (moved or (fresh and (due or not watched))):
        return Telling(None, (), story)
    story = replace(story, conditions=conditions, written=body, written_s=now_s)
    events = (_event(observed, plan),) if moved else ()
    return Telling({**body, "asOf": stamp(now)}, events, story)


def stamp(when: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def share_text(observed: Observed, plan: Plan) -> str:
    """Return the shares of both clusters in percent, in the settings' order: ``10/100``.

    ``10?`` says that these are the weights, and that callers were seen who do not follow them.
    """
    return "/".join(
        percent(plan.shares.get(name)) + ("?" if _doubtful(observed, name) else "")
        for name in observed.context.clusters
    )


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
    reason = "" if waits or plan.ruling is None else plan.ruling.reason.value
    return Note(plan.phase, share_text(observed, plan), reason)


def _reason(plan: Plan) -> str:
    if plan.ruling is not None:
        return plan.ruling.reason.value
    return Reason.RAISING.value


def _sentence(observed: Observed, plan: Plan) -> str:
    """Return the transition as one sentence for people."""
    one, other = observed.context.clusters
    shares = f"share {share_text(observed, plan)} % ({one}/{other})"
    if plan.ruling is not None and not plan.ruling.waits:
        return f"{shares}: {plan.ruling.message}"
    return f"{shares}, next: {plan.next}" if plan.next else shares


def _event(observed: Observed, plan: Plan) -> Event:
    held = plan.ruling if plan.ruling is not None and not plan.ruling.waits else None
    loud = plan.phase in LOUD or (held is not None and not held.reason.meaning.quiet)
    reason = held.reason.value if held else plan.phase.value
    message = f"{plan.phase}: {_sentence(observed, plan)}"
    return Event(reason, message, "Warning" if loud else "Normal")


def body_of(
    observed: Observed,
    plan: Plan,
    known: MigrationKnown,
    history: Sequence[Mapping[str, Any]],
    conditions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the status of this decision, without its time."""
    spec = observed.spec
    target = spec.target if isinstance(spec, (MigrationSpec, Malformed)) else None
    body: dict[str, Any] = {
        "service": observed.key.service,
        "observed": {"target": target or "", "attempt": plan.number},
        "clusters": list(observed.context.clusters),
        "phase": plan.phase.value,
        "share": share_text(observed, plan),
        "shares": {name: percent(share) for name, share in plan.shares.items()},
        "verdict": verdict_of(observed, plan),
        "reason": _reason(plan),
        "message": plan.ruling.message if plan.ruling else "",
        "next": plan.next,
        "waitingFor": plan.waiting_for,
        "alert": bool(plan.ruling and plan.ruling.alert),
        "ways": [_path(path, found) for path, found in sorted(observed.paths.items())],
        "traffic": [_traffic(name, found) for name, found in sorted(observed.traffic.items())],
        "warnings": [{"reason": r.value, "message": m} for r, m in plan.warnings],
        "conditions": list(conditions),
        "history": list(history),
    }
    if known.asked is not None:
        body["asked"] = {"by": known.asked_by, "at": stamp(known.asked)}
    return body


def _path(path: CallPath, found: PathEvidence) -> dict[str, Any]:
    told: dict[str, Any] = {
        "callers": path.callers,
        "side": path.side.value,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "objective": found.objective,
        "points": round(found.points, 2),
        "threshold": round(found.threshold, 2),
        "clean": found.clean,
        "needed": found.needed,
        "usualAnswer": found.usual_answer,
    }
    if found.success_share is not None:
        told["successPercent"] = round(found.success_share * 100, 2)
    if found.bad_share_3s is not None:
        told["badPercent3s"] = round(found.bad_share_3s * 100, 2)
    return told


def _traffic(callers: str, found: TrafficEvidence) -> dict[str, Any]:
    told: dict[str, Any] = {
        "callers": callers,
        "verdict": found.verdict.value if found.judged else "",
        "reason": found.reason.value,
        "unknown": found.unknown,
        "points": round(found.points, 2),
        "threshold": round(found.threshold, 2),
        "requests": found.requests,
        "failures": found.failures,
        "ignoring": list(found.ignoring),
        "unmeshed": found.unmeshed,
    }
    shares = {
        "badPercent": found.bad_share,
        "homeBadPercent": found.origin_bad_share,
        "sharePercent": found.share,
    }
    told |= {name: round(share * 100, 2) for name, share in shares.items() if share is not None}
    return told


def _conditions(
    before: Sequence[Mapping[str, Any]], observed: Observed, plan: Plan, now: datetime
) -> tuple[Mapping[str, Any], ...]:
    """Return the four conditions; the time of each is when its status last changed."""
    blocked = plan.ruling is not None and not plan.ruling.waits
    phase = plan.phase
    states = {
        "Progressing": phase in (Phase.PROGRESSING, Phase.SOAKING, Phase.REVERTING),
        "Blocked": blocked and phase in (Phase.PENDING, Phase.HOLDING, Phase.SOAKING),
        "Reverted": phase is Phase.REVERTED,
        "Completed": phase is Phase.COMPLETED,
    }
    known = {str(entry["type"]): entry for entry in before}
    return tuple(
        _condition(known.get(name), name, true, observed, plan, now)
        for name, true in states.items()
    )


def _condition(
    before: Mapping[str, Any] | None,
    name: str,
    true: bool,
    observed: Observed,
    plan: Plan,
    now: datetime,
) -> dict[str, Any]:
    status = "True" if true else "False"
    same = before is not None and before["status"] == status
    reason = _reason(plan) if true else plan.phase.value
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": _sentence(observed, plan) if true else "",
        "lastTransitionTime": before.get("lastTransitionTime", stamp(now))
        if same and before
        else stamp(now),
    }
