"""What one way reported over the last 3 s, as sums that follow the ticks that come and go."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_S = 3.0
"""How far back the sums reach; what tells that callers follow is a matter of seconds."""


@dataclass(frozen=True, slots=True)
class _Sum:
    at_s: float
    sent: int
    bad: int
    answers: Mapping[str, int]
    reference_clean: bool


class Window:
    """Per-tick sums of the last ``WINDOW_S``, base and burst together."""

    def __init__(self) -> None:
        self._sums: deque[_Sum] = deque()
        self._answers: Counter[str] = Counter()
        self._sent = 0
        self._bad = 0

    def add(
        self,
        now_s: float,
        *,
        sent: int,
        bad: int,
        answers: Mapping[str, int],
        reference_clean: bool,
    ) -> None:
        """Take in one tick, after :meth:`forget` with the same time."""
        self._sums.append(_Sum(now_s, sent, bad, dict(answers), reference_clean))
        self._sent += sent
        self._bad += bad
        self._answers.update(answers)

    def forget(self, now_s: float) -> None:
        """Drop what is ``WINDOW_S`` old or older."""
        while self._sums and now_s - self._sums[0].at_s >= WINDOW_S:
            gone = self._sums.popleft()
            self._sent -= gone.sent
            self._bad -= gone.bad
            self._answers.subtract(gone.answers)

    @property
    def bad_share(self) -> float | None:
        """Bad over sent; None without a probe."""
        return self._bad / self._sent if self._sent else None

    @property
    def rate_per_s(self) -> float:
        """Probes per second over the whole window, also while it is not yet full."""
        return self._sent / WINDOW_S

    @property
    def usual_answer(self) -> str:
        """What at least 90 % of 10 answers or more were; "" when mixed or too few."""
        total = self._answers.total()
        if total < 10:
            return ""
        answer, count = self._answers.most_common(1)[0]
        return answer if 10 * count >= 9 * total else ""

    def all_bad_since(self, start_s: float, at_least: int) -> bool:
        """Whether after ``start_s`` at least so many probes were sent, all bad, beside a clean reference."""
        sent = 0
        for tick in reversed(self._sums):
            if tick.at_s <= start_s:
                break
            if not tick.reference_clean or tick.bad < tick.sent:
                return False
            sent += tick.sent
        return sent >= at_least
