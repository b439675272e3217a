"""When the prober does not trust itself: stretches of time, each with a reason.

A sample that touches such a stretch is told with that reason, the worst of several. Two of them leave what
was answered true (docs/evidence.md): ``untimed`` says that latencies are our own, ``lag`` that a missing
answer may be, too. Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from prober.contract import LAG, SAMPLE_S, UNTIMED

LAG_S = 0.05
"""An event loop that answers this late is lagging, and a probe that starts this late is late.

Half a sample: later than that, the prober's own delay is of the size of what it measures (latency
counts from the due time), and the probe saw another sample than the one it counts for.
"""

BLIND_S = 0.2
"""A loop that stands still for longer may have missed an answer: below, it comes round five times and more
in the second that a probe is given, and reads what has come."""

SPELL_S = 1.0
"""A loop that stood still for more than :data:`BLIND_S` of this, in all, is asked for too much."""

_MILD = ("", UNTIMED, LAG)
"""In the order of what they take away; every other reason takes everything."""

KEEP_S = 5.0
"""How long a stretch is remembered: a sample is judged about 1.2 s after its time at the latest."""


def worst(*reasons: str) -> str:
    """Return the reason that takes most away, nothing where there is none."""
    return max(reasons, key=lambda one: _MILD.index(one) if one in _MILD else len(_MILD))


class SelfCheck:
    """The recent stretches in which a self-check failed."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[float, float, str]] = deque()
        self._last_end = -inf

    def failed(self, start: float, end: float, reason: str) -> None:
        """Remember that from ``start`` to ``end`` the prober was not well, for ``reason``."""
        while self._stretches and self._stretches[0][1] < end - KEEP_S:
            self._stretches.popleft()
        self._stretches.append((start, end, reason))
        self._last_end = max(self._last_end, end)

    def between(self, start: float, end: float) -> str:
        """Return why the prober was not well at any time from ``start`` to ``end``, or nothing."""
        if self._last_end <= start:  # as almost always: this is asked for every sample
            return ""
        return worst("", *(why for _, _, why in self._touching(start, end)))

    def lost_s(self, start: float, end: float) -> float:
        """Return for how many seconds from ``start`` to ``end`` the prober was not well."""
        touching = self._touching(start, end)
        return sum(min(until, end) - max(since, start) for since, until, _ in touching)

    def _touching(self, start: float, end: float) -> list[tuple[float, float, str]]:
        return [one for one in self._stretches if one[0] < end and one[1] > start]


class LoopLag:
    """Watches that the event loop comes round: every stretch without a beat fails.

    ``on_lag`` hears of those that are more than a hiccup, which every busy machine has: it is asked of too much.
    """

    def __init__(self, beat_s: float, now: float, on_lag: Callable[[float], None]) -> None:
        self._on_lag = on_lag
        self.self_check = SelfCheck()
        self._beat_s = beat_s
        self._last = now
        self._late: deque[int] = deque()

    def late(self, now: float) -> None:
        """Note that a probe was not sent because its time had passed: so many samples of a second with one are more
        than a hiccup, too."""
        slot = int(now / SAMPLE_S)
        if self._late and self._late[-1] == slot:
            return
        self._late.append(slot)
        while self._late[0] < slot - SPELL_S / SAMPLE_S:
            self._late.popleft()
        if len(self._late) > BLIND_S / SAMPLE_S:
            self._on_lag(now)

    def beat(self, now: float) -> float:
        """Note that the loop runs: every ``beat_s``, and wherever a sample is judged.

        Returns by how many seconds this beat is late.
        """
        late_s = max(0.0, now - self._last - self._beat_s)
        if late_s > LAG_S:
            self.self_check.failed(self._last, now, LAG if late_s > BLIND_S else UNTIMED)
            if self.self_check.lost_s(now - SPELL_S, now) > BLIND_S:
                self._on_lag(now)
        self._last = now
        return late_s
