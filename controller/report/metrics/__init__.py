"""Metrics, in a registry of their own. ``docs/metrics.md`` lists them, and a test keeps both equal.

Each module has the metrics of one subject, made and told in one class: a method is called for each thing that
happened (counters, histograms) or with how things stand now (gauges). What is shown of one Service replaces all
that was shown of it before, so a Service that is over leaves no series behind.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

from prometheus_client import Info
from prometheus_client.process_collector import ProcessCollector

from controller.domain import Side
from controller.evidence.probes import ProberReport
from controller.report.metrics.clusters import ClusterMetrics
from controller.report.metrics.decisions import REVERTS, DecisionMetrics
from controller.report.metrics.fleets import FleetMetrics
from controller.report.metrics.notifications import NotificationMetrics
from controller.report.metrics.paths import PathMetrics
from controller.report.metrics.process import ProcessMetrics
from controller.report.metrics.series import PREFIX, Maker
from controller.report.metrics.services import ServiceMetrics
from controller.report.metrics.traffic import TrafficMetrics
from prober.labelled import INSTALLATION, Labelled

__all__ = ["REVERTS", "Metrics"]


class Metrics:
    """Everything that ``/metrics`` shows.

    ``version`` is the controller's own, ``clock`` gives monotonic seconds; ``installation`` stands on every series
    of ``shown``, which is what scrapers see.
    """

    def __init__(
        self,
        version: str,
        clock: Callable[[], float] = time.monotonic,
        installation: str = "migrate",
    ) -> None:
        make = Maker()
        self.registry = make.registry
        self.shown = Labelled(self.registry, {INSTALLATION: installation})
        ProcessCollector(registry=self.registry)
        self.clusters = ClusterMetrics(make, clock)
        self.decisions = DecisionMetrics(make)
        self.services = ServiceMetrics(make)
        self.fleets = FleetMetrics(make)
        self.paths = PathMetrics(make, clock)
        self.traffic = TrafficMetrics(make)
        self.process = ProcessMetrics(make, clock)
        self.notifications = NotificationMetrics(make)
        build = Info(f"{PREFIX}build", "What runs.", registry=self.registry)
        build.info({"version": version, "python": platform.python_version()})

    def heard(self, found: ProberReport) -> None:
        """Count what a prober reports: what its gateways' own paths bring is no Service's."""
        counted = [
            (order, part)
            for order, part in found.samples
            if not (part.discarded or found.report.discarded)
            and order.path.side is not Side.GATEWAY
        ]
        self.process.prober_heard(
            found.cluster, absorbed=len(counted), void=len(found.samples) - len(counted)
        )
        for order, part in counted:
            self.paths.probed(order.key, order.path, part)
