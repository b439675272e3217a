"""The Service is not fit to move now: HOLD."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.gates.answers import (
    Each,
    hold,
)
from controller.model import (
    ClusterSeen,
    Observed,
    Refusal,
)
from controller.ports import port_to_probe
from controller.standing import Standing


@Each
def flawed(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Somebody's split does harm, or says other than what happens; mending it would move traffic."""
    for name, cluster in seen.clusters.items():
        for split in cluster.splits:
            broken = [flaw for flaw in split.flaws if not flaw.mendable or st.unfinished]
            for flaw in broken:
                yield hold(flaw.reason, f"in {name} the {split.kind} {split.name}: {flaw.message}")


@Each
def pin_foreign(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """What stands in the pin's place does not pin."""
    for name, cluster in seen.clusters.items():
        if cluster.pin and cluster.pin.foreign:
            yield hold("PinForeign", f"in {name} {cluster.pin.foreign}")


def target_unready(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """There is nobody to serve the calls."""
    target = seen.clusters[st.target]
    if target.current and target.endpoints.ready == 0:
        return hold("TargetWithoutEndpoints", f"no pod of {seen.key} is ready in {st.target}")
    return None


@Each
def mirrors(seen: Observed, _st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Each cluster reaches the other through its mirror."""
    one, other = seen.fleet.clusters
    for name, far in ((one, other), (other, one)):
        cluster = seen.clusters[name]
        if not cluster.current:
            continue
        if refusal := _mirror(cluster, f"{seen.key.service}-{far}", far):
            yield refusal


def _mirror(cluster: ClusterSeen, mirror: str, far: str) -> Refusal | None:
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
def own_pods(seen: Observed, st: Standing, _now: datetime) -> Iterator[Refusal]:
    """Each cluster's own pods are probed by their address."""
    for name, cluster in seen.clusters.items():
        if cluster.current and cluster.service and st.wish:
            port = port_to_probe(cluster.service.ports, st.wish.probe)
            if port and not cluster.endpoints.pods.get(port.name):
                yield hold(
                    "NoPodsToProbe",
                    f"{name} has no ready pod of {seen.key} in its namespace to probe",
                )


def origin_floor(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A revert would send the origin every call: enough of it must still be there."""
    if not st.unfinished or st.attempt is None or st.soaking or st.wish is None:
        return None
    origin = seen.clusters[st.origin]
    before, left = st.attempt.origin_ready, origin.endpoints.ready
    floor = st.wish.origin_floor_percent
    if not origin.current or left * 100 >= before * floor:
        return None
    needed = -(-before * floor // 100)
    return hold(
        "OriginShrunk",
        f"{left} of {before} origin pods are left and a revert would send them every call: set the"
        f" HPA's minReplicas to {needed}, or origin-floor to {left * 100 // before}",
    )
