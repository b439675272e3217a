"""In a revert: who may go home now, and who is better off where they are."""

from __future__ import annotations

from dataclasses import replace

from controller.evidence import home_is_worse
from controller.gates.answers import (
    bad_probes,
    hold,
    known_of,
    wait,
)
from controller.model import (
    ClusterSeen,
    Observed,
    Refusal,
    Side,
    Verdict,
    WayEvidence,
)
from controller.standing import Standing

LINK_SHOWN_S = 2.5
"""From a link's loss until the last second is nothing but that: a probe's timeout, that second, and room."""

BLIND_S = 0.3


def stays(seen: Observed, st: Standing, cluster: str) -> Refusal | None:
    """In a revert: say why this cluster's callers stay where they are for now, None where they go.

    UNKNOWN keeps nobody, with two exceptions: after a start the first slices are waited for, 1 s at most;
    and callers whose way home needs the link are not sent through a link that looks dead.
    """
    to_target = known_of(seen, cluster, Side.TARGET)
    home = known_of(seen, cluster, Side.HOME)
    if _known_empty(seen.clusters[cluster], is_target=cluster == st.target):
        return hold(
            "HomeWithoutEndpoints",
            f"callers in {cluster} stay in {st.target}: nothing is ready for them in {st.origin}",
            alert=True,
        )
    needs_link = cluster == st.target
    if home_is_worse(to_target, home) or (needs_link and _was_worse(to_target, home)):
        return hold(
            "BothWaysBad",
            f"callers in {cluster} stay where they are: {bad_probes(cluster, st.origin, home)}",
            alert=True,
        )
    if needs_link and (suspect := _through_the_link(seen, st)):
        return suspect
    if seen.started_s < 1.0 and home.heard_s == float("inf"):
        return wait("FirstSlices", "the first slices after a start", 1.0 - seen.started_s)
    return None


def _was_worse(to_target: WayEvidence, home: WayEvidence) -> bool:
    """Tell whether a way home through the link was worse when it was last seen, 3 s ago at most.

    A link that is lost makes slices void and late, and some of them come before the points are enough.
    """
    return home.all_bad_1s or home_is_worse(to_target, replace(home, silent_s=0.0))


def _known_empty(cluster: ClusterSeen, *, is_target: bool) -> bool:
    if not cluster.current:
        return False
    behind = cluster.mirror_endpoints if is_target else cluster.endpoints
    return behind.ready == 0


def _through_the_link(seen: Observed, st: Standing) -> Refusal | None:
    """Callers in the target go home through the origin's gateway.

    Where their prober is silent and nobody answers from the origin's side either, that is more likely a dead
    link than two faults at once. The silence is given time to show itself: what was answered before it,
    in one slice with the first faults, must have left the last second. A link that comes back is given the
    same time: the callers' proxies connect again only after a pause.
    """
    target = seen.clusters[st.target]
    own = known_of(seen, st.target, Side.TARGET)
    across = known_of(seen, st.origin, Side.TARGET)
    if target.current and target.endpoints.ready == 0:
        return None
    if own.heard_s < BLIND_S:
        left = LINK_SHOWN_S - own.back_for_s
        return wait("LinkSuspect", "the link is only just back", left) if left > 0 else None
    if across.unanswered_1s:
        return hold(
            "LinkSuspect",
            f"callers in {st.target} stay there: its prober is silent and nobody answers from"
            f" {st.origin}, so the link looks dead",
            alert=True,
        )
    undecided = own.heard_s < LINK_SHOWN_S or BLIND_S <= across.silent_s < LINK_SHOWN_S
    if across.verdict is Verdict.FAIL and undecided:
        return wait("LinkSuspect", "a sign of life from the link", BLIND_S)
    return None
