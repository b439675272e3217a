"""Time for the mesh: the event loop's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


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
