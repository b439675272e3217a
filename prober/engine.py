"""The probing of one stream: what is due is sent, what ended is told.

One timer over one heap of due times; each probe is a task. The engine knows no WebSocket, and reads
no clock but the one it is given: seconds, monotonic, begun at the wall clock's Unix time, so that
the streams of a way, in two prober pods, see one schedule.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator

from prober.agenda import Agenda
from prober.capacity import Capacity
from prober.contract import SLICE_S, Assign, Readdress, Report, Slice, Withdraw
from prober.doubts import Doubts, LoopLag
from prober.outcome import Outcome
from prober.probe import Client
from prober.schedule import Cadence
from prober.slices import Count, Tally, slot_of
from prober.target import Ask, NotServedError, asks_of, pod_asks
from prober.telemetry import Metrics, Route
from prober.way import Track, Way

MAX_ASSIGNMENTS = 2_000
"""Ways of one stream: four ways and an apex for 400 Services."""

MAX_SLICES = 2_000
"""Slices of one report; what is left goes with the next. About 200 bytes each, far from 1 MiB."""

REFERENCE_CADENCE = Cadence(1 / SLICE_S, 0.85)
"""One reference probe in every slice, near its end: what befell the slice has befallen it too."""

REFERENCE_LIMIT_S = 0.25
"""A reference slower than this says that the latencies we measure are our own."""

TRUST_S = 1.0
"""How long after a doubt the prober says that it does not trust itself."""


class Engine:
    """The ways of one stream. :meth:`run` probes them, :meth:`report` tells the slices."""

    def __init__(
        self,
        client: Client,
        reference: Ask,
        domain: str,
        capacity: Capacity,
        lag: LoopLag,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._reference = reference
        self._domain = domain
        self._capacity = capacity
        self._lag = lag
        self._metrics = metrics
        self._ways: dict[int, Way] = {}
        self._bursting: set[Way] = set()
        self._paced_version = -1
        self._probes: set[asyncio.Task[None]] = set()
        # Open loop: no more than a second's worth is ever in flight, so this is a fuse.
        self._max_in_flight = int(2 * capacity.cap_per_s) + 10
        self._doubts = Doubts()
        self._reference_count = Count()
        self._reference_slots: set[int] = set()
        self._drain_s: float | None = None
        self._roused = asyncio.Event()
        self._agenda: Agenda[Track] = Agenda()
        self._agenda.pace(Track(None, burst=False), REFERENCE_CADENCE, client.clock())

    # What the controller says.

    def assign(self, message: Assign) -> None:
        """Probe this from the next report on. Raises :class:`NotServedError`."""
        if self._drain_s is not None:
            raise NotServedError("this prober is ending: dial again")
        if message.id in self._ways:
            raise NotServedError(f"assignment {message.id} is still there: take another id")
        if len(self._ways) >= MAX_ASSIGNMENTS:
            raise NotServedError(f"a stream serves at most {MAX_ASSIGNMENTS} assignments")
        self._client.check(message.protocol)
        asks = asks_of(message, self._domain)
        now = self._client.clock()
        way = Way(message, asks, now)
        self._ways[message.id] = way
        self._capacity.want(way, way.wanted(now))
        self._metrics.assignments.inc()
        self._metrics.ways.begin(_route(way))
        for never_yet in (self._metrics.late, self._metrics.unsent, self._metrics.bad):
            never_yet.labels(message.route)  # counted from zero

    def readdress(self, message: Readdress) -> None:
        """Ask these pods from now on. Raises :class:`NotServedError`."""
        way = self._active(message.id)
        if way.assign.route != "pods":
            raise NotServedError(f"assignment {message.id} is not of route pods")
        way.asks = pod_asks(way.assign, message.addresses, self._domain)

    def withdraw(self, message: Withdraw) -> None:
        """Send no more of this; what is in flight is told. Raises :class:`NotServedError`."""
        self._end_way(self._active(message.id))

    def drain(self) -> None:
        """Send nothing more; what is due from now on is void. The reference goes on."""
        self._drain_s = self._client.clock()
        for way in self._ways.values():
            self._end_way(way)

    @property
    def is_drained(self) -> bool:
        """Whether, after :meth:`drain`, everything has been told."""
        return self._drain_s is not None and not self._ways

    # What is sent.

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._roused.clear()
            self._send_due(self._client.clock())
            due = self._agenda.next_due
            timer = None
            if due is not None:
                timer = loop.call_later(due - self._client.clock(), self._roused.set)
            try:
                await self._roused.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def close(self) -> None:
        """Stop every probe at once, and give the rates back."""
        for way in self._ways.values():
            self._end_way(way)
        self._ways.clear()
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _send_due(self, now: float) -> None:
        for due, track in self._agenda.take(now):
            way = track.way
            if way is None:
                self._reference_slots.add(slot_of(due))
                self._start(self._probe_reference(due))
            elif way.asks:
                tally = way.ledger.plan(due)
                self._metrics.planned.labels(way.assign.route).inc()
                if len(self._probes) < self._max_in_flight:
                    self._start(self._probe(way, way.next_ask(), due, tally, burst=track.burst))
                else:
                    unsent = Outcome(due, now, now, unsent="unsent")
                    self._count(way, "", unsent, tally, burst=track.burst)

    def _start(self, probe: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(probe)
        self._probes.add(task)
        task.add_done_callback(self._ended)
        self._metrics.in_flight.inc()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._probes.discard(task)
        self._metrics.in_flight.dec()

    async def _probe(self, way: Way, ask: Ask, due: float, tally: Tally, *, burst: bool) -> None:
        outcome = await self._client.probe(ask, due)
        self._count(way, ask.address, outcome, tally, burst=burst)

    async def _probe_reference(self, due: float) -> None:
        outcome = await self._client.probe(self._reference, due)
        slow = outcome.is_slow(REFERENCE_LIMIT_S)
        if outcome.bad or slow:
            # One slice on: a trouble that ends before the next reference probe is in that slice.
            self._doubts.add(due, outcome.ended_s + SLICE_S, "reference")
        if not outcome.unsent:
            self._reference_count.add(bad=outcome.bad, slow=slow)
        if outcome.answered_s is not None:
            self._metrics.latency.labels("reference").observe(outcome.answered_s - due)
        self._reference_slots.discard(slot_of(due))
        self._metrics.reference.labels(outcome.unsent or outcome.answer).inc()

    def _count(
        self, way: Way, address: str, outcome: Outcome, tally: Tally, *, burst: bool
    ) -> None:
        route = way.assign.route
        if outcome.unsent:
            tally.end_unsent(outcome)
            late = outcome.unsent == "late"
            (self._metrics.late if late else self._metrics.unsent).labels(route).inc()
            return
        slow = outcome.is_slow(way.assign.latency_limit_s)
        tally.end(outcome, burst=burst, slow=slow, address=address)
        self._metrics.sent.labels(route).inc()
        self._metrics.lateness.observe(outcome.started_s - outcome.due_s)
        if outcome.answered_s is not None:
            took_s = outcome.answered_s - outcome.due_s
            self._metrics.latency.labels(route).observe(took_s)
            self._metrics.ways.observe(_route(way), took_s)
        if outcome.bad:
            self._metrics.bad.labels(route).inc()
            self._burst(way, outcome.ended_s)

    def _burst(self, way: Way, now: float) -> None:
        """Raise the rate, unless it is ourselves who are ill: more load would make that worse."""
        if way.is_over or self._distrust(now):
            return
        way.note_bad(now)
        if way not in self._bursting:
            self._bursting.add(way)
            self._capacity.want(way, way.wanted(now))

    # What is told.

    def report(self, number: int) -> Report:
        """Tell what ended since the last report."""
        now = self._client.clock()
        self._lag.beat(now)
        self._send_due(now)
        self._pace(now)
        slices = tuple(itertools.islice(self._ended_slices(now), MAX_SLICES))
        pending = tuple(n for n, way in self._ways.items() if way.ledger.is_pending(now))
        self._drop_told()
        reference, self._reference_count = self._reference_count.frozen(), Count()
        return Report(number, slices, reference, self._lowered(), self._distrust(now), pending)

    def _pace(self, now: float) -> None:
        """Follow the cap: it is shared anew at most once a report, however much is asked."""
        for way in [way for way in self._bursting if not way.is_bursting(now)]:
            self._bursting.discard(way)
            self._capacity.want(way, way.wanted(now))
        self._capacity.settle()
        if self._paced_version == self._capacity.version:
            return
        self._paced_version = self._capacity.version
        for way in self._ways.values():
            base, burst = way.cadences(self._capacity.granted(way), now)
            self._agenda.pace(way.base, base, now)
            self._agenda.pace(way.burst, burst, now)
        self._roused.set()

    def _ended_slices(self, now: float) -> Iterator[Slice]:
        for way in self._ways.values():
            for told in way.ledger.take(now, self._reference_slots, self._doubt):
                self._metrics.slices.inc()
                if told.void:
                    self._metrics.void.labels(told.void).inc()
                yield told

    def _doubt(self, start: float, end: float) -> str:
        if self._drain_s is not None and start + SLICE_S > self._drain_s:
            return "draining"
        return self._lag.doubts.between(start, end) or self._doubts.between(start, end)

    def _distrust(self, now: float) -> str:
        if self._drain_s is not None:
            return "draining"
        return self._doubt(now - TRUST_S, now)

    def _lowered(self) -> dict[int, float]:
        lowered = {}
        for way in self._ways.values():
            share = self._capacity.granted(way).base
            if share < 1 and not way.is_over:
                lowered[way.assign.id] = way.assign.rate_per_s * share
        return lowered

    def _drop_told(self) -> None:
        over = [way for way in self._ways.values() if way.is_over and way.ledger.is_settled]
        for way in over:
            del self._ways[way.assign.id]

    def _active(self, assignment: int) -> Way:
        way = self._ways.get(assignment)
        if way is None or way.is_over:
            raise NotServedError(f"there is no assignment {assignment} on this stream")
        return way

    def _end_way(self, way: Way) -> None:
        if way.is_over:
            return
        way.is_over = True
        now = self._client.clock()
        self._agenda.pace(way.base, None, now)
        self._agenda.pace(way.burst, None, now)
        self._bursting.discard(way)
        self._capacity.want(way, None)
        self._metrics.assignments.dec()
        self._metrics.ways.end(_route(way), now)


def _route(way: Way) -> Route:
    return way.assign.namespace, way.assign.service, way.assign.route
