"""Metrics of the process itself: its streams to the probers, its lease, its loop and its slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.report.metrics.series import Maker
from prober.labelled import CLUSTER
from prober.stderr import lines_dropped

LOOP_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0)
"""0.3 s is when a path counts as silent (docs/evidence.md, UNKNOWN): lag beyond it blinds us."""


class ProcessMetrics:
    """The meter of the probers' streams, of the lease and of the slots."""

    def __init__(self, make: Maker, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._streams = make.gauge(
            "prober_streams", "Streams to the probers that are connected.", CLUSTER
        )
        self._samples = make.counter(
            "slices",
            "Samples from the probers: absorbed, or void because the prober distrusts them.",
            *(CLUSTER, "outcome"),
        )
        self._report_age = make.gauge(
            "prober_report_age_seconds",
            "Time since a report came from a cluster's probers, on any stream.",
            CLUSTER,
        )
        self._leader = make.gauge("leader", "1 while this replica holds the lease, else 0.")
        self._fencing_token = make.gauge(
            "epoch", "The highest fencing token seen: it grows with each leader."
        )
        self._gateway_dead = make.gauge(
            "gateway_dead",
            "1 while a probed gateway answers nobody of these callers, else 0.",
            *("callers", "gateway"),
        )
        self._gateways: set[tuple[str, str]] = set()
        self._loop_lag = make.histogram(
            "loop_lag_seconds", "How late the event loop came round.", LOOP_BUCKETS_S
        )
        self._slots_in_use = make.gauge("slots_in_use", "Slots held by migrations.")
        self._slots_waiting = make.gauge("slots_waiting", "Migrations that wait for a slot.")
        make.gauge(
            "log_lines_dropped", "Log lines dropped since the start: stderr took no more."
        ).set_function(lines_dropped)

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Show how many streams to a cluster's prober are connected."""
        self._streams.labels(cluster).set(connected)

    def prober_heard(self, cluster: str, absorbed: int, void: int) -> None:
        """Count the samples of one report; its age is computed from now on, at each scrape."""
        self._samples.labels(cluster, "absorbed").inc(absorbed)
        self._samples.labels(cluster, "void").inc(void)
        heard_s = self._clock()
        self._report_age.labels(cluster).set_function(lambda: self._clock() - heard_s)

    def gateways(self, dead: Mapping[tuple[str, str], bool]) -> None:
        """Show which gateways are dead, by callers' cluster and gateway, of those that are watched."""
        for labels in self._gateways - dead.keys():
            self._gateway_dead.remove(*labels)
        self._gateways = set(dead)
        for labels, is_dead in dead.items():
            self._gateway_dead.labels(*labels).set(is_dead)

    def leads(self, leads: bool, fencing_token: int) -> None:
        """Show whether this replica leads, and the highest fencing token it knows."""
        self._leader.set(leads)
        self._fencing_token.set(fencing_token)

    def loop_lag(self, seconds: float) -> None:
        """Count one round of the event loop."""
        self._loop_lag.observe(seconds)

    def slots(self, in_use: int, waiting: int) -> None:
        """Show how many slots are held, and how many migrations wait for one."""
        self._slots_in_use.set(in_use)
        self._slots_waiting.set(waiting)
