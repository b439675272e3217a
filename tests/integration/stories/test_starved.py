"""A machine that is too busy: the demo says so, and blames the product for nothing that it could not do."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local.__main__ import exit_code
from deploy.local.pair import Pair, Plan
from deploy.local.screen import Screen
from deploy.local.stage import END_S, SERVICE, WISHES, Result, Stage, Story, Verdict, judge
from deploy.local.stories import at_share
from deploy.stand_ins.mesh import EKS, LEGACY

STANDS_S = 0.6
RUNS_S = 0.1
LIMIT_S = 4.0


@asynccontextmanager
async def starving(pair: Pair) -> AsyncIterator[None]:
    """Let the probers have little CPU: stopped for 0.6 s, running for 0.1 s, and so on."""

    def both(number: signal.Signals) -> None:
        for prober in pair.probers.values():
            os.kill(prober.pid, number)

    async def on_and_off() -> None:
        while True:
            both(signal.SIGSTOP)
            await asyncio.sleep(STANDS_S)
            both(signal.SIGCONT)
            await asyncio.sleep(RUNS_S)

    task = asyncio.create_task(on_and_off())
    try:
        yield
    finally:
        task.cancel()
        both(signal.SIGCONT)


async def begun(stage: Stage) -> None:
    """Up to the first step, with probers that are well."""
    await stage.set_up()
    await stage.pair.annotate(LEGACY, SERVICE, WISHES)
    await stage.ask(target=EKS)
    await stage.until(lambda: at_share(stage.pair, 10.0), "10 % was not reached", END_S)


async def starved(stage: Stage) -> None:
    """To eks, by probers that are stopped most of the time."""
    await begun(stage)
    async with starving(stage.pair):
        await stage.reach("Completed", EKS, LIMIT_S)


async def starved_and_failing(stage: Stage) -> None:
    """The same, after the gateway of legacy, which serves most callers in eks, has refused some."""
    await begun(stage)
    await stage.pair.mesh.gateway(LEGACY).die()
    await stage.until(lambda: stage.pair.totals()[1] > 0, "no call failed", END_S)
    async with starving(stage.pair):
        await stage.reach("Completed", EKS, LIMIT_S)


async def came_of(story: Story) -> Result:
    """Return what came of a story."""
    pair = Pair(Plan())
    result = Result("move")
    try:
        await judge(story, Stage(pair, Screen(pair, SERVICE, lambda _line: None), result))
    finally:
        await pair.stop()
    return result


@pytest.mark.story
async def test_a_starved_story_says_so() -> None:
    """Where the probers are starved and the end is not reached, the verdict is that, with how long it was."""
    result = await came_of(starved)
    assert result.broken == []
    assert result.line()["verdict"] == "starved"
    assert result.line()["starved_s"] > 0
    assert result.starved.startswith("the probers were starved of CPU for ")
    assert result.unreached.startswith(f"Completed was not reached in {LIMIT_S:g} s")
    assert exit_code([result.verdict]) == 3


@pytest.mark.story
async def test_a_broken_promise_is_broken_on_a_busy_machine_too() -> None:
    """Requests that failed are told as broken, however starved the probers were."""
    result = await came_of(starved_and_failing)
    assert result.line()["starved_s"] > 0
    (broken,) = result.broken
    assert broken == f"{result.failed} of {result.requests} requests failed by the move"
    assert exit_code([result.verdict]) == 1


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        (["kept", "kept"], 0),
        (["kept", "starved", "kept"], 3),
        (["starved", "broken", "kept"], 1),
    ],
)
def test_the_worst_story_gives_the_exit_code(verdicts: list[Verdict], code: int) -> None:
    """A broken promise in any story exits with 1, a machine that was too busy for one with 3."""
    assert exit_code(verdicts) == code
