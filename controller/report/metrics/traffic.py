"""Metrics of real traffic: its verdicts, its callers, and the Prometheus that counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from controller.domain import Key, TrafficEvidence
from controller.report.metrics.series import API_BUCKETS_S, Maker
from prober.labelled import CLUSTER


class _Metric(NamedTuple):
    name: str
    text: str
    shown: Callable[[TrafficEvidence], bool]
    value: Callable[[TrafficEvidence], float]


def _judged(found: TrafficEvidence) -> bool:
    return found.judged


def _known(found: TrafficEvidence) -> bool:
    return not found.unknown


_METRICS = (
    _Metric(
        "traffic_points",
        "Penalty points of real traffic.",
        _judged,
        lambda found: found.points,
    ),
    _Metric(
        "traffic_points_threshold",
        "Penalty points of real traffic that mean FAIL.",
        _judged,
        lambda found: found.threshold,
    ),
    _Metric(
        "callers_ignoring_split",
        "Workloads that do not follow the split.",
        _known,
        lambda found: len(found.ignoring),
    ),
    _Metric(
        "callers_unmeshed_requests",
        "Requests of the last two minutes that came from outside the mesh.",
        _known,
        lambda found: found.unmeshed,
    ),
)


class TrafficMetrics:
    """How real callers fare; the meter of the questions to Prometheus."""

    def __init__(self, make: Maker) -> None:
        self._metrics = [
            (make.of_services(metric.name, metric.text, "callers"), metric) for metric in _METRICS
        ]
        self._verdict = make.verdicts(
            "traffic_verdict",
            "The verdict of real traffic: 1 for the one it has, 0 for the others.",
            "callers",
        )
        self._queries = make.histogram(
            "prometheus_query_seconds",
            "Questions to the Prometheus of a cluster, by what became of them.",
            API_BUCKETS_S,
            *(CLUSTER, "outcome"),
        )
        self._prometheus = make.gauge(
            "prometheus_tells",
            "1 where a cluster's Prometheus answered the last tick.",
            CLUSTER,
        )

    def evidence(self, key: Key, callers: Mapping[str, TrafficEvidence]) -> None:
        """Show what is known of a migration's real callers, by their cluster."""
        for metric, (_, _, shown, value) in self._metrics:
            metric.show(
                key, {(name,): value(found) for name, found in callers.items() if shown(found)}
            )
        judged = {name: found for name, found in callers.items() if found.judged}
        self._verdict.show(key, {(name,): str(found.verdict) for name, found in judged.items()})

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one question to a Prometheus."""
        self._queries.labels(cluster, outcome).observe(seconds)

    def prometheus_tells(self, cluster: str, tells: bool) -> None:
        """Show whether a cluster's Prometheus answered the last tick."""
        self._prometheus.labels(cluster).set(tells)
