"""Time for the mesh: the event loop's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

BEAT_S: Final = 0.02
ON_TIME_S: Final = 0.05
"""A beat later than this is late: half of the 100 ms by which probers count."""


class Timer(Protocol):
    """Something that was asked for and can be called off."""

    def cancel(self) -> None:
        """Call it off; does nothing when it has run."""


class Clock(Protocol):
    """Monotonic seconds, and calls at a time."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        """Run ``call`` at ``when`` or soon after."""


class LoopClock:
    """The running event loop's clock."""

    def now(self) -> float:
        """Return the loop's monotonic seconds."""
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        """Run ``call`` at ``when``."""
        return asyncio.get_running_loop().call_at(when, call)


class LivedClock:
    """The seconds in which this process ran: it stands still while the event loop does, for want of CPU.

    A real proxy has a machine of its own. One that gives up on a peer after 3 s must not do so because
    both of them, in this one process, stood still for 3 s. ``lost_s`` is what was left out so far.
    """

    def __init__(self, time: Callable[[], float] = time.monotonic) -> None:
        self.lost_s = 0.0
        self._time = time
        self._beat_s = time()

    async def run(self) -> None:
        """Beat until cancelled: whoever reads the clock is to know that it stood still."""
        self._beat_s = self._time()
        while True:
            await asyncio.sleep(BEAT_S)
            self.now()

    def now(self) -> float:
        """Return monotonic seconds."""
        now_s = self._time()
        late_s = now_s - self._beat_s - BEAT_S
        if late_s > ON_TIME_S:
            self.lost_s += late_s
        self._beat_s = now_s
        return now_s - self.lost_s

    def call_at(self, when: float, call: Callable[[], None]) -> LivedTimer:
        """Run ``call`` at ``when``."""
        return LivedTimer(self, when, call)


class LivedTimer:
    """A call at a time of a `LivedClock`."""

    def __init__(self, clock: LivedClock, when: float, call: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._call = call
        self._arm()

    def cancel(self) -> None:
        """Call it off; does nothing when it has run."""
        self._handle.cancel()

    def _arm(self) -> None:
        left_s = self._when - self._clock.now()
        self._handle = asyncio.get_running_loop().call_later(left_s, self._ring)

    def _ring(self) -> None:
        if self._clock.now() < self._when:  # the clock stood still meanwhile
            self._arm()
        else:
            self._call()
