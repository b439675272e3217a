"""An attempt that is over, or that may not start: HOLD, at home."""

from __future__ import annotations

from datetime import datetime

from controller.gates.answers import (
    hold,
)
from controller.model import (
    Malformed,
    Observed,
    Refusal,
    Wish,
)
from controller.standing import Standing, latches


def over(_seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A reverted attempt stays home until another is asked for."""
    if st.reverted and st.attempt:
        return hold(
            st.reverted.reason,
            f"attempt {st.attempt.number} was reverted: {st.reverted.message}; to try again set"
            f" attempt to {st.attempt.number + 1}",
        )
    return None


def remembered(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A latch on a pin binds also where both splits, and their records, are gone, and for any target."""
    if st.attempt is not None:
        return None
    for latch in latches(seen):
        if st.number <= latch.attempt:
            return hold(
                latch.reverted.reason,
                f"attempt {latch.attempt} was reverted: {latch.reverted.message}; to try again set"
                f" attempt to {latch.attempt + 1}",
            )
    return None


def abort_asked(seen: Observed, _st: Standing, _now: datetime) -> Refusal | None:
    """While abort is there nothing starts."""
    if isinstance(seen.wish, (Wish, Malformed)) and seen.wish.abort:
        return hold("Aborted", "the annotation abort is true: remove it to start")
    return None


def completed(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A completed migration rests, whatever is written next to an unchanged target."""
    if st.completed is None or isinstance(seen.wish, Malformed):
        return None
    return hold("Completed", f"{st.target} serves every call of {seen.key}")
