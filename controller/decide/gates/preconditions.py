"""The Service is not fit to move now: HOLD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.decide.gates.endpoints import target_emptiness
from controller.decide.gates.gate import (
    SETTLE_S,
    Each,
    Gate,
    hold,
    not_in_force,
    unproven,
)
from controller.decide.input import Input
from controller.decide.resolve import split_parts
from controller.domain import Hold, ObservedCluster, Reason
from controller.domain.ports import port_to_probe

LONGEST_NAME = 63
"""Of a Service, in characters: a DNS label."""


@Each
def split_defective(given: Input) -> Iterator[Hold]:
    """Somebody's split does harm, or says other than what happens; to repair it would move traffic."""
    for name, cluster in given.observed.clusters.items():
        for split in cluster.splits:
            for defect in split.defects:
                if not defect.repairable or given.state.unfinished:
                    message = f"in {name} the {split.kind} {split.name}: {defect.message}"
                    yield hold(defect.reason, message)


@Each
def rules_differ(given: Input) -> Iterator[Hold]:
    """Routes that are to move as one stand at one share when they begin."""
    for name, cluster in given.observed.clusters.items():
        routes = split_parts(cluster)
        if given.state.unfinished or len({route.away_permille for route in routes}) < 2:
            continue
        found = " and ".join(f"{route.name} {route.away_permille / 10:g} %" for route in routes)
        yield hold(
            Reason.RULES_DIFFER,
            f"in {name} the HTTPRoutes of {given.observed.key} send different shares to the mirror, {found}:"
            " give them all the same weights, or let the annotation ports name those that move",
        )


@Each
def split_not_in_force(given: Input) -> Iterator[Hold]:
    """What a split says is seen to stand where proxies read it.

    In the first second after a step the gate ``settling`` holds, and the adaptor is at work.
    """
    if given.state.attempt is None or given.observed.settled_s >= SETTLE_S:
        for name, why in unproven(given).items():
            yield not_in_force(given, f"in {name} {why}")


@Each
def pin_foreign(given: Input) -> Iterator[Hold]:
    """What stands in the pin's place does not pin."""
    for name, cluster in given.observed.clusters.items():
        if cluster.pin and cluster.pin.foreign:
            yield hold(Reason.PIN_FOREIGN, f"in {name} {cluster.pin.foreign}")


def target_without_endpoints(given: Input) -> Hold | None:
    """There is nobody to serve the calls."""
    found = target_emptiness(given)
    if found is None:
        return None
    message = f"no pod of {given.observed.key} is ready in {given.state.target}"
    if given.state.shifted and found.is_contradicted:
        message += (
            ", its EndpointSlices say, and its probes are answered well all the same: nobody rises, and nobody is"
            " rolled back for that"
        )
    return hold(Reason.TARGET_WITHOUT_ENDPOINTS, message)


class _Mirror(NamedTuple):
    """Where the mirror of the other cluster is looked for."""

    cluster: ObservedCluster
    far: str
    name: str


def _mirrors(given: Input) -> Iterator[_Mirror]:
    """Return the mirrors by which each cluster is to reach the other, where what is there is known."""
    one, other = given.observed.context.clusters
    for here, far in ((one, other), (other, one)):
        cluster = given.observed.clusters[here]
        if cluster.current:
            yield _Mirror(cluster, far, f"{given.observed.key.service}-{far}")


@Each
def mirror_other_cluster(given: Input) -> Iterator[Hold]:
    """The mirrors lead to a cluster that the settings do not name."""
    for cluster, far, name in _mirrors(given):
        if cluster.mirror is None and cluster.other_mirrors:
            others = " and ".join(cluster.other_mirrors)
            yield hold(
                Reason.MIRROR_OTHER_CLUSTER,
                f"{cluster.name} has no mirror {name}, but mirrors that lead to {others}: where that is"
                f" {far}, name it in the controller's settings as the Link does; else export the Service"
                f" in {far}",
            )
        elif cluster.mirror and cluster.mirror.mirror_of not in ("", far):
            yield hold(
                Reason.MIRROR_OTHER_CLUSTER,
                f"the mirror {name} in {cluster.name} leads to {cluster.mirror.mirror_of}, not to {far}:"
                " delete that Link, or name the clusters in the controller's settings as the Links do",
            )


@Each
def mirror_missing(given: Input) -> Iterator[Hold]:
    """The Service is not exported to the other cluster."""
    for cluster, far, name in _mirrors(given):
        if cluster.mirror is None and not cluster.other_mirrors:
            why = _why_no_mirror(given, cluster, far, name)
            yield hold(Reason.MIRROR_MISSING, f"{cluster.name} has no mirror {name}: {why}")


def _why_no_mirror(given: Input, cluster: ObservedCluster, far: str, name: str) -> str:
    """Return why Linkerd made none, or keeps none, and what to do (its service mirror, and linkerd2#11358)."""
    service = given.observed.clusters[far].service
    if len(name) > LONGEST_NAME:
        return (
            f"that would be {len(name)} characters, and the name of a Service has {LONGEST_NAME} at most: give"
            " the Service, or the cluster in its Link, a shorter name"
        )
    if cluster.false_mirror:
        return f"a Service that is no mirror has that name in {cluster.name}: give it another"
    if service is None:
        return f"there is no Service {given.observed.key} in {far} to be mirrored"
    if not service.exported:
        return (
            f"the Service in {far} is not exported, or not any more: it needs the label"
            " mirror.linkerd.io/exported=true, or what the Link's selector asks for"
        )
    if service.exported != "true":
        return f'the label mirror.linkerd.io/exported in {far} is "{service.exported}": write true'
    return (
        f"the Service in {far} is exported, so see what the service mirror in {cluster.name} logs, and whether"
        " a tool that prunes by the copied labels deleted it, as Argo CD does"
    )


def _unready_mirrors(given: Input) -> Iterator[_Mirror]:
    """Return the mirrors that lead to where they should, and to nobody."""
    for found in _mirrors(given):
        mirror = found.cluster.mirror
        leads = mirror is not None and mirror.mirror_of in ("", found.far)
        if leads and not found.cluster.mirror_endpoints.ready:
            yield found


@Each
def gateway_not_alive(given: Input) -> Iterator[Hold]:
    """The service mirror does not reach the other cluster's gateway."""
    for cluster, far, name in _unready_mirrors(given):
        if cluster.mirror_endpoints.unready:
            yield hold(
                Reason.GATEWAY_NOT_ALIVE,
                f"the mirror {name} in {cluster.name} is not ready: the gateway of {far} does not answer"
                " the service mirror's probe",
            )


@Each
def mirror_empty(given: Input) -> Iterator[Hold]:
    """Nobody stands behind a mirror."""
    for cluster, far, name in _unready_mirrors(given):
        if not cluster.mirror_endpoints.unready:
            why = _why_empty(given, cluster, far)
            message = f"the mirror {name} in {cluster.name} has no endpoint: {why}"
            yield hold(Reason.MIRROR_EMPTY, message)


def _why_empty(given: Input, cluster: ObservedCluster, far: str) -> str:
    """Return why nobody stands behind a mirror, and what to do (facts 29)."""
    if cluster.mirror and cluster.mirror.remote_discovery:
        return (
            "it is one of remote discovery, for a flat network, and has none of its own; a Service can be moved"
            f" by its gateway only: write the label mirror.linkerd.io/exported=true in {far}"
        )
    if not given.observed.clusters[far].endpoints.ready:
        return f"{far} has no ready pod"
    return (
        f"{far} has ready pods, so Linkerd's repair fills it within a minute; if it stays empty, see what the"
        f" service mirror in {cluster.name} logs: does it resolve the gateway's address?"
    )


@Each
def no_pods_to_probe(given: Input) -> Iterator[Hold]:
    """Each cluster's own pods are probed by their address."""
    spec = given.state.spec
    for name, cluster in given.observed.clusters.items():
        if not (spec and cluster.current and cluster.service):
            continue
        port = port_to_probe(cluster.service.ports, spec.probe)
        if port and not cluster.endpoints.pods.get(port.name):
            yield hold(
                Reason.NO_PODS_TO_PROBE,
                f"{name} has no ready pod of {given.observed.key} in its namespace to probe",
            )


def origin_shrunk(given: Input) -> Hold | None:
    """A revert would send the origin every call: enough of it must still be there."""
    state = given.state
    if not state.unfinished or state.attempt is None or state.soaking or state.spec is None:
        return None
    origin = given.observed.clusters[state.origin]
    before, left = state.attempt.origin_ready, origin.endpoints.ready
    floor = state.spec.origin_floor_percent
    if not origin.current or left * 100 >= before * floor:
        return None
    needed = -(-before * floor // 100)
    return hold(
        Reason.ORIGIN_SHRUNK,
        f"{left} of {before} origin pods are left and a revert would send them every call: set the"
        f" HPA's minReplicas to {needed}, or origin-floor to {left * 100 // before}",
    )


GATES: tuple[Gate, ...] = (
    split_defective,
    rules_differ,
    split_not_in_force,
    pin_foreign,
    target_without_endpoints,
    mirror_other_cluster,
    mirror_missing,
    gateway_not_alive,
    mirror_empty,
    no_pods_to_probe,
    origin_shrunk,
)
