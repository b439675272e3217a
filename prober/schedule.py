"""When probes are due. Pure: time is an argument, in seconds on any clock both halves agree on.

The laws:

1. Open loop. Due times do not depend on answers: ``due(k) = (phase + k) / rate``.
2. The streams of a path share one schedule: stream ``part`` of ``parts`` has the ``k`` with
   ``k % parts == part``, so no due time is taken twice and none is left out.
3. A burst adds four probes between two base probes (x5), or as many as are asked for, for 10 s after a bad probe.
   It never moves a base probe: base and burst are two schedules, because burst probes count for FAIL only.
4. The cap lowers rates, the least important first, in proportion among equals. Bursts that do not all fit are not
   lowered, but come in turn (:mod:`prober.turns`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BURST_S = 10.0
"""How long a bad probe raises the rate of its path (x5 for 10 s)."""

BURST_EXTRA = 4
"""Extra probes for each base probe in a burst: 1 + 4 makes the x5."""

BASE_SHARE = 0.4
"""What of the cap base rates may take together; the rest is kept for bursts: when many fail at once, they are what
brings everybody back."""

STRAINED_SHARE = 0.8
"""What base rates may take of what a prober that is short of CPU can send."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The due times ``(phase + n) / rate_per_s`` for every integer ``n``."""

    rate_per_s: float
    phase: float

    def due_after(self, moment: float) -> float:
        """Return the first due time later than ``moment``, in seconds."""
        n = math.floor(moment * self.rate_per_s - self.phase) + 1
        due = (self.phase + n) / self.rate_per_s
        while due <= moment:  # the floor may round down at a due time itself
            n += 1
            due = (self.phase + n) / self.rate_per_s
        return due

    def part(self, part: int, parts: int) -> Schedule:
        """Return the due times ``(phase + k) / rate_per_s`` with ``k % parts == part``."""
        return Schedule(self.rate_per_s / parts, (self.phase + part) / parts)

    def slowed(self, share: float) -> Schedule:
        """Return the schedule at a share of the rate (0 < share <= 1)."""
        return self if share == 1 else Schedule(self.rate_per_s * share, self.phase)


def phase_of(key: str) -> float:
    """Where in the first period a schedule begins, in [0, 1): evenly spread over keys."""
    digest = hashlib.blake2b(key.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / float(1 << 48)


def base_schedule(key: str, rate_per_s: float) -> Schedule:
    """Return the due times of a whole path."""
    return Schedule(rate_per_s, phase_of(key))


def burst_schedule(base: Schedule, extra: float = BURST_EXTRA) -> Schedule:
    """Return the ``extra`` probes of a burst for each base probe, evenly between two: four at 1/8, 3/8, 5/8, 7/8."""
    return Schedule(extra * base.rate_per_s, extra * base.phase + 0.5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one path of one stream, or several together, ask of the cap, in probes per second. ``enough_per_s`` is what
    of the burst is worth its cost where not all bursts fit; of the parts of a ``whole`` path one is enough then."""

    priority: int
    base_per_s: float
    burst_per_s: float = 0.0
    enough_per_s: float = math.inf
    whole: str = ""

    @property
    def turn_per_s(self) -> float:
        """Return what the burst takes of the cap when it has its turn."""
        return min(self.burst_per_s, self.enough_per_s)


@dataclass(frozen=True, slots=True)
class Granted:
    """What the cap leaves of it: shares between 0 (nothing) and 1 (all that was wanted). Below 1 that of bursts is what
    they take together: they come in turn."""

    base: float
    burst: float


NOTHING = Granted(0.0, 0.0)

STEP = 0.9
"""A lowered share of a base rate is the next lower power of this: each change paces every path anew, so a little more
or less that is asked must be none."""


def grant(
    wanted: Iterable[Wanted], cap_per_s: float, base_per_s: float, *, bursts: bool = True
) -> dict[int, Granted]:
    """Return, by priority, how ``cap_per_s`` is shared among the wanted rates.

    In the order of :func:`_rank`, and inside a rank every base rate is lowered by the same share. Base rates
    get ``base_per_s`` of it at most, so that those who fail can burst however many there are; bursts get
    what the base rates leave, and none where ``bursts`` are off.
    """
    asked = together(wanted)
    totals = {}
    for want in asked:
        totals[_rank(want.priority, burst=False)] = want.base_per_s, math.inf
        totals[_rank(want.priority, burst=True)] = want.burst_per_s, want.enough_per_s
    shares = _shares(totals, cap_per_s, base_per_s, bursts=bursts)
    return {
        want.priority: Granted(
            shares[_rank(want.priority, burst=False)], shares[_rank(want.priority, burst=True)]
        )
        for want in asked
    }


def together(wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Return what is wanted, added up by priority."""
    sums: dict[int, tuple[float, float, float]] = {}
    for want in wanted:
        base, burst, enough = sums.get(want.priority, (0.0, 0.0, 0.0))
        added = base + want.base_per_s, burst + want.burst_per_s, enough + want.turn_per_s
        sums[want.priority] = added
    return tuple(Wanted(priority, *added) for priority, added in sums.items())


def _shares(
    totals: Mapping[int, tuple[float, float]], cap_per_s: float, base_per_s: float, *, bursts: bool
) -> dict[int, float]:
    """Return, by rank, what share of the total that is asked the cap leaves; where that does not fit, no more than is
    enough."""
    left, left_for_base = cap_per_s, base_per_s
    shares: dict[int, float] = {}
    for rank in sorted(totals):
        (total, enough), is_burst = totals[rank], rank in _BURST_RANKS
        room = (left if bursts else 0.0) if is_burst else min(left, left_for_base)
        fits = total <= room
        shares[rank] = 1.0 if fits else _lowered(total, min(room, enough), is_burst=is_burst)
        # What a step leaves of a room is nobody's: who comes after gets nothing while who comes first is lowered.
        left = max(0.0, left - total * shares[rank]) if fits or not is_burst else 0.0
        if not is_burst:
            left_for_base = max(0.0, left_for_base - total * shares[rank]) if fits else 0.0
    return shares


def _lowered(total: float, room: float, *, is_burst: bool) -> float:
    """Return which share of a total fits a room: of base rates as a power of :data:`STEP`, 0 of nothing."""
    share = room / total
    if is_burst or not share:
        return share
    return STEP ** math.ceil(math.log(share) / math.log(STEP) - 1e-9)


_BURST_RANKS = frozenset({2, 3, 5})


def _rank(priority: int, *, burst: bool) -> int:
    """Return who comes first: the evidence of those above the baseline and at it, their bursts in that order
    (they hasten a FAIL, and must not cost another path its evidence), and the apex, which decides nothing."""
    if priority >= 2:
        return 5 if burst else 4
    return priority + 2 * burst
