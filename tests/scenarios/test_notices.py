"""Stories of who else is notified: of what, once, and never in the way of a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import structlog

from controller.domain import Phase
from controller.domain.notices import NoticeKind
from controller.runtime.notifications import Notifications
from controller.runtime.receivers import Receiver
from controller.runtime.webhooks import Answer
from tests.scenarios.test_fleets import phase, put, wave
from tests.scenarios.test_rollback import risen
from tests.scenarios.world import World

STEPS = [NoticeKind.STARTED, *[NoticeKind.STEP_RAISED] * 5]
"""Of an attempt up to its soak, with the first share a step like the others."""


def kinds(world: World) -> list[NoticeKind]:
    """What was told, in order."""
    return [notice.kind for _, _, notice in world.notices]


def test_a_move_is_told_step_by_step() -> None:
    """An attempt is told when it begins, at each step, and when it is completed; its notices say to whom and what."""
    world = World()
    world.begin_on_legacy()
    world.ask()
    world.until_phase(Phase.COMPLETED)
    world.run(2)
    assert kinds(world) in ([*STEPS, NoticeKind.COMPLETED], [*STEPS[:-1], NoticeKind.COMPLETED])
    last = world.notices[-1][2]
    assert (last.subject, last.facts["target"], last.facts["attempt"]) == (
        "default/service-a",
        "eks",
        "1",
    )


def test_a_rollback_is_told_when_it_begins_and_when_it_is_done() -> None:
    """Callers that are rolled back are told of twice: that it began, and that everybody is back, with the reason."""
    world = risen()
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    world.run(2)
    assert kinds(world)[-2:] == [NoticeKind.REVERTING, NoticeKind.REVERTED]
    assert world.notices[-1][2].facts["reason"] == "TargetBad"


def test_who_waits_for_a_person_is_told_and_a_turn_is_not() -> None:
    """A Service that only somebody can help is told of; one that was paused by its owner is not."""
    world = World()
    world.begin_on_legacy()
    world.ask(paused="true")
    world.run(5)
    assert kinds(world) == []
    world.annotate(steps="no steps")
    world.run(2)
    assert kinds(world) == [NoticeKind.HELD]
    assert world.notices[0][2].facts["reason"] == "Malformed"


def test_of_two_replicas_one_tells_and_the_next_leader_tells_nothing_twice() -> None:
    """Nothing is told twice by a second replica, or by the one that goes on after the leader was killed."""
    world = World()
    world.begin_on_legacy()
    other = world.join("eks", fencing_token=1, leads=False)
    other.may_roll_back = False
    world.ask()
    world.until_share(250)
    world.kill(world.replicas[0])
    world.run(15)
    other.fencing_token, other.may_roll_back = 2, True
    other.lead(leads=True)
    world.until_phase(Phase.COMPLETED)
    world.run(2)
    told = [(notice.kind, notice.facts["share"]) for _, _, notice in world.notices]
    assert len(told) == len(set(told))
    assert kinds(world)[0] is NoticeKind.STARTED
    assert kinds(world)[-1] is NoticeKind.COMPLETED


def test_waves_are_told() -> None:
    """A wave is told when it opens and when it is completed."""
    world = World(services=("a",))
    put(world, wave("one", "a"))
    world.until(lambda: phase(world, "a") is Phase.COMPLETED, limit_s=5000)
    world.run(5)
    fleet = [notice for _, _, notice in world.notices if not notice.namespace]
    assert [notice.kind for notice in fleet] == [NoticeKind.WAVE_OPENED, NoticeKind.WAVE_COMPLETED]
    assert {notice.subject for notice in fleet} == {"fleet/to-eks"}


def rolled_back(post: Callable[..., Awaitable[Answer]] | None) -> list[tuple[float, str, int]]:
    """Roll back with a receiver that answers so; when each weight was written."""
    world = World()
    if post is not None:
        told: Any = Notifications(
            None, "//test", meter=Mock(), log=structlog.get_logger(), pause=asyncio.sleep
        )
        receiver = Receiver(name="slow", url="http://127.0.0.1:1/")
        world.loop.run_until_complete(told.take((receiver,), post))
        world.replica.on_notice.append(told.tell)
    world.begin_on_legacy()
    world.ask()
    world.until_share(250)
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    return [(write.at_s, write.cluster, write.away_permille) for write in world.writes]


def test_a_receiver_that_hangs_delays_no_write() -> None:
    """With a receiver that never answers, each weight of a rise and its rollback is written at the very same time."""
    asked: list[object] = []

    async def hang(*what: object) -> Answer:
        asked.append(what)
        await asyncio.Event().wait()
        return Answer()

    assert rolled_back(hang) == rolled_back(None)
    assert len(asked) == 1
