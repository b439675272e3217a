"""Who still calls the origin's own pods, and whether that was counted at all: what is said of a Completed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.decide.resolve import MigrationState
from controller.domain import WHOLE, Observed, OriginCalls, TrafficEvidence
from controller.domain.ports import is_opaque
from controller.evidence.clients.claimed import AT_REST_S
from controller.evidence.clients.served import past_split


def bypassing(observed: Observed, state: MigrationState) -> Mapping[str, int]:
    """Return who reached the origin's pods past its split in the last two minutes, each with its requests."""
    found = observed.traffic.get(state.origin)
    if found is None or found.unknown:
        return {}
    whole = state.shares[state.origin] == WHOLE and observed.settled_s >= AT_REST_S
    return past_split(found.reached, found.sent, exact=whole)


def uncounted(observed: Observed, state: MigrationState) -> str:
    """Return why it is not known whether anybody of the origin's cluster still calls its pods, "" where it is."""
    origin = state.origin
    if origin not in observed.context.prometheus:
        return f"was not measured: no Prometheus of {origin}"
    found = observed.traffic.get(origin)
    if found is None or found.unknown:
        return f"is not known: the Prometheus of {origin} does not tell"
    cluster = observed.clusters[origin]
    if found.proxied < cluster.endpoints.ready:
        return f"is not known: of {cluster.endpoints.ready} pods only {found.proxied} have a proxy that counts"
    service = cluster.service
    if service is None:
        return f"is not known: {origin} has no such Service"
    if any(is_opaque(port, service.opaque_ports) for port in service.ports):
        return "is not known: connections to a TCP port are not counted"
    if not found.counted or observed.settled_s < AT_REST_S:
        return "is being measured"
    return ""


def measured(observed: Observed, state: MigrationState) -> tuple[OriginCalls, str]:
    """Return whether calls to the origin's pods were measured, and there were some or none; and what was measured
    and what was not, as the end of a sentence."""
    origin, target = state.origin, state.target
    if calling := " and ".join(still_calling(observed, state)):
        return "some", f"callers in {calling} still reach {origin}'s pods"
    if why := uncounted(observed, state):
        return "unknown", f"whether anybody still calls {origin}'s pods {why}"
    far = _known(observed, target)
    if far is None or not far.counted:
        return "unknown", (
            f"no request from {origin} reached {origin}'s pods in the last 2 min (Prometheus); whether any"
            f" from {target} did was not measured"
        )
    return "none", f"no request reached {origin}'s pods in the last 2 min (Prometheus)"


def still_calling(observed: Observed, state: MigrationState) -> Iterator[str]:
    """Find the clusters whose callers reached the origin's pods in the last two minutes, though all calls were to
    go to the target: by the split, too, where that has sent them there for so long."""
    near, far = (_known(observed, name) for name in (state.origin, state.target))
    clean = observed.settled_s >= AT_REST_S
    if bypassing(observed, state) or (clean and near and (near.reached or near.unmeshed)):
        yield state.origin
    if clean and far and far.to_origin:
        yield state.target


def _known(observed: Observed, cluster: str) -> TrafficEvidence | None:
    found = observed.traffic.get(cluster)
    return None if found is None or found.unknown else found
