"""Completion: what the shells and kubectl are told that may be typed next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.cli.arguments import WRITING
from controller.cli.commands import MODULES, command
from controller.cli.verbs import VERBS
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.unit.cli.cli_cluster import (
    COMMAND,
    CommandCluster,
    migration,
    mirror,
    run,
    service,
)
from tests.unit.cli.fleets import WAVES, fleet

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CommandCluster]:
    """A cluster with service-a, whose migration is under way, an untouched service-b, a mirror, and a Fleet."""
    async with EmbeddedApi("legacy") as api:
        made = CommandCluster(api, tmp_path / "kubeconfig")
        made.put(service("service-a", target="eks"), migration(), service("service-b"))
        made.put(mirror("service-a", "eks"), fleet())
        yield made


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("sta",), ["status", "start"]),
        (("start", "service-b", "--to", ""), ["eks", "legacy"]),
        (("start", ""), ["service-a", "service-b"]),
        (("pause", ""), ["service-a"]),
        (("status", "-n", "def"), ["default"]),
        (("status", "--context", ""), ["legacy"]),
        (("status", "-o", "y"), ["yaml"]),
        (("start", "service-b", "--dr"), ["--dry-run"]),
        (("fleet", "ro"), ["rollback"]),
        (("fleet", "open", ""), list(WAVES)),
        (("fleet", "pause", ""), ["to-eks"]),
        (("wait", "service-a", "--for", ""), ["completed", "reverted"]),
        (("status", "-n", "migrate", "service-"), []),
    ],
)
async def test_kubectl_is_told_what_may_follow(
    cluster: CommandCluster, words: tuple[str, ...], names: list[str]
) -> None:
    """``__complete`` answers as a command of Cobra does: a candidate a line, and that no file is meant."""
    where = ("--kubeconfig", str(cluster.kubeconfig))
    done = await asyncio.to_thread(run, "__complete", *where, *words)
    *lines, directive = done.out.splitlines()
    assert (directive, done.err) == (":4", "")
    assert [line.partition("\t")[0] for line in lines] == names


@pytest.mark.parametrize("words", [("pause", ""), ("status", "-n", ""), ("--context", "")])
async def test_a_cluster_that_is_away_completes_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Where no cluster tells names there are none, and no word of it on the line that is typed."""
    where = ("--kubeconfig", str(tmp_path / "none"))
    done = await asyncio.to_thread(run, "__complete", *where, *words)
    assert (done.code, done.out, done.err) == (0, ":4\n", "")


def test_a_file_may_follow_where_one_is_meant() -> None:
    """Behind ``--kubeconfig`` the shell offers files."""
    assert run("__complete", "--kubeconfig", "").out == ":0\n"


def test_what_may_follow_is_described() -> None:
    """A candidate has behind a tab what its help says, as Cobra's have."""
    assert "\npause\tkeep a Service at its share" in run("__complete", "").out


def test_kubectl_finds_a_program_of_its_own() -> None:
    """``kubectl_complete-migrate`` is installed, and answers kubectl."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["kubectl_complete-migrate"].partition(":")
    code = f"import sys; sys.argv[1:] = ['sta']; from {module} import {name}; {name}()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [
        "status",
        "start",
        ":4",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """``completion`` prints what each shell reads, about ``kubectl-migrate``."""
    done = run("completion", shell)
    assert done.code == 0
    assert "kubectl-migrate" in done.out


def test_bash_completes(tmp_path: Path) -> None:
    """A bash that has read the script completes a verb."""
    program = tmp_path / "kubectl-migrate"
    program.write_text(f"#!{sys.executable}\n{COMMAND[2]}\n")
    program.chmod(0o755)
    typed = "kubectl-migrate resu"
    lines = (
        run("completion", "bash").out,
        f"COMP_LINE={typed!r} COMP_POINT={len(typed)} COMP_TYPE=9",
        "_python_argcomplete kubectl-migrate",
        'echo "${COMPREPLY[*]}"',
    )
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.strip() == "resume", done.stderr


def test_every_verb_has_a_command() -> None:
    """What can be typed can be done: each verb leads to a function, and all that write to the same."""
    assert all(callable(command(verb)) for verb in MODULES)
    assert tuple(VERBS) == WRITING
