"""Who looks on when something was decided: metrics, traces, the log and the page. None of them decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from controller.decide.decision import Decision
from controller.domain import Key, Phase, Reason
from controller.report.gauges import gauges
from controller.report.metrics import Metrics
from controller.report.tracing import Tracing
from controller.report.ui import Feed, Shown


class Numbers:
    """The metrics of each migration, and how many there are in each phase."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._phases: dict[Key, Phase] = {}

    def observe(self, decision: Decision) -> None:
        """Count the decision, and show where its migration stands.

        The leader's word is the word: what another replica does not do it does not show either.
        """
        key, phase = decision.key, decision.plan.phase
        self._metrics.decisions.planned(phase, decision.reason)
        if not decision.observed.context.may_roll_back:
            self.forget(key)
            return
        self._metrics.services.stands(key, gauges(decision))
        self._metrics.paths.evidence(key, decision.observed.paths if decision.plan.probes else {})
        self._metrics.traffic.evidence(key, decision.observed.traffic)
        if self._phases.get(key) is not phase:
            self._phases[key] = phase
            self._count_phases()

    def forget(self, key: Key) -> None:
        """Show nothing of a migration any more."""
        self._metrics.services.stands(key, None)
        self._metrics.paths.evidence(key, {})
        self._metrics.traffic.evidence(key, {})
        if self._phases.pop(key, None):
            self._count_phases()

    def _count_phases(self) -> None:
        self._metrics.services.migrations(Counter(self._phases.values()))


class RollbackTimer:
    """Measures and traces each rollback from its decision on, as this process saw it."""

    def __init__(self, metrics: Metrics, tracing: Tracing, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._began_s: dict[Key, float] = {}

    def observe(self, decision: Decision) -> None:
        """Note when a rollback begins, and measure it when it is over."""
        key, phase = decision.key, decision.plan.phase
        if not decision.observed.context.may_roll_back:
            self.forget(key)
            return
        if phase is Phase.REVERTING and decision.reason == Reason.CLUSTER_STALE:
            return  # nobody is known to be shifted, as at each start
        if phase is Phase.REVERTING:
            self._began_s.setdefault(key, self._clock())
            return
        began_s = self._began_s.pop(key, None)
        attempt, latch = decision.state.attempt, decision.state.reverted
        if began_s is None or phase is not Phase.REVERTED or attempt is None or latch is None:
            return
        with self._tracing.span(key, attempt, "home", reason=latch.reason):
            self._metrics.decisions.rolled_back(latch.reason, self._clock() - began_s)

    def forget(self, key: Key) -> None:
        """Measure nothing of a migration any more."""
        self._began_s.pop(key, None)


class LawWatch:
    """Says when a plan broke a law of its own: an error of ours, for which somebody has to be called."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._broken: dict[Key, tuple[str, ...]] = {}

    def observe(self, decision: Decision) -> None:
        """Count every broken law, and log where others are broken than the last time."""
        for law in decision.broken:
            self._metrics.decisions.law_broken(law)
        if decision.broken and decision.broken != self._broken.get(decision.key):
            self._log.error(
                "plan breaks a law",
                migration=str(decision.key),
                laws=list(decision.broken),
                phase=decision.plan.phase,
                reason=decision.reason,
            )
        if decision.broken:
            self._broken[decision.key] = decision.broken
        else:
            self._broken.pop(decision.key, None)

    def forget(self, key: Key) -> None:
        """Let go of what was logged of a migration."""
        self._broken.pop(key, None)


class Page:
    """Puts each migration on the page. ``shown`` is asked when somebody reads."""

    def __init__(self, feed: Feed, shown: Callable[[Decision], Shown]) -> None:
        self._feed = feed
        self._shown = shown

    def observe(self, decision: Decision) -> None:
        """Note that the migration may be shown otherwise from now on."""
        self._feed.leads = decision.observed.context.leads
        self._feed.put(decision.key, lambda: self._shown(decision))

    def forget(self, key: Key) -> None:
        """Take a migration off the page."""
        self._feed.drop(key)


class Transitions:
    """One log line, and the numbers, of each transition; the trace of an attempt ends with its last one."""

    def __init__(self, metrics: Metrics, tracing: Tracing, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._log = log

    def moved(self, decision: Decision, told: Mapping[str, Any]) -> None:
        """Report a transition as the status tells it."""
        phase, reason = decision.plan.phase, str(told["reason"])
        self._log.info(
            "transition",
            migration=str(decision.key),
            phase=phase,
            share=told["share"],
            reason=reason,
            message=told["message"],
            verdict=told["verdict"],
            by=decision.observed.context.fencing_token,
        )
        self._metrics.decisions.moved(phase, reason)
        if phase is Phase.REVERTED:
            self._metrics.decisions.reverted(reason)
        attempt = decision.state.attempt
        if attempt and phase in (Phase.REVERTED, Phase.COMPLETED):
            self._tracing.finish(decision.key, attempt, phase, reason, decision.now)
