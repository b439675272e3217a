"""What a source of evidence is to the store: probes and real traffic are two, another is one module more.

The plan says what is to be watched; what comes in changes what the source knows; the store asks for that, and puts
together what all of them say. Sources share ``ALPHA``: how many judge stands in each order (``judges``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from controller.domain import (
    CallPath,
    Key,
    ObservedCluster,
    PathEvidence,
    Plan,
    Reason,
    TrafficEvidence,
    Verdict,
)

J = TypeVar("J", PathEvidence, TrafficEvidence)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one migration: of its paths, and by cluster of the callers' own requests."""

    paths: Mapping[CallPath, PathEvidence] = field(default_factory=dict)
    traffic: Mapping[str, TrafficEvidence] = field(default_factory=dict)


class Source(Protocol):
    """One source, for all migrations. It has no clock: ``now_s`` is monotonic."""

    def order(self, key: Key, plan: Plan, now_s: float) -> None:
        """Watch for one migration exactly what its plan asks for."""

    def notice(
        self, key: Key, clusters: Mapping[str, ObservedCluster], now_s: float, *, settled: bool
    ) -> None:
        """Note how the clusters are before a decision; ``settled``: a step has just settled."""

    def evidence(self, key: Key, now_s: float) -> Evidence:
        """Return what is known of one migration now; nothing of what is not watched."""

    def forget(self, key: Key) -> None:
        """Let go of a migration that is none any more."""


def together(found: Iterable[Evidence]) -> Evidence:
    """Return what several sources know: where two judge the same, who is nearer to FAIL judges, and of a dead
    gateway nobody else: one cause is told as one."""
    paths: dict[CallPath, PathEvidence] = {}
    traffic: dict[str, TrafficEvidence] = {}
    for one in found:
        for path, evidence in one.paths.items():
            paths[path] = _judged(paths[path], evidence) if path in paths else evidence
        for cluster, calls in one.traffic.items():
            traffic[cluster] = _worse(traffic.get(cluster, calls), calls)
    return Evidence(paths, traffic)


def _judged(first: PathEvidence, other: PathEvidence) -> PathEvidence:
    """Return what the first source knows of a path (only probes see who answers), as the worse of two judges it."""
    worse = _worse(first, other)
    return replace(
        first,
        verdict=worse.verdict,
        reason=worse.reason,
        points=worse.points,
        threshold=worse.threshold,
        objective=worse.objective,
        clean=worse.clean,
        needed=worse.needed,
        silent_s=worse.silent_s,
        bad_share_3s=worse.bad_share_3s,
        usual_answer=worse.usual_answer,
        wrong_cluster_3s=worse.wrong_cluster_3s,
        counted=worse.counted,
    )


_NEARNESS = (Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL)


def _worse(one: J, other: J) -> J:
    return max(one, other, key=_nearness)


def _nearness(found: PathEvidence | TrafficEvidence) -> tuple[int, bool, float]:
    return (
        _NEARNESS.index(found.verdict),
        found.reason is Reason.GATEWAY_DEAD,
        found.points / found.threshold if found.threshold else 0.0,
    )


def is_pin_missing(clusters: Mapping[str, ObservedCluster]) -> bool:
    """Return whether a gateway is known to have no pin, so that what bounces there is explained."""
    return any(cluster.current and cluster.pin is None for cluster in clusters.values())
