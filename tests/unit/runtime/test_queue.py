"""The queue of what to look at: merging, urgency, timers."""

from __future__ import annotations

import asyncio

import pytest

from controller.domain import Key
from controller.runtime.queue import Queue, Rank

A, B, C = (Key("default", name) for name in "abc")


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


async def taken(queue: Queue, count: int) -> list[Key]:
    """The next so many keys, which must be there already."""
    async with asyncio.timeout(5):
        return [await queue.get() for _ in range(count)]


async def test_duplicates_merge() -> None:
    """A key that is due is due once, however often it was added."""
    queue = Queue(Clock())
    for key in (A, B, A, A):
        queue.add(key)
    assert len(queue) == 2
    assert await taken(queue, 2) == [A, B]
    assert len(queue) == 0


async def test_a_key_may_come_again_once_taken() -> None:
    """A key that is added while it is looked at is looked at again."""
    queue = Queue(Clock())
    queue.add(A)
    assert await taken(queue, 1) == [A]
    queue.add(A)
    assert await taken(queue, 1) == [A]


async def test_the_more_pressing_come_first() -> None:
    """Keys overtake others by rank, also those that were due already; among equals the first come first."""
    queue = Queue(Clock())
    queue.add(A)
    queue.add(B, Rank.ECHO)
    queue.add(C, Rank.WITNESS)
    queue.add(A, Rank.WITNESS)
    queue.add(A)
    assert await taken(queue, 3) == [C, A, B]
    assert len(queue) == 0


async def test_a_timer_keeps_its_rank() -> None:
    """What is due by a pressing timer overtakes what has just changed."""
    clock = Clock()
    queue = Queue(clock)
    queue.add_in(B, 1.0, Rank.WITNESS)
    queue.add(A, Rank.ECHO)
    clock.now_s += 1.0
    assert await taken(queue, 2) == [B, A]


async def test_a_timer_makes_due_when_its_time_has_come() -> None:
    """A timed key is not due before its time, and is once it has come."""
    clock = Clock()
    queue = Queue(clock)
    queue.add_in(A, 10)
    queue.add(B)
    assert await taken(queue, 1) == [B]
    clock.now_s = 9.9
    queue.add(C)
    assert await taken(queue, 1) == [C]
    clock.now_s = 10.0
    assert await taken(queue, 1) == [A]


@pytest.mark.parametrize("delays", [(5, 20), (20, 5), (5, 5)])
async def test_the_earliest_timer_wins(delays: tuple[float, float]) -> None:
    """Of two timers of one key the earlier counts, and the later one makes no second look."""
    clock = Clock()
    queue = Queue(clock)
    for delay_s in delays:
        queue.add_in(A, delay_s)
    clock.now_s = 5
    assert await taken(queue, 1) == [A]
    clock.now_s = 100
    queue.add(B)
    assert await taken(queue, 1) == [B]
    assert len(queue) == 0


async def test_a_timer_is_dropped_with_its_migration() -> None:
    """A forgotten key does not come up again by its timer."""
    clock = Clock()
    queue = Queue(clock)
    queue.add_in(A, 1)
    queue.forget(A)
    clock.now_s = 2
    queue.add(B)
    assert await taken(queue, 1) == [B]
    assert len(queue) == 0


async def test_a_negative_delay_is_now() -> None:
    """A time that has passed already is due at once."""
    queue = Queue(Clock())
    queue.add_in(A, -3)
    assert await taken(queue, 1) == [A]


async def test_waiting_ends_with_an_add_or_a_timer() -> None:
    """Whoever waits on an empty queue is woken by what is added, timers included."""
    queue = Queue(asyncio.get_running_loop().time)
    first = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    assert await asyncio.wait_for(first, 5) == A
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_in(B, 0.01)
    assert await asyncio.wait_for(second, 5) == B


async def test_a_cancelled_wait_loses_nothing() -> None:
    """Cancelling a wait is heard, and what is added later still comes."""
    queue = Queue(Clock())
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    queue.add(A)
    assert await taken(queue, 1) == [A]


async def test_whether_something_pressing_is_due_is_known() -> None:
    """A rank is due while a key of it, or of a more pressing one, waits."""
    queue = Queue(Clock())
    queue.add(A, Rank.ECHO)
    assert [queue.is_due(rank) for rank in Rank] == [False, True, True]
    queue.add(B, Rank.WITNESS)
    assert queue.is_due(Rank.WITNESS)
    await taken(queue, 2)
    assert not queue.is_due(Rank.ROUTINE)
