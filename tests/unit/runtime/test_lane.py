"""Whose turn it is to write: how many at a time, in which order, and what a pause keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from controller.runtime.lane import AT_ONCE, KEPT_FREE, LULL_S, Lane, Pressing


class Street:
    """A lane with writes that end when told. ``now_s`` is its clock, which the loop's timers do not know."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lane = Lane(lambda: self.now_s)
        self.under_way: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, pressing: Pressing) -> None:
        """Ask for a turn."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._write(name, pressing))
        await self.settle()

    async def _write(self, name: str, pressing: Pressing) -> None:
        async with self.lane.turn(pressing):
            self.under_way.append(name)
            await self._ends[name].wait()
        self.under_way.remove(name)

    async def end(self, name: str) -> None:
        """Let one write end."""
        self._ends[name].set()
        await self.tasks[name]
        await self.settle()

    async def settle(self) -> None:
        """Let everybody come as far as they do without waiting."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Let go of everything."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    """A lane that nobody uses yet."""
    made = Street()
    yield made
    await made.close()


async def test_room_is_kept_for_rollbacks(street: Street) -> None:
    """However many move, so many turns are left for rollbacks, and no more than all are taken."""
    for number in range(AT_ONCE):
        await street.come(f"move {number}", Pressing.MOVE)
    assert len(street.under_way) == AT_ONCE - KEPT_FREE
    for number in range(AT_ONCE):
        await street.come(f"back {number}", Pressing.ROLLBACK)
    assert len(street.under_way) == AT_ONCE
    await street.end("move 0")
    assert len(street.under_way) == AT_ONCE
    assert sum(name.startswith("back") for name in street.under_way) == KEPT_FREE + 1


async def test_the_more_pressing_go_first(street: Street) -> None:
    """Who waits is let in by how pressing it is, and of equals who came first."""
    for number in range(AT_ONCE):
        await street.come(f"first {number}", Pressing.ROLLBACK)
    for name, pressing in (
        ("status", Pressing.TELL),
        ("move", Pressing.MOVE),
        ("pin", Pressing.PIN),
        ("back 1", Pressing.ROLLBACK),
        ("back 2", Pressing.ROLLBACK),
    ):
        await street.come(name, pressing)
    for number in range(KEPT_FREE + 5):
        await street.end(f"first {number}")
    assert [name for name in street.under_way if not name.startswith("first")] == [
        "back 1",
        "back 2",
        "pin",
        "move",
        "status",
    ]


async def test_who_gives_up_takes_no_room(street: Street) -> None:
    """A write that is ended while it waits, or in its turn, leaves its room to the next."""
    for number in range(AT_ONCE):
        await street.come(f"back {number}", Pressing.ROLLBACK)
    await street.come("given up", Pressing.ROLLBACK)
    await street.come("next", Pressing.ROLLBACK)
    street.tasks["given up"].cancel()
    street.tasks["back 0"].cancel()
    await street.settle()
    assert "next" in street.under_way
    assert "given up" not in street.under_way


async def test_a_pause_keeps_all_but_rollbacks(street: Street) -> None:
    """While an API server asks for a pause rollbacks are sent, and the others once it is over."""
    street.lane.pause(5.0)
    await street.come("move", Pressing.MOVE)
    await street.come("back", Pressing.ROLLBACK)
    assert street.under_way == ["back"]
    street.now_s = 5.0
    await street.come("pin", Pressing.PIN)
    assert street.under_way == ["back", "pin", "move"]


async def test_what_only_tells_waits_while_rollbacks_land(street: Street) -> None:
    """A status is not written until no rollback has landed for a moment; a pin is."""
    street.lane.landed()
    await street.come("status", Pressing.TELL)
    await street.come("pin", Pressing.PIN)
    assert street.under_way == ["pin"]
    street.now_s = LULL_S
    await street.come("move", Pressing.MOVE)
    assert street.under_way == ["pin", "move", "status"]


async def test_who_waits_is_let_in_when_the_pause_is_over() -> None:
    """Nobody else has to come for that."""
    loop = asyncio.get_running_loop()
    lane = Lane(loop.time)
    lane.pause(0.01)
    async with asyncio.timeout(5), lane.turn(Pressing.TELL):
        pass
