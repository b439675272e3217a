"""The monitor of one path, and what two paths together say for the callers of one cluster.

UNKNOWN never adds points and never moves traffic: what is discarded, silent or missing only takes PASS away.
A FAIL by points stays while the points stay, however silent the path has become: a target that was
seen to fail and then vanished is not better for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from typing import NamedTuple

from controller.domain import LatencySpec, PathEvidence, Reason, Side, Verdict
from controller.evidence.cusum import (
    SAMPLES_IN_MIGRATION,
    Cusum,
    allowed_bad,
    alpha_share,
    fail_threshold,
)
from controller.evidence.doubt import certain
from controller.evidence.hearing import FRESH_S, LOST_S, NOTABLE_S, Heartbeat, Stream, age_class
from controller.evidence.sprt import Sprt
from controller.evidence.window import Window
from prober.contract import SAMPLE_S, Counts, Sample

ORIGIN_WORSE = 0.8
"""The path back counts as no better from this part of the target's bad share on: two paths that share one
fault (a shared database) differ by chance, and rolling back would then only add a move."""

TICK_S = 0.1
"""What comes waits so long at the most for the tick that adds it up."""

_ALL_BAD_S = 1.0
_ALL_BAD_PROBES = 4
NO_PROBES = Counts()


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
        self._resting: tuple[Stream, ...] = ()
        self._discarded_s = -inf
        self._loop_s = -inf
        self._good_sent_s = -inf
        self._bad_sent_s = -inf

    # --- what comes in ---------------------------------------------------------------

    def on_report(self, now_s: float) -> None:
        """Note that anything at all came from this path's prober."""
        self.pass_time(now_s)
        self._heartbeat.beat(now_s)

    def rests(self, stream: Stream, now_s: float) -> None:
        """Note that a stream has nothing under way here until it says otherwise: the path is as fresh as the stream."""
        if stream not in self._resting:
            self.pass_time(now_s)
            self._resting = (*self._resting, stream)

    def awaits(self, stream: Stream) -> None:
        """Note that a stream owes a sample, or has ended: from its last word on the path is silent."""
        if stream in self._resting:
            self._valid_s = self._fresh_s
            self._resting = tuple(s for s in self._resting if s is not stream)

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

    def pass_time(self, now_s: float) -> float:
        """Let go of what is too old, and return when the path was last not silent. What was proven before a long
        silence proves nothing after it."""
        self._window.forget(now_s)
        fresh_s = self._fresh_s
        if now_s - fresh_s >= LOST_S:
            self.restart_sprt()
        return fresh_s

    def settle(self, now_s: float) -> None:
        """Begin a new generation: a step has settled, the SPRT starts from zero."""
        self.pass_time(now_s)
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
        return self._verdict(now_s, self.pass_time(now_s))

    @property
    def _fresh_s(self) -> float:
        """When the path was last not silent."""
        fresh_s = self._valid_s
        for stream in self._resting:
            fresh_s = max(fresh_s, stream.said_s)
        return fresh_s

    def due_s(self, now_s: float) -> float:
        """Return when the outlook may be another though nothing comes before (infinite: never): when what was bad
        has passed, and when the path has been silent for another of the times that matter. The age of what it shares
        with others, heartbeat and streams, is watched for all of them."""
        turns_s = self._window.turns_s(now_s, _ALL_BAD_S) if self.faulty else inf
        if self._resting:
            return turns_s
        age_s = now_s - self._valid_s
        silent = (at_s for at_s in NOTABLE_S if age_s < at_s)
        return min(turns_s, self._valid_s + next(silent, inf))

    @property
    def faulty(self) -> bool:
        """Whether anything was bad or slow in the last seconds."""
        return self._window.faulty

    def outlook(
        self, now_s: float, side: Side, *, vacant: bool = False, muted: bool = False
    ) -> Outlook:
        """Return what a decision may turn on, and nothing that merely counts or passes.

        Of a path back it may turn on whether all is bad. Of a path to the target on whether anybody answers, where
        other probers are ``muted`` and cannot tell, and on whether the last probe was a good one where it may be
        ``vacant``: nobody is seen ready behind it.
        """
        fresh_s = self.pass_time(now_s)
        verdict, reason = self._verdict(now_s, fresh_s)
        heartbeat, window = self._heartbeat, self._window
        passed = (
            age_class(now_s - heartbeat.heard_s),
            age_class(now_s - heartbeat.back_s),
            age_class(now_s - self._loop_s),
        )
        is_good = vacant and self._good_sent_s > self._bad_sent_s
        is_dead, usual = False, ""
        if window.faulty:
            all_bad, unanswered = self._last_second(now_s)
            is_dead = (side is Side.TARGET and muted and unanswered) or (
                side is Side.ORIGIN and all_bad
            )
            usual = window.usual_answer
        silent = age_class(now_s - fresh_s)
        return Outlook(verdict, (passed, is_good, is_dead), (reason, silent, usual))

    def evidence(
        self,
        now_s: float,
        *,
        throttled_per_s: float | None = None,
        refused: tuple[str, str] | None = None,
        suspected: PathEvidence | None = None,
    ) -> PathEvidence:
        """Return what is known of the path now, and what its prober says of it; a silence that has become too long
        restarts the SPRT."""
        fresh_s = self.pass_time(now_s)
        verdict, reason = self._verdict(now_s, fresh_s)
        nearest = max(self._objectives, key=lambda o: o.nearness)
        furthest = max(self._objectives, key=lambda o: o.sprt.missing)
        window = self._window
        all_bad_1s, unanswered_1s = self._last_second(now_s)
        return PathEvidence(
            verdict=verdict,
            reason=reason,
            points=nearest.cusum.largest,
            threshold=nearest.threshold,
            objective=nearest.name,
            clean=furthest.sprt.clean,
            needed=furthest.sprt.needed,
            silent_s=now_s - fresh_s,
            heard_s=now_s - self._heartbeat.heard_s,
            back_for_s=now_s - self._heartbeat.back_s,
            bad_share_3s=window.slow_share if nearest is self._latency else window.bad_share,
            loop_s=now_s - self._loop_s,
            all_bad_1s=all_bad_1s,
            unanswered_1s=unanswered_1s,
            good_sent_s=now_s - self._good_sent_s,
            bad_sent_s=now_s - self._bad_sent_s,
            usual_answer=window.usual_answer,
            wrong_cluster_3s=window.wrong_cluster,
            success_share=1 - self._probed.bad / self._probed.sent if self._probed.sent else None,
            rate_per_s=window.rate_per_s,
            throttled_per_s=throttled_per_s,
            refused=refused,
            suspected=suspected,
        )

    def _last_second(self, now_s: float) -> tuple[bool, bool]:
        """Return whether all was bad in it, and whether none was good and nobody answered."""
        last = self._window.since(now_s - _ALL_BAD_S)
        return (
            last.all_bad and last.sent >= _ALL_BAD_PROBES and last.control_clean,
            last.all_bad and last.sent > 0 and last.unanswered,
        )

    def _verdict(self, now_s: float, fresh_s: float) -> tuple[Verdict, Reason]:
        settled = self._failed() or self._no_data(now_s, fresh_s)
        if settled is not None:
            return settled
        if all(o.sprt.passed for o in self._objectives):
            return Verdict.PASS, Reason.MET
        spotless = all(o.spotless for o in self._objectives)
        return Verdict.UNKNOWN, Reason.COLLECTING if spotless else Reason.RECOVERING

    def _failed(self) -> tuple[Verdict, Reason] | None:
        if self._looped_when_shifted:
            return Verdict.FAIL, Reason.GATEWAY_LOOP
        for objective in self._objectives:
            if objective.failed:
                return Verdict.FAIL, objective.missed
        return None

    def _no_data(self, now_s: float, fresh_s: float) -> tuple[Verdict, Reason] | None:
        if now_s - self._heartbeat.heard_s >= LOST_S:
            return Verdict.UNKNOWN, Reason.NO_STREAM
        if now_s - fresh_s >= FRESH_S:
            discarded = now_s - self._discarded_s < FRESH_S
            return Verdict.UNKNOWN, Reason.VOID if discarded else Reason.SILENT
        return None

    # --- how time and good probes change it ----------------------------------------------------------------

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
