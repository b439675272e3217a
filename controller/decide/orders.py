"""What to ask for evidence: the paths to probe, and whose requests to count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from controller.decide import gates
from controller.decide.input import Input
from controller.decide.resolve import split_parts
from controller.domain import (
    Attempt,
    CallPath,
    MigrationSpec,
    Observed,
    ObservedCluster,
    Port,
    ProbeOrder,
    Side,
    SplitKind,
    TrafficOrder,
)
from controller.domain.decision import APEX_PER_S, WATCH_PER_S
from controller.domain.ports import is_opaque, port_to_probe, protocol_to_probe

DECIDING_PATHS = 2
"""Of each cluster's callers: to the target, and to the origin. The apex decides nothing, and is only watched."""


class _Route(NamedTuple):
    """How one path of a cluster's callers is probed."""

    side: Side
    route: Literal["mirror", "pods", "apex"]
    mirror_of: str = ""
    addresses: tuple[str, ...] = ()


def probes(given: Input) -> tuple[ProbeOrder, ...]:
    """Return every path of a migration that has a slot or is shifted, and of no other."""
    observed, state = given.observed, given.state
    attempt, spec = state.attempt, state.spec
    wanted = state.shifted or (observed.has_slot and state.unfinished)
    if not (wanted and attempt and spec and observed.context.may_roll_back):
        return ()
    slowed = _only_watched(given)
    return tuple(
        order
        for callers, far in ((state.origin, state.target), (state.target, state.origin))
        for order in _of_callers(given, attempt, spec, callers, far=far, slowed=slowed)
    )


def _of_callers(
    given: Input, attempt: Attempt, spec: MigrationSpec, callers: str, *, far: str, slowed: bool
) -> Iterator[ProbeOrder]:
    service = given.observed.clusters[callers].service
    port = port_to_probe(service.ports, spec.probe) if service else None
    protocol = protocol_to_probe(port, spec.probe) if port else None
    if port is None or protocol is None:
        return
    for route in _routes(given, callers, far, port):
        path = CallPath(callers, route.side)
        yield ProbeOrder(
            path=path,
            key=given.observed.key,
            route=route.route,
            mirror_of=route.mirror_of,
            port=port.number,
            addresses=route.addresses,
            protocol=protocol,
            probe=spec.probe,
            success_percent=spec.success_percent,
            latency=spec.latency,
            judges=_judges(given.observed, spec),
            shifted=given.state.shifted,
            slowed=slowed,
            generation=given.observed.generation,
            identity=(*identity(given.observed, attempt, spec, path), protocol),
        )


def _routes(given: Input, callers: str, far: str, port: Port) -> tuple[_Route, ...]:
    """Return how the three paths of one cluster's callers are probed: own pods, across, the apex."""
    here, there = given.observed.clusters[callers], given.observed.clusters[far]
    pods = here.endpoints.pods.get(port.name, ())
    own, across = Side.ORIGIN, Side.TARGET
    if callers == given.state.target:
        own, across = across, own
    routes = [_Route(own, "pods", addresses=tuple(sorted(pods)))]
    # Both go to whoever the EndpointSlices name: of a hand-made one nobody knows where that is.
    if not (here.mirror_endpoints.strange or _strange(there)):
        routes.append(_Route(across, "mirror", mirror_of=far))
        if not _strange(here):
            routes.append(_Route(Side.APEX, "apex"))
    return tuple(routes)


def _strange(cluster: ObservedCluster) -> bool:
    return bool(cluster.endpoints.strange or cluster.endpoints.handmade)


def identity(
    observed: Observed, attempt: Attempt, spec: MigrationSpec, path: CallPath
) -> tuple[object, ...]:
    """Return what evidence is keyed by (docs/evidence.md): another identity starts at zero."""
    return (
        observed.key,
        attempt.origin,
        attempt.target,
        attempt.number,
        attempt.started,
        path,
        spec.success_percent,
        spec.latency,
        spec.probe,
        _judges(observed, spec),
    )


def probe_rate(given: Input, *, rises: bool = False) -> float:
    """Return how many probes a second each cluster's prober sends for a migration that is probed, without bursts.

    For one that ``rises`` it is what each new step asks, also while it is only watched between two.
    """
    spec = given.state.spec
    if spec is None:
        return 0.0
    asked = float(spec.probe.rate_per_s)
    watched = _only_watched(given) and not rises
    deciding = min(WATCH_PER_S, asked) if watched else asked
    return DECIDING_PATHS * deciding + min(APEX_PER_S, asked)


def _only_watched(given: Input) -> bool:
    """Return whether a share has earned PASS on all four paths, whatever was heard last.

    Until then, and while one cluster lags, it is new; after a restart, which has no evidence, and after a fault as
    well. From then on probes only have to see the next fault: the burst does the rest.
    """
    state = given.state
    if not state.shifted or state.lagging() or given.observed.settled_s < gates.SETTLE_S:
        return False
    return all(0 < found.needed <= found.clean for _, found in gates.four_paths(given))


def _traffic_on(observed: Observed, spec: MigrationSpec) -> bool:
    return bool(observed.context.prometheus) and gates.traffic_mode(observed, spec) != "off"


def _judges(observed: Observed, spec: MigrationSpec) -> int:
    """Return how many sources of evidence judge, and share alpha."""
    return observed.judges + _traffic_on(observed, spec)


def traffic(given: Input) -> TrafficOrder | None:
    """Count real traffic of every Service that has splits, and judge it while an attempt is under way."""
    observed, state = given.observed, given.state
    kinds = {name: c.split.kind for name, c in observed.clusters.items() if c.split}
    if not (observed.context.prometheus and kinds):
        return None
    judged = _judged(given)
    return TrafficOrder(
        key=observed.key,
        target=state.target,
        kinds=kinds,
        made={name: record.made for name, record in state.records.items()},
        pods={name: _addresses(cluster) for name, cluster in observed.clusters.items()},
        names=_names(observed),
        success_percent=judged[1].success_percent if judged else None,
        identity=_traffic_identity(*judged) if judged else (),
        judges=_judges(observed, state.spec) if state.spec else 1,
        shared_names=_where(lambda cluster: bool(cluster.also_in), observed),
        shared_ports=_where(_shares_port, observed),
    )


def _where(so: Callable[[ObservedCluster], bool], observed: Observed) -> frozenset[str]:
    return frozenset(name for name, cluster in observed.clusters.items() if so(cluster))


def _shares_port(cluster: ObservedCluster) -> bool:
    """Return whether another port than those that HTTPRoutes move may have a route's series of this Service."""
    routes = (part for part in split_parts(cluster) if part.kind is SplitKind.HTTPROUTE)
    moved, service = {route.parent_port for route in routes}, cluster.service
    if not moved or None in moved or service is None:
        return False
    return any(
        port.protocol == "TCP"
        and port.number not in moved
        and not is_opaque(port, service.opaque_ports)
        for port in service.ports
    )


def _names(observed: Observed) -> dict[str, frozenset[str]]:
    return {name: cluster.endpoints.names for name, cluster in observed.clusters.items()}


def _addresses(cluster: ObservedCluster) -> tuple[str, ...]:
    return tuple(address for pods in cluster.endpoints.pods.values() for address in pods)


def _judged(given: Input) -> tuple[Attempt, MigrationSpec] | None:
    """Return whose real traffic is judged, and by what: an attempt under way, where traffic is on."""
    state = given.state
    if not state.unfinished or state.attempt is None or state.spec is None:
        return None
    return (state.attempt, state.spec) if _traffic_on(given.observed, state.spec) else None


def _traffic_identity(attempt: Attempt, spec: MigrationSpec) -> tuple[object, ...]:
    return (attempt.number, attempt.target, attempt.started, spec.success_percent)
