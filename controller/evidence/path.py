"""One path's running account, and what two paths together say for the callers of one cluster.

UNKNOWN never adds points and never moves traffic: what is void, silent or missing only takes PASS away.
A FAIL by points stays while the points stay, however silent the path has become: a target that was
seen to fail and then vanished is not better for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from controller.domain import LatencySpec, PathEvidence, Reason, Verdict
from controller.evidence.cusum import (
    SLICES_IN_MIGRATION,
    Points,
    allowed_bad,
    alpha_share,
    fail_threshold,
)
from controller.evidence.sprt import Credit
from controller.evidence.window import Window, is_answer
from prober.contract import LOOP, Counts

FRESH_S = 0.3
"""Three missed heartbeats: from here on a path is silent."""

LOST_S = 3.0
"""A silence this long restarts the credit; so long without a word there is no stream."""

GAP_S = 1.0
"""A prober that was not heard for so long may have been behind a link that was lost."""

ORIGIN_WORSE = 0.8
"""Home counts as no better from this part of the target's bad share on: two paths that share one
fault (a shared database) differ by chance, and going home would then only add a move."""

_ALL_BAD_S = 1.0
_ALL_BAD_PROBES = 4
_NO_PROBES = Counts()


@dataclass(frozen=True, slots=True)
class Tick:
    """One observation: all that the streams of one path reported within 100 ms; they share one fate.

    ``base`` and ``burst`` are apart, and ``credit`` is the part of ``base`` that an assignment of the
    present generation sent: only it earns PASS. ``answers`` counts by status code or kind of error.
    ``loops`` counts answers 508; with ``count_loops`` false (a pin is missing, or was made within the
    last second) they are void: the caller has taken them out of the counts.
    """

    base: Counts = _NO_PROBES
    burst: Counts = _NO_PROBES
    credit: Counts = _NO_PROBES
    answers: Mapping[str, int] = field(default_factory=dict)
    loops: int = 0
    count_loops: bool = True
    reference_clean: bool = True


class _Objective:
    """Points and credit for one thing asked of a path."""

    def __init__(self, name: str, missed: Reason, percent: Decimal, alpha: float) -> None:
        allowed = allowed_bad(percent)
        self.name = name
        self.missed = missed
        self.points = Points(allowed)
        self.credit = Credit(allowed)
        self.calm = Credit(allowed)
        """Credit as ``credit`` earns it, counted from the last bad probe."""
        self.threshold = fail_threshold(SLICES_IN_MIGRATION, len(self.points.counters), alpha)

    @property
    def failed(self) -> bool:
        return self.points.largest >= self.threshold

    @property
    def nearness(self) -> float:
        """How near to FAIL, 0 to 1; beyond FAIL there is no nearer."""
        return min(1.0, self.points.largest / self.threshold)

    @property
    def spotless(self) -> bool:
        """Whether nothing bad is held against it."""
        return self.points.largest == 0 and not self.credit.lost

    def observe(self, sent: int, bad: int, credit: tuple[int, int]) -> None:
        self.points.observe(sent, bad)
        self.credit.observe(*credit)
        if bad:
            self.calm.restart()
        else:
            self.calm.observe(*credit)

    def restart_credit(self) -> None:
        self.credit.restart()
        self.calm.restart()


class PathMonitor:
    """One path's running account. It has no clock: every method that needs the time is told it.

    ``traffic_on`` says whether real traffic has its half of alpha. A new key (attempt, probe settings,
    objective) is a new book.
    """

    def __init__(
        self,
        success_percent: Decimal,
        latency: LatencySpec | None,
        *,
        traffic_on: bool,
        shifted: bool = False,
    ) -> None:
        alpha = alpha_share(traffic_on, 1 if latency is None else 2)
        self._success = _Objective("success", Reason.SUCCESS_MISSED, success_percent, alpha)
        self._latency = (
            None
            if latency is None
            else _Objective("latency", Reason.LATENCY_MISSED, latency.percent, alpha)
        )
        self._objectives = tuple(o for o in (self._success, self._latency) if o is not None)
        self._above_home = shifted
        self._looped_above_home = False
        self._window = Window()
        self._sent = 0
        self._bad = 0
        self._heard_s = -inf
        self._back_s = -inf
        self._valid_s = -inf
        self._void_s = -inf
        self._loop_s = -inf
        self._answering_since_s = inf

    # --- what is told to the book ---------------------------------------------------------------

    def on_report(self, now_s: float) -> None:
        """Note that anything at all came from this path's prober."""
        self._pass_time(now_s)
        if GAP_S <= now_s - self._heard_s < inf:
            self._back_s = now_s
        self._heard_s = now_s

    def void(self, now_s: float) -> None:
        """Note a slice that nobody stands behind: heard, and not fresh."""
        self.on_report(now_s)
        self._void_s = now_s

    def apply(self, tick: Tick, now_s: float) -> None:
        """Add one observation; an empty one only tells that the path is not silent."""
        self.on_report(now_s)
        self._valid_s = now_s
        self._note_answers(tick, now_s)
        sent = tick.base.sent + tick.burst.sent
        bad = tick.base.bad + tick.burst.bad
        self._window.add(
            now_s,
            sent=sent,
            bad=bad,
            slow=tick.base.slow + tick.burst.slow,
            answers=tick.answers,
            reference_clean=tick.reference_clean,
        )
        self._sent += tick.base.sent
        self._bad += tick.base.bad
        self._success.observe(sent, bad, (tick.credit.sent, tick.credit.bad))
        if self._latency is not None:
            slow = tick.base.slow + tick.burst.slow
            self._latency.observe(sent, slow, (tick.credit.sent, tick.credit.slow))
        self._forgive_at_home()

    def settle(self, now_s: float) -> None:
        """Begin a new generation: a step has settled, credit starts from zero."""
        self._pass_time(now_s)
        self.restart_credit()

    def restart_credit(self) -> None:
        """Take all credit away: a pin was re-made, or fewer than half of the pods are left."""
        for objective in self._objectives:
            objective.restart_credit()

    def at_home(self, baseline: bool) -> None:
        """Return whether the callers are at their home, where nothing is latched."""
        self._above_home = not baseline
        if baseline:
            self._looped_above_home = False
            self._forgive_at_home()

    # --- what the book says -----------------------------------------------------------------------

    def verdict(self, now_s: float) -> tuple[Verdict, Reason]:
        """Return the verdict and its reason alone, as :meth:`evidence` does."""
        self._pass_time(now_s)
        return self._verdict(now_s)

    def evidence(self, now_s: float) -> PathEvidence:
        """Return what is known of the path now; a silence that has become too long restarts the credit."""
        verdict, reason = self.verdict(now_s)
        nearest = max(self._objectives, key=lambda o: o.nearness)
        furthest = max(self._objectives, key=lambda o: o.credit.missing)
        window = self._window
        all_bad = window.all_bad_since(now_s - _ALL_BAD_S, _ALL_BAD_PROBES)
        return PathEvidence(
            verdict=verdict,
            reason=reason,
            points=nearest.points.largest,
            threshold=nearest.threshold,
            objective=nearest.name,
            clean=furthest.credit.clean,
            needed=furthest.credit.needed,
            silent_s=now_s - self._valid_s,
            heard_s=now_s - self._heard_s,
            back_for_s=now_s - self._back_s,
            bad_share_3s=window.slow_share if nearest is self._latency else window.bad_share,
            loop_s=now_s - self._loop_s,
            answered_s=max(0.0, now_s - self._answering_since_s),
            all_bad_1s=all_bad,
            unanswered_1s=all_bad and window.unanswered_since(now_s - _ALL_BAD_S),
            usual_answer=window.usual_answer,
            wrong_cluster_3s=window.wrong_cluster,
            success_share=1 - self._bad / self._sent if self._sent else None,
            rate_per_s=window.rate_per_s,
        )

    def _verdict(self, now_s: float) -> tuple[Verdict, Reason]:
        if self._looped_above_home:
            return Verdict.FAIL, Reason.GATEWAY_LOOP
        missed = next((o.missed for o in self._objectives if o.failed), None)
        if missed:
            return Verdict.FAIL, missed
        if now_s - self._heard_s >= LOST_S:
            return Verdict.UNKNOWN, Reason.NO_STREAM
        if now_s - self._valid_s >= FRESH_S:
            void = now_s - self._void_s < FRESH_S
            return Verdict.UNKNOWN, Reason.VOID if void else Reason.SILENT
        if all(o.credit.passed for o in self._objectives):
            return Verdict.PASS, Reason.MET
        spotless = all(o.spotless for o in self._objectives)
        return Verdict.UNKNOWN, Reason.COLLECTING if spotless else Reason.RECOVERING

    # --- how time and answers change it --------------------------------------------------------------

    def _pass_time(self, now_s: float) -> None:
        """Let go of what is too old. What was proven before a long silence proves nothing after it."""
        self._window.forget(now_s)
        if now_s - self._valid_s >= LOST_S:
            self.restart_credit()
            self._answering_since_s = inf

    def _note_answers(self, tick: Tick, now_s: float) -> None:
        if tick.loops and tick.count_loops:
            self._loop_s = now_s
            self._looped_above_home = self._above_home
        if tick.loops or tick.answers.get(LOOP):
            # A void 508 proves nothing against the path, and still less that its pin works.
            self._answering_since_s = inf
        elif any(count and is_answer(answer) for answer, count in tick.answers.items()):
            self._answering_since_s = min(self._answering_since_s, now_s)

    def _forgive_at_home(self) -> None:
        """At home a FAIL is not latched: a full credit since the last bad probe clears the points."""
        if self._above_home:
            return
        for objective in self._objectives:
            if objective.calm.passed and objective.points.largest > 0:
                objective.points.restart()
                if objective is self._success:
                    self._sent = self._bad = 0


def origin_is_worse(to_target: PathEvidence, baseline: PathEvidence) -> bool:
    """Return whether going home would not help: home has FAILed by points, is fresh, and its bad share of
    the last 3 s is at least ``ORIGIN_WORSE`` of the target's. What is not known is not worse, nor is a home
    without a fault in these 3 s: points outlive an outage by hours. Faults of own pods that still wait for
    an explanation count here, and only here: nobody is sent to a home that looks no better.
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
    """Return whether a cluster's callers must leave the target: it FAILed by points, and home is no worse."""
    return _fails_by_points(to_target) and not origin_is_worse(to_target, baseline)


def _fails_by_points(path: PathEvidence) -> bool:
    # A loop is FAIL without points, and what was never judged has a threshold of zero.
    return path.points >= path.threshold > 0
