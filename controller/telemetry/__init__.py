"""What the controller tells about itself: logs, metrics, traces and health. Nothing here decides."""

from __future__ import annotations

from controller.telemetry.health import Health, beat_with_loop, serve
from controller.telemetry.logs import configure_logging
from controller.telemetry.metrics import Metrics
from controller.telemetry.tracing import Tracing, tracing_to

__all__ = [
    "Health",
    "Metrics",
    "Tracing",
    "beat_with_loop",
    "configure_logging",
    "serve",
    "tracing_to",
]
