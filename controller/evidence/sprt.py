"""PASS: Wald's SPRT, the likelihood of the allowed bad share ``q0`` against ten times as much (``q1``).

    clean probe:  earned += ln((1 - q0) / (1 - q1))
    bad probe:    earned += ln(q0 / q1)
    earned = max(-ln(1 / beta), min(earned, ln(1 / beta)))
    PASS when earned >= ln(1 / beta) and at least 100 probes were sent

The upper bound makes one bad probe after a long good time cost as much as after a short one (255 clean
probes at 99.9 %), the lower bound lets a long bad time be forgotten after twice the clean probes.
Between ``q0`` and ``q1`` beta promises nothing: dwell, soak and the penalty points are for that.
"""

from __future__ import annotations

import math
from decimal import Decimal

from controller.evidence.cusum import CAP

BETA = 0.001
"""Chance to pass a path whose bad share is ten times the allowed one."""

MIN_PROBES = 100
"""Below this many probes nothing passes: a 99 % objective would be content with 73."""


class Sprt:
    """The sequential test of one objective of one path, from zero."""

    def __init__(
        self, allowed: Decimal, *, beta: float = BETA, min_probes: int = MIN_PROBES
    ) -> None:
        suspected = min(10 * allowed, CAP)
        self._clean = math.log((1 - allowed) / (1 - suspected))
        self._bad = math.log(allowed / suspected)
        self.threshold = math.log(1 / beta)
        self._min_probes = min_probes
        self._sent = 0
        self.earned = 0.0
        """Between minus and plus the threshold."""
        self.lost = False
        """Whether a bad probe was seen since the start."""
        self.missing = self._missing()
        """How many clean probes from now on would be PASS; 0 at PASS."""

    @property
    def needed(self) -> int:
        """Clean probes from zero to PASS (764 at 99.9 %); more while less than nothing is earned."""
        return max(math.ceil(self.threshold / self._clean), self._min_probes, self.missing)

    @property
    def clean(self) -> int:
        """How many of the ``needed`` what is earned is worth; all of them at PASS and never before."""
        return self.needed - self.missing

    @property
    def passed(self) -> bool:
        """Whether all is earned and enough probes were sent."""
        return self.missing == 0

    def observe(self, sent: int, bad: int) -> None:
        """Add ``sent`` probes of the base schedule, ``bad`` of them bad.

        Raises ValueError unless 0 <= bad <= sent.
        """
        if not 0 <= bad <= sent:
            raise ValueError(f"{bad} of {sent} probes cannot be bad")
        self._sent += sent
        if self.passed and not bad:
            return
        self.lost = self.lost or bad > 0
        earned = self.earned + (sent - bad) * self._clean + bad * self._bad
        self.earned = max(-self.threshold, min(earned, self.threshold))
        self.missing = self._missing()

    def restart(self) -> None:
        """Begin again at zero."""
        self._sent = 0
        self.earned = 0.0
        self.lost = False
        self.missing = self._missing()

    def _missing(self) -> int:
        short = math.ceil((self.threshold - self.earned) / self._clean)
        return max(0, short, self._min_probes - self._sent)
