"""The evidence of one migration: an account for each path, fed by slices, asked by the plan.

No I/O and no clock; ``now_s`` is monotonic. This is where slices become the observations of
``docs/evidence.md``: what the streams of a path report within one tick is added up, what nobody stands behind is
void, and what a rollout explains is no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from controller.domain import CallPath, Key, PathEvidence, ProbeOrder, Side, Verdict
from controller.evidence import PathMonitor, Tick
from prober.contract import Counts, Report, Slice


@dataclass(frozen=True, slots=True)
class ProberReport:
    """One report of one stream, with the orders that it answers. ``now_s`` is monotonic.

    ``idle`` are the orders of which nothing was due. ``lowered`` is, for the paths that the prober's cap
    slows down, the rate per second that the whole path has then. ``refused`` are orders that the prober does
    not carry out, each with a reason, which may be empty, and a sentence.
    """

    cluster: str
    stream: int
    report: Report
    slices: tuple[tuple[ProbeOrder, Slice], ...]
    now_s: float
    idle: tuple[ProbeOrder, ...] = ()
    lowered: Mapping[tuple[Key, CallPath], float] = field(default_factory=dict)
    refused: tuple[tuple[ProbeOrder, str, str], ...] = ()


POD_GRACE_S = 1.0
"""A bad probe of a pod that was not ready, or left, this long around it is void (docs/decisions.md, 8)."""

PROBE_LIFE_S = 2.0
"""From a probe's due time to the arrival of its slice: its timeout, the beat, and some of the path."""

PIN_GRACE_S = 1.0
"""A 508 this soon after a pin was re-made is void."""


NO_PROBES = Counts()

SUSPECTED = (Verdict.UNKNOWN, "Recovering")
"""What a path says that would pass while a fault waits for its explanation."""

UNEVENTFUL = frozenset({(Verdict.PASS, "Met"), (Verdict.UNKNOWN, "Collecting")})
"""What a path may go on saying, without a fault, for minutes or hours."""


@dataclass(slots=True)
class _Sum:
    """What one path's streams said within one tick."""

    base: Counts = NO_PROBES
    burst: Counts = NO_PROBES
    credit: Counts = NO_PROBES
    answers: dict[str, int] = field(default_factory=dict)
    loops: int = 0
    reference_clean: bool = True
    slices: int = 0

    def add(self, part: Slice, *, credit: bool, reference_clean: bool) -> None:
        self.base = plus(self.base, part.base)
        self.burst = plus(self.burst, part.burst)
        if credit:
            self.credit = plus(self.credit, part.base)
        for answer, count in part.answers.items():
            self.answers[answer] = self.answers.get(answer, 0) + count
        self.loops += part.loops
        self.reference_clean = self.reference_clean and reference_clean
        self.slices += 1

    @property
    def faulty(self) -> bool:
        return bool(
            self.base.bad or self.base.slow or self.burst.bad or self.burst.slow or self.loops
        )

    def tick(self) -> Tick:
        return Tick(
            base=self.base,
            burst=self.burst,
            credit=self.credit,
            answers=self.answers,
            loops=self.loops,
            reference_clean=self.reference_clean,
        )


@dataclass(slots=True)
class _Way:
    order: ProbeOrder
    book: PathMonitor
    pending: _Sum = field(default_factory=_Sum)
    voided: bool = False
    said: tuple[Verdict, str] | None = None
    lowered_per_s: float | None = None
    refused: tuple[str, str] | None = None
    held: list[tuple[float, Slice, bool, bool]] = field(default_factory=list)
    eager: PathMonitor | None = None
    eager_pending: _Sum = field(default_factory=_Sum)


class ProbeMonitor:
    """All paths of one migration. An order of another identity starts its account at zero."""

    def __init__(self) -> None:
        self._ways: dict[CallPath, _Way] = {}
        self._ready: dict[str, frozenset[str]] = {}
        self._ready_since: dict[tuple[str, str], float] = {}
        self._credit_pods: frozenset[str] = frozenset()
        self._pin_missing = False
        self._pin_made_s = -inf

    # --- what is told -------------------------------------------------------------------------------

    def order(self, orders: Iterable[ProbeOrder]) -> None:
        """Keep an account for exactly these paths."""
        wanted = {order.path: order for order in orders}
        for path in [path for path in self._ways if path not in wanted]:
            del self._ways[path]
        for path, order in wanted.items():
            known = self._ways.get(path)
            if known is None or known.order.identity != order.identity:
                self._ways[path] = _opened(order)
            else:
                known.order = order
                known.book.at_home(not order.shifted)

    def take(
        self, order: ProbeOrder, part: Slice, now_s: float, *, void: str, reference_clean: bool
    ) -> None:
        """Take one slice. Void ones count for nothing; faults of own pods wait for what explains them."""
        path = self._ways.get(order.path)
        if path is None or path.order.identity != order.identity:
            return
        path.refused = None
        if part.void or void:
            path.voided = True
            return
        credit = order.generation == path.order.generation
        counted = self._unlooped(part, now_s)
        if path.eager is not None:
            path.eager_pending.add(counted, credit=credit, reference_clean=reference_clean)
        if part.faults:
            path.held.append((now_s, part, credit, reference_clean))
        else:
            path.pending.add(counted, credit=credit, reference_clean=reference_clean)

    def idle(self, order: ProbeOrder) -> None:
        """Note that nothing was due on a path: an empty slice, which counts for nothing but is fresh."""
        path = self._ways.get(order.path)
        if path is not None and path.order.identity == order.identity:
            path.pending.slices += 1
            path.eager_pending.slices += 1

    def lowered(self, order: ProbeOrder, rate_per_s: float | None) -> None:
        """Note that the prober's cap slows a path down, or does not any more (None)."""
        path = self._ways.get(order.path)
        if path is not None:
            path.lowered_per_s = rate_per_s

    def refused(self, order: ProbeOrder, reason: str, message: str) -> None:
        """Note that a prober does not probe a path, until a slice of it comes."""
        path = self._ways.get(order.path)
        if path is not None and path.order.identity == order.identity:
            path.refused = (reason, message)

    def on_report(self, callers: str, now_s: float) -> None:
        """Note that a report came from the prober of these callers, whatever was in it."""
        for at, path in self._ways.items():
            if at.callers == callers:
                path.book.on_report(now_s)

    def fold(self, now_s: float) -> bool:
        """Close a tick: each path's sum is one observation.

        Tells whether the migration should be looked at again: while anything is bad, void or silent, and
        when a path says something else than before. A way that goes on collecting or passing without a
        fault decides nothing new, and most of a migration's life is that.
        """
        notable = False
        for at, path in self._ways.items():
            self._release(at, path, now_s)
            summed, path.pending = path.pending, _Sum()
            voided, path.voided = path.voided, False
            if path.eager is not None and path.eager_pending.slices:
                path.eager.apply(path.eager_pending.tick(), now_s)
                path.eager_pending = _Sum()
            if summed.slices:
                path.book.apply(summed.tick(), now_s)
            elif voided:
                path.book.void(now_s)
            clean = summed.slices > 0 and not summed.faulty and not path.held
            before, path.said = path.said, SUSPECTED if path.held else path.book.verdict(now_s)
            if not (clean and path.said == before and before in UNEVENTFUL):
                notable = True
        return notable

    def settled(self, now_s: float) -> None:
        """A step has settled: credit starts from zero, by the pods that are ready now."""
        for path in self._ways.values():
            path.book.settle(now_s)
        self._credit_pods = frozenset()

    def pods(self, cluster: str, ready: frozenset[str], now_s: float, *, is_target: bool) -> None:
        """Note which own pods are ready now, by address."""
        before = self._ready.get(cluster)
        self._ready[cluster] = ready
        if before is not None:
            for address in ready - before:
                self._ready_since[cluster, address] = now_s
            self._forget(now_s)
        if is_target:
            self._watch_credit_pods(ready)

    def pins(self, *, missing: bool, now_s: float) -> None:
        """Note whether a pin is known missing; after one was re-made, credit starts from zero."""
        if self._pin_missing and not missing:
            self._pin_made_s = now_s
            for path in self._ways.values():
                path.book.restart_credit()
        self._pin_missing = missing

    # --- what is asked ------------------------------------------------------------------------------

    def evidence(self, now_s: float) -> Mapping[CallPath, PathEvidence]:
        """Return what is known of each path now."""
        return {at: _said(path, now_s) for at, path in self._ways.items()}

    @property
    def active(self) -> bool:
        """Whether any way is probed."""
        return bool(self._ways)

    # --- how it is done ------------------------------------------------------------------------------

    def _release(self, at: CallPath, path: _Way, now_s: float) -> None:
        while path.held and path.held[0][0] + POD_GRACE_S <= now_s:
            came_s, part, credit, clean = path.held.pop(0)
            explained = [a for a in part.faults if self._rolled(at.callers, a, came_s)]
            kept = without_faults(part, explained)
            path.pending.add(self._unlooped(kept, now_s), credit=credit, reference_clean=clean)

    def _rolled(self, cluster: str, address: str, came_s: float) -> bool:
        """Return whether the pod was not ready around the probe: it is not now, or came only since.

        Who left and came back has come since.
        """
        if address not in self._ready.get(cluster, frozenset()):
            return True
        began = came_s - PROBE_LIFE_S - POD_GRACE_S
        return self._ready_since.get((cluster, address), -inf) >= began

    def _unlooped(self, part: Slice, now_s: float) -> Slice:
        """Take out the answers 508 of a time in which a pin was missing or had just been re-made."""
        excused = self._pin_missing or now_s - self._pin_made_s < PIN_GRACE_S
        if not (part.loops and excused):
            return part
        from_base = min(part.loops, part.base.bad)
        from_burst = min(part.loops - from_base, part.burst.bad)
        return _recreated(
            part,
            base=less(part.base, Counts(from_base, from_base)),
            burst=less(part.burst, Counts(from_burst, from_burst)),
            answers={a: n for a, n in part.answers.items() if a != "508"},
            loops=0,
        )

    def _watch_credit_pods(self, ready: frozenset[str]) -> None:
        if not self._credit_pods:
            self._credit_pods = ready
        elif 2 * len(self._credit_pods & ready) < len(self._credit_pods):
            self._credit_pods = ready
            for at, path in self._ways.items():
                if at.side is Side.TARGET:
                    path.book.restart_credit()

    def _forget(self, now_s: float) -> None:
        old = now_s - 10 * (PROBE_LIFE_S + POD_GRACE_S)
        for at in [at for at, when in self._ready_since.items() if when < old]:
            del self._ready_since[at]


def plus(one: Counts, other: Counts) -> Counts:
    """Add counts up."""
    return Counts(one.sent + other.sent, one.bad + other.bad, one.slow + other.slow)


def less(counts: Counts, some: Counts) -> Counts:
    """Take probes out, as if they had not been sent."""
    sent = max(0, counts.sent - some.sent)
    bad, slow = counts.bad - some.bad, counts.slow - some.slow
    return Counts(sent, min(max(0, bad), sent), min(max(0, slow), sent))


def without_faults(part: Slice, addresses: Iterable[str]) -> Slice:
    """Take the faults of these pods out of a slice, as if their probes had not been sent."""
    base, burst = part.base, part.burst
    faults = dict(part.faults)
    for address in addresses:
        from_base, from_burst = faults.pop(address)
        base = less(base, from_base)
        burst = less(burst, from_burst)
    answers = dict(part.answers) if len(faults) == len(part.faults) else {}
    return _recreated(
        part, base=base, burst=burst, answers=answers, loops=part.loops, faults=faults
    )


def _recreated(
    part: Slice,
    *,
    base: Counts,
    burst: Counts,
    answers: dict[str, int],
    loops: int,
    faults: dict[str, tuple[Counts, Counts]] | None = None,
) -> Slice:
    return Slice(
        assignment=part.assignment,
        number=part.number,
        age_s=part.age_s,
        base=base,
        burst=burst,
        answers=answers,
        loops=loops,
        faults=part.faults if faults is None else faults,
    )


def _opened(order: ProbeOrder) -> _Way:
    """Open an account. Own pods as a path back have a second book, which counts faults without waiting."""
    waits = order.route == "pods" and order.path.side is Side.HOME
    return _Way(order, _book(order), eager=_book(order) if waits else None)


def _book(order: ProbeOrder) -> PathMonitor:
    return PathMonitor(
        order.success_percent,
        order.latency,
        traffic_on=order.traffic_on,
        shifted=order.shifted,
    )


def _said(path: _Way, now_s: float) -> PathEvidence:
    """A fault that waits for its explanation takes PASS away, and is not held against anybody yet."""
    found = replace(
        path.book.evidence(now_s), lowered_per_s=path.lowered_per_s, refused=path.refused
    )
    if path.eager is not None:
        found = replace(found, suspected=path.eager.evidence(now_s))
    if path.held and found.verdict is Verdict.PASS:
        return replace(found, verdict=Verdict.UNKNOWN, reason="Recovering")
    return found
