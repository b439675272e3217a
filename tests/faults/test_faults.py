"""The harness as people run it: a slice of its matrix, and defects that its oracle must see."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.broken import DEFECTS

ROOT = Path(__file__).parent.parent.parent
SLICE = ("--every", "25", "--pairs", "1000")
"""A few hundred runs of every group; all of them are ``make faults``."""

MADE_UP = re.compile(r"(?<=[-.])[0-9a-f]{8,16}\b")
"""How a lease's holder and an Event's name end."""


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in a process of its own: it forks."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )


@pytest.mark.parametrize("module", ["oracle", "splits", "proxy", "pipe", "virtual", "wires"])
def test_the_judge_knows_nothing_of_the_product(module: str) -> None:
    """What judges, and what does faults, imports nothing of controller or prober, so that they share no bugs."""
    tree = ast.parse((ROOT / "tests" / "faults" / f"{module}.py").read_text())
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    ours = {str(name) for name in imported if str(name).split(".")[0] in ("controller", "prober")}
    assert ours == set()


@pytest.mark.timeout(900)
def test_a_slice_of_the_matrix_survives() -> None:
    """Each so many-th run of crashes, answers, events, cuts, pairs, stops and clocks survives."""
    done = run("tests.faults", *SLICE)
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads(done.stdout.splitlines()[-1])
    assert total["survived"] == total["runs"] > 200


@pytest.mark.timeout(300)
def test_a_write_that_was_held_up_buries_nothing() -> None:
    """Each write that arrives two seconds after its connection broke leaves the end as it is without."""
    done = run("tests.faults", "--only", "held a moment", "--pairs", "0")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_oracle_sees(defect: str) -> None:
    """A product that is broken on purpose does not survive, and the oracle says of what."""
    done = run("tests.faults.broken", defect)
    assert done.returncode == 0, f"it says only: {done.stdout}{done.stderr}"


def test_a_replay_is_the_same_run() -> None:
    """Two replays differ in nothing but the names that are made up: not in time, order or jitter."""
    replay = ("--replay", "event:85:garbage in the stream+call:107:other shape")
    first, second = (MADE_UP.sub("", run("tests.faults", *replay).stdout) for _ in range(2))
    assert "FAULT garbage" in first
    assert first == second


def test_a_replay_tells_a_story() -> None:
    """A replayed run is told line by line, to its end."""
    done = run("tests.faults", "--replay", "call:51:reset after")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAULT reset after: a " in done.stdout
    assert done.stdout.rstrip().endswith("survived")
