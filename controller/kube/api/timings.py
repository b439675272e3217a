"""The times of what is kept known of a cluster, and what waiting takes from outside."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of a reflector, in seconds, and its sizes.

    ``watch_s`` is jittered by a fifth; ``silent_s`` is above the minute between an API server's bookmarks.
    A watch that lived for ``settled_s`` ends the backoff. ``recheck_s``: of a kind that is not served, and
    ``doubt_s`` of one that was, and of a list that lacks what was known or holds what cannot be read.
    """

    page: int = 500
    line_limit_bytes: int = 4 << 20
    watch_s: float = 300.0
    relist_s: float = 600.0
    relist_retry_s: float = 60.0
    silent_s: float = 90.0
    stale_after_s: float = 3.0
    settled_s: float = 5.0
    recheck_s: float = 30.0
    doubt_s: float = 1.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Chance:
    """What a reflector takes from outside: waiting, elapsed seconds, and a number in 0 to 1."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
