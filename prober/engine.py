"""The probing of one stream: what is due is sent, what ended is reported.

One timer over one heap of due times; each probe is a task. The engine knows no WebSocket, and reads
no clock but the one it is given: seconds, monotonic, begun at the wall clock's Unix time, so that
the streams of a path, in two prober pods, see one schedule.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator

from prober.aims import CLOSED, Aims
from prober.capacity import Capacity
from prober.contract import DRAINING, SAMPLE_S, UNTIMED, Assign, Readdress, Report, Sample, Withdraw
from prober.control import CONTROL_SCHEDULE, Control
from prober.outcome import Outcome
from prober.path import ProbedPath, Timer
from prober.probe import Client
from prober.rates import Rates
from prober.samples import LATE, OpenSample
from prober.self_check import LoopLag, worst
from prober.target import Ask, NotServedError, asks_of, pod_asks
from prober.telemetry import Metrics
from prober.timers import Timers

MAX_ASSIGNMENTS = 2_000
"""Paths of one stream: four paths and an apex for 400 Services."""

MAX_SAMPLES = 2_000
"""Samples of one report; what is left goes with the next. About 200 bytes each, far from 1 MiB."""

BATCH_S = 0.01
"""What is due within this is sent together: to wake up for each probe costs as much as to send it. A probe is late
by what it waits beyond that."""

TRUST_S = 1.0
"""How long after a self-check that failed the prober says that it does not trust itself."""


class Engine:
    """The paths of one stream. :meth:`run` probes them, :meth:`report` makes the samples of it."""

    def __init__(
        self,
        client: Client,
        control: Ask,
        domain: str,
        capacity: Capacity,
        lag: LoopLag,
        metrics: Metrics,
        aims: Aims = CLOSED,
    ) -> None:
        self._client = client
        self._control = Control(client, control, lag, metrics)
        self._domain = domain
        self._lag = lag
        self._metrics = metrics
        self._aims = aims
        self._paths: dict[int, ProbedPath] = {}
        self._stirred: dict[ProbedPath, None] = {}
        """Those with a sample that was not told yet, in the order in which they began one."""
        self._ending: set[ProbedPath] = set()
        self._active_count = 0
        self._told_in_flight = 0
        self._probes: set[asyncio.Task[None]] = set()
        # Open loop: no more than a second's worth is ever in flight, so this is a fuse.
        self._max_in_flight = int(2 * capacity.cap_per_s) + 10
        self._drain_s: float | None = None
        self._roused = asyncio.Event()
        self._timers: Timers[Timer] = Timers()
        self._timers.pace(Timer(None, burst=False), CONTROL_SCHEDULE, client.clock())
        self._rates = Rates(capacity, self._timers)

    # What the controller says.

    def assign(self, message: Assign) -> None:
        """Probe this from the next report on. Raises :class:`NotServedError`."""
        if self._drain_s is not None:
            raise NotServedError("this prober is ending: dial again")
        if message.id in self._paths:
            raise NotServedError(f"assignment {message.id} is still there: take another id")
        if self._active_count >= MAX_ASSIGNMENTS:
            raise NotServedError(f"a stream serves at most {MAX_ASSIGNMENTS} assignments")
        self._client.check(message.protocol)
        asks = asks_of(message, self._domain, self._aims)
        now = self._client.clock()
        path = ProbedPath(message, asks, now)
        self._paths[message.id] = path
        self._active_count += 1
        self._rates.begin(path, now)
        self._metrics.assignments.inc()
        self._metrics.paths.begin(path.route)
        self._metrics.of(message.route)

    def readdress(self, message: Readdress) -> None:
        """Ask these pods from now on. Raises :class:`NotServedError`."""
        path = self._active(message.id)
        if path.assign.route != "pods":
            raise NotServedError(f"assignment {message.id} is not of route pods")
        path.asks = pod_asks(path.assign, message.addresses, self._domain, self._aims)

    def withdraw(self, message: Withdraw) -> None:
        """Send no more of this; what is in flight is reported. Raises :class:`NotServedError`."""
        self._end_path(self._active(message.id))

    def drain(self) -> None:
        """Send nothing more; what is due from now on is discarded. The control probe goes on."""
        self._drain_s = self._client.clock()
        for path in self._paths.values():
            self._end_path(path)

    @property
    def is_drained(self) -> bool:
        """Return whether, after :meth:`drain`, everything has been reported."""
        return self._drain_s is not None and not self._paths

    # What is sent.

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._roused.clear()
            self._send_due(self._client.clock())
            due = self._timers.next_due
            alarm = None
            if due is not None:
                wait_s = max(BATCH_S, due - self._client.clock())
                alarm = loop.call_later(wait_s, self._roused.set)
            try:
                await self._roused.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    async def close(self) -> None:
        """Stop every probe at once, and give the rates back."""
        for path in self._paths.values():
            self._end_path(path)
        self._paths.clear()
        self._metrics.in_flight.dec(self._told_in_flight)
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _send_due(self, now: float) -> None:
        for due, timer in self._timers.take(now):
            path = timer.path
            asked_s = min(now, due + BATCH_S)
            if path is None:
                self._control.plan(due)
                self._start(self._control.probe(due))
            elif path.asks:
                sample = path.samples.plan(due)
                self._stirred[path] = None
                self._metrics.of(path.assign.route).planned.inc()
                if len(self._probes) < self._max_in_flight:
                    probe = self._probe(path, path.next_ask(), asked_s, sample, burst=timer.burst)
                    self._start(probe)
                else:
                    unsent = Outcome(asked_s, now, now, unsent="unsent")
                    self._count(path, "", unsent, sample, burst=timer.burst)

    def _start(self, probe: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(probe)
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _probe(
        self, path: ProbedPath, ask: Ask, due: float, sample: OpenSample, *, burst: bool
    ) -> None:
        outcome = await self._client.probe(ask, due)
        self._count(path, ask.address, outcome, sample, burst=burst)

    def _count(
        self, path: ProbedPath, address: str, outcome: Outcome, sample: OpenSample, *, burst: bool
    ) -> None:
        if outcome.unsent:
            sample.end_unsent(outcome)
            if outcome.unsent == LATE:
                self._lag.late(outcome.ended_s)
        else:
            slow = outcome.is_slow(path.assign.latency_limit_s)
            sample.end(outcome, burst=burst, slow=slow, address=address)
        self._metrics.ended(path.route, outcome)
        if outcome.bad:
            self._burst(path, outcome.ended_s)

    def _burst(self, path: ProbedPath, now: float) -> None:
        """Raise the rate, unless it is ourselves who are ill: more load would make that worse."""
        if path.is_over or self._why_untrusted(now) not in ("", UNTIMED):
            return
        if self._rates.burst(path, now):
            self._roused.set()

    # What is reported.

    def report(self, number: int) -> Report:
        """Return what ended since the last report."""
        now = self._client.clock()
        self._lag.beat(now)
        self._send_due(now)
        if self._rates.follow(now):
            self._roused.set()
        samples = tuple(itertools.islice(self._ended_samples(now), MAX_SAMPLES))
        pending = tuple(p.assign.id for p in self._stirred if p.samples.is_pending(now))
        self._drop_reported()
        self._metrics.in_flight.inc(len(self._probes) - self._told_in_flight)
        self._told_in_flight = len(self._probes)
        return Report(
            number,
            samples,
            self._control.take(),
            self._rates.throttled,
            self._why_untrusted(now),
            pending,
        )

    def _ended_samples(self, now: float) -> Iterator[Sample]:
        for path in tuple(self._stirred):
            for sample in path.samples.take(now, self._control.waiting, self._why_discarded):
                self._metrics.samples.inc()
                if sample.discarded:
                    self._metrics.discarded.labels(sample.discarded).inc()
                yield sample

    def _why_discarded(self, start: float, end: float) -> str:
        if self._drain_s is not None and start + SAMPLE_S > self._drain_s:
            return DRAINING
        checks = (self._lag.self_check, self._control.self_check)
        return worst(*(check.between(start, end) for check in checks))

    def _why_untrusted(self, now: float) -> str:
        if self._drain_s is not None:
            return DRAINING
        return self._why_discarded(now - TRUST_S, now)

    def _drop_reported(self) -> None:
        for path in [path for path in self._stirred if path.samples.is_settled]:
            del self._stirred[path]
        for path in [path for path in self._ending if path.samples.is_settled]:
            self._ending.discard(path)
            del self._paths[path.assign.id]

    def _active(self, assignment: int) -> ProbedPath:
        path = self._paths.get(assignment)
        if path is None or path.is_over:
            raise NotServedError(f"there is no assignment {assignment} on this stream")
        return path

    def _end_path(self, path: ProbedPath) -> None:
        if path.is_over:
            return
        path.is_over = True
        self._ending.add(path)
        self._active_count -= 1
        now = self._client.clock()
        self._rates.end(path, now)
        self._metrics.assignments.dec()
        self._metrics.paths.end(path.route, now)
