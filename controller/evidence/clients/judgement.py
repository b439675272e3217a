"""Real traffic: what callers' own requests say of the target, by penalty points of their own.

The same rule as for probes (``points``), with the other half of alpha: the requests and failures that grew
between two looks at Prometheus are one observation, for they share one fate. A bound tested afresh at every
look would fire in one healthy hour of twenty; points do not.
"""

from __future__ import annotations

import math
from collections import deque
from decimal import Decimal

from controller.domain import Calls, PathEvidence, Reason, TrafficEvidence, Verdict
from controller.evidence.cusum import Points, allowed_bad, alpha_share, fail_threshold
from controller.evidence.path import ORIGIN_WORSE, origin_is_worse

ENOUGH = 50
"""Below this many requests of an attempt real traffic passes nothing, and no window compares."""

MIGRATION_S = 7200.0
"""The two hours over which alpha holds, as for probes."""


class LastWindow:
    """The latest ticks that hold ``ENOUGH`` requests together, or all of them while there are fewer."""

    def __init__(self) -> None:
        self._ticks: deque[Calls] = deque()
        self.requests = 0
        self._failures = 0

    def add(self, calls: Calls) -> None:
        """Take one tick in, and let go of what is not needed any more."""
        if not calls.requests:
            return
        self._ticks.append(calls)
        self.requests += calls.requests
        self._failures += calls.failures
        while self.requests - self._ticks[0].requests >= ENOUGH:
            gone = self._ticks.popleft()
            self.requests -= gone.requests
            self._failures -= gone.failures

    @property
    def bad_share(self) -> float | None:
        """Failures over requests; None without a request."""
        return self._failures / self.requests if self.requests else None


class ClientJudgement:
    """One attempt's real traffic of the callers of one cluster, from zero. It has no clock.

    ``tick_s`` is the time between two looks: over two hours of them alpha holds.
    """

    def __init__(self, success_percent: Decimal, *, tick_s: float) -> None:
        self._points = Points(allowed_bad(success_percent))
        self.threshold = fail_threshold(
            math.ceil(MIGRATION_S / tick_s), len(self._points.counters), alpha_share(True, 1)
        )
        self._target = LastWindow()
        self._home = LastWindow()
        self.requests = 0
        self.failures = 0

    def apply(self, target: Calls, baseline: Calls) -> None:
        """Take one tick in: what the target answered, and what the origin's backend answered."""
        self._points.observe(*target)
        self._target.add(target)
        self._home.add(baseline)
        self.requests += target.requests
        self.failures += target.failures

    @property
    def points(self) -> float:
        """The points that count, 0 or more; FAIL at ``threshold``."""
        return self._points.largest

    @property
    def bad_share(self) -> float | None:
        """Of the target's last window, also a small one."""
        return self._target.bad_share

    @property
    def origin_bad_share(self) -> float | None:
        """Of the origin's backend in its last window; None before there were enough requests."""
        return self._home.bad_share if self._home.requests >= ENOUGH else None

    def verdict(self) -> tuple[Verdict, Reason]:
        """Return the verdict and its reason; whether the figures are fresh is not known here."""
        if self.points >= self.threshold:
            return Verdict.FAIL, Reason.SUCCESS_MISSED
        if self.requests < ENOUGH:
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
