"""The tutorial is typed: each of its commands, in its order, on the clusters that ``make clusters`` has."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Pair, Plan
from deploy.local.screen import Screen
from deploy.local.stage import SERVICE, Result, Stage
from deploy.local.stories import Outage, stand
from tests.docs.commands import ROOT, Command, commands

PAGE = "docs/tutorial.md"
COMMAND_S = 90.0
QUICK = {"--steps": "50", "--dwell": "6s", "--soak": "1s"}
"""In place of what the page has: a reader has twenty minutes. Within the dwell the test has eks fail."""

ENDS: Mapping[str, int] = {"drained": 6}
"""How a verb ends where that is not 0: as the page says, nobody counted."""

OUTAGE = ("4. Let the target fail", "5. Again")
"""Where the reader has eks fail, and where they heal it."""

SHIFTED = b" 50/50 "
"""What a watch is interrupted at."""


def typed() -> Iterator[tuple[str, Command]]:
    """Each command of the page's code blocks, with the heading that it stands under."""
    lines = (ROOT / PAGE).read_text().splitlines()
    for command in commands():
        if command.page == PAGE and lines[command.line - 1].startswith("    "):
            above = [line for line in lines[: command.line] if line.startswith("## ")]
            yield above[-1].removeprefix("## "), command


class Reader:
    """Somebody at a second terminal of these clusters."""

    def __init__(self, pair: Pair) -> None:
        stage = Stage(pair, Screen(pair, SERVICE, lambda _line: None), Result("none"))
        self.stage = stage
        self.outage = Outage(stage)

    async def type(self, command: Command) -> None:
        """Run a command as from a shell; a watch is interrupted when the callers are shifted."""
        process = await asyncio.create_subprocess_exec(
            *_quick(command.words),
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "KUBECONFIG": str(self.stage.pair.kubeconfig),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        async with asyncio.timeout(COMMAND_S):
            if "--watch" in command.words:
                async for line in process.stdout:
                    if SHIFTED in line:
                        break
                process.send_signal(signal.SIGINT)
            said, told = await process.communicate()
        expected = ENDS.get(command.words[1], 0)
        assert process.returncode == expected, f"{command}\n{said.decode()}{told.decode()}"


def _quick(words: tuple[str, ...]) -> list[str]:
    """Return a command with the times and steps of a test."""
    return [QUICK.get(before, word) for before, word in zip(("", *words), words, strict=False)]


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    """The clusters of ``make clusters``, and who reads the page."""
    pair = Pair(Plan())
    try:
        made = Reader(pair)
        await pair.start()
        await stand(made.stage)
        yield made
    finally:
        await pair.stop()


@pytest.mark.story
@pytest.mark.timeout(200)
async def test_the_tutorial_from_its_first_command_to_its_last(reader: Reader) -> None:
    """Typed in their order, the tutorial's commands do what it says, and no request fails by a move."""
    pair = reader.stage.pair
    at = ""
    waited = []
    for heading, command in typed():
        if heading != at and heading in OUTAGE:
            reader.outage.switch()
        at = heading
        if command.words[0] == "kubectl-migrate":
            await reader.type(command)
        if command.words[1] == "wait":
            status = pair.observed.status(SERVICE)
            waited.append((status["phase"], *(pair.observed.share(name) for name in CLUSTERS)))
    assert waited == [("Reverted", 0, 0), ("Completed", 100, 100), ("Completed", 0, 0)]
    assert pair.totals()[1] == 0
    assert QUICK.keys() <= {word for _, command in typed() for word in command.words}
