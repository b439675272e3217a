"""Real signals to real controller processes on real sockets, with the matrix's proxy, journey and oracle.

    python -m tests.faults.signals kills 7

travels the journey with seed 7 and tells its story. The seed says after how many writes which signal is sent;
what time real processes take differs, so the same seed is not quite the same story.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deploy.servers.processes import Program
from tests.faults import catalogue
from tests.faults.journey import LEGS, POLL_S, End, Leg, end_state, travel
from tests.faults.proxy import Call, CallFault, Event, EventFault, Reply
from tests.faults.run import Setup, clean_run
from tests.faults.world import World

LEASE_S = 2
"""The shortest that the settings take is 1 s: each kill waits for it."""

STOPPED_S = 6.0
"""Longer than the lease and all its waiting, and than the new leader needs to write its fencing token."""

TURNED_BAD = "turned bad"
LEG_LIMIT_S = 240.0
END_LIMIT_S = 30.0
"""From a leg's goal to the clean run's end, after a kill at the very last."""


def _of_a_leader(call: Call) -> bool:
    """Writes but for renewals of the lease, of which there would be too many in any sample."""
    renewal = call.path.endswith("/leases/migrate-controller") and (
        "leaseTransitions" not in (call.document().get("spec") or {})
    )
    return call.is_write and not renewal


def _of_a_split(call: Call) -> bool:
    return call.method == "PATCH" and "/trafficsplits/" in call.path


@dataclass(frozen=True, slots=True)
class Sample:
    """Which signals are sent at which calls: one after 1 to ``apart`` calls that fit.

    ``most`` says by leg how many more are sent from its begin on, and from when the target turned bad.
    ``real``: between the controller and kube-apiservers, else embedded ones. ``unread``: what the controllers log
    goes to a pipe that is full, and that nobody reads.
    """

    controllers: tuple[str, ...]
    faults: tuple[str, ...]
    fits: Callable[[Call], bool]
    apart: int
    most: Mapping[str, int]
    setup: Setup = Setup.ONE
    real: bool = False
    unread: bool = False


SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "kills": Sample(
            ("a",),
            ("killed before", "killed between", "killed after"),
            _of_a_leader,
            apart=7,
            most={"move": 14, "return": 13, "revert": 5, TURNED_BAD: 4},
        ),
        "kills-real": Sample(
            ("a",),
            ("killed before", "killed between", "killed after"),
            _of_a_leader,
            apart=5,
            most={"move": 5, "return": 4, "revert": 2, TURNED_BAD: 1},
            setup=Setup.HTTPROUTE,
            real=True,
        ),
        "stops": Sample(
            ("a", "b"),
            ("stopped before", "stopped on the way"),
            _of_a_split,
            apart=4,
            most={"move": 3, "return": 2, "revert": 1, TURNED_BAD: 1},
        ),
        "full-stderr": Sample(
            ("a",),
            ("killed between",),
            _of_a_split,
            apart=4,
            most={"move": 1, "return": 0, "revert": 0, TURNED_BAD: 0},
            unread=True,
        ),
    }
)


@dataclass
class Told:
    """How a journey went: the faults done, and by status what was answered to the writes that they held up."""

    faults: Tally[str] = field(default_factory=Tally)
    held: Tally[int] = field(default_factory=Tally)


class Journey:
    """The journey in real time: what the proxies ask for faults, and what sends the faults' signals."""

    def __init__(
        self, seed: int, sample: Sample, ends: Mapping[str, End], tell: Callable[[str], None]
    ) -> None:
        self.stopped_s = STOPPED_S
        self.told = Told()
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._write = tell
        self._draw = random.Random(seed)
        self._sample = sample
        self._ends = ends
        self._left = 0
        self._until = 0
        self._next: list[str] = []
        self._draw_next()
        self._turned_bad = False
        self._aimed: Call | None = None
        self._held: set[int] = set()
        self._wrong: list[str] = []
        self._programs: dict[str, Program] = {}
        self._names = Tally[str]()
        self._restarts: set[asyncio.Task[None]] = set()
        self._pipes: list[int] = []
        self._world = World(
            self._loop,
            self,
            tell=self._tell,
            lease_s=LEASE_S,
            routes=sample.setup is Setup.HTTPROUTE,
            real=sample.real,
        )

    async def go(self) -> Told:
        """Travel there, back and into a revert. Raises AssertionError with all that was wrong."""
        self._loop.set_exception_handler(self._unhandled)
        await self._world.start()
        try:
            for name in self._sample.controllers:
                await self._start(name)
            for leg in LEGS:
                await self._travel(leg)
        finally:
            self._left = 0
            await asyncio.gather(*self._restarts)
            for program in self._programs.values():
                await program.kill()
            for pipe in self._pipes:
                os.close(pipe)
            await self._world.stop()
            self._world.clean_up()
        return self.told

    async def _travel(self, leg: Leg) -> None:
        self._left += self._sample.most[leg.name]
        try:
            async with asyncio.timeout(LEG_LIMIT_S):
                await travel(self._world, leg)
            async with asyncio.timeout(END_LIMIT_S):
                while self._under_way(leg):  # noqa: ASYNC110 - it waits for other processes
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            self._not_ended(leg)
        wrong = [*self._world.oracle.violations, *self._wrong]
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _under_way(self, leg: Leg) -> bool:
        """Return whether a signal still has to do its work, or what stands is not the clean run's end."""
        at_work = self._aimed is not None or self._held
        return bool(at_work) or end_state(self._world) != self._ends[leg.name]

    def _not_ended(self, leg: Leg) -> None:
        end, clean = end_state(self._world), self._ends[leg.name]
        for key in [key for key in clean if end[key] != clean[key]]:
            self._wrong.append(f"{leg.name}: {key} is {end[key]}, after a clean run {clean[key]}")
        for name, program in self._programs.items():
            state = "runs" if program.running() else "exited by itself"
            told = "nowhere" if self._sample.unread else f"\n{program.tail(25)}"
            self._wrong.append(f"{name} {state}; its log: {told}")

    # --- signals ------------------------------------------------------------------------------------------

    async def _start(self, name: str) -> None:
        self._names[name] += 1
        number = self._names[name]
        called = name if number == 1 else f"{name}{number}"
        path = await self._world.connect(called)
        log = path.with_name("log")
        if self._sample.unread:
            self._pipes.append(_full_pipe(log))
        program = Program("controller", path, log)
        program.start()
        self._programs[called] = program
        self._tell(f"{called} starts")

    def kill(self, name: str) -> None:
        """SIGKILL, and another start at once."""
        self._tell(f"{name} is killed")
        self._aimed = None
        program = self._programs.pop(name)
        os.kill(program.pid, signal.SIGKILL)
        self._restarts.add(asyncio.ensure_future(self._restart(name.rstrip("0123456789"), program)))

    async def _restart(self, name: str, killed: Program) -> None:
        await killed.kill()  # it is dead: this waits for it
        await self._start(name)

    def stop(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        self._tell(f"{name} is stopped")
        if self._aimed is not None:
            self._held.add(self._aimed.number)
        os.kill(self._programs[name].pid, signal.SIGSTOP)
        self._loop.call_later(for_s, self._go_on, name)

    def _go_on(self, name: str) -> None:
        self._tell(f"{name} goes on")
        self._aimed = None
        os.kill(self._programs[name].pid, signal.SIGCONT)

    # --- what the proxies ask -----------------------------------------------------------------------------

    def at_call(self, call: Call) -> CallFault | None:
        """Send a signal, where it is time for one."""
        self._world.oracle.sent(call)
        if call.is_write:
            self._tell(str(call))
        if any(self._world.bad.values()) and not self._turned_bad:
            self._turned_bad = True
            self._left += self._sample.most[TURNED_BAD]
            self._until = self._draw.randint(1, 2)  # the path back is short
        # One at a time; and what a killed process had sent may be read after its death.
        free = self._left and not self._aimed and call.by in self._programs
        if not free or not self._sample.fits(call):
            return None
        self._until -= 1
        if self._until > 0:
            return None
        kind = self._next.pop()
        self._aimed = call
        self._left -= 1
        self._draw_next()
        self.told.faults[kind] += 1
        self._tell(f"FAULT {kind}")
        return catalogue.OF_CALLS[kind].make(self)

    def at_event(self, event: Event) -> EventFault | None:
        """Nothing is done to events."""

    def replied(self, call: Call, reply: Reply | None) -> None:
        """Return what was refused, and note what was answered to a write that was held."""
        if reply is None:
            return
        if call.number in self._held:
            self._held.remove(call.number)
            self.told.held[reply.status] += 1
        if call.is_write and reply.status >= 300:
            self._tell(f"  {reply.status} {reply.reason} to {call}")

    def _draw_next(self) -> None:
        self._until = self._draw.randint(1, self._sample.apart)
        if not self._next:
            self._next = self._draw.sample(self._sample.faults, len(self._sample.faults))

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ConnectionError):  # one whose process was killed
            self._wrong.append(f"unhandled: {context.get('message')}: {error!r}")

    def _tell(self, line: str) -> None:
        self._write(f"{self._loop.time() - self._began_s:8.3f} {line}")


def _full_pipe(path: Path) -> int:
    """Make a named pipe that takes not one byte more; return what keeps it open."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, bytes(4096))
    return pipe


def journey(name: str, seed: int, tell: Callable[[str], None]) -> Told:
    """Travel once with a sample of signals, by name. Raises AssertionError with all that is wrong."""
    sample = SAMPLES[name]
    ends = clean_run(1, sample.setup).ends

    async def go() -> Told:
        return await Journey(seed, sample, ends, tell).go()

    return asyncio.run(go())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    told = journey(sys.argv[1], int(sys.argv[2]), _say)
    _say(f"survived {dict(told.faults)}; held writes were answered {dict(told.held)}")
