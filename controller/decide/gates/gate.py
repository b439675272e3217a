"""What a gate is, how it answers, and what several of them ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from controller.decide.input import Input
from controller.decide.resolve import MigrationState, split_parts
from controller.domain import (
    WHOLE,
    CallPath,
    Hold,
    Observed,
    PathEvidence,
    Reason,
    Ruling,
    Side,
    Verdict,
)

SETTLE_S = 1.0
"""Proxies follow a write in 45 ms at most (facts 10); what is probed before this is of before the step."""

IN_FORCE_S = 5.0
"""The adaptor, or Linkerd, has acted on a write long before this (facts 10 and 26); later, it does not act."""

Gate = Callable[[Input], Ruling | None]


@dataclass(frozen=True, slots=True)
class Each:
    """A gate that may find several things: it answers with the first, and a preflight takes all."""

    every: Callable[[Input], Iterator[Ruling]]

    def __call__(self, given: Input) -> Ruling | None:
        """Return the first of what it finds, None where it finds nothing."""
        return next(self.every(given), None)


UNHEARD = PathEvidence(Verdict.UNKNOWN, Reason.NO_STREAM)


def first(gates: Iterable[Gate], given: Input) -> Ruling | None:
    """Return the answer of the first gate that speaks, None where all let the migration pass."""
    return next((ruling for gate in gates if (ruling := gate(given)) is not None), None)


def hold(
    reason: Reason,
    message: str,
    *,
    alert: bool | None = None,
    requeue_after_s: float | None = None,
) -> Hold:
    """Return a decision to stay. Whether it passes by itself, and asks for a person, is the reason's to say;
    ``alert`` is for a gate that knows better whether callers depend on one."""
    meaning = reason.meaning
    return Hold(
        reason,
        message,
        waits=meaning.transient,
        requeue_after_s=requeue_after_s,
        alert=meaning.pages if alert is None else alert,
    )


def wait(reason: Reason, message: str, requeue_after_s: float | None = None) -> Hold:
    """Return a decision to stay for a moment, for a reason that would be a person's if it lasted."""
    return Hold(reason, message, waits=True, requeue_after_s=requeue_after_s)


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


def dead_gateway(callers: str, gateway: str) -> str:
    """Return in a sentence that a gateway answers nobody, and how that is known."""
    return (
        f"the gateway of {gateway} answers nobody in {callers}: neither the control probes through it nor the"
        " probes of any Service"
    )


def four_paths(given: Input) -> list[tuple[CallPath, PathEvidence]]:
    """Return the four paths that decide, each with what is known of it."""
    return [
        (CallPath(callers, side), known_of(given.observed, callers, side))
        for callers in (given.state.origin, given.state.target)
        for side in (Side.TARGET, Side.ORIGIN)
    ]


def far_end(state: MigrationState, path: CallPath) -> str:
    """Return the name of the cluster that a path leads to."""
    return state.target if path.side is Side.TARGET else state.origin


def not_in_force(given: Input, message: str) -> Hold:
    """Return a decision to stay for what is written and not seen to be in force: a moment, then somebody's."""
    left = IN_FORCE_S - given.observed.settled_s
    if left > 0 or not in_force_was_read(given):
        return wait(Reason.SPLIT_NOT_IN_FORCE, message, left if left > 0 else None)
    depend = given.state.shifted or given.state.completed is not None
    return hold(Reason.SPLIT_NOT_IN_FORCE, message, alert=depend)


def in_force_was_read(given: Input) -> bool:
    """Return whether the API servers themselves were asked since the splits should be in force."""
    return given.observed.settled_s - given.observed.splits_read_s >= IN_FORCE_S


def unproven(given: Input) -> dict[str, str]:
    """Return, by cluster, why its split is not seen to be in force; what is not current is not known.

    A split with a defect is not what Linkerd reads anyway: its defects say more.
    """
    return {
        name: f"the {part.kind.api_kind} {part.name} is not in force: {part.not_in_force}"
        for name, cluster in given.observed.clusters.items()
        for part in split_parts(cluster)
        if cluster.current and part.not_in_force and not part.defects
    }


def unseen(given: Input) -> dict[str, str]:
    """Return, by cluster whose callers an attempt moves, why nobody knows where they are at its end.

    What was seen to be where it was written to be before the cluster fell silent is known.
    """
    return {
        name: cluster.stale_reason or "it was not listed yet"
        for name, cluster in given.observed.clusters.items()
        if not cluster.current and given.state.baseline.get(name) != WHOLE
        if cluster.split is None or any(part.moves_otherwise for part in split_parts(cluster))
    }


def target_is_empty(given: Input) -> bool:
    """Return whether it is known that no pod of the Service is ready in the target."""
    target = given.observed.clusters[given.state.target]
    return target.current and target.endpoints.ready == 0
