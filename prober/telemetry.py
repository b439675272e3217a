"""Metrics and logs. Metrics live in a registry of their own; logs are JSON lines on stderr."""

from __future__ import annotations

import logging
import sys
from collections import Counter as Numbers
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from prober.labelled import CLUSTER, INSTALLATION, NAMESPACE, SERVICE, Labelled
from prober.outcome import Outcome
from prober.stderr import lines_dropped

LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
LATENESS_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05)
PATH_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Fewer than of all probes together: there is one such histogram for each Service and route."""

LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


LINGER_S = 900.0
"""How long a path's latencies stay after its probing ended: longer than any scrape interval."""

Route = tuple[str, str, str]
"""Namespace, Service, route."""


@dataclass(slots=True)
class PathLatency:
    """One histogram for each route of each Service: there while it is probed and some time after.

    Times are seconds on the engines' clock. All streams of a prober share it.
    """

    histogram: Histogram
    _probed: Numbers[Route] = field(default_factory=Numbers)
    _ended_s: dict[Route, float] = field(default_factory=dict)
    _shown: dict[Route, Histogram] = field(default_factory=dict)

    def begin(self, route: Route) -> None:
        """Note that a stream begins to probe this."""
        self._probed[route] += 1
        self._ended_s.pop(route, None)

    def end(self, route: Route, now_s: float) -> None:
        """Note that a stream ended to probe this; take away what nobody has probed for long."""
        self._probed[route] -= 1
        if self._probed[route] <= 0:
            del self._probed[route]
            self._ended_s[route] = now_s
        # They stand in the order in which they ended.
        long_ended = takewhile(lambda one: now_s - one[1] >= LINGER_S, self._ended_s.items())
        for gone, _ in list(long_ended):
            del self._ended_s[gone]
            self._shown.pop(gone, None)
            self.histogram.remove(*gone)

    def observe(self, route: Route, seconds: float) -> None:
        """Count an answer; one that comes when all is over is left out."""
        if route in self._probed or route in self._ended_s:
            if route not in self._shown:
                self._shown[route] = self.histogram.labels(*route)
            self._shown[route].observe(seconds)


class Counted(NamedTuple):
    """What is counted of the probes of one kind of route; to look each up by its label for every probe is dear."""

    planned: Counter
    sent: Counter
    late: Counter
    unsent: Counter
    bad: Counter
    latency: Histogram


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that ``/metrics`` shows."""

    registry: CollectorRegistry
    shown: Labelled
    planned: Counter
    sent: Counter
    late: Counter
    unsent: Counter
    bad: Counter
    latency: Histogram
    lateness: Histogram
    paths: PathLatency
    in_flight: Gauge
    streams: Gauge
    stream_age: Gauge
    assignments: Gauge
    samples: Counter
    discarded: Counter
    control: Counter
    refused: Counter
    lag: Histogram
    wanted: Gauge
    granted: Gauge
    _counted: dict[str, Counted] = field(default_factory=dict)

    def of(self, route: str) -> Counted:
        """Return what is counted of a kind of route, from zero."""
        if route not in self._counted:
            self._counted[route] = Counted(
                self.planned.labels(route),
                self.sent.labels(route),
                self.late.labels(route),
                self.unsent.labels(route),
                self.bad.labels(route),
                self.latency.labels(route),
            )
        return self._counted[route]

    def ended(self, at: Route, outcome: Outcome) -> None:
        """Count a probe that ended, or that could not be sent."""
        counted = self.of(at[2])
        if outcome.unsent:
            (counted.late if outcome.unsent == "late" else counted.unsent).inc()
            return
        counted.sent.inc()
        self.lateness.observe(outcome.started_s - outcome.due_s)
        if outcome.answered_s is not None:
            took_s = outcome.answered_s - outcome.due_s
            counted.latency.observe(took_s)
            self.paths.observe(at, took_s)
        if outcome.bad:
            counted.bad.inc()


def new_metrics(cluster: str, installation: str = "migrate") -> Metrics:
    """Return the metrics of one prober; both names stand on every series of ``shown``, which is what scrapers see."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(f"migrate_prober_{name}", text, labels, registry=registry)

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"migrate_prober_{name}", text, labels, registry=registry)

    def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"migrate_prober_{name}", text, labels, buckets=buckets, registry=registry)

    gauge("info", "Who this is.").set(1)
    lost = gauge("log_lines_dropped", "Log lines dropped since the start: stderr took no more.")
    lost.set_function(lines_dropped)
    return Metrics(
        registry=registry,
        shown=Labelled(registry, {INSTALLATION: installation, CLUSTER: cluster}),
        planned=counter("probes_planned", "Probes that were due.", "route"),
        sent=counter("probes_sent", "Probes that were sent and ended.", "route"),
        late=counter("probes_late", "Probes not sent: too late.", "route"),
        unsent=counter("probes_unsent", "Probes that could not be sent.", "route"),
        bad=counter("probes_bad", "Bad probes.", "route"),
        latency=histogram(
            "probe_latency_seconds",
            "From the due time to the answer; the reference is the prober's own.",
            LATENCY_BUCKETS_S,
            "route",
        ),
        lateness=histogram(
            "probe_lateness_seconds", "From the due time to the start.", LATENESS_BUCKETS_S
        ),
        paths=PathLatency(
            histogram(
                "way_latency_seconds",
                "From the due time to the answer, by Service and route.",
                PATH_BUCKETS_S,
                NAMESPACE,
                SERVICE,
                "route",
            )
        ),
        in_flight=gauge("probes_in_flight", "Probes under way."),
        streams=gauge("streams", "Streams open."),
        stream_age=gauge(
            "stream_age_seconds", "How long the youngest and the oldest stream is open.", "which"
        ),
        assignments=gauge("assignments", "Ways probed."),
        samples=counter("slices", "Slices told."),
        discarded=counter("slices_void", "Slices the prober did not stand behind.", "reason"),
        control=counter("reference_probes", "Probes of the own reference.", "result"),
        refused=counter("messages_refused", "Messages that could not be served."),
        lag=histogram("loop_lag_seconds", "How late the event loop came round.", LAG_BUCKETS_S),
        wanted=gauge("rate_wanted_per_second", "Probes per second asked for, bursts included."),
        granted=gauge("rate_granted_per_second", "Probes per second that the cap leaves."),
    )


def set_up_logs(level: str) -> None:
    """Write logs, the libraries' own too, as JSON lines on stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
