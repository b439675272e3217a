"""What one path reported over the last 3 s, as sums that follow the ticks that come and go."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from prober.contract import OPEN, WRONG_BODY, WRONG_CLUSTER, WRONG_HEADER, Counts

WINDOW_S = 3.0
"""How far back the sums reach; what shows that callers follow is a matter of seconds."""

GATEWAY_ANSWERS = frozenset({"502", "503", "504", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""What proxies answer for what they do not reach (facts 16 and 19), by HTTP and by gRPC."""

_ANSWERS_IN_WORDS = frozenset({OPEN, WRONG_BODY, WRONG_CLUSTER, WRONG_HEADER})


def is_answer(word: str) -> bool:
    """Return a status, or what was wrong with an answer, from a kind of error, which is in small letters."""
    return not word.islower() or word in _ANSWERS_IN_WORDS


@dataclass(frozen=True, slots=True)
class _Sum:
    at_s: float
    counts: Counts
    answers: Mapping[str, int]
    control_clean: bool


class Since(NamedTuple):
    """What some ticks say together: how many probes were sent, whether all were bad, the prober's control probes clean,
    and no application gave any of the answers."""

    sent: int
    all_bad: bool
    control_clean: bool
    unanswered: bool


class Window:
    """Per-tick sums of the last ``WINDOW_S``, base and burst together."""

    def __init__(self) -> None:
        self._sums: deque[_Sum] = deque()
        self._answers: Counter[str] = Counter()
        self._counts = Counts()

    def add(
        self, now_s: float, counts: Counts, answers: Mapping[str, int], *, control_clean: bool
    ) -> None:
        """Take in one tick, after :meth:`forget` with the same time."""
        self._sums.append(_Sum(now_s, counts, dict(answers), control_clean))
        self._counts += counts
        for word, count in answers.items():
            self._answers[word] += count

    def forget(self, now_s: float) -> None:
        """Drop what is ``WINDOW_S`` old or older."""
        while self._sums and now_s - self._sums[0].at_s >= WINDOW_S:
            gone = self._sums.popleft()
            self._counts -= gone.counts
            for word, count in gone.answers.items():
                self._answers[word] -= count

    @property
    def bad_share(self) -> float | None:
        """Bad over sent; None without a probe."""
        return self._counts.bad / self._counts.sent if self._counts.sent else None

    @property
    def slow_share(self) -> float | None:
        """Not within the latency limit over sent; None without a probe."""
        return self._counts.slow / self._counts.sent if self._counts.sent else None

    @property
    def faulty(self) -> bool:
        """Whether anything was bad or slow."""
        return bool(self._counts.bad or self._counts.slow)

    @property
    def rate_per_s(self) -> float:
        """Probes per second over the whole window, also while it is not yet full."""
        return self._counts.sent / WINDOW_S

    @property
    def usual_answer(self) -> str:
        """What at least 90 % of 3 answers or more were; "" when mixed or too few.

        Three, so that one probe a second is enough to see that the question is wrong.
        """
        total = self._answers.total()
        if total < 3:
            return ""
        answer, count = self._answers.most_common(1)[0]
        return answer if 10 * count >= 9 * total else ""

    @property
    def wrong_cluster(self) -> int:
        """How many answers came from another cluster than was asked."""
        return self._answers[WRONG_CLUSTER]

    def since(self, start_s: float) -> Since:
        """Return what the ticks after ``start_s`` say together."""
        sent, bad, clean, unanswered = 0, 0, True, True
        for tick in reversed(self._sums):
            if tick.at_s <= start_s:
                break
            sent += tick.counts.sent
            bad += tick.counts.bad
            clean = clean and tick.control_clean
            unanswered = unanswered and all(map(_is_no_answer, tick.answers))
        return Since(sent, all_bad=bad == sent, control_clean=clean, unanswered=unanswered)

    def turns_s(self, now_s: float, within_s: float) -> float:
        """Return when the next tick leaves the window, or its last ``within_s``; infinite: none will."""
        recent = next((tick.at_s for tick in self._sums if tick.at_s > now_s - within_s), inf)
        oldest = self._sums[0].at_s if self._sums else inf
        return min(recent + within_s, oldest + WINDOW_S)


def _is_no_answer(word: str) -> bool:
    """Return whether no application said this."""
    return not is_answer(word) or word in GATEWAY_ANSWERS
