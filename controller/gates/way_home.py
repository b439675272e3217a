"""Above home, a reason to bring the callers home: REVERT, however things stand otherwise."""

from __future__ import annotations

from datetime import datetime

from controller.evidence import cluster_fails, traffic_fails
from controller.gates.answers import (
    bad_probes,
    known_of,
    revert,
)
from controller.model import (
    Malformed,
    Observed,
    Refusal,
    Side,
    TrafficEvidence,
    Wish,
)
from controller.standing import Standing

LINK_SILENCE_S = 1.0


def latched(_seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A revert that began is finished, whatever has changed since."""
    if st.reverted and (st.above_home or st.unlatched()):
        return revert(st.reverted.reason, st.reverted.message)
    return None


def asked_home(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The owner wants everyone home: by abort, or by the old target."""
    if not st.unfinished or st.attempt is None:
        return None
    wish = seen.wish
    if isinstance(wish, (Wish, Malformed)) and wish.abort:
        return revert("Aborted", "the annotation abort is true")
    if isinstance(wish, (Wish, Malformed)) and wish.target == st.origin:
        return revert(
            "TargetChanged", f"the target was changed back to {st.origin} during the attempt"
        )
    return None


def loops(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """One request that bounced between the gateways ends the attempt."""
    if not (st.unfinished and st.above_home):
        return None
    for way, found in seen.ways.items():
        if found.reason == "GatewayLoop":
            return revert(
                "GatewayLoop",
                f"a probe of callers in {way.callers} was answered 508: a request bounced between the"
                " two gateways, so a pin is not obeyed",
            )
    return None


def target_gone(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A target that has no ready endpoint serves nobody."""
    if not (st.unfinished and st.above_home):
        return None
    target = seen.clusters[st.target]
    if target.current and target.endpoints.ready == 0:
        return revert("TargetWithoutEndpoints", f"no pod of {seen.key} is ready in {st.target}")
    return None


def target_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers above home whose way to the target FAILed, and whose way home is not as bad."""
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        to_target = known_of(seen, callers, Side.TARGET)
        if cluster_fails(to_target, known_of(seen, callers, Side.HOME)):
            return revert("TargetBad", bad_probes(callers, st.target, to_target))
    return None


def link_lost(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """The origin's prober is silent, and from the target the origin is not to be reached."""
    if not st.unfinished or st.origin not in st.away_from_home:
        return None
    silent = min(known_of(seen, st.origin, side).heard_s for side in (Side.TARGET, Side.HOME))
    seen_from_target = known_of(seen, st.target, Side.HOME)
    if silent >= LINK_SILENCE_S and seen_from_target.all_bad_1s:
        return revert(
            "LinkLost",
            f"the prober in {st.origin} is silent, and every probe from {st.target} to"
            f" {st.origin} is bad: the link between the clusters is lost",
        )
    return None


def traffic_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers above home whose own requests to the target miss the objective, whatever the probes say."""
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        found = seen.traffic.get(callers)
        if found and traffic_fails(found, known_of(seen, callers, Side.HOME)):
            return revert("TrafficBad", _traffic_bad(callers, st, found))
    return None


def _traffic_bad(callers: str, st: Standing, found: TrafficEvidence) -> str:
    home = ""
    if found.home_bad_share is not None:
        home = f", and {found.home_bad_share * 100:.3g} % of those to {st.origin}"
    return (
        f"{(found.bad_share or 0) * 100:.3g} % of the last requests of real callers in {callers} to"
        f" {st.target} failed{home} ({found.failures} of {found.requests} in this attempt;"
        f" {found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def traffic_loops(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Callers were answered 508, and the gateway of their cluster says that it refused a loop (facts 21).

    The gateway does not say of which Service, so both must be seen: one Service's loop ends no other attempt.
    """
    if not st.unfinished:
        return None
    for callers in st.away_from_home:
        found = seen.traffic.get(callers)
        if found and found.looped:
            return revert(
                "TrafficLoop",
                f"requests of real callers in {callers} were answered 508 and its gateway refused"
                " loops: they bounced between the two gateways, so a pin is not obeyed",
            )
    return None
