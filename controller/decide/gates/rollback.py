"""While callers are shifted, a reason to roll them back: REVERT, however things stand otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from controller.decide.gates.endpoints import target_emptiness
from controller.decide.gates.gate import (
    IN_FORCE_S,
    Gate,
    bad_probes,
    dead_gateway,
    in_force_was_read,
    known_of,
    unproven,
    unseen,
)
from controller.decide.input import Input
from controller.decide.resolve import MigrationState, part_share, split_parts
from controller.domain import (
    Malformed,
    MigrationSpec,
    PathEvidence,
    Reason,
    Record,
    Revert,
    Side,
    Split,
    TrafficEvidence,
)
from controller.evidence import cluster_fails, traffic_fails

LINK_SILENCE_S = 1.0


def latched(given: Input) -> Revert | None:
    """A revert that began is finished, whatever has changed since."""
    state = given.state
    if state.reverted is None:
        return None
    reason, message = Reason(state.reverted.reason), state.reverted.message
    if state.shifted or state.unlatched():
        return Revert(reason, message)
    for cluster in _not_back(given):
        left = IN_FORCE_S - given.observed.settled_s
        return Revert(
            reason,
            f"{message}; {cluster}",
            requeue_after_s=left if left > 0 else None,
            alert=left <= 0 and in_force_was_read(given),
        )
    return None


def _not_back(given: Input) -> Iterator[str]:
    """Say of whom the baseline is written, and not seen to stand where proxies read it.

    Where somebody has changed the weights since, that is theirs.
    """
    for name, cluster in given.observed.clusters.items():
        for part in split_parts(cluster) if cluster.current else ():
            if part.moves_otherwise and _stands_reverted(given, name, part):
                yield (
                    f"callers in {name} are not rolled back yet, though it is written: the"
                    f" {part.kind.api_kind} {part.name} is not in force: {part.not_in_force}"
                )


def _stands_reverted(given: Input, cluster: str, part: Split) -> bool:
    """Return whether an object's weights are those that a revert wrote."""
    record = part.record if isinstance(part.record, Record) else None
    if record is None or record.reverted is None:
        return False
    return part_share(part, is_target=cluster == given.state.target) == record.share_permille


def aborted(given: Input) -> Revert | None:
    """The owner asks for a rollback, by abort, as long as Completed is not told."""
    spec = given.observed.spec
    if isinstance(spec, (MigrationSpec, Malformed)) and spec.abort and _is_under_way(given):
        return Revert(Reason.ABORTED, "the annotation abort is true")
    return None


def _is_under_way(given: Input) -> bool:
    """Return whether an attempt began, and neither was rolled back nor is told to be Completed."""
    state = given.state
    told = state.completed is not None and not (unproven(given) or unseen(given))
    return state.attempt is not None and state.reverted is None and not told


def fleet_rollback(given: Input) -> Revert | None:
    """Its Fleet asks for a rollback, as the owner would by abort."""
    word = given.observed.fleet
    if word and word.rollback and _is_under_way(given):
        return Revert(Reason.FLEET_ROLLBACK, word.rollback)
    return None


def together_reverted(given: Input) -> Revert | None:
    """One of a wave that moves together was rolled back: so are all others of it that are shifted."""
    word, state = given.observed.fleet, given.state
    if word and word.fallen and state.unfinished and state.shifted:
        return Revert(Reason.TOGETHER_REVERTED, word.fallen)
    return None


def target_changed(given: Input) -> Revert | None:
    """The owner asks for a rollback, by the old target."""
    spec, origin = given.observed.spec, given.state.origin
    if not (given.state.unfinished and isinstance(spec, (MigrationSpec, Malformed))):
        return None
    if spec.target != origin:
        return None
    return Revert(
        Reason.TARGET_CHANGED, f"the target was changed back to {origin} during the attempt"
    )


def gateway_loop(given: Input) -> Revert | None:
    """One request that bounced between the gateways ends the attempt."""
    if not (given.state.unfinished and given.state.shifted):
        return None
    for path, found in given.observed.paths.items():
        if found.reason is Reason.GATEWAY_LOOP:
            return Revert(
                Reason.GATEWAY_LOOP,
                f"a probe of callers in {path.callers} was answered 508: a request bounced between the"
                " two gateways, so a pin is not obeyed",
            )
    return None


def target_without_endpoints(given: Input) -> Revert | None:
    """A target that has no ready endpoint serves nobody, unless its probes show otherwise."""
    observed, state = given.observed, given.state
    found = target_emptiness(given) if state.unfinished and state.shifted else None
    if found and not found.doubted_s:
        return Revert(
            Reason.TARGET_WITHOUT_ENDPOINTS,
            f"no pod of {observed.key} is ready in {state.target}",
        )
    return None


def _failing(given: Input) -> Iterator[tuple[str, PathEvidence]]:
    """Yield the shifted callers whose path to the target FAILed, and whose path back is not as bad, with the path."""
    observed, state = given.observed, given.state
    for callers in state.shifted_clusters if state.unfinished else ():
        to_target = known_of(observed, callers, Side.TARGET)
        if cluster_fails(to_target, known_of(observed, callers, Side.ORIGIN)):
            yield callers, to_target


def gateway_dead(given: Input) -> Revert | None:
    """Shifted callers whose path to the target leads through a dead gateway, and whose path back is not as bad."""
    for callers, to_target in _failing(given):
        if to_target.reason is Reason.GATEWAY_DEAD:
            return Revert(Reason.GATEWAY_DEAD, dead_gateway(callers, given.state.target))
    return None


def target_bad(given: Input) -> Revert | None:
    """Shifted callers whose path to the target FAILed, and whose path back is not as bad."""
    for callers, to_target in _failing(given):
        return Revert(Reason.TARGET_BAD, bad_probes(callers, given.state.target, to_target))
    return None


def traffic_bad(given: Input) -> Revert | None:
    """Shifted callers whose own requests to the target miss the objective, whatever the probes say."""
    observed, state = given.observed, given.state
    if not state.unfinished:
        return None
    for callers in state.shifted_clusters:
        found = observed.traffic.get(callers)
        if found and traffic_fails(found, known_of(observed, callers, Side.ORIGIN)):
            return Revert(Reason.TRAFFIC_BAD, _bad_requests(callers, state, found))
    return None


def _bad_requests(callers: str, state: MigrationState, found: TrafficEvidence) -> str:
    baseline = ""
    if found.origin_bad_share is not None:
        baseline = f", and {found.origin_bad_share * 100:.3g} % of those to {state.origin}"
    return (
        f"{(found.bad_share or 0) * 100:.3g} % of the last requests of real callers in {callers} to"
        f" {state.target} failed{baseline} ({found.failures} of {found.requests} in this attempt;"
        f" {found.points:.1f} points, {found.threshold:.1f} allowed)"
    )


def traffic_loop(given: Input) -> Revert | None:
    """Callers were answered 508, and the gateway of their cluster says that it refused a loop (facts 21).

    The gateway does not say of which Service, so both must be seen: one Service's loop ends no other attempt.
    """
    if not given.state.unfinished:
        return None
    for callers in given.state.shifted_clusters:
        found = given.observed.traffic.get(callers)
        if found and found.looped:
            return Revert(
                Reason.TRAFFIC_LOOP,
                f"requests of real callers in {callers} were answered 508 and its gateway refused"
                " loops: they bounced between the two gateways, so a pin is not obeyed",
            )
    return None


def link_lost(given: Input) -> Revert | None:
    """The origin's prober is silent, and from the target the origin is not to be reached."""
    observed, state = given.observed, given.state
    if not state.unfinished or state.origin not in state.shifted_clusters:
        return None
    silent_s = min(
        known_of(observed, state.origin, side).heard_s for side in (Side.TARGET, Side.ORIGIN)
    )
    from_target = known_of(observed, state.target, Side.ORIGIN)
    if silent_s >= LINK_SILENCE_S and from_target.all_bad_1s:
        return Revert(
            Reason.LINK_LOST,
            f"the prober in {state.origin} is silent, and every probe from {state.target} to"
            f" {state.origin} is bad: the link between the clusters is lost",
        )
    return None


GATES: tuple[Gate, ...] = (
    latched,
    aborted,
    fleet_rollback,
    target_changed,
    gateway_loop,
    target_without_endpoints,
    gateway_dead,
    target_bad,
    traffic_bad,
    traffic_loop,
    link_lost,
    together_reverted,
)
