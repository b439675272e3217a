"""Whose burst it is, where not all that burst fit under the cap. Pure: time is an argument, in seconds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

TURN_S = 0.6
"""How long a turn lasts: five samples of 100 ms with a bad probe each show an outage, and one is cut short by when it
begins. Who bursts on waits for the next."""

REST_S = 1.0
"""How long who had a turn waits for the next, however much is free: what it has shown is being decided on."""

P = TypeVar("P", bound=Hashable)


class Turns(Generic[P]):
    """Who burst, in the order in which they are served: first come, first served, each for a turn.

    A little of every burst at once would show the outage of all of them as late as that of the last.
    """

    def __init__(self) -> None:
        self._waiting: dict[P, float] = {}
        """Those without a turn, in the order in which they get one, and from when on each may."""
        self._ends_s: dict[P, float] = {}
        """When the turn of each that has one ends."""

    def give(self, asked: Mapping[P, float], room_per_s: float, now: float) -> frozenset[P]:
        """Return who bursts until the next call, of those that ask (with the rate that each takes of the room)."""
        self._line_up(asked, now)
        begun = {p: end_s for p, end_s in self._ends_s.items() if p in asked and end_s > now}
        may = {path: now + TURN_S for path, at_s in self._waiting.items() if at_s <= now}
        self._ends_s = {}
        for path, end_s in {**begun, **may}.items():
            if asked[path] <= room_per_s:
                room_per_s -= asked[path]
                self._ends_s[path] = end_s
                self._waiting.pop(path, None)
            else:
                self._waiting.setdefault(path, now)
        return frozenset(self._ends_s)

    def _line_up(self, asked: Mapping[P, float], now: float) -> None:
        """Let who asks no more go, who asks anew wait behind the others, and who had his turn rest."""
        here = {path: at_s for path, at_s in self._waiting.items() if path in asked}
        new = {path: now for path in asked if path not in here and path not in self._ends_s}
        over = {
            p: end_s + REST_S for p, end_s in self._ends_s.items() if p in asked and end_s <= now
        }
        self._waiting = {**here, **new, **over}
