"""In a revert: who may go home now, and who is better off where they are."""

from __future__ import annotations

from dataclasses import replace

from controller.decide.gates.gate import bad_probes, hold, known_of, wait
from controller.decide.resolve import MigrationState
from controller.domain import Observed, ObservedCluster, PathEvidence, Ruling, Side, Verdict
from controller.evidence import origin_is_worse

LINK_SHOWN_S = 2.5
"""From a link's loss until the last second is nothing but that: a probe's timeout, that second, and room."""

BLIND_S = 0.3


def stays(observed: Observed, state: MigrationState, cluster: str) -> Ruling | None:
    """In a revert: say why this cluster's callers stay where they are for now, None where they go.

    UNKNOWN keeps nobody, with two exceptions: after a start the first slices are waited for, 1 s at most;
    and callers whose path back needs the link are not sent through a link that looks dead.
    """
    to_target = known_of(observed, cluster, Side.TARGET)
    baseline = known_of(observed, cluster, Side.HOME)
    if _known_empty(observed.clusters[cluster], is_target=cluster == state.target):
        return hold(
            "HomeWithoutEndpoints",
            f"callers in {cluster} stay in {state.target}: nothing is ready for them in {state.origin}",
            alert=True,
        )
    needs_link = cluster == state.target
    if origin_is_worse(to_target, baseline) or (needs_link and _was_worse(to_target, baseline)):
        return hold(
            "BothWaysBad",
            f"callers in {cluster} stay where they are: {bad_probes(cluster, state.origin, baseline)}",
            alert=True,
        )
    if needs_link and (suspect := _through_the_link(observed, state)):
        return suspect
    if observed.started_s < 1.0 and baseline.heard_s == float("inf"):
        return wait("FirstSlices", "the first slices after a start", 1.0 - observed.started_s)
    return None


def _was_worse(to_target: PathEvidence, baseline: PathEvidence) -> bool:
    """Return whether a path back through the link was worse when it was last seen, 3 s ago at most.

    A link that is lost makes slices void and late, and some of them come before the points are enough.
    """
    return baseline.all_bad_1s or origin_is_worse(to_target, replace(baseline, silent_s=0.0))


def _known_empty(cluster: ObservedCluster, *, is_target: bool) -> bool:
    if not cluster.current:
        return False
    behind = cluster.mirror_endpoints if is_target else cluster.endpoints
    return behind.ready == 0


def _through_the_link(observed: Observed, state: MigrationState) -> Ruling | None:
    """Callers in the target go home through the origin's gateway.

    Where their prober is silent and nobody answers from the origin's side either, that is more likely a dead
    link than two faults at once. The silence is given time to show itself: what was answered before it,
    in one slice with the first faults, must have left the last second. A link that comes back is given the
    same time: the callers' proxies connect again only after a pause.
    """
    target = observed.clusters[state.target]
    own = known_of(observed, state.target, Side.TARGET)
    across = known_of(observed, state.origin, Side.TARGET)
    if target.current and target.endpoints.ready == 0:
        return None
    if own.heard_s < BLIND_S:
        left = LINK_SHOWN_S - own.back_for_s
        return wait("LinkSuspect", "the link is only just back", left) if left > 0 else None
    if across.unanswered_1s:
        return hold(
            "LinkSuspect",
            f"callers in {state.target} stay there: its prober is silent and nobody answers from"
            f" {state.origin}, so the link looks dead",
            alert=True,
        )
    undecided = own.heard_s < LINK_SHOWN_S or BLIND_S <= across.silent_s < LINK_SHOWN_S
    if across.verdict is Verdict.FAIL and undecided:
        return wait("LinkSuspect", "a sign of life from the link", BLIND_S)
    return None
