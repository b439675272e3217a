"""One run: the clean journey, in which each fault is tried in a child process that branches off where it happens.

Everything is in memory, so ``fork`` copies the whole world: controller, API servers, probers, bytes under way.
The child does the fault and goes on to the end of the leg; the parent goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import random
import signal
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import structlog

from controller.__main__ import Controller
from controller.runtime.settings import load
from tests.faults import catalogue
from tests.faults.disturbances import (
    CUT_S,
    CUTS,
    DEEDS,
    FOUND_S,
    LEASES,
    NOTICED_S,
    PHASES,
    SECOND,
    SECOND_OF_A_KIND_S,
    SECOND_S,
)
from tests.faults.fleets import FLEETS, WINDOW, window_begins
from tests.faults.journey import LEGS, POLL_S, End, Leg, end_state, travel
from tests.faults.oracle import FAR
from tests.faults.proxy import Call, CallFault, Event, EventFault, Reply
from tests.faults.splits import backends_of, is_of_split
from tests.faults.virtual import Life, Process, VirtualLoop
from tests.faults.world import World

LEG_LIMIT_S = 240.0
"""Virtual seconds in which a leg must end, whatever happens: a planned list (60 s) heals what a watch lost."""

SETTLE_LIMIT_S = 60.0
"""From a leg's goal to the clean run's end: a watch that was broken again and again waits for up to 10 s, and a kind
that was not served is asked for after 45 s at most."""

CPU_LIMIT_S = 15
"""Of the machine's own time, for a child: what takes longer goes round in a circle."""

RESTART_S = 1.0
"""From a kill to the next start."""

STOPPED_S = 15.0
"""Longer than the lease and all its waiting."""

CALLS_MORE = 165
"""How many calls more than the clean run's leg a faulted one may make: two starts and their backoffs."""

CALLS_PER_LONGER_S = 2
"""And for each second that it takes longer: what two controllers renew and list anew while they wait."""

CALLS_PER_S = 80
"""The most calls in any second: two starts, of 32 each, a list and a watch of eight resources in two clusters."""

HOME_LIMIT_S = 30.0
"""From FAIL to everyone home, whatever single fault there is: a restart, a lease to run out, first slices."""


class Setup(Enum):
    """Which controllers and which splits there are in a run."""

    ONE = "one"
    TWO = "two"
    HTTPROUTE = "httproute"
    FLEET = "fleet"

    @property
    def controllers(self) -> tuple[str, ...]:
        """Return their names."""
        return ("a", "b") if self is Setup.TWO else ("a",)

    @property
    def title(self) -> str:
        """Return it in words."""
        kind = "HTTPRoutes" if self is Setup.HTTPROUTE else "TrafficSplits"
        asked = ", by a Fleet" if self is Setup.FLEET else ""
        return f"{kind}{asked}, controllers {' and '.join(self.controllers)}"


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault by name, at the first call or event from ``number`` on that it can be done to."""

    what: str
    number: int
    kind: str

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.what}:{self.number}:{self.kind}"


@dataclass(frozen=True, slots=True)
class Case:
    """What is done in one run. The first injection says where it branches off."""

    group: str
    injections: tuple[Injection, ...]

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return "+".join(map(str, self.injections))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; ``wrong`` is empty where it survived."""

    case: Case
    setup: Setup
    wrong: tuple[str, ...]
    calls: int
    seconds: float


@dataclass
class Clean:
    """What the journey is without a fault: its calls and events by leg, and how each leg ends."""

    calls: list[tuple[str, Call]] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def calls_of(self, leg: str) -> int:
        """Count the calls of a leg."""
        return sum(1 for name, _ in self.calls if name == leg)


class Run:
    """A journey with its plan. ``cases`` are tried on the path, each in a child; ``report`` takes their ends."""

    def __init__(
        self,
        seed: int,
        cases: Iterable[Case] = (),
        *,
        setup: Setup = Setup.ONE,
        clean: Clean | None = None,
        report: Callable[[Outcome], None] = lambda _: None,
        story: Callable[[str], None] | None = None,
    ) -> None:
        random.seed(seed)
        self._seed = seed
        self.stopped_s = STOPPED_S
        self.loop = VirtualLoop()
        self.observed = Clean()
        self._setup = setup
        self._clean = clean
        self._report = report
        self._story = story
        self._cases: dict[tuple[str, int], list[Case]] = {}
        for case in cases:
            first = case.injections[0]
            self._cases.setdefault((first.what, first.number), []).append(case)
        self._case: Case | None = None
        self._pending: list[Injection] = []
        self._result: int | None = None
        self._leg: Leg = LEGS[0]
        self._leg_began_s = 0.0
        self._leg_calls = 0
        self._lately: deque[float] = deque()
        self._busiest = 0
        self._troubles: list[str] = []
        self._disturbed_s: float | None = None
        self._names = Tally[str]()
        self._processes: list[Process] = []
        self.world = World(
            self.loop,
            self,
            tell=self._tell,
            routes=setup is Setup.HTTPROUTE,
            fleet=setup is Setup.FLEET,
        )

    # --- the journey ------------------------------------------------------------------------------------

    def go(self) -> Clean:
        """Travel, in this process; gives what was seen."""
        _quiet(self._story)
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._unhandled)
        try:
            self.loop.run_until_complete(self._travel())
        finally:
            self.world.clean_up()
        return self.observed

    async def _travel(self) -> None:
        await self.world.start()
        phases = asyncio.ensure_future(self._notice_phases())
        for name in self._setup.controllers:
            await self._start(name)
        for leg in LEGS:
            self._leg, self._leg_began_s, self._leg_calls = leg, self.loop.time(), 0
            try:
                async with asyncio.timeout(LEG_LIMIT_S):
                    await travel(self.world, leg)
                await self._settle(leg)
            except TimeoutError:
                status = self.world.migration()
                said = [status.get(key) for key in ("phase", "share", "reason", "message")]
                self._troubles.append(f"{leg.name} did not end: {said} {self.world.oracle.away}")
            self.observed.ends[leg.name] = end_state(self.world)
            self.observed.seconds[leg.name] = self.loop.time() - self._leg_began_s
            if self._case is not None:
                self._end(self._case)
            if self._troubles or self.world.oracle.violations:
                wrong = [*self._troubles, *self.world.oracle.violations]
                raise AssertionError(f"the clean run: {wrong}")
        phases.cancel()

    async def _settle(self, leg: Leg) -> None:
        """Let what is not part of the goal come: a copy on a pin whose watch was broken waits for its list."""
        if self._clean is None:
            return
        until_s = self.loop.time() + SETTLE_LIMIT_S
        clean = self._clean.ends[leg.name]
        while self.loop.time() < until_s and end_state(self.world) != clean:  # noqa: ASYNC110 - no cost
            await asyncio.sleep(POLL_S)

    async def _notice_phases(self) -> None:
        """Branch off in each phase that has something to try."""
        for number, phase in enumerate(PHASES):
            while not phase.holds(self._leg.name, self._leg.target, self.world):  # noqa: ASYNC110 - no cost
                await asyncio.sleep(POLL_S)
            self._branch("phase", number)
            for injection in [i for i in self._pending if i.what == "phase"]:
                self._pending.remove(injection)
                self._tell(f"FAULT {injection.kind}: {phase.name}")
                self._disturbed_s = self.loop.time()
                await self._disturb(injection.kind)
            await asyncio.sleep(0 if number else SECOND_OF_A_KIND_S)

    async def _disturb(self, kind: str) -> None:
        if kind == SECOND:
            await self._start(SECOND, FAR[self.world.lease_cluster])
            self.loop.call_later(SECOND_S, self._processes[-1].kill)
            return
        deed = FLEETS.get(kind) or DEEDS[kind]
        deed(self.world)
        if kind in LEASES:
            for process in [p for p in self._processes if p.life is Life.RUNNING]:
                self.kill(process.name)

    async def _start(self, name: str, lease_cluster: str = "") -> None:
        self._names[name] += 1
        number = self._names[name]
        process = Process(self.loop, name if number == 1 else f"{name}{number}")
        path = await self.world.connect(process.name, lease_cluster)
        settings = load(path, {})

        async def main() -> None:
            await Controller(settings, path, self.loop.time).run()

        self._tell(f"{process.name} starts")
        self._processes.append(process)
        task = process.start(main)
        task.add_done_callback(lambda done: self._exited(process.name, done))

    def _exited(self, name: str, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._troubles.append(f"{name} exited by itself: {error!r}")

    def stop(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        for process in self._processes:
            if process.name == name:
                self._tell(f"{name} is stopped")
                process.stop()
                self.loop.call_later(for_s, self._go_on, process)

    def _go_on(self, process: Process) -> None:
        self._tell(f"{process.name} goes on")
        process.go_on()

    def kill(self, name: str) -> None:
        """SIGKILL, and a start a second later."""
        self._tell(f"{name} is killed")
        for process in self._processes:
            if process.name == name:
                process.kill()
        base = name.rstrip("0123456789")
        self.loop.call_later(
            RESTART_S, lambda: asyncio.ensure_future(self._start(base), loop=self.loop)
        )

    # --- what the proxies ask ---------------------------------------------------------------------------

    def at_call(self, call: Call) -> CallFault | None:
        """Take note, and branch off where there is something to try."""
        self.world.oracle.sent(call)
        self._count(call)
        self._branch("call", call.number)
        for injection in self._pending:
            due = injection.what == "call" and call.number >= injection.number
            if due and injection.kind == WINDOW:
                self._pending.remove(injection)
                self._tell(f"FAULT {injection.kind}: {call}")
                window_begins(self.world)
                return None
            if due and catalogue.OF_CALLS[injection.kind].fits(call):
                self._pending.remove(injection)
                self._tell(f"FAULT {injection.kind}: {call}")
                return catalogue.OF_CALLS[injection.kind].make(self)
        if self._story:
            self._tell(f"{call} {_summary(call)}")
        return None

    def at_event(self, event: Event) -> EventFault | None:
        """As at_call."""
        if self._clean is None:
            self.observed.events.append((self._leg.name, event))
        self._branch("event", event.number)
        for injection in self._pending:
            if injection.what == "event" and event.number >= injection.number:
                self._pending.remove(injection)
                self._tell(f"FAULT {injection.kind}: {event}")
                return catalogue.EVENTS[injection.kind]
        if self._story:
            self._tell(str(event))
        return None

    def replied(self, call: Call, reply: Reply | None) -> None:
        """Return what was answered, in a story."""
        if self._story and reply is not None and reply.status >= 300:
            self._tell(f"  {reply.status} {reply.reason} to {call}")

    def _count(self, call: Call) -> None:
        if self._clean is None:
            self.observed.calls.append((self._leg.name, call))
        self._leg_calls += 1
        self._lately.append(call.at_s)
        while self._lately[0] < call.at_s - 1.0:
            self._lately.popleft()
        self._busiest = max(self._busiest, len(self._lately))

    # --- branching --------------------------------------------------------------------------------------

    def _branch(self, what: str, number: int) -> None:
        if self._case is not None:
            return
        for case in self._cases.pop((what, number), ()):
            if self._is_child(case):
                return

    def _is_child(self, case: Case) -> bool:
        """Fork; in the child take the case on, in the parent wait for how it ends."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)  # its signal ends the process
            asyncio._set_running_loop(self.loop)  # asyncio knows a running loop by its process
            # A fork seeds it by chance, and a replay must be the same run.
            random.seed(f"{self._seed}/{case}")
            self._result = writer
            self._case = case
            self._pending = list(case.injections)
            return True
        self._story = None  # it goes on in the child
        _quiet(None)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            raw = pipe.read()
        _, status = os.waitpid(child, 0)
        if raw:
            self._report(pickle.loads(raw))  # noqa: S301 - what our own child wrote
        else:
            self._report(
                Outcome(case, self._setup, (f"the run ended with status {status}",), 0, 0.0)
            )
        return False

    def _end(self, case: Case) -> None:
        """In the child: judge, tell, and be gone without a trace."""
        assert self._result is not None
        seconds = self.loop.time() - self._leg_began_s
        if self._pending and len(case.injections) > 1:
            case = replace(case, group=f"{case.group}, second not met")
            self._pending.clear()
        outcome = Outcome(case, self._setup, tuple(self._wrong(seconds)), self._leg_calls, seconds)
        if self._story:
            for line in outcome.wrong or ("survived",):
                self._story(line)
        with os.fdopen(self._result, "wb") as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)

    def _wrong(self, seconds: float) -> list[str]:
        found = [*self._troubles, *self.world.oracle.violations]
        found += [f"never happened: {injection}" for injection in self._pending]
        found += self._raised_in_cut(self._case)
        found += self._raised_by_two(self._case)
        if self._clean is None:
            return found
        expected = self._clean.ends[self._leg.name]
        end = self.observed.ends[self._leg.name]
        found += [
            f"{key} ends as {end[key]}, and in the clean run as {expected[key]}"
            for key in expected
            if end[key] != expected[key]
        ]
        longer_s = max(0.0, seconds - self._clean.seconds[self._leg.name])
        limit = self._clean.calls_of(self._leg.name) + CALLS_MORE + CALLS_PER_LONGER_S * longer_s
        if self._leg_calls > limit:
            found.append(f"{self._leg_calls} calls, more than {limit:.0f}")
        if self._busiest > CALLS_PER_S * len(self._names):
            found.append(f"{self._busiest} calls in a second")
        late_s = self.world.oracle.home_after_s
        if late_s > HOME_LIMIT_S:
            found.append(f"home {late_s:.1f} s after FAIL")
        return found

    def _raised_in_cut(self, case: Case | None) -> list[str]:
        """No share rises while something is cut off, once that can be known.

        What only falls silent is known after 17 s (keepalive, and a watch that stays away); until then the half
        of a step that was allowed before is tried again, and may land: one raise, of that one cluster.
        """
        if self._disturbed_s is None or case is None or case.injections[0].kind not in CUTS:
            return []
        since, until = self._disturbed_s + NOTICED_S, self._disturbed_s + CUT_S
        raised = [at for at in self.world.oracle.raised_s if since < at < until]
        silent = "cut off" not in case.injections[0].kind
        if silent and len(raised) == 1:
            return []
        return [f"raised at {at:.3f} s, in the cut" for at in raised]

    def _raised_by_two(self, case: Case | None) -> list[str]:
        """No share rises while two controllers lead by two leases, once they can know of each other."""
        if self._disturbed_s is None or case is None or case.injections[0].kind != SECOND:
            return []
        since, until = self._disturbed_s + FOUND_S, self._disturbed_s + SECOND_S
        raised = [at for at in self.world.oracle.raised_s if since < at < until]
        return [f"raised at {at:.3f} s, with two leases" for at in raised]

    # --- telling ----------------------------------------------------------------------------------------

    def _tell(self, line: str) -> None:
        if self._story is not None:
            self._story(f"{self.loop.time():9.3f} {line}")

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ConnectionError):
            return  # a stream of the proxy's own that was broken on purpose
        self._tell(f"unhandled: {context.get('message')}: {error!r}")
        self._troubles.append(f"unhandled: {context.get('message')}: {error!r}")


def _summary(call: Call) -> str:
    """Return what a write to a split says, for a line of the story."""
    backends = backends_of(call.document()) if call.is_write and is_of_split(call.path) else None
    return " ".join(f"{b['service']}={b['weight']}" for b in backends or ())


def _quiet(story: Callable[[str], None] | None) -> None:
    """Have the controller's log be lines of the story, or nothing at all."""
    gc.freeze()
    logging.disable(logging.CRITICAL)
    if story is None:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
            logger_factory=structlog.ReturnLoggerFactory(),
        )
        return

    def line(_logger: Any, method: str, event: Any) -> str:
        rest = " ".join(f"{k}={v}" for k, v in event.items() if k != "event")
        story(f"            log {method}: {event['event']} {rest}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.format_exc_info, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.ReturnLoggerFactory(),
    )


def clean_run(seed: int, setup: Setup = Setup.ONE) -> Clean:
    """Travel without a fault, in a child process; raises AssertionError where that is not clean."""
    found: list[Clean] = in_child(lambda: [Run(seed, setup=setup).go()])
    return found[0]


def in_child(work: Callable[[], Sequence[Any]]) -> list[Any]:
    """Do work in a child process and give what it gave. Raises AssertionError with what it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        asyncio._set_running_loop(None)
        try:
            found: Any = list(work())
        except BaseException as error:  # noqa: BLE001 - it is told in the parent
            found = f"{type(error).__name__}: {error}"
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(found, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    answer = pickle.loads(raw) if raw else "the child ended without a word"  # noqa: S301 - our own
    if isinstance(answer, list):
        return answer
    raise AssertionError(answer)
