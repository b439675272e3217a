"""The Service is not fit to move now: HOLD."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.decide.gates.gate import Each, hold
from controller.decide.resolve import MigrationState
from controller.domain import Observed, ObservedCluster, Ruling
from controller.domain.ports import port_to_probe


@Each
def defective(observed: Observed, state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Somebody's split does harm, or says other than what happens; mending it would move traffic."""
    for name, cluster in observed.clusters.items():
        for split in cluster.splits:
            broken = [
                defect for defect in split.defects if not defect.repairable or state.unfinished
            ]
            for defect in broken:
                yield hold(
                    defect.reason, f"in {name} the {split.kind} {split.name}: {defect.message}"
                )


@Each
def pin_foreign(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """What stands in the pin's place does not pin."""
    for name, cluster in observed.clusters.items():
        if cluster.pin and cluster.pin.foreign:
            yield hold("PinForeign", f"in {name} {cluster.pin.foreign}")


def target_unready(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """There is nobody to serve the calls."""
    target = observed.clusters[state.target]
    if target.current and target.endpoints.ready == 0:
        return hold(
            "TargetWithoutEndpoints", f"no pod of {observed.key} is ready in {state.target}"
        )
    return None


@Each
def mirrors(observed: Observed, _state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Each cluster reaches the other through its mirror."""
    one, other = observed.context.clusters
    for name, far in ((one, other), (other, one)):
        cluster = observed.clusters[name]
        if not cluster.current:
            continue
        if ruling := _mirror(cluster, f"{observed.key.service}-{far}", far):
            yield ruling


def _mirror(cluster: ObservedCluster, mirror: str, far: str) -> Ruling | None:
    name, found = cluster.name, cluster.mirror
    if found is not None and found.mirror_of not in ("", far):
        return hold(
            "MirrorOtherCluster",
            f"the mirror {mirror} in {name} leads to {found.mirror_of}, not to {far}: delete that"
            " Link, or name the clusters in the controller's settings as the Links do",
        )
    if found is None and cluster.other_mirrors:
        others = " and ".join(cluster.other_mirrors)
        return hold(
            "MirrorOtherCluster",
            f"{name} has no mirror {mirror}, but mirrors that lead to {others}: where that is {far},"
            " name it in the controller's settings as the Link does; else export the Service in"
            f" {far}",
        )
    if found is None:
        return hold(
            "MirrorMissing",
            f"{name} has no mirror {mirror}: export the Service in {far} with the label"
            " mirror.linkerd.io/exported=true",
        )
    if cluster.mirror_endpoints.ready:
        return None
    if cluster.mirror_endpoints.unready:
        return hold(
            "GatewayNotAlive",
            f"the mirror {mirror} in {name} is not ready: the gateway of {far} does not answer the"
            " service mirror's probe",
        )
    return hold(
        "MirrorEmpty", f"the mirror {mirror} in {name} has no endpoint: {far} has no ready pod"
    )


@Each
def own_pods(observed: Observed, state: MigrationState, _now: datetime) -> Iterator[Ruling]:
    """Each cluster's own pods are probed by their address."""
    for name, cluster in observed.clusters.items():
        if cluster.current and cluster.service and state.spec:
            port = port_to_probe(cluster.service.ports, state.spec.probe)
            if port and not cluster.endpoints.pods.get(port.name):
                yield hold(
                    "NoPodsToProbe",
                    f"{name} has no ready pod of {observed.key} in its namespace to probe",
                )


def origin_floor(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A revert would send the origin every call: enough of it must still be there."""
    if not state.unfinished or state.attempt is None or state.soaking or state.spec is None:
        return None
    origin = observed.clusters[state.origin]
    before, left = state.attempt.origin_ready, origin.endpoints.ready
    floor = state.spec.origin_floor_percent
    if not origin.current or left * 100 >= before * floor:
        return None
    needed = -(-before * floor // 100)
    return hold(
        "OriginShrunk",
        f"{left} of {before} origin pods are left and a revert would send them every call: set the"
        f" HPA's minReplicas to {needed}, or origin-floor to {left * 100 // before}",
    )
