"""How long to wait after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Exponential with full jitter: uniform in 0 to base * 2^failures, never above the cap.

    The rule and its reason: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(
        self, base_s: float, cap_s: float, *, draw: Callable[[], float] = random.random
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._draw = draw
        self.failures = 0

    def after_failure_s(self, asked_s: float | None = None) -> float:
        """Count a failure and give the seconds to wait; ``asked_s`` (a Retry-After) is waited in any case."""
        # 2^10 is beyond any cap in use, and keeps a failure of days from making a huge number.
        widest = min(self._cap_s, self._base_s * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return (asked_s or 0.0) + self._draw() * widest

    def reset(self) -> None:
        """Begin anew after a success."""
        self.failures = 0
