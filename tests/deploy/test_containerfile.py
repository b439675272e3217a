"""The Containerfile as it is written; tests/deploy/test_images.py builds it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.rendering import ROOT

CONTAINERFILE = ROOT / "deploy" / "Containerfile"


@dataclass
class Stage:
    """One stage: its instructions in order."""

    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """The stages of the Containerfile by name."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    stage = Stage("")
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = found.setdefault(rest.rpartition(" AS ")[2], Stage(rest.rpartition(" AS ")[2]))
        elif word:
            stage.instructions.append((word, rest))
    return found


def test_hadolint() -> None:
    """Hadolint has nothing to say, with every rule that it has."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, "--no-color", CONTAINERFILE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("image", ["prober", "controller"])
def test_image_runs_as_nobody(image: str) -> None:
    """Each image runs its program as a user that is not root, by number, so that Kubernetes can tell."""
    last = dict(stages()[image].instructions)
    assert last["USER"] == "65532:65532"
    assert last["ENTRYPOINT"] == f'["migrate-{image}"]'
    assert "RUN" not in last


def test_everything_installed_is_hashed() -> None:
    """Whatever pip fetches is named by hashes; what is not hashed is our own wheel, without any index."""
    installs = [
        part
        for stage in stages().values()
        for word, rest in stage.instructions
        if word == "RUN"
        for part in rest.split("&&")
        if re.search(r"\binstall\b", part)
    ]
    assert len(installs) == 5
    for line in installs:
        assert "--require-hashes" in line or "--no-deps --no-index /wheels/" in line


def test_build_context_holds_what_is_copied() -> None:
    """Nothing but what the Containerfile copies reaches the engine, and all of that does."""
    ignored = (ROOT / "deploy" / "Containerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for stage in stages().values()
        for word, rest in stage.instructions
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert {"requirements/*.txt" if s.startswith("requirements/") else s for s in copied} == let_in


def test_base_is_named_by_digest() -> None:
    """What the images stand on is one digest, of an index for all platforms."""
    (base,) = re.findall(r"^ARG BASE=(\S+)$", CONTAINERFILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+) AS", CONTAINERFILE.read_text(), re.MULTILINE)) == {
        "${BASE}"
    }
