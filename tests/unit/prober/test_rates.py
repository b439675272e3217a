"""How the paths of one stream are paced. Time is an argument."""

from __future__ import annotations

from prober.capacity import Capacity
from prober.contract import Assign
from prober.path import ENOUGH_PER_S, ProbedPath, Timer
from prober.rates import Rates
from prober.schedule import BASE_SHARE
from prober.timers import Timers

NOW = 1_780_000_000.0


class Paced:
    """Some paths of ten probes a second, under a cap."""

    def __init__(self, cap_per_s: float, paths: int) -> None:
        self.timers: Timers[Timer] = Timers()
        self.capacity = Capacity(cap_per_s)
        self.rates = Rates(self.capacity, self.timers)
        self.paths = [ProbedPath(_assign(number), (), NOW) for number in range(paths)]
        for path in self.paths:
            self.rates.begin(path, NOW)
        self.rates.follow(NOW)

    def sent(self, from_s: float, until_s: float) -> list[Timer]:
        """What is due between these times."""
        list(self.timers.take(NOW + from_s))
        return [timer for _, timer in self.timers.take(NOW + until_s)]


def _assign(number: int) -> Assign:
    return Assign(number, f"k{number}", "default", "a", "mirror", 80, 10.0, ((200, 200),))


def test_a_burst_begins_at_once_where_there_is_room() -> None:
    """The path that was bad is asked more often before the next report, and no other is."""
    paced = Paced(1_000, 2)
    assert paced.rates.burst(paced.paths[0], NOW)
    assert not paced.rates.burst(paced.paths[0], NOW)
    bursts = [timer for timer in paced.sent(0.0, 0.1) if timer.burst]
    assert len(bursts) == 4
    assert {timer.path for timer in bursts} == {paced.paths[0]}


def test_what_is_free_is_given_away_once() -> None:
    """Until the cap is shared anew no more begins than fits beside what is sent: whole bursts first, then what is
    enough. Then all take turns of what is enough."""
    paced = Paced(10 * 10 / BASE_SHARE, 10)
    at_once = [paced.rates.burst(path, NOW) for path in paced.paths]
    assert at_once.count(True) == 3 + int((150 - 3 * 40) / ENOUGH_PER_S)
    assert paced.rates.follow(NOW)
    bursts = [timer for timer in paced.sent(0.0, 0.1) if timer.burst]
    assert {timer.path for timer in bursts} == set(paced.paths)
    assert len(bursts) == 10


def test_who_had_a_turn_makes_room_for_who_had_none() -> None:
    """Where not even what is enough fits for all that burst, each has its turn before anybody has another."""
    paced = Paced(10 * 10 / BASE_SHARE, 40)
    for path in paced.paths:
        paced.rates.burst(path, NOW)
    turns: list[set[ProbedPath | None]] = []
    for tick in range(20):
        paced.rates.follow(NOW + tick / 10)
        sent = paced.sent(tick / 10, (tick + 1) / 10)
        turns.append({timer.path for timer in sent if timer.burst})
    assert all(len(turn) <= 15 for turn in turns)
    assert set().union(*turns) == set(paced.paths)


def test_only_whom_the_cap_leaves_otherwise_is_paced_anew() -> None:
    """Where nothing has changed nobody is; a burst of one path moves no probe of those that share the cap."""
    paced = Paced(1_000, 3)
    assert not paced.rates.follow(NOW)
    before = [timer for timer in paced.sent(0.0, 1.0) if timer.path is paced.paths[1]]
    assert paced.rates.burst(paced.paths[0], NOW)
    assert not paced.rates.follow(NOW + 1)
    after = [timer for timer in paced.sent(1.0, 2.0) if timer.path is paced.paths[1]]
    assert len(before) == len(after) == 10
    assert paced.rates.follow(NOW + 20)
    assert not any(timer.burst for timer in paced.sent(20.0, 21.0))


def test_who_is_lowered_is_told_until_it_ends() -> None:
    """What the cap leaves is told by assignment, and of a path that ended nothing is."""
    paced = Paced(20, 2)
    assert set(paced.rates.throttled) == {0, 1}
    assert all(3.6 <= per_s <= 4 for per_s in paced.rates.throttled.values())
    paced.rates.end(paced.paths[0], NOW)
    assert set(paced.rates.throttled) == {1}
    paced.rates.follow(NOW)
    assert set(paced.rates.throttled) == {1}
    assert {timer.path for timer in paced.sent(0.0, 1.0)} == {paced.paths[1]}
