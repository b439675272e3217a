"""What a gate is, how it answers, and what several of them ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from controller.decide.resolve import MigrationState
from controller.domain import Answer, CallPath, Observed, PathEvidence, Ruling, Side, Verdict

Gate = Callable[[Observed, MigrationState, datetime], Ruling | None]


@dataclass(frozen=True, slots=True)
class Each:
    """A gate that looks at each cluster: it answers with the first of what it finds, a preflight takes all."""

    every: Callable[[Observed, MigrationState, datetime], Iterator[Ruling]]

    def __call__(self, observed: Observed, state: MigrationState, now: datetime) -> Ruling | None:
        """Answer as every gate does."""
        return next(self.every(observed, state, now), None)


UNHEARD = PathEvidence(Verdict.UNKNOWN, "NoStream")


def hold(reason: str, message: str, *, alert: bool = False) -> Ruling:
    """Refuse until somebody or something changes."""
    return Ruling(Answer.HOLD, reason, message, alert=alert)


def wait(reason: str, message: str, requeue_after_s: float | None = None) -> Ruling:
    """Refuse until time or evidence has come, in the ordinary course."""
    return Ruling(Answer.HOLD, reason, message, waits=True, requeue_after_s=requeue_after_s)


def revert(reason: str, message: str) -> Ruling:
    """Ask for everyone to be brought home."""
    return Ruling(Answer.REVERT, reason, message)


def known_of(observed: Observed, callers: str, side: Side) -> PathEvidence:
    """Return what is known of a path; one that was never heard of is UNKNOWN."""
    return observed.paths.get(CallPath(callers, side), UNHEARD)


def bad_probes(callers: str, side: str, found: PathEvidence) -> str:
    """Return in a sentence how bad the last probes of a path were."""
    share = "" if found.bad_share_3s is None else f"{found.bad_share_3s * 100:.3g} % of "
    answer = f", usually {found.usual_answer}" if found.usual_answer else ""
    if found.wrong_cluster_3s:
        answer = f", {found.wrong_cluster_3s} of them answered by another cluster"
    what = "slower than slo-latency" if found.objective == "latency" else "bad"
    return (
        f"{share}the {found.counted} of callers in {callers} to {side} were {what} in the last 3 s{answer}"
        f" ({found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def four_paths(observed: Observed, state: MigrationState) -> list[tuple[CallPath, PathEvidence]]:
    """Return the four paths that decide, each with what is known of it."""
    return [
        (CallPath(callers, side), known_of(observed, callers, side))
        for callers in (state.origin, state.target)
        for side in (Side.TARGET, Side.HOME)
    ]


def far_end(state: MigrationState, path: CallPath) -> str:
    """Return the name of the cluster that a path leads to."""
    return state.target if path.side is Side.TARGET else state.origin
