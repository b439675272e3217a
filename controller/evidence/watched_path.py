"""One path of a migration as its monitor watches it: what came since the last tick, and how it looked at that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from controller.domain import PathEvidence, ProbeOrder, Reason, Side, Verdict
from controller.evidence.hearing import Heartbeat
from controller.evidence.path import Outlook, PathMonitor
from controller.evidence.pending import Pending
from prober.contract import Sample

POD_GRACE_S = 1.0
"""A bad probe of a pod that was not ready, or left, this long around it is discarded."""


@dataclass(slots=True)
class WatchedPath:
    """A path: what came since the last tick, and the outlook at that."""

    order: ProbeOrder
    monitor: PathMonitor
    pending: Pending = field(default_factory=Pending)
    discarded: bool = False
    throttled_per_s: float | None = None
    refused: tuple[str, str] | None = None
    held: list[tuple[float, Sample, bool, bool]] = field(default_factory=list)
    eager: PathMonitor | None = None
    eager_pending: Pending = field(default_factory=Pending)
    touched: bool = True
    due_s: float = -inf
    outlook: Outlook | None = None

    def monitors(self) -> tuple[PathMonitor, ...]:
        """Return the monitor, and the one that counts faults without waiting."""
        return (self.monitor,) if self.eager is None else (self.monitor, self.eager)

    @property
    def leads_shifted_to_target(self) -> bool:
        """Whether it is a path to the target, of callers above their baseline."""
        return self.order.path.side is Side.TARGET and self.order.shifted

    @property
    def may_be_worse(self) -> bool:
        """Whether it is a path back with a fault: it may be worse by the time of a decision."""
        return self.order.path.side is Side.ORIGIN and self.monitor.faulty

    @property
    def came(self) -> bool:
        """Whether anything came since the last tick."""
        return bool(self.pending or self.discarded or self.eager_pending)

    def close(self, now_s: float) -> None:
        """Close a tick: what came of one time is one observation."""
        self.touched = True
        if self.discarded and not self.pending:
            self.monitor.discard(now_s)
        self.discarded = False
        for tick in self.pending.take():
            self.monitor.apply(tick, now_s)
        if self.eager is not None:
            for tick in self.eager_pending.take():
                self.eager.apply(tick, now_s)

    def look(self, now_s: float, *, vacant: bool, muted: bool) -> bool:
        """See what a decision may turn on now; return whether that is another than it was."""
        before, self.outlook = self.outlook, self._outlook(now_s, vacant=vacant, muted=muted)
        self.touched = False
        self.due_s = self._due_s(now_s)
        return self.outlook != before

    def evidence(self, now_s: float) -> PathEvidence:
        """Return what is known of a path: a fault that waits for its explanation takes PASS away, and no more yet."""
        found = self.monitor.evidence(
            now_s,
            throttled_per_s=self.throttled_per_s,
            refused=self.refused,
            suspected=self.eager.evidence(now_s) if self.eager else None,
        )
        if self.held and found.verdict is Verdict.PASS:
            return replace(found, verdict=Verdict.UNKNOWN, reason=Reason.RECOVERING)
        return found

    def _due_s(self, now_s: float) -> float:
        """Return when to look again though nothing comes."""
        due_s = self.monitor.due_s(now_s)
        if self.held:
            due_s = min(due_s, self.held[0][0] + POD_GRACE_S)
        return due_s if self.eager is None else min(due_s, self.eager.due_s(now_s))

    def _outlook(self, now_s: float, *, vacant: bool, muted: bool) -> Outlook:
        side = self.order.path.side
        found = self.monitor.outlook(now_s, side, vacant=vacant, muted=muted)
        eager = (
            self.eager.outlook(now_s, side, vacant=vacant, muted=muted)
            if self.eager and self.eager.faulty
            else None
        )
        return Outlook(
            Verdict.UNKNOWN if self.held and found.verdict is Verdict.PASS else found.verdict,
            (found.pressing, eager and (eager.verdict, eager.pressing)),
            (found.other, bool(self.held), self.refused, self.throttled_per_s is None),
        )


def opened(order: ProbeOrder, heartbeat: Heartbeat) -> WatchedPath:
    """Return a new path's monitor. Own pods as a path back have a second, which counts faults without waiting."""
    waits = order.route == "pods" and order.path.side is Side.ORIGIN
    eager = _monitor(order, heartbeat) if waits else None
    return WatchedPath(order, _monitor(order, heartbeat), eager=eager)


def _monitor(order: ProbeOrder, heartbeat: Heartbeat) -> PathMonitor:
    return PathMonitor(
        order.success_percent,
        order.latency,
        judges=order.judges,
        shifted=order.shifted,
        heartbeat=heartbeat,
    )
