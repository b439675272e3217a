"""Metrics, in a registry of their own. ``docs/metrics.md`` lists them, and a test keeps both equal.

A method is called for each thing that happened (counters, histograms) or with how things stand now
(gauges). What is told for one Service replaces all that was told for it before, so a Service that is
over leaves no series behind: tell it with an empty mapping.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from controller.domain import CallPath, Key, PathEvidence, Phase, TrafficEvidence, Verdict
from controller.report.gauges import Figures
from controller.report.tracing import exemplar
from prober.contract import Sample

PREFIX = "migrate_controller_"

API_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Up to the deadline of a request, 10 s."""

LOOP_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0)
"""0.3 s is when a path counts as silent (docs/evidence.md, UNKNOWN): lag beyond it blinds us."""

HOME_BUCKETS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""Two seconds are what is promised from the fault on (docs/guarantees.md); the rest is for a revert that waits."""

REVERTS = (
    "TargetBad",
    "TargetWithoutEndpoints",
    "GatewayLoop",
    "LinkLost",
    "TrafficBad",
    "TrafficLoop",
    "Aborted",
    "TargetChanged",
)
"""Why an attempt goes home: counted from zero, because a counter that is born at one has never increased."""

LINGER_S = 900.0
"""How long a Service's probes stay counted after its probing ended: a revert is over before the next scrape."""

V = TypeVar("V")
L = TypeVar("L", bound=tuple[str, ...])

_WAY = ("namespace", "service", "callers", "side")


class Metrics:
    """Everything that ``/metrics`` shows; the meter of the clusters and of the probers' streams.

    ``version`` is the controller's own, ``clock`` gives monotonic seconds.
    """

    def __init__(self, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        ProcessCollector(registry=self.registry)
        self._count_calls()
        self._count_decisions()
        self._gauge_services()
        self._gauge_ways()
        self._gauge_traffic()
        self._gauge_shell()
        build = Info(f"{PREFIX}build", "What runs.", registry=self.registry)
        build.info({"version": version, "python": platform.python_version()})

    def _count_calls(self) -> None:
        self._api = self._histogram(
            "api_request_seconds",
            "Requests to the API servers, by HTTP status or kind of error.",
            API_BUCKETS_S,
            ("cluster", "verb", "resource", "code"),
        )
        self._watch_age = self._gauge(
            "watch_age_seconds",
            "Time since anything was heard of a resource.",
            ("cluster", "resource"),
        )
        self._watch_current = self._gauge(
            "watch_current",
            "1 where what is known of a resource is current, else 0.",
            ("cluster", "resource"),
        )
        self._watch_failures = self._counter(
            "watch_failures", "Lists and watches that failed.", ("cluster", "resource")
        )
        self._writes = self._counter(
            "writes",
            "Writes to the clusters, by kind of object and what became of them.",
            ("cluster", "kind", "outcome"),
        )

    def _count_decisions(self) -> None:
        self._queue_depth = self._gauge("queue_depth", "Migrations that wait to be looked at.")
        self._reconcile = self._histogram(
            "reconcile_seconds", "Time to look at one migration, plan and act.", API_BUCKETS_S
        )
        self._plans = self._counter(
            "plans",
            "Decisions, by phase and by the reason not to advance (empty: none).",
            ("phase", "reason"),
        )
        self._transitions = self._counter(
            "transitions", "Changes of phase or reason, by the new ones.", ("phase", "reason")
        )
        self._reverts = self._counter("reverts", "Attempts that went home, by reason.", ("reason",))
        self._home = self._histogram(
            "home_seconds",
            "From the decision to revert until every caller was home, by reason.",
            HOME_BUCKETS_S,
            ("reason",),
        )
        for reason in REVERTS:
            self._reverts.labels(reason)
            self._home.labels(reason)

    def _gauge_services(self) -> None:
        self._migrations = self._gauge("migrations", "Migrations, by phase.", ("phase",))
        self._share = self._of_services(
            "share_permille",
            "How much of a cluster's calls the target serves, per mille.",
            "cluster",
        )
        self._info = self._of_services(
            "migration_info",
            "1: where the migration stands, why it does not advance (empty: it does), and whether "
            "that ends by itself (blocked: no) or not (yes).",
            "origin",
            "target",
            "phase",
            "reason",
            "blocked",
        )
        self._person = self._of_services(
            "migration_needs_person", "1 where it asks for a person, else 0."
        )
        self._warning = self._of_services(
            "migration_warning", "1 for each warning that its status tells.", "reason"
        )
        self._pinned = self._of_services(
            "pinned", "1 where the cluster's gateway is pinned for the Service, else 0.", "cluster"
        )
        self._objective = self._of_services(
            "objective_ratio", "The share of good probes that the owner asks for."
        )
        self._times = {
            name: self._of_services(f"{name}_timestamp_seconds", text)
            for name, text in {
                "attempt_started": "When the attempt began, Unix time.",
                "step_written": "When the present share was written, Unix time.",
                "step_due": "When the next step is due at the earliest, Unix time.",
                "end_foreseen": "When all may be over, were nothing to hold it from now on, Unix time.",
            }.items()
        }
        self._reverted = self._of_services(
            "reverted_timestamp_seconds", "When the attempt was reverted, Unix time.", "reason"
        )

    def _gauge_ways(self) -> None:
        ends = ("callers", "side")
        self._points = self._of_services(
            "way_points", "Penalty points of the objective nearest to FAIL.", *ends
        )
        self._threshold = self._of_services(
            "way_points_threshold", "Penalty points that mean FAIL.", *ends
        )
        self._highest = self._gauge(
            "way_points_highest", "The most penalty points since probing began.", _WAY
        )
        self._clean = self._of_services(
            "way_clean_probes", "Clean probes of the objective furthest from PASS.", *ends
        )
        self._needed = self._of_services(
            "way_needed_probes", "Clean probes that PASS needs.", *ends
        )
        verdict = Enum(
            f"{PREFIX}way_verdict",
            "The verdict of a way: 1 for the one it has, 0 for the others.",
            _WAY,
            states=[str(verdict) for verdict in Verdict],
            registry=self.registry,
        )
        self._verdict = _OfServices(verdict, Enum.state)
        self._probes = self._counter(
            "way_probes",
            "Probes of the base schedule that the prober stands behind: good or bad.",
            (*_WAY, "outcome"),
        )
        self._answers = self._counter(
            "way_answers",
            "Answers to all probes, by status code or kind of error.",
            (*_WAY, "answer"),
        )
        self._loops = self._counter(
            "way_loops", "Probes that a gateway refused because they had passed it before.", _WAY
        )
        self._counted = _Counted(
            self._clock, (self._probes, self._answers, self._loops, self._highest)
        )

    def _gauge_traffic(self) -> None:
        self._traffic_points = self._of_services(
            "traffic_points", "Penalty points of real traffic.", "callers"
        )
        self._traffic_threshold = self._of_services(
            "traffic_points_threshold", "Penalty points of real traffic that mean FAIL.", "callers"
        )
        verdict = Enum(
            f"{PREFIX}traffic_verdict",
            "The verdict of real traffic: 1 for the one it has, 0 for the others.",
            ("namespace", "service", "callers"),
            states=[str(verdict) for verdict in Verdict],
            registry=self.registry,
        )
        self._traffic_verdict = _OfServices(verdict, Enum.state)
        self._ignoring = self._of_services(
            "callers_ignoring_split", "Workloads that do not follow the TrafficSplit.", "callers"
        )
        self._unmeshed = self._of_services(
            "callers_unmeshed_requests",
            "Requests of the last two minutes that came from outside the mesh.",
            "callers",
        )
        self._questions = self._histogram(
            "prometheus_query_seconds",
            "Questions to the Prometheus of a cluster, by what became of them.",
            API_BUCKETS_S,
            ("cluster", "outcome"),
        )
        self._prometheus = self._gauge(
            "prometheus_tells",
            "1 where a cluster's Prometheus answered the last tick.",
            ("cluster",),
        )

    def _gauge_shell(self) -> None:
        self._streams = self._gauge(
            "prober_streams", "Streams to the probers that are connected.", ("cluster",)
        )
        self._slices = self._counter(
            "slices",
            "Slices from the probers: absorbed, or void because the prober distrusts them.",
            ("cluster", "outcome"),
        )
        self._report_age = self._gauge(
            "prober_report_age_seconds",
            "Time since a report came from a cluster's probers, on any stream.",
            ("cluster",),
        )
        self._leader = self._gauge("leader", "1 while this replica holds the lease, else 0.")
        self._epoch = self._gauge("epoch", "The highest epoch seen: it grows with each leader.")
        self._loop_lag = self._histogram(
            "loop_lag_seconds", "How late the event loop came round.", LOOP_BUCKETS_S
        )
        self._slots_in_use = self._gauge("slots_in_use", "Slots held by migrations.")
        self._slots_waiting = self._gauge("slots_waiting", "Migrations that wait for a slot.")

    # --- the clusters ---------------------------------------------------------------------------

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count one request; ``code`` is the HTTP status, or the kind of error where none came."""
        series = self._api.labels(cluster, verb, resource, code)
        series.observe(seconds, exemplar())

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Something was heard of a resource; its age is computed from now, at each scrape."""
        heard_s = self._clock()
        self._watch_age.labels(cluster, resource).set_function(lambda: self._clock() - heard_s)

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Count one list or watch that failed."""
        self._watch_failures.labels(cluster, resource).inc()

    def watch_current(self, cluster: str, resource: str, current: bool) -> None:
        """Return whether what is known of a resource is current; failures are counted from zero."""
        self._watch_failures.labels(cluster, resource)
        self._watch_current.labels(cluster, resource).set(current)

    def wrote(self, cluster: str, kind: str, outcome: str) -> None:
        """Count one write of a split, pin or status."""
        self._writes.labels(cluster, kind, outcome).inc()

    # --- the decisions --------------------------------------------------------------------------

    def queue_depth(self, depth: int) -> None:
        """Return how many keys wait."""
        self._queue_depth.set(depth)

    def reconciled(self, seconds: float) -> None:
        """Count one look at a migration."""
        self._reconcile.observe(seconds, exemplar())

    def planned(self, phase: Phase, reason: str) -> None:
        """Count one decision; ``reason`` is the ruling's, "" without one."""
        self._plans.labels(phase, reason).inc()

    def moved(self, phase: Phase, reason: str) -> None:
        """Count one transition, to this phase."""
        self._transitions.labels(phase, reason).inc()

    def reverted(self, reason: str) -> None:
        """Count one attempt that went home."""
        self._reverts.labels(reason).inc()

    # --- the Services ---------------------------------------------------------------------------

    def migrations(self, phases: Mapping[Phase, int]) -> None:
        """Return how many migrations stand in each phase; one that is left out has none."""
        for phase in Phase:
            self._migrations.labels(phase).set(phases.get(phase, 0))

    def rolled_back(self, reason: str, seconds: float) -> None:
        """Count one revert that is over: so long after it was decided, every caller was home."""
        self._home.labels(reason).observe(seconds, exemplar())

    def shares(self, key: Key, shares: Mapping[str, int | None]) -> None:
        """Return a migration's shares by cluster, in per mille; unknown ones are not shown."""
        known = {(cluster,): share for cluster, share in shares.items() if share is not None}
        self._share.tell(key, known)

    def stands(self, key: Key, found: Figures | None) -> None:
        """Return where a migration stands; None where it is over, or another replica tells of it."""
        if found is None:
            for gauge in (self._info, self._person, self._warning, self._pinned, self._objective):
                gauge.tell(key, {})
            for time_of in (*self._times.values(), self._reverted):
                time_of.tell(key, {})
            return
        blocked = "yes" if found.blocked else "no"
        resolve = (found.origin, found.target, found.phase, found.reason, blocked)
        self._info.tell(key, {resolve: 1})
        self._person.tell(key, {(): found.needs_person})
        self._warning.tell(key, {(reason,): 1 for reason in found.warnings})
        self._pinned.tell(key, {(cluster,): pinned for cluster, pinned in found.pinned.items()})
        self._objective.tell(key, _known(found.objective))
        for name, when in {
            "attempt_started": found.started,
            "step_written": found.since,
            "step_due": found.due,
            "end_foreseen": found.ends,
        }.items():
            self._times[name].tell(key, _known(when.timestamp() if when else None))
        latch = found.reverted
        self._reverted.tell(key, {(latch.reason,): latch.at.timestamp()} if latch else {})

    def evidence(self, key: Key, paths: Mapping[CallPath, PathEvidence]) -> None:
        """Return what is known of a migration's paths; one that is left out is not shown any more."""
        self._verdict.tell(key, {path: str(observed.verdict) for path, observed in paths.items()})
        judged = {path: observed for path, observed in paths.items() if observed.threshold > 0}
        self._points.tell(key, {path: observed.points for path, observed in judged.items()})
        self._threshold.tell(key, {path: observed.threshold for path, observed in judged.items()})
        earning = {path: observed for path, observed in paths.items() if observed.needed > 0}
        self._clean.tell(key, {path: observed.clean for path, observed in earning.items()})
        self._needed.tell(key, {path: observed.needed for path, observed in earning.items()})
        for path in self._counted.paths(key, paths):
            # Made at zero: a counter that is born at one has never increased.
            self._loops.labels(*key, *path)
            for outcome in ("good", "bad"):
                self._probes.labels(*key, *path, outcome)
        for path, observed in judged.items():
            self._highest.labels(*key, *path).set(self._counted.highest(key, path, observed.points))

    def traffic(self, key: Key, found: Mapping[str, TrafficEvidence]) -> None:
        """Return what is known of a migration's real callers, by their cluster."""
        judged = {(name,): observed for name, observed in found.items() if observed.judged}
        self._traffic_verdict.tell(
            key, {at: str(observed.verdict) for at, observed in judged.items()}
        )
        self._traffic_points.tell(key, {at: observed.points for at, observed in judged.items()})
        self._traffic_threshold.tell(
            key, {at: observed.threshold for at, observed in judged.items()}
        )
        told = {(name,): observed for name, observed in found.items() if not observed.unknown}
        self._ignoring.tell(key, {at: len(observed.ignoring) for at, observed in told.items()})
        self._unmeshed.tell(key, {at: observed.unmeshed for at, observed in told.items()})

    def probed(self, key: Key, path: CallPath, told: Sample) -> None:
        """Count the probes of one slice; those of a Service that is not probed any more are left out."""
        if not self._counted.counts(key, path):
            return
        self._probes.labels(*key, *path, "bad").inc(told.base.bad)
        self._probes.labels(*key, *path, "good").inc(told.base.sent - told.base.bad)
        self._loops.labels(*key, *path).inc(told.loops)
        for answer, count in told.answers.items():
            self._answers.labels(*key, *path, answer).inc(count)

    # --- the shell ------------------------------------------------------------------------------

    def asked_prometheus(self, cluster: str, outcome: str, seconds: float) -> None:
        """Count one question to a Prometheus."""
        self._questions.labels(cluster, outcome).observe(seconds)

    def prometheus_tells(self, cluster: str, tells: bool) -> None:
        """Return whether a cluster's Prometheus answered the last tick."""
        self._prometheus.labels(cluster).set(tells)

    def prober_streams(self, cluster: str, connected: int) -> None:
        """Return how many streams to a cluster's prober are connected."""
        self._streams.labels(cluster).set(connected)

    def prober_heard(self, cluster: str, absorbed: int, void: int) -> None:
        """Count the slices of one report; its age is computed from now, at each scrape."""
        self._slices.labels(cluster, "absorbed").inc(absorbed)
        self._slices.labels(cluster, "void").inc(void)
        heard_s = self._clock()
        self._report_age.labels(cluster).set_function(lambda: self._clock() - heard_s)

    def leads(self, leads: bool, fencing_token: int) -> None:
        """Return whether this replica leads, and the highest fencing token it knows."""
        self._leader.set(leads)
        self._epoch.set(fencing_token)

    def loop_lag(self, seconds: float) -> None:
        """Count one round of the event loop."""
        self._loop_lag.observe(seconds)

    def slots(self, in_use: int, waiting: int) -> None:
        """Return how many slots are held, and how many migrations wait for one."""
        self._slots_in_use.set(in_use)
        self._slots_waiting.set(waiting)

    def _of_services(self, name: str, text: str, *labels: str) -> _OfServices[float]:
        return _OfServices(self._gauge(name, text, ("namespace", "service", *labels)), Gauge.set)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(f"{PREFIX}{name}", text, labels, buckets=buckets, registry=self.registry)


class _OfServices(Generic[V]):
    """A metric with series for each Service: those not told again are removed."""

    def __init__(self, metric: Gauge | Enum, put: Callable[[Any, V], None]) -> None:
        self._metric = metric
        self._put = put
        self._shown: dict[Key, frozenset[tuple[str, ...]]] = {}

    def tell(self, key: Key, values: Mapping[L, V]) -> None:
        """Show these values, by the labels after the Service's own, and no others of this Service."""
        shown = self._shown.pop(key, frozenset())
        if values:
            self._shown[key] = frozenset(values)
        for gone in shown.difference(values):
            self._metric.remove(*key, *gone)
        for labels, value in values.items():
            self._put(self._metric.labels(*key, *labels), value)


class _Counted:
    """Of which Services and paths something is counted: all of it goes some time after probing ended."""

    def __init__(self, clock: Callable[[], float], metrics: tuple[Counter | Gauge, ...]) -> None:
        self._clock = clock
        self._metrics = metrics
        self._ways: dict[Key, set[CallPath]] = {}
        self._highest: dict[Key, dict[CallPath, float]] = {}
        self._ended_s: dict[Key, float] = {}

    def paths(self, key: Key, paths: Mapping[CallPath, object]) -> set[CallPath]:
        """Note the paths that are probed now; give those that were not counted before."""
        now_s = self._clock()
        if paths:
            if self._ended_s.pop(key, None) is not None:
                self._highest.pop(key, None)
        elif key in self._ways:
            self._ended_s.setdefault(key, now_s)
        for gone in [k for k, ended in self._ended_s.items() if now_s - ended >= LINGER_S]:
            self._remove(gone)
        if not paths:
            return set()
        known = self._ways.setdefault(key, set())
        new = set(paths) - known
        known |= new
        return new

    def counts(self, key: Key, path: CallPath) -> bool:
        """Return whether a path of a Service is counted."""
        return path in self._ways.get(key, ())

    def highest(self, key: Key, path: CallPath, points: float) -> float:
        """Return the most points of a path since its probing began, these included."""
        known = self._highest.setdefault(key, {})
        known[path] = max(points, known.get(path, 0.0))
        return known[path]

    def _remove(self, key: Key) -> None:
        del self._ways[key], self._ended_s[key]
        self._highest.pop(key, None)
        for metric in self._metrics:
            metric.remove_by_labels({"namespace": key.namespace, "service": key.service})


def _known(value: float | None) -> Mapping[tuple[()], float]:
    return {} if value is None else {(): value}
