"""What all streams of this prober together may send. Pure: time is an argument, in seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from math import inf

from prober.schedule import BASE_SHARE, NOTHING, STRAINED_SHARE, Granted, Wanted, grant, together
from prober.turns import Turns

CUT = 0.7
"""What is left of the rate each time the loop lags."""

CUT_EVERY_S = 0.5
"""One cut must be felt before the next: a slower pace is in force with the next report, 100 ms later."""

CALM_S = 3.0
"""How long the loop must be well before the rate rises again."""

RISE_PER_S = 0.05
"""How much of the cap comes back each second: from the floor to the cap in 18 s."""

FLOOR = 0.1
"""A prober with a tenth of its CPU keeps a tenth of its rate. Below, less load would not cure a lag that
others cause, and would only take the evidence away."""

NO_BURST_S = 1.0
"""How long after a lag there are no bursts: they would make the next one."""


_ROUNDING = 1e-9
"""Of sums of rates, lest the last of those that just fit wait."""


class EffectiveCap:
    """How much of the cap this prober can serve on time: cut at once by each lag, given back slowly."""

    def __init__(self, cap_per_s: float) -> None:
        self.per_s = cap_per_s
        self._cap_per_s = cap_per_s
        self._cut_s = self._strained_s = -inf
        self._rises_s = inf

    def strain(self, now: float, used_per_s: float) -> None:
        """Note a lag while ``used_per_s`` were sent: that was too much, if it is not the first for a while."""
        self._strained_s = now
        self._rises_s = now + CALM_S
        if now - self._cut_s >= CUT_EVERY_S:
            again = now - self._cut_s < CALM_S
            self._cut_s = now
            too_much = min(self.per_s, used_per_s) if again else self.per_s
            self.per_s = max(FLOOR * self._cap_per_s, CUT * too_much)

    def pass_time(self, now: float) -> None:
        """Give back what is due: in whole seconds, because each change paces every path anew."""
        if now >= self._rises_s:
            steps = int(now - self._rises_s) + 1
            self._rises_s += steps
            self.per_s = min(self._cap_per_s, self.per_s + steps * RISE_PER_S * self._cap_per_s)

    def may_burst(self, now: float) -> bool:
        """Return whether the loop has been well lately."""
        return now - self._strained_s >= NO_BURST_S


class Capacity:
    """The cap, who wants how much of it, and what each gets."""

    def __init__(self, cap_per_s: float) -> None:
        self.cap_per_s = cap_per_s
        self._effective = EffectiveCap(cap_per_s)
        self._wanted: dict[Hashable, Wanted] = {}
        self.shares: Mapping[int, Granted] = {}
        """What those of a priority got together when last settled. As long as it is this object all get the same."""
        self._turns: dict[int, Turns[Hashable]] = defaultdict(Turns)
        self._in_turn: dict[int, frozenset[Hashable]] = {}
        """By priority, whose burst it is, where not all of them fit."""
        self._settled: tuple[float, bool] | None = None
        self._free_per_s = 0.0

    def want(self, path: Hashable, wanted: Wanted | None) -> None:
        """Ask for a rate, or for none any more. Answered by the next :meth:`settle`."""
        if wanted is None:
            self._wanted.pop(path, None)
        else:
            self._wanted[path] = wanted
        self._settled = None

    def strain(self, now: float) -> None:
        """Send less: the event loop lags, or a probe was too late to be sent."""
        self._effective.strain(now, self.totals()[1])

    def settle(self, now: float) -> None:
        """Share the cap again, if anything was asked or has changed since the last time, or turns pass."""
        self._effective.pass_time(now)
        under = self._effective.per_s, self._effective.may_burst(now)
        if self._settled != under or self._in_turn:
            base_per_s = min(BASE_SHARE * self.cap_per_s, STRAINED_SHARE * under[0])
            asked = together(self._wanted.values())
            self.shares = grant(asked, under[0], base_per_s, bursts=under[1])
            self._in_turn = {
                want.priority: self._take_turns(want, self.shares[want.priority].burst, now)
                for want in asked
                if want.burst_per_s and self.shares[want.priority].burst < 1
            }
            self._settled = under
            self._free_per_s = under[0] - self._sent_per_s(asked) if under[1] else 0.0

    def _take_turns(self, asked: Wanted, share: float, now: float) -> frozenset[Hashable]:
        """Return who has a turn, of those of a priority who ask this together and get this share of it."""
        one_of: dict[Hashable, Hashable] = {}
        for path, want in self._wanted.items():
            if want.burst_per_s and want.priority == asked.priority:
                one_of.setdefault(want.whole or path, path)
        room_per_s = share * asked.burst_per_s * (1 + _ROUNDING)
        turns = {path: self._wanted[path].turn_per_s for path in one_of.values()}
        return self._turns[asked.priority].give(turns, room_per_s, now)

    def granted(self, path: Hashable) -> Granted:
        """Return what was left of what a path asks when last settled."""
        want = self._wanted.get(path)
        if want is None:
            return NOTHING
        share = self.shares.get(want.priority, NOTHING)
        in_turn = self._in_turn.get(want.priority)
        if in_turn is None or not want.burst_per_s:
            return share
        return Granted(share.base, want.turn_per_s / want.burst_per_s if path in in_turn else 0.0)

    def claim(self, path: Hashable) -> Granted:
        """Return what a path that bursts gets until the next :meth:`settle`, and take it of what is free: all of its
        burst, or what is enough, or nothing of it."""
        want, granted = self._wanted[path], self.granted(path)
        for per_s in (want.burst_per_s, want.turn_per_s):
            if 0 < per_s <= self._free_per_s:
                self._free_per_s -= per_s
                return Granted(granted.base, per_s / want.burst_per_s)
        return Granted(granted.base, 0.0)

    def totals(self) -> tuple[float, float]:
        """Return the sums of what is wanted, and of what was granted when last settled, in probes per second."""
        asked = together(self._wanted.values())
        return sum(want.base_per_s + want.burst_per_s for want in asked), self._sent_per_s(asked)

    def _sent_per_s(self, asked: Iterable[Wanted]) -> float:
        """Return what is granted of this."""
        shares = ((want, self.shares.get(want.priority, NOTHING)) for want in asked)
        return sum(
            want.base_per_s * got.base + want.burst_per_s * got.burst for want, got in shares
        )
