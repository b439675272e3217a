"""Metrics of the decisions: how many wait, what was decided, and how rollbacks went."""

from __future__ import annotations

from controller.domain import Phase
from controller.domain.reasons import CATALOGUE
from controller.report.metrics.series import API_BUCKETS_S, Maker
from controller.report.tracing import exemplar

ROLLBACK_BUCKETS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""Two seconds are what is promised from the fault on (docs/guarantees.md); the rest is for a revert that waits."""

REVERTS = (
    "TargetBad",
    "TargetWithoutEndpoints",
    "GatewayLoop",
    "GatewayDead",
    "LinkLost",
    "TrafficBad",
    "TrafficLoop",
    "Aborted",
    "TargetChanged",
    "FleetRollback",
    "TogetherReverted",
)
"""Why an attempt is rolled back: counted from zero, as a counter that is born at one has never increased."""


class DecisionMetrics:
    """What is decided of all migrations together."""

    def __init__(self, make: Maker) -> None:
        self._queue_depth = make.gauge("queue_depth", "Migrations that wait to be reconciled.")
        self._reconcile = make.histogram(
            "reconcile_seconds", "Time to observe one migration, decide and submit.", API_BUCKETS_S
        )
        self._plans = make.counter(
            "plans",
            "Decisions, by phase and by the reason not to advance (empty: none).",
            *("phase", "reason"),
        )
        self._laws_broken = make.counter(
            "laws_broken",
            "Plans that broke a law of the controller's own, by law: what raises was not written.",
            "law",
        )
        self._transitions = make.counter(
            "transitions",
            "Changes of phase or reason, by the new ones.",
            *("phase", "reason"),
        )
        self._reverts = make.counter(
            "reverts", "Attempts that were rolled back, by reason.", "reason"
        )
        self._rollbacks = make.histogram(
            "home_seconds",
            "From the decision to revert until the origin served every caller again, by reason.",
            ROLLBACK_BUCKETS_S,
            "reason",
        )
        for reason in REVERTS:
            self._reverts.labels(reason)
            self._rollbacks.labels(reason)

    def queue_depth(self, depth: int) -> None:
        """Show how many keys wait."""
        self._queue_depth.set(depth)

    def reconciled(self, seconds: float) -> None:
        """Count one turn of a migration."""
        self._reconcile.observe(seconds, exemplar())

    def planned(self, phase: Phase, reason: str) -> None:
        """Count one decision; ``reason`` is the ruling's, "" without one."""
        self._plans.labels(phase, _listed(reason)).inc()

    def law_broken(self, law: str) -> None:
        """Count one law that a plan broke."""
        self._laws_broken.labels(law).inc()

    def moved(self, phase: Phase, reason: str) -> None:
        """Count one transition, to this phase."""
        self._transitions.labels(phase, _listed(reason)).inc()

    def reverted(self, reason: str) -> None:
        """Count one attempt that was rolled back."""
        self._reverts.labels(_listed(reason)).inc()

    def rolled_back(self, reason: str, seconds: float) -> None:
        """Count one rollback that is over: how long after its decision the origin served every caller again."""
        self._rollbacks.labels(_listed(reason)).observe(seconds, exemplar())


def _listed(reason: str) -> str:
    """Return a reason as a label: a record may name one that nobody ever listed."""
    return reason if not reason or reason in CATALOGUE else "other"
