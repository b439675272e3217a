"""What a gate is, how it answers, and what several of them ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from controller.model import (
    Answer,
    Observed,
    Refusal,
    Side,
    Verdict,
    Way,
    WayEvidence,
)
from controller.standing import Standing

Gate = Callable[[Observed, Standing, datetime], Refusal | None]


@dataclass(frozen=True, slots=True)
class Each:
    """A gate that looks at each cluster: it answers with the first of what it finds, a preflight takes all."""

    every: Callable[[Observed, Standing, datetime], Iterator[Refusal]]

    def __call__(self, seen: Observed, st: Standing, now: datetime) -> Refusal | None:
        """Answer as every gate does."""
        return next(self.every(seen, st, now), None)


UNHEARD = WayEvidence(Verdict.UNKNOWN, "NoStream")


def hold(reason: str, message: str, *, alert: bool = False) -> Refusal:
    """Refuse until somebody or something changes."""
    return Refusal(Answer.HOLD, reason, message, alert=alert)


def wait(reason: str, message: str, wake_s: float | None = None) -> Refusal:
    """Refuse until time or evidence has come, in the ordinary course."""
    return Refusal(Answer.HOLD, reason, message, waits=True, wake_s=wake_s)


def revert(reason: str, message: str) -> Refusal:
    """Ask for everyone to be brought home."""
    return Refusal(Answer.REVERT, reason, message)


def known_of(seen: Observed, callers: str, side: Side) -> WayEvidence:
    """Give what is known of a way; one that was never heard of is UNKNOWN."""
    return seen.ways.get(Way(callers, side), UNHEARD)


def bad_probes(callers: str, side: str, found: WayEvidence) -> str:
    """Say in a sentence how bad the last probes of a way were."""
    share = "" if found.bad_share_3s is None else f"{found.bad_share_3s * 100:.3g} % of "
    answer = f", usually {found.usual_answer}" if found.usual_answer else ""
    if found.wrong_cluster_3s:
        answer = f", {found.wrong_cluster_3s} of them answered by another cluster"
    what = "slower than slo-latency" if found.objective == "latency" else "bad"
    return (
        f"{share}the probes of callers in {callers} to {side} were {what} in the last 3 s{answer}"
        f" ({found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def four_ways(seen: Observed, st: Standing) -> list[tuple[Way, WayEvidence]]:
    """Give the four ways that decide, each with what is known of it."""
    return [
        (Way(callers, side), known_of(seen, callers, side))
        for callers in (st.origin, st.target)
        for side in (Side.TARGET, Side.HOME)
    ]


def far_end(st: Standing, way: Way) -> str:
    """Name the cluster that a way leads to."""
    return st.target if way.side is Side.TARGET else st.origin
