"""The hands: one write at a time for each object, reverts ahead of all, and a rest after each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from controller.domain import Key
from controller.kube.api import ApiError, Refused, Unavailable
from controller.runtime.lane import AT_ONCE, KEPT_FREE
from controller.runtime.writer import LONGEST_URGENT_PAUSE_S, STALE_S, Place, Work, Writer

A = Key("default", "service-a")
SPLIT, PIN = Place(A, "legacy", "split"), Place(A, "eks", "pin")


class Desk:
    """Hands with everything they tell: who became free, and the log."""

    def __init__(self) -> None:
        self.freed: list[tuple[Key, bool]] = []
        self.log = structlog.testing.CapturingLogger()
        self.hands = Writer(lambda key, urgent: self.freed.append((key, urgent)), self.log)

    def rests(self) -> list[dict[str, Any]]:
        """The warnings of failed writes: what was refused, and for how long the hand rests."""
        return [call.kwargs for call in self.log.calls if call.args == ("write failed",)]

    async def settle(self) -> None:
        """Let every hand come as far as it does without waiting."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def rest(self, error: ApiError, *, urgent: bool = False) -> float:
        """Let a write fail, and give the seconds for which the hand rests."""
        assert self.hands.submit(SPLIT, failing(error), urgent=urgent)
        await self.settle()
        await self.hands.drain(0)
        return float(self.rests()[-1]["again_in_s"])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk whose hands are let go of at the end."""
    made = Desk()
    yield made
    await made.hands.drain(0)


def failing(error: ApiError) -> Work:
    """A write that fails so."""

    async def write() -> None:
        raise error

    return write


def waiting(gate: asyncio.Event, ended: list[str], name: str) -> Work:
    """A write that goes on until the gate opens; whether it was done or broken off is told."""

    async def write() -> None:
        try:
            await gate.wait()
            ended.append(f"{name} done")
        except asyncio.CancelledError:
            ended.append(f"{name} broken off")
            raise

    return write


async def test_one_write_at_a_time_for_each_object(desk: Desk) -> None:
    """A hand that is busy takes nothing more, and another object's hand does."""
    gate = asyncio.Event()
    ended: list[str] = []
    assert desk.hands.submit(SPLIT, waiting(gate, ended, "first"))
    assert not desk.hands.submit(SPLIT, waiting(gate, ended, "second"))
    assert desk.hands.submit(PIN, waiting(gate, ended, "pin"))
    gate.set()
    await desk.hands.drain(10)
    assert sorted(ended) == ["first done", "pin done"]
    assert desk.freed == [(A, False), (A, False)]


async def test_what_is_being_written_is_told_by_kind(desk: Desk) -> None:
    """Whoever asks for splits is not told of pins, and who asks for both is told of both."""
    gate = asyncio.Event()
    desk.hands.submit(SPLIT, waiting(gate, [], "split"))
    desk.hands.submit(PIN, waiting(gate, [], "pin"))
    assert desk.hands.writing(A, "split") == {"legacy"}
    assert desk.hands.writing(A, "split", "pin") == {"legacy", "eks"}
    assert desk.hands.writing(Key("default", "other"), "split", "pin") == frozenset()


async def test_a_revert_takes_the_place_of_a_raise_that_hangs(desk: Desk) -> None:
    """A raise that hangs is broken off for a revert at once, and no raise ever for a raise."""
    gate = asyncio.Event()
    ended: list[str] = []
    desk.hands.submit(SPLIT, waiting(gate, ended, "raise"))
    await asyncio.sleep(0)
    assert desk.hands.submit(SPLIT, waiting(gate, ended, "revert"), urgent=True)
    assert not desk.hands.submit(SPLIT, waiting(gate, ended, "other revert"), urgent=True)
    assert not desk.hands.submit(SPLIT, waiting(gate, ended, "other raise"))
    gate.set()
    await desk.hands.drain(10)
    assert ended == ["raise broken off", "revert done"]


async def test_a_revert_takes_the_place_of_a_hand_that_rests(desk: Desk) -> None:
    """A hand that was told to rest for two minutes begins a revert at once."""
    desk.hands.submit(SPLIT, failing(Unavailable("429", status=429, retry_after_s=120.0)))
    await desk.settle()
    ended: list[str] = []
    gate = asyncio.Event()
    gate.set()
    assert desk.hands.submit(SPLIT, waiting(gate, ended, "revert"), urgent=True)
    await desk.hands.drain(10)
    assert ended == ["revert done"]


async def test_the_pause_that_a_server_asks_for_is_taken(desk: Desk) -> None:
    """A raise waits at least as long as Retry-After says; a revert never longer than a second."""
    busy = Unavailable("429", status=429, retry_after_s=30.0)
    assert await desk.rest(busy) >= 30.0
    assert await desk.rest(busy, urgent=True) <= LONGEST_URGENT_PAUSE_S


async def test_no_two_hands_come_back_together(desk: Desk) -> None:
    """Pauses after the same failure differ: full jitter, from nothing up to a bound."""
    pauses = [await desk.rest(Refused("403", status=403)) for _ in range(40)]
    assert len(set(pauses)) > 20
    assert max(pauses) <= 5.0
    assert min(pauses[10:]) < max(pauses[10:]) / 2


async def test_an_error_of_ours_is_a_failure_like_any_other(desk: Desk) -> None:
    """A write that breaks by itself is logged and told as a failure, and the hand is free again."""

    async def broken() -> None:
        raise ValueError("a bug")

    desk.hands.submit(SPLIT, broken)
    await desk.settle()
    ((reason, message),) = desk.hands.failures(A)
    assert (reason, "a bug" in message) == ("WriteFailed", True)
    await desk.hands.drain(0)
    assert not desk.hands.busy(SPLIT)


async def test_a_success_ends_the_failure(desk: Desk) -> None:
    """What failed last is told until it succeeds, and not after."""
    await desk.rest(Refused("403 no", status=403))
    assert desk.hands.failures(A) == (
        ("WriteFailed", "in legacy the split was not written: 403 no"),
    )
    gate = asyncio.Event()
    gate.set()
    desk.hands.submit(SPLIT, waiting(gate, [], "again"))
    await desk.hands.drain(10)
    assert desk.hands.failures(A) == ()


async def test_without_the_lease_raises_end_and_reverts_go_on(desk: Desk) -> None:
    """When the lease is lost every raise is broken off, and no revert, pin or status."""
    gate = asyncio.Event()
    ended: list[str] = []
    baseline = Place(A, "eks", "split")
    desk.hands.submit(SPLIT, waiting(gate, ended, "raise"))
    desk.hands.submit(baseline, waiting(gate, ended, "revert"), urgent=True)
    desk.hands.submit(PIN, waiting(gate, ended, "pin"))
    await asyncio.sleep(0)
    desk.hands.drop_raises()
    await asyncio.sleep(0)
    gate.set()
    await desk.hands.drain(10)
    assert sorted(ended) == ["pin done", "raise broken off", "revert done"]


async def test_the_end_waits_for_what_is_in_flight_and_not_for_ever(desk: Desk) -> None:
    """At the end a write that can finish does, and one that hangs is broken off at the deadline."""
    ended: list[str] = []
    gate = asyncio.Event()
    gate.set()
    desk.hands.submit(SPLIT, waiting(gate, ended, "quick"))
    desk.hands.submit(PIN, waiting(asyncio.Event(), ended, "hanging"))
    await desk.hands.drain(0.05)
    assert ended == ["quick done", "hanging broken off"]
    assert not desk.hands.busy(SPLIT)
    assert not desk.hands.busy(PIN)


async def test_a_server_that_is_busy_holds_up_nobody_elsewhere(desk: Desk) -> None:
    """After a 429 with Retry-After nothing but rollbacks is sent to that cluster, and the other's goes on."""
    busy = Unavailable("429", status=429, retry_after_s=30.0)
    done: list[str] = []
    gate = asyncio.Event()
    gate.set()
    desk.hands.submit(SPLIT, failing(busy))
    await desk.settle()
    other = Key("default", "service-b")
    desk.hands.submit(Place(other, "legacy", "split"), waiting(gate, done, "raise"))
    desk.hands.submit(Place(other, "eks", "split"), waiting(gate, done, "elsewhere"))
    rolled = Place(Key("default", "service-c"), "legacy", "split")
    desk.hands.submit(rolled, waiting(gate, done, "rollback"), urgent=True)
    await desk.settle()
    assert done == ["elsewhere done", "rollback done"]


async def test_what_is_told_is_told_before_the_end(desk: Desk) -> None:
    """An Event that waits for its turn is still posted when the process ends."""
    gate = asyncio.Event()
    gate.set()
    done: list[str] = []
    desk.hands.tell("legacy", waiting(gate, done, "event"))
    await desk.hands.drain(1.0)
    assert done == ["event done"]


async def test_a_move_that_waited_too_long_is_decided_anew() -> None:
    """What had to wait for its turn is not written on evidence of before; who waits for it is told to look again."""
    now_s, freed = 0.0, []
    hands = Writer(
        lambda key, _: freed.append(key), structlog.testing.CapturingLogger(), lambda: now_s
    )
    done: list[str] = []
    gate = asyncio.Event()
    others = [
        Place(Key("default", f"other-{n}"), "legacy", "pin") for n in range(AT_ONCE - KEPT_FREE)
    ]
    for place in others:
        hands.submit(place, waiting(gate, done, "pin"))
    hands.submit(SPLIT, waiting(gate, done, "move"))
    await asyncio.sleep(0)
    now_s = STALE_S + 0.1
    gate.set()
    await hands.drain(1.0)
    assert "move done" not in done
    assert A in freed
    assert hands.failures(A) == ()
