"""When probes are due. Pure: time is an argument, in seconds on any clock both halves agree on.

The laws:

1. Open loop. Due times do not depend on answers: ``due(k) = (phase + k) / rate``.
2. The streams of a way share one schedule: stream ``part`` of ``parts`` has the ``k`` with
   ``k % parts == part``, so no due time is taken twice and none is left out.
3. A burst adds four probes between two base probes (x5) for 10 s after a bad probe. It never moves
   a base probe: base and burst are two schedules, because burst probes count for FAIL only.
4. The cap lowers rates, the least important first, in proportion among equals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

BURST_S = 10.0
"""How long a bad probe raises the rate of its way (docs/evidence.md, FAIL)."""

BURST_EXTRA = 4
"""Extra probes for each base probe in a burst: 1 + 4 makes the x5."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Cadence:
    """The due times ``(phase + n) / rate_per_s`` for every integer ``n``."""

    rate_per_s: float
    phase: float

    def due_after(self, moment: float) -> float:
        """Find the first due time later than ``moment``, in seconds."""
        n = math.floor(moment * self.rate_per_s - self.phase) + 1
        due = (self.phase + n) / self.rate_per_s
        while due <= moment:  # the floor may round down at a due time itself
            n += 1
            due = (self.phase + n) / self.rate_per_s
        return due

    def slowed(self, share: float) -> Cadence:
        """Lower the rate to a share of it (0 < share <= 1)."""
        return self if share == 1 else Cadence(self.rate_per_s * share, self.phase)


def phase_of(key: str) -> float:
    """Where in the first period a schedule begins, in [0, 1): evenly spread over keys."""
    digest = hashlib.blake2b(key.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / float(1 << 48)


def base_cadence(key: str, rate_per_s: float, part: int, parts: int) -> Cadence:
    """Take the due times ``(phase + k) / rate_per_s`` with ``k % parts == part``."""
    return Cadence(rate_per_s / parts, (phase_of(key) + part) / parts)


def burst_cadence(base: Cadence) -> Cadence:
    """Place the extra probes of a burst, at 1/8, 3/8, 5/8 and 7/8 between two base probes."""
    return Cadence(BURST_EXTRA * base.rate_per_s, BURST_EXTRA * base.phase + 0.5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one way of one stream asks of the cap, in probes per second."""

    priority: int
    base_per_s: float
    burst_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Granted:
    """What the cap leaves of it: shares between 0 (nothing) and 1 (all that was wanted)."""

    base: float
    burst: float


def grant(wanted: Mapping[K, Wanted], cap_per_s: float) -> dict[K, Granted]:
    """Share ``cap_per_s`` among the wanted rates.

    Priority 0 is served first, then 1, then 2; inside a priority every rate is lowered by the same
    share. A burst stands behind the base rates of priorities 0 and 1 (it hastens a FAIL, and must
    not cost another way its evidence) and ahead of the apex, which decides nothing.
    """
    totals: dict[int, float] = {}
    for want in wanted.values():
        base, burst = _ranks(want.priority)
        totals[base] = totals.get(base, 0.0) + want.base_per_s
        totals[burst] = totals.get(burst, 0.0) + want.burst_per_s
    left = cap_per_s
    shares: dict[int, float] = {}
    for rank in sorted(totals):
        total = totals[rank]
        shares[rank] = 1.0 if total <= left else left / total
        left = max(0.0, left - total)
    granted = {}
    for key, want in wanted.items():
        base, burst = _ranks(want.priority)
        granted[key] = Granted(shares[base], shares[burst])
    return granted


def _ranks(priority: int) -> tuple[int, int]:
    return 2 * priority, 2 * max(priority, 1) + 1
