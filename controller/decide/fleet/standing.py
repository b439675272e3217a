"""What a decision says of its Service, as far as Fleets ask."""

from __future__ import annotations

from datetime import datetime

from controller.decide.decision import Decision
from controller.decide.resolve import asked_target, latches
from controller.domain import Phase, Reason
from controller.domain.fleet import MemberState, Standing

BY_PEOPLE = frozenset(
    {
        Reason.ABORTED,
        Reason.TARGET_CHANGED,
        Reason.FLEET_ROLLBACK,
        Reason.TOGETHER_REVERTED,
    }
)
"""Reverts that somebody asked for, or that another Service brought: no evidence against this one."""


NEEDING = (MemberState.REVERTED, MemberState.BLOCKED)
"""Only of these it is kept why: what passes by itself says something else at every look."""


def standing_of(decision: Decision) -> Standing:
    """Return where a Service stands by what was decided for it."""
    state, plan = decision.state, decision.plan
    member = _state(decision)
    told = plan.ruling if member in NEEDING else None
    return Standing(
        state=member,
        target=plan.target,
        own_target=_own_target(decision),
        reason=told.reason.value if told else "",
        message=told.message if told else "",
        started=state.attempt.started if state.attempt else None,
        completed=state.completed,
        fell=_fell(decision),
        rose=state.since,
    )


def _own_target(decision: Decision) -> bool:
    """Return whether the owner names another cluster than the Fleet."""
    word, asked = decision.observed.fleet, asked_target(decision.observed)
    wished = word.wish.get("target", "") if word else ""
    return bool(wished and asked) and asked != wished


def _state(decision: Decision) -> MemberState:
    phase, ruling = decision.plan.phase, decision.plan.ruling
    if phase is Phase.COMPLETED:
        return MemberState.COMPLETED
    if phase in (Phase.REVERTING, Phase.REVERTED):
        return MemberState.REVERTED
    if ruling is not None and not ruling.waits and not ruling.reason.meaning.chosen:
        return MemberState.BLOCKED
    under_way = phase is not Phase.PENDING or decision.state.unfinished
    return MemberState.UNDER_WAY if under_way else MemberState.WAITING


def _fell(decision: Decision) -> datetime | None:
    """Return when an attempt was ended by evidence last: by the records, or by the pins, which keep the latch also
    when another attempt has begun."""
    reverts = [latch.reverted for latch in latches(decision.observed)]
    if decision.state.reverted:
        reverts.append(decision.state.reverted)
    fell = (one.at for one in reverts if Reason(one.reason) not in BY_PEOPLE)
    return max(fell, default=None)
