"""Metrics of each migration: where it stands. One line here is one metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from controller.domain import Key, Phase
from controller.report.gauges import Gauges
from controller.report.metrics.series import Maker
from prober.labelled import CLUSTER

Values = Mapping[tuple[str, ...], float]
"""What a metric shows of one Service, by the labels after the Service's own."""


class _Metric(NamedTuple):
    name: str
    text: str
    labels: tuple[str, ...]
    values: Callable[[Gauges], Values]


def _one(value: float | None) -> Values:
    return {} if value is None else {(): value}


def _time(when: datetime | None) -> Values:
    return _one(when.timestamp() if when else None)


def _stand(found: Gauges) -> Values:
    blocked = "yes" if found.blocked else "no"
    return {(found.origin, found.target, found.phase, found.reason, blocked): 1}


def _reverted(found: Gauges) -> Values:
    latch = found.reverted
    return {(latch.reason,): latch.at.timestamp()} if latch else {}


_METRICS = (
    _Metric(
        "share_permille",
        "How much of a cluster's calls the target serves, per mille.",
        (CLUSTER,),
        lambda found: {(name,): share for name, share in found.shares.items()},
    ),
    _Metric(
        "migration_info",
        "1: where the migration stands, why it does not advance (empty: it does), and whether "
        "that ends by itself (blocked: no) or not (yes).",
        ("origin", "target", "phase", "reason", "blocked"),
        _stand,
    ),
    _Metric(
        "migration_needs_person",
        "1 where it asks for a person, else 0.",
        (),
        lambda found: _one(found.needs_person),
    ),
    _Metric(
        "migration_warning",
        "1 for each warning in its status.",
        ("reason",),
        lambda found: {(reason,): 1 for reason in found.warnings},
    ),
    _Metric(
        "pinned",
        "1 where the cluster's gateway is pinned for the Service, else 0.",
        (CLUSTER,),
        lambda found: {(name,): pinned for name, pinned in found.pinned.items()},
    ),
    _Metric(
        "objective_ratio",
        "The share of good probes that the owner asks for.",
        (),
        lambda found: _one(found.objective),
    ),
    _Metric(
        "attempt_started_timestamp_seconds",
        "When the attempt began, Unix time.",
        (),
        lambda found: _time(found.started),
    ),
    _Metric(
        "step_written_timestamp_seconds",
        "When the present share was written, Unix time.",
        (),
        lambda found: _time(found.since),
    ),
    _Metric(
        "step_due_timestamp_seconds",
        "When the next step is due at the earliest, Unix time.",
        (),
        lambda found: _time(found.due),
    ),
    _Metric(
        "end_foreseen_timestamp_seconds",
        "When all may be over, were nothing to hold it from now on, Unix time.",
        (),
        lambda found: _time(found.ends),
    ),
    _Metric(
        "reverted_timestamp_seconds",
        "When the attempt was reverted, Unix time.",
        ("reason",),
        _reverted,
    ),
)


class ServiceMetrics:
    """Where each migration stands, and how many there are."""

    def __init__(self, make: Maker) -> None:
        self._migrations = make.gauge("migrations", "Migrations, by phase.", "phase")
        self._metrics = [
            (make.of_services(metric.name, metric.text, *metric.labels), metric.values)
            for metric in _METRICS
        ]

    def migrations(self, phases: Mapping[Phase, int]) -> None:
        """Show how many migrations stand in each phase; one that is left out has none."""
        for phase in Phase:
            self._migrations.labels(phase).set(phases.get(phase, 0))

    def stands(self, key: Key, found: Gauges | None) -> None:
        """Show where a migration stands; None where it is over, or another replica decides on it."""
        for metric, values in self._metrics:
            metric.show(key, values(found) if found else {})
