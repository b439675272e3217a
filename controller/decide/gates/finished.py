"""An attempt that is over, or that may not start: HOLD, at the baseline."""

from __future__ import annotations

from controller.decide import origin_calls
from controller.decide.gates.gate import Gate, hold, not_in_force, unproven, unseen
from controller.decide.input import Input
from controller.decide.resolve import latches
from controller.domain import WHOLE, Hold, Latch, Malformed, MigrationSpec, Reason
from controller.evidence.clients.claimed import AT_REST_S


def reverted(given: Input) -> Hold | None:
    """A reverted attempt stays so until another is asked for."""
    state = given.state
    if state.reverted and state.attempt:
        return _over(given, Latch(state.attempt.target, state.attempt.number, state.reverted))
    return None


def completed(given: Input) -> Hold | None:
    """A completed migration rests, whatever is written next to an unchanged target."""
    observed, state = given.observed, given.state
    if state.completed is None or isinstance(observed.spec, Malformed):
        return None
    for name, why in unproven(given).items():
        message = f"every call was to go to {state.target}, but in {name} {why}"
        return not_in_force(given, message)
    for name, why in unseen(given).items():
        message = f"whether {state.target} serves every call in {name} is not known: {why}"
        return hold(Reason.CLUSTER_STALE, message)
    stands = all(share == WHOLE for share in state.shares.values())
    what = "serves" if stands else "served, when it was completed,"
    late = (
        f"; abort comes too late: set target to {state.origin}"
        if observed.spec and observed.spec.abort
        else ""
    )
    return hold(
        Reason.COMPLETED,
        f"{state.target} {what} 100 % by both splits; {origin_calls.measured(observed, state)[1]}{late}",
        requeue_after_s=AT_REST_S - observed.settled_s if observed.settled_s < AT_REST_S else None,
    )


def pin_latched(given: Input) -> Hold | None:
    """A latch on a pin binds also where both splits, and their records, are gone, and for any target."""
    if given.state.attempt is not None:
        return None
    for latch in latches(given.observed):
        if given.state.number <= latch.attempt:
            return _over(given, latch)
    return None


def _over(given: Input, latch: Latch) -> Hold:
    for name, why in unseen(given).items():
        message = (
            f"attempt {latch.attempt} was reverted: {latch.reverted.message}; whether callers in {name} are"
            f" rolled back is not known: {why}"
        )
        return hold(Reason.CLUSTER_STALE, message)
    return hold(
        Reason(latch.reverted.reason),
        f"attempt {latch.attempt} was reverted: {latch.reverted.message}; to try again set"
        f" attempt to {latch.attempt + 1}",
    )


def aborted(given: Input) -> Hold | None:
    """While abort is there nothing starts."""
    spec = given.observed.spec
    if isinstance(spec, (MigrationSpec, Malformed)) and spec.abort:
        return hold(Reason.ABORTED, "the annotation abort is true: remove it to start")
    return None


def fleet_rollback(given: Input) -> Hold | None:
    """While its Fleet asks for callers back nothing starts."""
    word = given.observed.fleet
    if word and word.rollback:
        return hold(Reason.FLEET_ROLLBACK, f"{word.rollback}: take it away to start")
    return None


GATES: tuple[Gate, ...] = (reverted, completed, pin_latched, aborted, fleet_rollback)
