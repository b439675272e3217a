"""Above home, a reason to bring the callers home: REVERT, however things stand otherwise."""

from __future__ import annotations

from datetime import datetime

from controller.decide.gates.gate import bad_probes, known_of, revert
from controller.decide.resolve import MigrationState
from controller.domain import Malformed, MigrationSpec, Observed, Ruling, Side, TrafficEvidence
from controller.evidence import cluster_fails, traffic_fails

LINK_SILENCE_S = 1.0


def latched(_seen: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A revert that began is finished, whatever has changed since."""
    if state.reverted and (state.shifted or state.unlatched()):
        return revert(state.reverted.reason, state.reverted.message)
    return None


def asked_back(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """The owner wants everyone home: by abort, or by the old target."""
    if not state.unfinished or state.attempt is None:
        return None
    spec = observed.spec
    if isinstance(spec, (MigrationSpec, Malformed)) and spec.abort:
        return revert("Aborted", "the annotation abort is true")
    if isinstance(spec, (MigrationSpec, Malformed)) and spec.target == state.origin:
        return revert(
            "TargetChanged", f"the target was changed back to {state.origin} during the attempt"
        )
    return None


def loops(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """One request that bounced between the gateways ends the attempt."""
    if not (state.unfinished and state.shifted):
        return None
    for path, found in observed.paths.items():
        if found.reason == "GatewayLoop":
            return revert(
                "GatewayLoop",
                f"a probe of callers in {path.callers} was answered 508: a request bounced between the"
                " two gateways, so a pin is not obeyed",
            )
    return None


def target_gone(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A target that has no ready endpoint serves nobody."""
    if not (state.unfinished and state.shifted):
        return None
    target = observed.clusters[state.target]
    if target.current and target.endpoints.ready == 0:
        return revert(
            "TargetWithoutEndpoints", f"no pod of {observed.key} is ready in {state.target}"
        )
    return None


def target_bad(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Callers above the baseline whose way to the target FAILed, and whose path back is not as bad."""
    if not state.unfinished:
        return None
    for callers in state.shifted_clusters:
        to_target = known_of(observed, callers, Side.TARGET)
        if cluster_fails(to_target, known_of(observed, callers, Side.HOME)):
            return revert("TargetBad", bad_probes(callers, state.target, to_target))
    return None


def link_lost(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """The origin's prober is silent, and from the target the origin is not to be reached."""
    if not state.unfinished or state.origin not in state.shifted_clusters:
        return None
    silent = min(
        known_of(observed, state.origin, side).heard_s for side in (Side.TARGET, Side.HOME)
    )
    seen_from_target = known_of(observed, state.target, Side.HOME)
    if silent >= LINK_SILENCE_S and seen_from_target.all_bad_1s:
        return revert(
            "LinkLost",
            f"the prober in {state.origin} is silent, and every probe from {state.target} to"
            f" {state.origin} is bad: the link between the clusters is lost",
        )
    return None


def traffic_bad(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Callers above the baseline whose own requests to the target miss the objective, whatever the probes say."""
    if not state.unfinished:
        return None
    for callers in state.shifted_clusters:
        found = observed.traffic.get(callers)
        if found and traffic_fails(found, known_of(observed, callers, Side.HOME)):
            return revert("TrafficBad", _traffic_bad(callers, state, found))
    return None


def _traffic_bad(callers: str, state: MigrationState, found: TrafficEvidence) -> str:
    baseline = ""
    if found.origin_bad_share is not None:
        baseline = f", and {found.origin_bad_share * 100:.3g} % of those to {state.origin}"
    return (
        f"{(found.bad_share or 0) * 100:.3g} % of the last requests of real callers in {callers} to"
        f" {state.target} failed{baseline} ({found.failures} of {found.requests} in this attempt;"
        f" {found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def traffic_loops(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Callers were answered 508, and the gateway of their cluster says that it refused a loop (facts 21).

    The gateway does not say of which Service, so both must be seen: one Service's loop ends no other attempt.
    """
    if not state.unfinished:
        return None
    for callers in state.shifted_clusters:
        found = observed.traffic.get(callers)
        if found and found.looped:
            return revert(
                "TrafficLoop",
                f"requests of real callers in {callers} were answered 508 and its gateway refused"
                " loops: they bounced between the two gateways, so a pin is not obeyed",
            )
    return None
