"""Real traffic: what callers' own requests say of the target, by penalty points of their own.

The same rule as for probes (``cusum``), with a part of alpha of its own: the requests and failures between two
questions to Prometheus are one observation, for they share one fate. A bound tested afresh at every answer would
fire in one healthy hour of twenty; points do not.
"""

from __future__ import annotations

import math
from collections import deque
from decimal import Decimal

from controller.domain import PathEvidence, Reason, TrafficEvidence, Verdict
from controller.evidence.cusum import Cusum, allowed_bad, alpha_share, fail_threshold
from controller.evidence.path import ORIGIN_WORSE, origin_is_worse
from prober.contract import Counts

ENOUGH = 50
"""Below this many requests of an attempt real traffic passes nothing, and no window compares."""

MIGRATION_S = 7200.0
"""The two hours over which alpha holds, as for probes."""


class LastWindow:
    """The latest ticks that hold ``ENOUGH`` requests together, or all of them while there are fewer."""

    def __init__(self) -> None:
        self._ticks: deque[Counts] = deque()
        self.counts = Counts()

    def add(self, counts: Counts) -> None:
        """Take one tick in, and let go of what is not needed any more."""
        if not counts.sent:
            return
        self._ticks.append(counts)
        self.counts += counts
        while self.counts.sent - self._ticks[0].sent >= ENOUGH:
            self.counts -= self._ticks.popleft()

    @property
    def bad_share(self) -> float | None:
        """Bad requests over all; None without a request."""
        return self.counts.bad / self.counts.sent if self.counts.sent else None


class ClientJudgement:
    """One attempt's real traffic of the callers of one cluster, from zero. It has no clock.

    ``tick_s`` is the time between two answers: over two hours of them alpha holds. ``judges`` share it.
    """

    def __init__(self, success_percent: Decimal, *, judges: int, tick_s: float) -> None:
        self._cusum = Cusum(allowed_bad(success_percent))
        self.threshold = fail_threshold(
            math.ceil(MIGRATION_S / tick_s), len(self._cusum.counters), alpha_share(judges, 1)
        )
        self._target = LastWindow()
        self._origin = LastWindow()
        self.counts = Counts()

    def apply(self, target: Counts, origin: Counts) -> None:
        """Take one tick in: what the target answered, and what the origin's backend answered."""
        self._cusum.observe(target.sent, target.bad)
        self._target.add(target)
        self._origin.add(origin)
        self.counts += target

    @property
    def points(self) -> float:
        """The points that count, 0 or more; FAIL at ``threshold``."""
        return self._cusum.largest

    @property
    def bad_share(self) -> float | None:
        """Of the target's last window, also a small one."""
        return self._target.bad_share

    @property
    def origin_bad_share(self) -> float | None:
        """Of the origin's backend in its last window; None before there were enough requests."""
        return self._origin.bad_share if self._origin.counts.sent >= ENOUGH else None

    def verdict(self) -> tuple[Verdict, Reason]:
        """Return the verdict and its reason; whether the figures are fresh is not known here."""
        if self.points >= self.threshold:
            return Verdict.FAIL, Reason.SUCCESS_MISSED
        if self.counts.sent < ENOUGH:
            return Verdict.UNKNOWN, Reason.TOO_FEW
        return (
            (Verdict.PASS, Reason.MET) if self.points == 0 else (Verdict.UNKNOWN, Reason.RECOVERING)
        )


def traffic_fails(found: TrafficEvidence, baseline: PathEvidence) -> bool:
    """Return whether callers must leave the target by what happened to their own requests.

    The points say that the objective is missed; and the target must be worse than the origin's backend, by
    the margin of the probes' rule. Where the origin's backend had too few requests in this attempt, the
    probes of the path back stand in for them.
    """
    if not found.points >= found.threshold > 0 or found.bad_share is None:
        return False
    if found.origin_bad_share is not None:
        return found.origin_bad_share < ORIGIN_WORSE * found.bad_share
    observed = PathEvidence(Verdict.UNKNOWN, Reason.NOT_JUDGED, bad_share_3s=found.bad_share)
    return not origin_is_worse(observed, baseline)
