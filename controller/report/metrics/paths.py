"""Metrics of the paths: their verdicts, and the probes that were sent over them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
        self._counted = _Counted(clock, self._probes, self._answers, self._loops, self._highest)

    def evidence(self, key: Key, paths: Mapping[CallPath, PathEvidence]) -> None:
        """Show what is known of a migration's paths; one that is left out is not shown any more."""
        for metric, (_, _, shown, value) in self._metrics:
            metric.show(key, {path: value(found) for path, found in paths.items() if shown(found)})
        self._verdict.show(key, {path: str(found.verdict) for path, found in paths.items()})
        self._counted.begin(key, paths)
        for path, found in paths.items():
            if _judged(found):
                highest = self._counted.highest(key, path, found.points)
                self._highest.labels(*key, *path).set(highest)

    def probed(self, key: Key, path: CallPath, sample: Sample) -> None:
        """Count the probes of one sample; those of a Service that is not probed any more are left out."""
        counts = self._counted.of(key, path)
        if counts is None:
            return
        if sample.base.bad:
            counts.bad.inc(sample.base.bad)
        counts.good.inc(sample.base.sent - sample.base.bad)
        if sample.loops:
            counts.loops.inc(sample.loops)
        for answer, count in sample.answers.items():
            counts.answer(answer).inc(count)


class _Counts:
    """The counters of one path: to look each up by its labels for every sample is dear."""

    def __init__(
        self, probes: Counter, answers: Counter, loops: Counter, labels: tuple[str, ...]
    ) -> None:
        # Made at zero: a counter that is born at one has never increased.
        self.good = probes.labels(*labels, "good")
        self.bad = probes.labels(*labels, "bad")
        self.loops = loops.labels(*labels)
        self._answers = answers
        self._labels = labels
        self._words: dict[str, Counter] = {}

    def answer(self, word: str) -> Counter:
        """Return the counter of an answer: one of a path's first :data:`MAX_WORDS`, or ``other``."""
        known = self._words.get(word)
        if known is not None:
            return known
        if len(self._words) >= MAX_WORDS - 1:
            return self._answers.labels(*self._labels, "other")
        made: Counter = self._answers.labels(*self._labels, word)
        self._words[word] = made
        return made


class _Counted:
    """Of which Services and paths something is counted: all of it goes some time after probing ended."""

    def __init__(
        self,
        clock: Callable[[], float],
        probes: Counter,
        answers: Counter,
        loops: Counter,
        highest: Gauge,
    ) -> None:
        self._clock = clock
        self._counters = probes, answers, loops
        self._metrics = probes, answers, loops, highest
        self._paths: dict[Key, dict[CallPath, _Counts]] = {}
        self._highest: dict[Key, dict[CallPath, float]] = {}
        self._ended_s: dict[Key, float] = {}

    def begin(self, key: Key, paths: Collection[CallPath]) -> None:
        """Note the paths that are probed now."""
        now_s = self._clock()
        if paths:
            if self._ended_s.pop(key, None) is not None:
                self._highest.pop(key, None)
        elif key in self._paths:
            self._ended_s.setdefault(key, now_s)
        for gone in [k for k, ended in self._ended_s.items() if now_s - ended >= LINGER_S]:
            self._remove(gone)
        for path in paths:
            known = self._paths.setdefault(key, {})
            if path not in known:
                known[path] = _Counts(*self._counters, (*key, *path))

    def of(self, key: Key, path: CallPath) -> _Counts | None:
        """Return the counters of a path, None where it is not counted."""
        return self._paths.get(key, {}).get(path)

    def highest(self, key: Key, path: CallPath, points: float) -> float:
        """Return the most points of a path since its probing began, these included."""
        known = self._highest.setdefault(key, {})
        known[path] = max(points, known.get(path, 0.0))
        return known[path]

    def _remove(self, key: Key) -> None:
        del self._paths[key], self._ended_s[key]
        self._highest.pop(key, None)
        for metric in self._metrics:
            metric.remove_by_labels({NAMESPACE: key.namespace, SERVICE: key.service})
