"""When evidence is folded. Time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.evidence.path import TICK_S
from controller.runtime.ticks import GATHER_S, SOONEST_S, Ticks
from tests.faults.virtual import VirtualLoop


def ticks(reports: Sequence[float], until_s: float, held_up_s: float = 0.0) -> list[float]:
    """The times of the ticks up to ``until_s``, with a report at each of these times; the first may be held up."""
    loop = VirtualLoop()
    began_s = loop.time()
    found: list[float] = []

    async def go() -> None:
        asked = Ticks(loop.time)
        for at_s in reports:
            loop.call_at(began_s + at_s, asked.heard)
        while loop.time() - began_s < until_s:
            await asked.wait()
            found.append(round(loop.time() - began_s, 4))
            if len(found) == 1 and held_up_s:
                await asyncio.sleep(held_up_s)

    try:
        loop.run_until_complete(go())
    finally:
        loop.close()
    return found


def test_without_a_report_a_tick_comes_every_100_ms() -> None:
    """Silence is seen by ticks, too."""
    assert ticks((), 0.45) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@given(st.floats(0.0, 0.099))
def test_ticks_come_to_follow_the_reports(phase_s: float) -> None:
    """Wherever reports begin, after half a second each tick is 20 ms after one, and 100 ms after the last tick."""
    reports = [phase_s + number * TICK_S for number in range(20)]
    late = [at_s for at_s in ticks(reports, 1.5) if at_s > 0.6]
    for at_s in late:
        assert min(abs(at_s - report_s - GATHER_S) for report_s in reports) < 0.002
    for one, other in pairwise(late):
        assert other - one == pytest.approx(TICK_S, abs=0.002)


@given(st.floats(0.0, 0.099), st.floats(0.0, 0.015))
def test_what_comes_together_is_in_one_tick(phase_s: float, apart_s: float) -> None:
    """Reports of two streams that come some milliseconds apart are not parted by a tick, once ticks follow them."""
    reports = [phase_s + number * TICK_S + more for number in range(20) for more in (0.0, apart_s)]
    for at_s in ticks(reports, 1.5):
        since_s = (at_s - phase_s) % TICK_S
        assert at_s < 0.6 or not 0.001 < since_s < apart_s - 0.001


@given(st.lists(st.floats(0.0, 2.0), max_size=60))
def test_two_ticks_are_never_too_near_nor_too_far(reports: list[float]) -> None:
    """Whatever comes, ticks are 80 to 120 ms apart."""
    for one, other in pairwise(ticks(reports, 2.0)):
        assert SOONEST_S - 0.001 <= other - one <= TICK_S + GATHER_S + 0.001


@example([0.105, 0.179, 0.198])
@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=60))
def test_no_report_waits_longer_than_a_tick(reports: list[float]) -> None:
    """Whatever comes after it, and however often, a report is in a tick within 100 ms."""
    found = ticks(reports, 2.3)
    for report_s in reports:
        assert min(at_s for at_s in found if at_s >= report_s - 0.001) - report_s < TICK_S + 0.001


def test_ticks_that_were_missed_are_not_caught_up() -> None:
    """After a tick whose work took half a second there is one tick for it, and then the next 100 ms on."""
    assert ticks((), 0.75, held_up_s=0.5) == pytest.approx([0.1, 0.6, 0.6, 0.7, 0.8])
