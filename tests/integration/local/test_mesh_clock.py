"""The mesh's own time: it does not pass while the process of the mesh has no CPU."""

from __future__ import annotations

import asyncio

from deploy.stand_ins.mesh.clock import BEAT_S, LivedClock


class Seconds:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def test_a_clock_that_beats_in_time_loses_nothing() -> None:
    """Some milliseconds of lateness are time like any other."""
    seconds = Seconds()
    clock = LivedClock(seconds)
    for _ in range(10):
        seconds.now += BEAT_S + 0.04
        clock.now()
    assert clock.now() == seconds.now
    assert clock.lost_s == 0.0


def test_a_stretch_without_a_beat_is_no_time() -> None:
    """Whoever reads the clock first after 3 s without CPU sees that they did not pass, and the next too."""
    seconds = Seconds()
    clock = LivedClock(seconds)
    before = clock.now()
    seconds.now += BEAT_S + 3.0
    assert clock.now() - before < BEAT_S + 1e-6
    assert abs(clock.lost_s - 3.0) < 1e-6
    seconds.now += BEAT_S
    assert clock.now() - before < 2 * BEAT_S + 1e-6


async def test_a_timer_does_not_ring_for_time_that_did_not_pass() -> None:
    """What is due in 3 s is not called when the process was stopped for 3 s, and is called after its time."""
    seconds = Seconds()
    clock = LivedClock(seconds)
    rung: list[float] = []
    due = clock.now() + 3.0
    timer = clock.call_at(due, lambda: rung.append(clock.now()))
    seconds.now += 3.0
    timer._ring()
    assert rung == []
    timer.cancel()
    while clock.now() < due:
        seconds.now += BEAT_S
    timer._ring()
    assert rung == [clock.now()]


async def test_a_timer_that_was_called_off_does_not_ring() -> None:
    """Nothing is called once the timer is cancelled."""
    clock = LivedClock()
    rung = asyncio.Event()
    clock.call_at(clock.now(), rung.set).cancel()
    later = asyncio.Event()
    clock.call_at(clock.now(), later.set)
    await later.wait()
    assert not rung.is_set()
