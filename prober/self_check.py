"""When the prober does not trust itself: stretches of time, each with a reason.

A sample that touches such a stretch is discarded. Too much is discarded rather than too little: that
holds a migration for 100 ms, a wrong one may roll it back. Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque

LAG_S = 0.05
"""An event loop that answers this late is lagging, and a probe that starts this late is late.

Half a sample: later than that, the prober's own delay is of the size of what it measures (latency
counts from the due time), and the probe saw another sample than the one it counts for.
"""

KEEP_S = 5.0
"""How long a stretch is remembered: a sample is judged about 1.2 s after its time at the latest."""


class SelfCheck:
    """The recent stretches in which a self-check failed."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[float, float, str]] = deque()

    def failed(self, start: float, end: float, reason: str) -> None:
        """Remember that from ``start`` to ``end`` the prober was not well, for ``reason``."""
        while self._stretches and self._stretches[0][1] < end - KEEP_S:
            self._stretches.popleft()
        self._stretches.append((start, end, reason))

    def between(self, start: float, end: float) -> str:
        """Return why the prober was not well at any time from ``start`` to ``end``, or nothing."""
        for since, until, reason in self._stretches:
            if since < end and until > start:
                return reason
        return ""


class LoopLag:
    """Watches that the event loop comes round: every stretch without a beat fails."""

    def __init__(self, beat_s: float, now: float) -> None:
        self.self_check = SelfCheck()
        self._beat_s = beat_s
        self._last = now

    def beat(self, now: float) -> float:
        """Note that the loop runs: every ``beat_s``, and wherever a sample is judged.

        Returns by how many seconds this beat is late.
        """
        late_s = max(0.0, now - self._last - self._beat_s)
        if late_s > LAG_S:
            self.self_check.failed(self._last, now, "lag")
        self._last = now
        return late_s
