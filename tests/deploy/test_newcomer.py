"""Somebody who has the files of a release, and of the project nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.deploy.install_page import (
    NOT_HERE,
    QUICK_START,
    Shell,
    commands,
    need_clients,
    two_clusters,
)
from tests.docs.test_tutorial import ENDS, QUICK, SHIFTED

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.usefixtures("helm")]

SET_UP_S = 240.0
"""For `make clusters` from nothing: most of it is pip's."""

COMMAND_S = 90.0


@pytest.fixture
def machine(dist: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The unpacked release, and the environment of a machine that has Python, make, helm and kubectl. The one file is
    on its PATH, as the page on the commands has it."""
    with tarfile.open(next(dist.glob("mesh_migrate-*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (root,) = tmp_path.glob("mesh_migrate-*")
    programs = tmp_path / "bin"
    programs.mkdir()
    shutil.copy2(dist / "kubectl-migrate", programs)
    python = Path(sys.base_prefix, "bin")
    ours = ("PYTHON", "VIRTUAL_ENV", "COVERAGE", "PYTEST")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return root, environ | {
        "PATH": f"{programs}:{python}:/usr/bin:/bin",
        "SHIV_ROOT": str(tmp_path / "shiv"),
    }


@asynccontextmanager
async def clusters(root: Path, environ: Mapping[str, str]) -> AsyncIterator[list[str]]:
    """``make clusters`` in a terminal of its own, until Ctrl-C; the lines that it has for the second terminal."""
    process = await asyncio.create_subprocess_exec(
        *("make", "clusters"),
        cwd=root,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    said: list[str] = []
    try:
        async with asyncio.timeout(SET_UP_S):
            while not (said and said[-1].startswith("    CLUSTERS=")):
                line = (await process.stdout.readline()).decode()
                assert line, "".join(said)
                said.append(line)
        yield [line.strip() for line in said if re.match(r"    (export |CLUSTERS=)", line)]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = await asyncio.wait_for(process.communicate(), COMMAND_S)
    assert re.search(r"1 of 1 kept, [\d,]+ requests, 0 failed", rest.decode()), rest.decode()


def typed(page: str) -> Iterator[str]:
    """Each command of the tutorial for the second terminal, with the times and steps of a test."""
    for line in page.splitlines():
        if line.startswith("    ") and line.strip() != "make clusters":
            words = line.split()
            yield " ".join(QUICK.get(a, b) for a, b in zip(("", *words), words, strict=False))


async def enter(line: str, before: list[str], root: Path, environ: Mapping[str, str]) -> str:
    """Type a line at the second terminal, and Ctrl-C at a watch once the callers are shifted; return what it says."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", "\n".join([*before, f"PATH={environ['PATH']}:$PATH", line])),
        cwd=root,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    async with asyncio.timeout(COMMAND_S):
        if "--watch" in line:
            async for shown in process.stdout:
                if SHIFTED in shown:
                    break
            os.killpg(process.pid, signal.SIGINT)
        said, _ = await process.communicate()
    verb = line.split()[1]
    assert process.returncode == ENDS.get(verb, 0), f"{line}\n{said.decode()}"
    return said.decode()


@pytest.mark.timeout(500)
async def test_a_release_is_enough_for_tutorial_and_install(
    machine: tuple[Path, dict[str, str]],
) -> None:
    """With Python, make, helm and kubectl, what a release holds is enough to follow the tutorial to its end and the
    install page to the first annotated Service, both as they are written in it."""
    need_clients()
    root, environ = machine
    tutorial = (root / "docs" / "tutorial.md").read_text()
    async with clusters(root, environ) as lines:
        said = [await enter(line, lines, root, environ) for line in typed(tutorial)]
    assert "COMPLETED" in said[-1].upper()
    async with two_clusters(root) as servers:
        shell = Shell(root, servers, environ)
        for command in commands(QUICK_START, root):
            if not command.startswith(NOT_HERE):
                await shell.run(command)
        annotated = await shell.run("kubectl --context legacy get service service-a -o yaml")
        assert "migrate.tradeshift/target: eks" in annotated
        images = await shell.run(
            "kubectl --context legacy -n migrate get deployments -o jsonpath='{..image}'"
        )
        assert "controller:" in images
