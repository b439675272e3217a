"""An attempt that is over, or that may not start: HOLD, at the baseline."""

from __future__ import annotations

from datetime import datetime

from controller.decide.gates.gate import hold
from controller.decide.resolve import MigrationState, latches
from controller.domain import Malformed, MigrationSpec, Observed, Ruling


def over(_seen: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A reverted attempt stays home until another is asked for."""
    if state.reverted and state.attempt:
        return hold(
            state.reverted.reason,
            f"attempt {state.attempt.number} was reverted: {state.reverted.message}; to try again set"
            f" attempt to {state.attempt.number + 1}",
        )
    return None


def remembered(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A latch on a pin binds also where both splits, and their records, are gone, and for any target."""
    if state.attempt is not None:
        return None
    for latch in latches(observed):
        if state.number <= latch.attempt:
            return hold(
                latch.reverted.reason,
                f"attempt {latch.attempt} was reverted: {latch.reverted.message}; to try again set"
                f" attempt to {latch.attempt + 1}",
            )
    return None


def abort_asked(observed: Observed, _state: MigrationState, _now: datetime) -> Ruling | None:
    """While abort is there nothing starts."""
    if isinstance(observed.spec, (MigrationSpec, Malformed)) and observed.spec.abort:
        return hold("Aborted", "the annotation abort is true: remove it to start")
    return None


def completed(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A completed migration rests, whatever is written next to an unchanged target."""
    if state.completed is None or isinstance(observed.spec, Malformed):
        return None
    return hold("Completed", f"{state.target} serves every call of {observed.key}")
