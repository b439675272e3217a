"""How long a story stood still because a process had no CPU, measured beside what the product claims.

Three things need CPU in time: the probers, the controller, and this process, which is mesh, callers and
API servers. The product tells of itself in ``/metrics``; this process watches how late it wakes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp

from deploy.stand_ins.mesh.clock import ON_TIME_S, LivedClock

ROUND_S: Final = 0.5
POLL_S: Final = 0.02
ANSWER_S: Final = 5.0
"""So long a process may take to tell of itself; one that stood still tells when it goes on."""

SHARE: Final = 0.1
"""Starved for this share of a wait, nothing is said of the product: who counts anew after each pause,
as the probers do, loses more than the pause."""

WORLD: Final = "mesh and callers"
_TOLD_S: Final = 0.5

_SAMPLE: Final = re.compile(
    r"^(?:migrate_(?:prober|controller)_)?(loop_lag_seconds_sum|loop_lag_seconds_bucket|slices_total"
    r'|slices_void_total|process_cpu_seconds_total)(?:\{(?:.*\b(?:le|reason)="([^"]*)")?.*\})? (\S+)',
    re.MULTILINE,
)
_OUT_OF_BREATH: Final = frozenset({"lag", "late", "reference"})
"""Reasons to discard a slice that are want of CPU, of the prober or of its sidecar, through which it asks its
own reference. Who drains, or can open no socket, has CPU."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a process had counted by ``at_s``, since it began: all but the slices in seconds."""

    at_s: float
    cpu_s: float
    late_s: float
    slices: float = 0.0
    discarded: float = 0.0


def account_of(page: str, at_s: float) -> Account:
    """Return what a page of ``/metrics`` tells, of a prober or of the controller."""
    told = [(name, label, float(value)) for name, label, value in _SAMPLE.findall(page)]
    sums: dict[str, float] = defaultdict(float)
    for name, label, value in told:
        if name != "slices_void_total" or label in _OUT_OF_BREATH:
            sums[name] += value
    beats = [(float(le), n) for name, le, n in told if name == "loop_lag_seconds_bucket"]
    return Account(
        at_s,
        cpu_s=sums["process_cpu_seconds_total"],
        late_s=sums["loop_lag_seconds_sum"] - _in_time_at_most(sorted(beats)),
        slices=sums["slices_total"],
        discarded=sums["slices_void_total"],
    )


def _in_time_at_most(beats: list[tuple[float, float]]) -> float:
    """Return what the beats that came in time can have added to the sum of lateness, at most."""
    found = before = 0.0
    for at_most_s, count in beats:
        if at_most_s <= ON_TIME_S:
            found += (count - before) * at_most_s
            before = count
    return found


def starved_between(before: Account, after: Account) -> float:
    """Return for how many of the seconds in between a process had no CPU when it needed it.

    It is as long as its loop came round late, or as the share of slices that were discarded, but not while
    it computed itself: that is its own doing. A process that began anew meanwhile tells nothing.
    """
    if after.cpu_s < before.cpu_s or after.slices < before.slices:
        return 0.0
    took_s = after.at_s - before.at_s
    slices = after.slices - before.slices
    discarded_s = took_s * (after.discarded - before.discarded) / slices if slices else 0.0
    idle_s = took_s - (after.cpu_s - before.cpu_s)
    return max(0.0, min(idle_s, max(after.late_s - before.late_s, discarded_s)))


class Starvation:
    """The sum of it, by who was starved; what starves several at a time costs its time once."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._by: dict[str, float] = defaultdict(float)
        self._last: dict[str, Account] = {}

    def take(self, accounts: Mapping[tuple[str, str], Account]) -> None:
        """Count what one round of questions found, by kind and name of who answered."""
        found: dict[str, float] = defaultdict(float)
        for (kind, name), account in accounts.items():
            before = self._last.get(name)
            if before is not None:
                found[kind] = max(found[kind], starved_between(before, account))
            self._last[name] = account
        for kind, starved_s in found.items():
            self._by[kind] += starved_s
        self.total_s += max(found.values(), default=0.0)

    def sentence(self) -> str:
        """Return who was starved of CPU and for how long, the longest first; "" for nobody."""
        longest_first = sorted(self._by.items(), key=lambda one: -one[1])
        told = [(who, f"for {s:.0f} s") for who, s in longest_first if s >= _TOLD_S]
        if not told:
            return ""
        (most, how_long), *others = told
        was = "were" if most.endswith("s") else "was"
        rest = [f"the {who} {s}" for who, s in others]
        return ", ".join([f"the {most} {was} starved of CPU {how_long}", *rest])


class NotReached(Exception):  # noqa: N818 - it is the finding
    """What was waited for did not come; ``starved`` where that may well be for want of CPU."""

    def __init__(self, *, starved: bool) -> None:
        super().__init__(
            "this machine was too busy for it" if starved else "it did not come in time"
        )
        self.starved = starved


def is_starved(waited_s: float, starved_s: float) -> bool:
    """Return whether so much of a wait was without CPU that it says nothing of the product."""
    return starved_s >= SHARE * waited_s


class Asked(Protocol):
    """Somebody who measures starvation, now and then and when asked."""

    starvation: Starvation

    async def ask(self) -> None:
        """Measure now."""


class Watch:
    """Asks every ``ROUND_S`` who is asked, and waits with patience for what needs CPU.

    ``clock`` is that of this process. ``pages`` gives the URLs of ``/metrics`` by kind ("probers"), anew
    for each round.
    """

    def __init__(self, clock: LivedClock, pages: Callable[[], Mapping[str, list[str]]]) -> None:
        self.starvation = Starvation()
        self._clock = clock
        self._pages = pages
        self._round = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        loop = asyncio.get_running_loop()
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))
        self._tasks = [loop.create_task(self._clock.run()), loop.create_task(self._ask_on())]

    async def stop(self) -> None:
        """Watch no longer; a second stop does nothing."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            await self._http.close()

    async def until(self, holds: Callable[[], bool], limit_s: float) -> None:
        """Wait for a condition with a `Patience` of ``limit_s``. Raises NotReached."""
        patience = Patience(self, limit_s)
        while not holds():
            await patience.wait()

    async def rest(self, seconds: float) -> None:
        """Let so many seconds with CPU pass, in twice as many at most."""
        with suppress(NotReached):
            await self.until(lambda: False, seconds)

    async def ask(self) -> None:
        """Ask everybody once. Who does not answer is asked again in the next round."""
        async with self._round:
            urls = [(kind, url) for kind, some in self._pages().items() for url in some]
            told = await asyncio.gather(*(self._account(url) for _, url in urls))
            found = {who: account for who, account in zip(urls, told, strict=True) if account}
            now = asyncio.get_running_loop().time()
            found[WORLD, ""] = Account(now, time.process_time(), self._clock.lost_s)
            self.starvation.take(found)

    async def _account(self, url: str) -> Account | None:
        try:
            async with self._http.get(url) as answer:
                page = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        return account_of(page, asyncio.get_running_loop().time())

    async def _ask_on(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            await self.ask()


class Patience:
    """How long something is waited for: ``limit_s`` with CPU, in twice as many seconds at most."""

    def __init__(
        self, watch: Asked, limit_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch = watch
        self._limit_s = limit_s
        self._clock = clock
        self._began_s = self._clock()
        self._before_s = watch.starvation.total_s

    async def wait(self) -> None:
        """Let a moment pass. Raises NotReached where nothing is left."""
        await self.check()
        await asyncio.sleep(POLL_S)

    async def check(self) -> None:
        """Raise NotReached where nothing is left."""
        if self._left_s() <= 0:
            await self._watch.ask()  # who stood still until now has not told of it yet
            if self._left_s() <= 0:
                waited_s = self._clock() - self._began_s
                raise NotReached(starved=is_starved(waited_s, self._starved_s()))

    def _starved_s(self) -> float:
        return self._watch.starvation.total_s - self._before_s

    def _left_s(self) -> float:
        lent_s = min(self._limit_s, self._starved_s())
        return self._began_s + self._limit_s + lent_s - self._clock()
