"""The monitor of one path, and what two paths together say for the callers of one cluster.

UNKNOWN never adds points and never moves traffic: what is discarded, silent or missing only takes PASS away.
A FAIL by points stays while the points stay, however silent the path has become: a target that was
seen to fail and then vanished is not better for it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from typing import NamedTuple

from controller.domain import LatencySpec, PathEvidence, Reason, Verdict
from controller.evidence.cusum import (
    SAMPLES_IN_MIGRATION,
    Cusum,
    allowed_bad,
    alpha_share,
    fail_threshold,
)
from controller.evidence.doubt import certain
from controller.evidence.sprt import Sprt
from controller.evidence.window import Window
from prober.contract import SAMPLE_S, Counts, Sample

FRESH_S = 0.3
"""Three missed heartbeats: from here on a path is silent."""

LOST_S = 3.0
"""A silence this long restarts the SPRT; so long without a word there is no stream."""

GAP_S = 1.0
"""A prober that was not heard for so long may have been behind a link that was lost."""

ORIGIN_WORSE = 0.8
"""The path back counts as no better from this part of the target's bad share on: two paths that share one
fault (a shared database) differ by chance, and rolling back would then only add a move."""

TICK_S = 0.1
"""What comes waits so long at the most for the tick that adds it up."""

_ALL_BAD_S = 1.0
_ALL_BAD_PROBES = 4
NO_PROBES = Counts()


NOTABLE_S = (FRESH_S, 1.0, 2.5, LOST_S, 30.0)
"""How old a last word may be before a decision turns on it; every age that a gate asks for is one of these."""


@dataclass(slots=True)
class Heartbeat:
    """When anything at all was heard from one cluster's probers, whatever was in it; all its paths share it."""

    heard_s: float = -inf
    back_s: float = -inf

    def beat(self, now_s: float) -> None:
        """Note that a report came; after a second of silence they are back from now on."""
        if GAP_S <= now_s - self.heard_s < inf:
            self.back_s = now_s
        self.heard_s = now_s


class Outlook(NamedTuple):
    """What a decision on one path may turn on: what is ``pressing``, as it may be a rollback, and what can wait."""

    verdict: Verdict
    pressing: tuple[object, ...]
    other: tuple[object, ...]


@dataclass(slots=True)
class Tick:
    """One observation: all that the streams of one path reported within 100 ms; they share one fate.

    ``base`` and ``burst`` are apart, and ``earning`` is the part of ``base`` that an assignment of the present
    generation sent: only it earns PASS, and against PASS counts also what a lag may have faked. ``answers`` counts
    by status code or kind of error, ``loops`` are the answers 508 that nothing explains. ``samples`` counts what
    was added up. ``good_age_s`` and ``bad_age_s`` are the greatest ages that the youngest good and bad probe in it
    can have (infinite: there is none).
    """

    base: Counts = NO_PROBES
    burst: Counts = NO_PROBES
    earning: Counts = NO_PROBES
    answers: dict[str, int] = field(default_factory=dict)
    loops: int = 0
    control_clean: bool = True
    samples: int = 0
    good_age_s: float = inf
    bad_age_s: float = inf

    def add(
        self, sample: Sample, *, earns: bool, control_clean: bool, since_s: float = 0.0
    ) -> None:
        """Add one sample up, which came so long ago."""
        base, burst = certain(sample)
        self.base += base
        self.burst += burst
        if earns:
            self.earning += sample.base
        for answer, count in sample.answers.items():
            self.answers[answer] = self.answers.get(answer, 0) + count
        self.loops += sample.loops
        self.control_clean = self.control_clean and control_clean
        self.samples += 1
        age_s = since_s + sample.age_s + SAMPLE_S + TICK_S
        sent, bad = sample.base.sent + sample.burst.sent, sample.base.bad + sample.burst.bad
        if sent > bad:
            self.good_age_s = min(self.good_age_s, age_s)
        if bad:
            self.bad_age_s = min(self.bad_age_s, age_s)

    @property
    def counts(self) -> Counts:
        """Base and burst together."""
        return self.base + self.burst


class _Objective:
    """CUSUM and SPRT of one thing asked of a path."""

    def __init__(self, name: str, missed: Reason, percent: Decimal, alpha: float) -> None:
        allowed = allowed_bad(percent)
        self.name = name
        self.missed = missed
        self.cusum = Cusum(allowed)
        self.sprt = Sprt(allowed)
        self.since_bad = Sprt(allowed)
        """As ``sprt``, counted from the last bad probe."""
        self.threshold = fail_threshold(SAMPLES_IN_MIGRATION, len(self.cusum.counters), alpha)

    @property
    def failed(self) -> bool:
        return self.cusum.largest >= self.threshold

    @property
    def nearness(self) -> float:
        """How near to FAIL, 0 to 1; beyond FAIL there is no nearer."""
        return min(1.0, self.cusum.largest / self.threshold)

    @property
    def spotless(self) -> bool:
        """Whether nothing bad is held against it."""
        return self.cusum.largest == 0 and not self.sprt.lost

    def observe(self, sent: int, bad: int, earning: tuple[int, int]) -> None:
        self.cusum.observe(sent, bad)
        self.sprt.observe(*earning)
        if bad:
            self.since_bad.restart()
        else:
            self.since_bad.observe(*earning)

    def restart_sprt(self) -> None:
        self.sprt.restart()
        self.since_bad.restart()


class PathMonitor:
    """What is known of one path. It has no clock: the time is an argument.

    ``judges`` is how many sources share alpha. A new identity (attempt, probe settings, objective) is a new
    monitor.
    """

    def __init__(
        self,
        success_percent: Decimal,
        latency: LatencySpec | None,
        *,
        judges: int,
        shifted: bool = False,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        alpha = alpha_share(judges, 1 if latency is None else 2)
        self._success = _Objective("success", Reason.SUCCESS_MISSED, success_percent, alpha)
        self._latency = (
            None
            if latency is None
            else _Objective("latency", Reason.LATENCY_MISSED, latency.percent, alpha)
        )
        self._objectives = tuple(o for o in (self._success, self._latency) if o is not None)
        self._shifted = shifted
        self._looped_when_shifted = False
        self._window = Window()
        self._probed = NO_PROBES
        self._heartbeat = heartbeat or Heartbeat()
        self._valid_s = -inf
        self._discarded_s = -inf
        self._loop_s = -inf
        self._good_sent_s = -inf
        self._bad_sent_s = -inf

    # --- what comes in ---------------------------------------------------------------

    def on_report(self, now_s: float) -> None:
        """Note that anything at all came from this path's prober."""
        self._pass_time(now_s)
        self._heartbeat.beat(now_s)

    def idle(self, now_s: float) -> None:
        """Note that nothing was due, of which a report is as good as a sample: the path is not silent."""
        self._pass_time(now_s)
        self._valid_s = now_s

    def discard(self, now_s: float) -> None:
        """Note a sample that nobody stands behind: heard, and not fresh."""
        self.on_report(now_s)
        self._discarded_s = now_s

    def apply(self, tick: Tick, now_s: float) -> None:
        """Add one observation."""
        self.on_report(now_s)
        self._valid_s = now_s
        if tick.loops:
            self._loop_s = now_s
            self._looped_when_shifted = self._shifted
        self._good_sent_s = max(self._good_sent_s, now_s - tick.good_age_s)
        self._bad_sent_s = max(self._bad_sent_s, now_s - tick.bad_age_s)
        counts, earning = tick.counts, tick.earning
        self._window.add(now_s, counts, tick.answers, control_clean=tick.control_clean)
        self._probed += tick.base
        self._success.observe(counts.sent, counts.bad, (earning.sent, earning.bad))
        if self._latency is not None:
            self._latency.observe(counts.sent, counts.slow, (earning.sent, earning.slow))
        self._forgive_at_baseline()

    def settle(self, now_s: float) -> None:
        """Begin a new generation: a step has settled, the SPRT starts from zero."""
        self._pass_time(now_s)
        self.restart_sprt()

    def restart_sprt(self) -> None:
        """Start the SPRT from zero: a pin was recreated, or fewer than half of the pods are left."""
        for objective in self._objectives:
            objective.restart_sprt()

    def at_baseline(self, baseline: bool) -> None:
        """Note whether the callers are at their baseline, where nothing is latched."""
        self._shifted = not baseline
        if baseline:
            self._looped_when_shifted = False
            self._forgive_at_baseline()

    # --- what is known -----------------------------------------------------------------------

    def verdict(self, now_s: float) -> tuple[Verdict, Reason]:
        """Return the verdict and its reason alone, as :meth:`evidence` does."""
        self._pass_time(now_s)
        return self._verdict(now_s)

    def due_s(self, now_s: float) -> float:
        """Return when the path, unless something comes before, will have been silent, or unheard, for another
        of the times that matter (infinite: for all of them)."""
        heartbeat = self._heartbeat
        ages = (now_s - at_s for at_s in (self._valid_s, heartbeat.heard_s, heartbeat.back_s))
        return now_s + min(
            (limit_s - age_s for age_s in ages for limit_s in NOTABLE_S if age_s < limit_s),
            default=inf,
        )

    @property
    def faulty(self) -> bool:
        """Whether anything was bad or slow in the last seconds."""
        return self._window.faulty

    def outlook(self, now_s: float) -> Outlook:
        """Return what a decision may turn on, and nothing that merely counts or passes."""
        verdict, reason = self.verdict(now_s)
        heartbeat, window = self._heartbeat, self._window
        ages = (heartbeat.heard_s, heartbeat.back_s, self._loop_s)
        passed = tuple(bisect_right(NOTABLE_S, now_s - at_s) for at_s in ages)
        silent = bisect_right(NOTABLE_S, now_s - self._valid_s)
        if not window.faulty:
            return Outlook(verdict, (passed,), (reason, silent))
        since_s = now_s - _ALL_BAD_S
        all_bad = window.all_bad_since(since_s, _ALL_BAD_PROBES)
        none_good = window.all_bad_since(since_s, 1)
        pressing = (
            passed,
            self._good_sent_s > self._bad_sent_s,
            all_bad and window.control_clean_since(since_s),
            none_good and window.unanswered_since(since_s),
        )
        return Outlook(verdict, pressing, (reason, silent, window.usual_answer))

    def evidence(self, now_s: float) -> PathEvidence:
        """Return what is known of the path now; a silence that has become too long restarts the SPRT."""
        verdict, reason = self.verdict(now_s)
        nearest = max(self._objectives, key=lambda o: o.nearness)
        furthest = max(self._objectives, key=lambda o: o.sprt.missing)
        window = self._window
        since_s = now_s - _ALL_BAD_S
        all_bad = window.all_bad_since(since_s, _ALL_BAD_PROBES)
        none_good = window.all_bad_since(since_s, 1)
        return PathEvidence(
            verdict=verdict,
            reason=reason,
            points=nearest.cusum.largest,
            threshold=nearest.threshold,
            objective=nearest.name,
            clean=furthest.sprt.clean,
            needed=furthest.sprt.needed,
            silent_s=now_s - self._valid_s,
            heard_s=now_s - self._heartbeat.heard_s,
            back_for_s=now_s - self._heartbeat.back_s,
            bad_share_3s=window.slow_share if nearest is self._latency else window.bad_share,
            loop_s=now_s - self._loop_s,
            all_bad_1s=all_bad and window.control_clean_since(since_s),
            unanswered_1s=none_good and window.unanswered_since(since_s),
            good_sent_s=now_s - self._good_sent_s,
            bad_sent_s=now_s - self._bad_sent_s,
            usual_answer=window.usual_answer,
            wrong_cluster_3s=window.wrong_cluster,
            success_share=1 - self._probed.bad / self._probed.sent if self._probed.sent else None,
            rate_per_s=window.rate_per_s,
        )

    def _verdict(self, now_s: float) -> tuple[Verdict, Reason]:
        settled = self._failed() or self._no_data(now_s)
        if settled is not None:
            return settled
        if all(o.sprt.passed for o in self._objectives):
            return Verdict.PASS, Reason.MET
        spotless = all(o.spotless for o in self._objectives)
        return Verdict.UNKNOWN, Reason.COLLECTING if spotless else Reason.RECOVERING

    def _failed(self) -> tuple[Verdict, Reason] | None:
        if self._looped_when_shifted:
            return Verdict.FAIL, Reason.GATEWAY_LOOP
        missed = next((o.missed for o in self._objectives if o.failed), None)
        return None if missed is None else (Verdict.FAIL, missed)

    def _no_data(self, now_s: float) -> tuple[Verdict, Reason] | None:
        if now_s - self._heartbeat.heard_s >= LOST_S:
            return Verdict.UNKNOWN, Reason.NO_STREAM
        if now_s - self._valid_s >= FRESH_S:
            discarded = now_s - self._discarded_s < FRESH_S
            return Verdict.UNKNOWN, Reason.VOID if discarded else Reason.SILENT
        return None

    # --- how time and good probes change it ----------------------------------------------------------------

    def _pass_time(self, now_s: float) -> None:
        """Let go of what is too old. What was proven before a long silence proves nothing after it."""
        self._window.forget(now_s)
        if now_s - self._valid_s >= LOST_S:
            self.restart_sprt()

    def _forgive_at_baseline(self) -> None:
        """At the baseline a FAIL is not latched: an SPRT passed since the last bad probe clears the points."""
        if self._shifted:
            return
        for objective in self._objectives:
            if objective.since_bad.passed and objective.cusum.largest > 0:
                objective.cusum.restart()
                if objective is self._success:
                    self._probed = NO_PROBES


def origin_is_worse(to_target: PathEvidence, baseline: PathEvidence) -> bool:
    """Return whether rolling back would not help: the path back has FAILed by points, is fresh, and its bad
    share of the last 3 s is at least ``ORIGIN_WORSE`` of the target's. What is not known is not worse, nor is a
    path without a fault in these 3 s: points outlive an outage by hours. Faults of own pods that still wait for
    an explanation count here, and only here: nobody is sent back to what looks no better.
    """
    baseline = baseline.suspected or baseline
    if baseline.bad_share_3s is None or to_target.bad_share_3s is None:
        return False
    return (
        _fails_by_points(baseline)
        and baseline.silent_s < FRESH_S
        and baseline.bad_share_3s > 0
        and baseline.bad_share_3s >= ORIGIN_WORSE * to_target.bad_share_3s
    )


def cluster_fails(to_target: PathEvidence, baseline: PathEvidence) -> bool:
    """Return whether a cluster's callers must leave the target: it FAILed by points, and the path back is no worse."""
    return _fails_by_points(to_target) and not origin_is_worse(to_target, baseline)


def _fails_by_points(path: PathEvidence) -> bool:
    # A loop is FAIL without points, and what was never judged has a threshold of zero.
    return path.points >= path.threshold > 0
