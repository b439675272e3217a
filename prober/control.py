"""The control probe: what every stream asks of the prober itself, to learn whether the prober is well."""

from __future__ import annotations

from prober.contract import SAMPLE_S, UNTIMED, Counts
from prober.probe import Client
from prober.samples import slot_of
from prober.schedule import Schedule
from prober.self_check import LoopLag, SelfCheck
from prober.target import Ask
from prober.telemetry import Metrics

CONTROL_SCHEDULE = Schedule(1 / SAMPLE_S, 0.85)
"""One in every sample, near its end: what befell the sample has befallen it too."""

CONTROL_LIMIT_S = 0.25
"""A control probe slower than this says that the latencies we measure are our own."""


class Control:
    """The control probes of one stream. ``self_check`` says when one was bad or slow.

    What the loop's own lag explains is not held against them: it is told as that, and a proxy that is slow
    only because nobody reads from it is well.
    """

    def __init__(self, client: Client, ask: Ask, lag: LoopLag, metrics: Metrics) -> None:
        self.self_check = SelfCheck()
        self.waiting: set[int] = set()
        """The slots whose control probe is under way: their word is not known yet."""
        self._client = client
        self._lag = lag
        self._ask = ask
        self._metrics = metrics
        self._counts = Counts()

    def plan(self, due: float) -> None:
        """Note that a control probe is due; :meth:`probe` follows."""
        self.waiting.add(slot_of(due))

    async def probe(self, due: float) -> None:
        """Send one, and note what became of it."""
        outcome = await self._client.probe(self._ask, due)
        self._lag.beat(self._client.clock())
        lost_s = self._lag.self_check.lost_s(due, outcome.ended_s)
        slow = outcome.is_slow(CONTROL_LIMIT_S + lost_s)
        if outcome.unsent == "late":
            # Probes due beside it were as late, and not sent either; it says nothing of those that were.
            self.self_check.failed(due, outcome.ended_s, UNTIMED)
        elif outcome.bad or slow:
            # One sample on: a trouble that ends before the next control probe is in that sample.
            self.self_check.failed(due, outcome.ended_s + SAMPLE_S, "reference")
        if not outcome.unsent:
            self._counts += Counts(1, int(outcome.bad), int(slow))
        if outcome.answered_s is not None:
            self._metrics.latency.labels("reference").observe(outcome.answered_s - due)
        self.waiting.discard(slot_of(due))
        self._metrics.control.labels(outcome.unsent or outcome.answer).inc()

    def take(self) -> Counts:
        """Return the counts of those that ended since the last call."""
        counts, self._counts = self._counts, Counts()
        return counts
