"""In a revert: who may be rolled back now, and who is better off where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from controller.decide.gates.endpoints import origin_emptiness, target_emptiness
from controller.decide.gates.gate import bad_probes, hold, known_of, wait
from controller.decide.input import Input
from controller.domain import Hold, PathEvidence, Reason, Side, Verdict
from controller.evidence import origin_is_worse

LINK_SHOWN_S = 2.5
"""From a link's loss until the last second is nothing but that: a probe's timeout, that second, and room."""

BLIND_S = 0.3

FIRST_SLICES_S = 1.0

Guard = Callable[[Input, str], Hold | None]
"""Why the callers of one cluster stay where they are for now, None where they go."""


def stays(given: Input, cluster: str) -> Hold | None:
    """Return why this cluster's callers stay where they are for now in a revert, None where they go.

    UNKNOWN keeps nobody, with two exceptions: after a start the first slices are waited for, 1 s at most;
    and callers whose path back needs the link are not sent through a link that looks dead.
    """
    return next((ruling for guard in GUARDS if (ruling := guard(given, cluster))), None)


def home_without_endpoints(given: Input, cluster: str) -> Hold | None:
    """Nobody is ready in the origin to serve them, and no probe that was sent since shows otherwise."""
    state, found = given.state, origin_emptiness(given, cluster)
    if found is None or found.is_contradicted:
        return None
    message = (
        f"callers in {cluster} stay in {state.target}: nothing is ready for them in {state.origin}"
    )
    if found.doubted_s:
        return wait(Reason.HOME_WITHOUT_ENDPOINTS, message, found.doubted_s)
    return hold(Reason.HOME_WITHOUT_ENDPOINTS, message)


def both_ways_bad(given: Input, cluster: str) -> Hold | None:
    """Their path back is as bad as the one to the target, or was when it was last seen."""
    to_target = known_of(given.observed, cluster, Side.TARGET)
    back = known_of(given.observed, cluster, Side.ORIGIN)
    needs_link = cluster == given.state.target
    if origin_is_worse(to_target, back) or (needs_link and _was_worse(to_target, back)):
        return hold(
            Reason.BOTH_WAYS_BAD,
            f"callers in {cluster} stay where they are:"
            f" {bad_probes(cluster, given.state.origin, back)}",
        )
    return None


def _was_worse(to_target: PathEvidence, back: PathEvidence) -> bool:
    """Return whether a path back through the link was worse when it was last seen, 3 s ago at most.

    A link that is lost makes slices void and late, and some of them come before the points are enough.
    """
    return back.all_bad_1s or origin_is_worse(to_target, replace(back, silent_s=0.0))


def link_suspect(given: Input, cluster: str) -> Hold | None:
    """Callers in the target go back through the origin's gateway.

    Where their prober is silent and nobody answers from the origin's side either, that is more likely a dead
    link than two faults at once. The silence is given time to show itself: what was answered before it,
    in one slice with the first faults, must have left the last second. A link that comes back is given the
    same time: the callers' proxies connect again only after a pause.
    """
    state = given.state
    if cluster != state.target or _is_left_by_all(given):
        return None
    own = known_of(given.observed, state.target, Side.TARGET)
    across = known_of(given.observed, state.origin, Side.TARGET)
    if own.heard_s < BLIND_S:
        left = LINK_SHOWN_S - own.back_for_s
        return wait(Reason.LINK_SUSPECT, "the link is only just back", left) if left > 0 else None
    if across.unanswered_1s:
        return hold(
            Reason.LINK_SUSPECT,
            f"callers in {state.target} stay there: its prober is silent and nobody answers from"
            f" {state.origin}, so the link looks dead",
        )
    undecided = own.heard_s < LINK_SHOWN_S or BLIND_S <= across.silent_s < LINK_SHOWN_S
    if across.verdict is Verdict.FAIL and undecided:
        return wait(Reason.LINK_SUSPECT, "a sign of life from the link", BLIND_S)
    return None


def _is_left_by_all(given: Input) -> bool:
    """Return whether it is believed that the target has nobody left to serve anybody."""
    found = target_emptiness(given)
    return found is not None and not found.doubted_s


def first_slices(given: Input, cluster: str) -> Hold | None:
    """A controller that has just started has heard nothing yet of the path back."""
    left = FIRST_SLICES_S - given.observed.started_s
    back = known_of(given.observed, cluster, Side.ORIGIN)
    if left > 0 and back.silent_s == float("inf"):
        return hold(Reason.FIRST_SLICES, "the first slices after a start", requeue_after_s=left)
    return None


GUARDS: tuple[Guard, ...] = (home_without_endpoints, both_ways_bad, link_suspect, first_slices)
