"""Metrics of the paths: their verdicts, and the probes that were sent over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from controller.domain import CallPath, Key, PathEvidence
from controller.report.metrics.series import Maker
from prober.contract import Sample
from prober.labelled import NAMESPACE, SERVICE

LINGER_S = 900.0
"""How long a Service's probes stay counted after its probing ended: a revert is over before the next scrape."""

MAX_WORDS = 32
"""Answers that are told apart on one path: a label's values are series, and a prober may say anything."""

_PATH = (NAMESPACE, SERVICE, "callers", "side")


class _Metric(NamedTuple):
    name: str
    text: str
    shown: Callable[[PathEvidence], bool]
    value: Callable[[PathEvidence], float]


def _judged(found: PathEvidence) -> bool:
    return found.threshold > 0


def _earning(found: PathEvidence) -> bool:
    return found.needed > 0


_METRICS = (
    _Metric(
        "way_points",
        "Penalty points of the objective nearest to FAIL.",
        _judged,
        lambda found: found.points,
    ),
    _Metric(
        "way_points_threshold",
        "Penalty points that mean FAIL.",
        _judged,
        lambda found: found.threshold,
    ),
    _Metric(
        "way_clean_probes",
        "Clean probes of the objective furthest from PASS.",
        _earning,
        lambda found: found.clean,
    ),
    _Metric(
        "way_needed_probes",
        "Clean probes that PASS needs.",
        _earning,
        lambda found: found.needed,
    ),
)


class PathMetrics:
    """How the paths of each migration are."""

    def __init__(self, make: Maker, clock: Callable[[], float]) -> None:
        self._metrics = [
            (make.of_services(metric.name, metric.text, "callers", "side"), metric)
            for metric in _METRICS
        ]
        self._verdict = make.verdicts(
            "way_verdict",
            "The verdict of a path: 1 for the one it has, 0 for the others.",
            *("callers", "side"),
        )
        self._highest = make.gauge(
            "way_points_highest", "The most penalty points since probing began.", *_PATH
        )
        self._probes = make.counter(
            "way_probes",
            "Probes of the base schedule that the prober stands behind: good or bad.",
            *(*_PATH, "outcome"),
        )
        self._answers = make.counter(
            "way_answers",
            "Answers to all probes, by status code or kind of error; after 32 of a path, other.",
            *(*_PATH, "answer"),
        )
        self._loops = make.counter(
            "way_loops", "Probes that a gateway refused because they had passed it before.", *_PATH
        )
        self._counted = _Counted(clock, (self._probes, self._answers, self._loops, self._highest))

    def evidence(self, key: Key, paths: Mapping[CallPath, PathEvidence]) -> None:
        """Show what is known of a migration's paths; one that is left out is not shown any more."""
        for metric, (_, _, shown, value) in self._metrics:
            metric.show(key, {path: value(found) for path, found in paths.items() if shown(found)})
        self._verdict.show(key, {path: str(found.verdict) for path, found in paths.items()})
        for path in self._counted.begin(key, paths):
            # Made at zero: a counter that is born at one has never increased.
            self._loops.labels(*key, *path)
            for outcome in ("good", "bad"):
                self._probes.labels(*key, *path, outcome)
        for path, found in paths.items():
            if _judged(found):
                highest = self._counted.highest(key, path, found.points)
                self._highest.labels(*key, *path).set(highest)

    def probed(self, key: Key, path: CallPath, sample: Sample) -> None:
        """Count the probes of one sample; those of a Service that is not probed any more are left out."""
        if not self._counted.counts(key, path):
            return
        self._probes.labels(*key, *path, "bad").inc(sample.base.bad)
        self._probes.labels(*key, *path, "good").inc(sample.base.sent - sample.base.bad)
        self._loops.labels(*key, *path).inc(sample.loops)
        for answer, count in sample.answers.items():
            self._answers.labels(*key, *path, self._counted.word(key, path, answer)).inc(count)


class _Counted:
    """Of which Services and paths something is counted: all of it goes some time after probing ended."""

    def __init__(self, clock: Callable[[], float], metrics: tuple[Counter | Gauge, ...]) -> None:
        self._clock = clock
        self._metrics = metrics
        self._paths: dict[Key, set[CallPath]] = {}
        self._highest: dict[Key, dict[CallPath, float]] = {}
        self._ended_s: dict[Key, float] = {}
        self._words: dict[Key, dict[CallPath, set[str]]] = {}

    def begin(self, key: Key, paths: Mapping[CallPath, object]) -> set[CallPath]:
        """Note the paths that are probed now; return those that were not counted before."""
        now_s = self._clock()
        if paths:
            if self._ended_s.pop(key, None) is not None:
                self._highest.pop(key, None)
        elif key in self._paths:
            self._ended_s.setdefault(key, now_s)
        for gone in [k for k, ended in self._ended_s.items() if now_s - ended >= LINGER_S]:
            self._remove(gone)
        if not paths:
            return set()
        known = self._paths.setdefault(key, set())
        new = set(paths) - known
        known |= new
        return new

    def counts(self, key: Key, path: CallPath) -> bool:
        """Return whether a path of a Service is counted."""
        return path in self._paths.get(key, ())

    def highest(self, key: Key, path: CallPath, points: float) -> float:
        """Return the most points of a path since its probing began, these included."""
        known = self._highest.setdefault(key, {})
        known[path] = max(points, known.get(path, 0.0))
        return known[path]

    def word(self, key: Key, path: CallPath, answer: str) -> str:
        """Return an answer as it is counted: one of a path's first :data:`MAX_WORDS`, or ``other``."""
        known = self._words.setdefault(key, {}).setdefault(path, set())
        if answer not in known and len(known) >= MAX_WORDS - 1:
            return "other"
        known.add(answer)
        return answer

    def _remove(self, key: Key) -> None:
        del self._paths[key], self._ended_s[key]
        self._highest.pop(key, None)
        self._words.pop(key, None)
        for metric in self._metrics:
            metric.remove_by_labels({NAMESPACE: key.namespace, SERVICE: key.service})
