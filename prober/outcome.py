"""What became of one probe, and what that means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

GATEWAY_LOOP = 508
"""What a gateway answers to a request that has passed it before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one probe; times in seconds on the engine's clock.

    Exactly one of three: ``status`` (answered, at ``answered_s``), ``error`` (a kind of failure:
    ``timeout``, ``refused``, ``reset``, ...), or ``unsent`` (why the prober itself could not send
    it: ``late`` or ``unsent``).
    """

    due_s: float
    started_s: float
    ended_s: float
    status: int = 0
    answered_s: float = 0.0
    error: str = ""
    unsent: str = ""

    @property
    def answer(self) -> str:
        """The status code or the kind of error, as reports count them."""
        return self.error or str(self.status)

    def is_bad(self, expect: tuple[tuple[int, int], ...]) -> bool:
        """No answer by the timeout, a connection error, or a status outside ``expect``."""
        if self.error:
            return True
        return not any(low <= self.status <= high for low, high in expect)

    def is_slow(self, latency_limit_s: float | None) -> bool:
        """Not answered within the limit, counted from the due time.

        No answer at all is slow, however fast it failed; a quick wrong answer is not.
        """
        if latency_limit_s is None:
            return False
        return bool(self.error) or self.answered_s - self.due_s > latency_limit_s
