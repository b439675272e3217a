"""FAIL: penalty points, a CUSUM of betting scores (Ville; Waudby-Smith and Ramdas; Shin, Ramdas and Rinaldo).

One counter per suspected bad share ``q`` bets that the true share is ``q`` and not the allowed ``q0``:

    lambda = (q - q0) / (q0 * (1 - q0))
    points = max(0, points) + ln(1 + lambda * (bad / sent - q0))
    FAIL when the largest points >= ln(samples_in_migration * counters / alpha)

From each start the product of the bets is a non-negative supermartingale while a sample's expected bad
share, given the past, is at most ``q0``: by Ville's inequality, with a union over start times and
counters, a healthy path FAILs within ``samples_in_migration`` samples with a chance of at most ``alpha``.
Probes that fail together inside a sample do no harm. Points stop at zero, so that a long good past
cannot hide a new fault, and have no ceiling.
"""

from __future__ import annotations

import math
from decimal import Decimal

SAMPLES_IN_MIGRATION = 72_000
"""Two hours of samples of 100 ms: over these ``ALPHA`` holds; a longer migration spends it again."""

ALPHA = 0.001
"""False reverts accepted per migration, by all that judges it together."""

DECIDING_PATHS = 2
"""Of the four paths two can revert: each cluster's path to the target."""

CAP = Decimal("0.9")
"""The largest bad share that a counter suspects."""

_MULTIPLES = (3, 10, 30, 100, 300, 900)


def allowed_bad(percent: Decimal) -> Decimal:
    """Return ``q0``, the bad share that an objective of ``percent`` allows: 99.9 allows exactly 0.001."""
    return (100 - percent) / 100


def suspected_shares(allowed: Decimal) -> tuple[Decimal, ...]:
    """Return the rising ``q`` of the counters: multiples of ``q0`` below the cap, and the cap itself.

    Decimal, because 30 x 0.03 must be the cap and not a second counter at 0.8999. Raises ValueError
    unless ``allowed`` lies between 0 and the cap, both excluded.
    """
    if not 0 < allowed < CAP:
        raise ValueError(f"an objective that allows a bad share of {allowed} cannot be judged")
    return (*(q for q in (m * allowed for m in _MULTIPLES) if q < CAP), CAP)


def fail_threshold(samples_in_migration: int, counters: int, alpha: float) -> float:
    """Return the points at which a path FAILs: the log of one over the chance left to one bet."""
    return math.log(samples_in_migration * counters / alpha)


def alpha_share(judges: int, objectives: int) -> float:
    """Return one monitor's part of ``ALPHA``: equal parts to the sources that judge (the probes alone have all
    of it), each divided by the deciding paths x objectives.
    """
    return ALPHA / judges / (DECIDING_PATHS * objectives)


class Cusum:
    """The counters of one objective of one path (or of one cluster's real traffic), from zero."""

    def __init__(self, allowed: Decimal) -> None:
        self._allowed = float(allowed)
        # Both divided in decimal: a float q0 would carry its rounding into every bet.
        self._bets = tuple(
            float((q - allowed) / (allowed * (1 - allowed))) for q in suspected_shares(allowed)
        )
        self._clean = self._steps(0.0)
        """What an observation without a bad one adds: of a path that is well there is no other."""
        self._points = [0.0] * len(self._bets)
        self.largest = 0.0
        """The points that count, 0 or more."""

    @property
    def counters(self) -> tuple[float, ...]:
        """The points by suspected share, rising; below zero after a clean sample, until the next one."""
        return tuple(self._points)

    def observe(self, sent: int, bad: int) -> None:
        """Add one observation: ``sent`` probes that share one fate, ``bad`` of them bad.

        Nothing sent is no observation. Raises ValueError unless 0 <= bad <= sent.
        """
        if not 0 <= bad <= sent:
            raise ValueError(f"{bad} of {sent} probes cannot be bad")
        if sent == 0:
            return
        if not bad and not self.largest:
            self._points = [*self._clean]
            return
        steps = self._steps(bad / sent) if bad else self._clean
        self._points = [
            max(0.0, known) + step for known, step in zip(self._points, steps, strict=True)
        ]
        self.largest = max(0.0, *self._points)

    def _steps(self, share: float) -> tuple[float, ...]:
        """Return what one observation adds to each counter, by its bad share."""
        excess = share - self._allowed
        return tuple(math.log1p(bet * excess) for bet in self._bets)

    def restart(self) -> None:
        """Begin again at zero; never above the baseline."""
        self._points = [0.0] * len(self._bets)
        self.largest = 0.0
