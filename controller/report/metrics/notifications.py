"""Metrics of what is told to other people's servers."""

from __future__ import annotations

from controller.report.metrics.series import Maker


class NotificationMetrics:
    """The meter of the notifications."""

    def __init__(self, make: Maker) -> None:
        self._told = make.counter(
            "notifications",
            "Notifications by receiver: sent, failed (no try of it was accepted), or dropped (too many waited).",
            *("receiver", "result"),
        )

    def notified(self, receiver: str, result: str, count: int = 1) -> None:
        """Count notifications by what became of them; 0 shows that there is such a receiver."""
        self._told.labels(receiver, result).inc(count)
