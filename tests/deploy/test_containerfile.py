"""The Containerfile without an engine: linted, and its instructions carried out in folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from tests.deploy.rendering import ROOT, example, one, render

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
UNCHECKED = 0b01
"""Of a .pyc: identified by a hash that is not compared (PEP 552)."""


@dataclass
class Stage:
    """One stage: its instructions in order, and the folder that stands for its file system."""

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


class Build:
    """Carries out what an engine would, with a folder per stage in place of a file system.

    It is no engine: paths at the root are put into the stage's folder by their names, the base image is
    this machine's Python, and pip may use its cache.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = folder / "python"
        subprocess.run([sys.executable, "-m", "venv", base], check=True, timeout=60)
        self.path = f"{base / 'bin'}:{os.environ['PATH']}"

    def stage(self, name: str) -> Path:
        """Carry out a stage, gives its folder."""
        root = self.folder / name
        root.mkdir()
        work = root
        for word, rest in stages()[name].instructions:
            if word == "WORKDIR":
                work = root / rest.strip("/")
                work.mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                self._copy(rest, root, work)
            elif word == "RUN":
                self._run(rest, root, work)
        return root

    def _copy(self, rest: str, root: Path, work: Path) -> None:
        *sources, to = rest.split()
        context = ROOT
        if sources[0].startswith("--from="):
            context = self.folder / sources.pop(0).removeprefix("--from=")
        target = root / to[1:] if to.startswith("/") else work / to
        for source in sources:
            found = context / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, target, symlinks=True)
            elif to.endswith("/"):
                shutil.copy(found, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, target)

    def _run(self, rest: str, root: Path, work: Path) -> None:
        command = re.sub(r"(?<=[ =])/(?=app|wheels)", f"{root}/", rest).replace(
            " --no-cache-dir", ""
        )
        environ = {"PATH": self.path, "HOME": os.environ.get("HOME", "/")}
        environ |= {
            k: v for k, v in os.environ.items() if k.startswith("PIP_") or "proxy" in k.lower()
        }
        shell = ["sh", "-c", command]
        done = subprocess.run(
            shell, cwd=work, env=environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The stages that the two images copy from."""
    build = Build(tmp_path_factory.mktemp("build"))
    for name in ("wheel", "prober-packages", "controller-packages"):
        build.stage(name)
    return build


def program(build: Build, image: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of an image, in its PATH alone."""
    folder = build.folder / f"{image}-packages" / "app" / "bin"
    return subprocess.run(
        [folder / command[0], *command[1:]],
        cwd=folder,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


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


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("prober", ("migrate-prober", "--version")),
        ("controller", ("migrate-controller", "--version")),
        ("controller", ("kubectl-migrate", "--help")),
    ],
)
def test_programs_start(build: Build, image: str, command: tuple[str, ...]) -> None:
    """The programs of each image start from the packages that its Containerfile installs."""
    done = program(build, image, *command)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("name", ["prober", "controller"])
def test_programs_take_the_charts_settings(build: Build, name: str, tmp_path: Path) -> None:
    """Each image's program finds the settings good that the chart mounts into it."""
    found = one(render(example("legacy")), "ConfigMap", f"migrate-{name}")
    path = tmp_path / "settings.yaml"
    path.write_text(found["data"][f"{name}.yaml"])
    done = program(build, name, f"migrate-{name}", "--config", str(path), "--check-config")
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_prober_holds_no_more_than_it_needs(build: Build) -> None:
    """The prober's image has neither the controller nor a Kubernetes client nor pip."""
    for module in ("controller", "kubernetes_asyncio", "pip"):
        assert program(build, "prober", "python", "-c", f"import {module}").returncode == 1
    assert program(build, "prober", "python", "-c", "import prober.server, h2").returncode == 0


@pytest.mark.timeout(600)
def test_controller_has_its_board(build: Build) -> None:
    """The controller's image has the files of the board beside the code."""
    code = (
        "from importlib.resources import files;"
        "print(*(f.name for f in files('controller.report.ui').joinpath('page').iterdir()))"
    )
    done = program(build, "controller", "python", "-c", code)
    assert {"index.html", "board.css", "parts.js", "lanes.js", "board.js"} <= set(done.stdout.split())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("image", ["prober", "controller"])
def test_bytecode_is_compiled(build: Build, image: str) -> None:
    """Every module has bytecode beside it that Python takes as it is: nothing is compiled at the start."""
    folder = build.folder / f"{image}-packages" / "app" / "lib"
    sources = [path for path in folder.rglob("*.py") if _compiles(path)]
    assert len(sources) > 100
    for source in sources:
        tag = sys.implementation.cache_tag
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        head = compiled.read_bytes()[:8]
        assert head == MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little")


def _compiles(path: Path) -> bool:
    """Some packages ship templates or syntax of other versions under .py names."""
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (SyntaxError, ValueError):
        return False
    return True
