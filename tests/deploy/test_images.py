"""The images, built as `make images` builds them, on a base of Debian's packages where no registry is reached."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.pair import Plan
from tests.deploy.rendering import ROOT, example, one, render
from tests.integration.stories.scene import QUICK, playing
from tests.parts import missing, need_api_servers

BASE = "localhost/mesh-migrate-base"
NO_BASE = f"buildah or {BASE} is missing: `make tools` makes both, as root on Debian"
REGISTRY = "localhost/mesh-migrate"
IMAGES = ("controller", "prober")
OVER_BASE_MB = 120
UNCHECKED = 0b01
"""Of a .pyc: identified by a hash that is not compared (PEP 552)."""

RUN = """\
#!/bin/sh
# Runs a program in an image's root, as a container engine does: read-only, as a user without rights.
set -e
folder=$(dirname "$3")
chmod -R a+rX "$folder"
exec unshare --mount -- sh -ec '
  mount --bind "$0" "$0"
  mount -o remount,bind,ro "$0"
  mount -t tmpfs -o mode=1777,size=16m tmp "$0/tmp"
  mkdir -p "$0$1"
  for part in /proc /dev "$1"; do mount --rbind "$part" "$0$part"; done
  shift
  exec chroot --userspec=65532:65532 --groups= "$0" env --ignore-environment {environ} "$@"
' "{root}" "$folder" "$@"
"""


def buildah(*arguments: str) -> str:
    """Run buildah to its good end; return what it prints."""
    done = subprocess.run(
        ["buildah", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(*arguments: str, names: str = "") -> str:
    """Build images, both where none is named, as `make images` does; return what it says."""
    environ = {**os.environ, "BASE": BASE, "REGISTRY": REGISTRY, "NAMES": names}
    done = subprocess.run(
        [ROOT / "deploy" / "images", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def layers(image: str) -> str:
    """Return the digests of an image's layers."""
    form = "{{.OCIv1.RootFS.DiffIDs}}"
    return buildah("inspect", "--type", "image", "--format", form, f"{REGISTRY}/{image}:0.1.0")


def environ_of(image: str) -> list[str]:
    """Return what an image sets in the environment: NAME=VALUE."""
    said = buildah("inspect", "--type", "image", f"{REGISTRY}/{image}:0.1.0")
    found: list[str] = json.loads(said)["OCIv1"]["config"]["Env"]
    return found


def _has(image: str) -> bool:
    command = ["buildah", "inspect", "--type", "image", image]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.fixture(scope="module")
def said() -> str:
    """What the build of both says."""
    if os.geteuid() != 0 or shutil.which("buildah") is None or not _has(BASE):
        missing(NO_BASE)
    return build()


@pytest.fixture(scope="module")
def roots(said: str) -> Iterator[dict[str, Path]]:
    """The root file system of each image."""
    containers = {
        name: buildah("from", "--pull-never", f"{REGISTRY}/{name}:0.1.0") for name in IMAGES
    }
    yield {name: Path(buildah("mount", container)) for name, container in containers.items()}
    for container in containers.values():
        buildah("rm", container)


@pytest.fixture
def programs(roots: dict[str, Path], tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """The command that runs each image's program in its root."""
    found: dict[str, tuple[str, ...]] = {}
    for name, root in roots.items():
        script = tmp_path / name
        script.write_text(RUN.format(root=root, environ=shlex.join(environ_of(name))))
        script.chmod(0o755)
        found[name] = (str(script), f"migrate-{name}")
    return found


def status_of(pid: int) -> str:
    """Return what the kernel says of a process."""
    return Path(f"/proc/{pid}/status").read_text()


def inside(roots: dict[str, Path], image: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of an image, in its root, as its user."""
    return subprocess.run(
        [
            *("chroot", "--userspec=65532:65532", "--groups=", roots[image]),
            *("env", "--ignore-environment", *environ_of(image), *command),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.timeout(600)
@pytest.mark.real
async def test_a_service_moves(programs: dict[str, tuple[str, ...]]) -> None:
    """Controller and probers run from their images, as nobody and with a read-only root, and move a Service."""
    need_api_servers()
    async with playing(Plan(api="real", programs=programs)) as scene:
        await scene.service("service-a")
        await scene.ask("service-a", **{**QUICK, "steps": "50"}, target="eks")
        await scene.reach("service-a", "Completed", 60.0)
        status = status_of(scene.pair.controller.pid)
        assert "Uid:\t65532\t65532\t65532\t65532" in status
        assert "CapEff:\t0000000000000000" in status


@pytest.mark.timeout(600)
def test_size_is_told_and_kept(said: str, roots: dict[str, Path]) -> None:
    """The build says how large each image is, and neither adds more than 120 MB to its base."""
    for name, root in roots.items():
        assert f"/{name}:0.1.0: " in said
        app = sum(path.lstat().st_size for path in (root / "app").rglob("*") if path.is_file())
        assert app < OVER_BASE_MB * 1_000_000


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("said")
def test_layers_are_reproducible() -> None:
    """Built anew with nothing kept, an image has the very same layers."""
    before = layers("prober")
    build("--no-cache", names="prober")
    assert layers("prober") == before


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("prober", ("migrate-prober", "--version")),
        ("controller", ("migrate-controller", "--version")),
        ("controller", ("kubectl-migrate", "--help")),
    ],
)
def test_programs_start(roots: dict[str, Path], image: str, command: tuple[str, ...]) -> None:
    """The programs of each image start, as the image's user."""
    done = inside(roots, image, *command)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("name", IMAGES)
def test_programs_take_the_charts_settings(roots: dict[str, Path], name: str) -> None:
    """Each image's program finds the settings good that the chart mounts into it."""
    found = one(render(example("legacy")), "ConfigMap", f"migrate-{name}")
    (roots[name] / "settings.yaml").write_text(found["data"][f"{name}.yaml"])
    done = inside(roots, name, f"migrate-{name}", "--config", "/settings.yaml", "--check-config")
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_prober_holds_no_more_than_it_needs(roots: dict[str, Path]) -> None:
    """The prober's image has neither the controller nor a Kubernetes client nor pip."""
    for module in ("controller", "kubernetes_asyncio", "pip"):
        assert inside(roots, "prober", "python", "-c", f"import {module}").returncode == 1
    assert inside(roots, "prober", "python", "-c", "import prober.server, h2").returncode == 0


@pytest.mark.timeout(600)
def test_controller_has_its_board(roots: dict[str, Path]) -> None:
    """The controller's image has the files of the board beside the code."""
    code = (
        "from importlib.resources import files;"
        "print(*(f.name for f in files('controller.report.ui').joinpath('page').iterdir()))"
    )
    found = set(inside(roots, "controller", "python", "-c", code).stdout.split())
    assert {"index.html", "board.css", "parts.js", "lanes.js", "board.js"} <= found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("image", IMAGES)
def test_bytecode_is_compiled(roots: dict[str, Path], image: str) -> None:
    """Every module has bytecode beside it that Python takes as it is: nothing is compiled at the start."""
    sources = [path for path in (roots[image] / "app" / "lib").rglob("*.py") if _compiles(path)]
    assert len(sources) > 100
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-3*.pyc")
        assert compiled.read_bytes()[4:8] == UNCHECKED.to_bytes(4, "little")


def _compiles(path: Path) -> bool:
    """Some packages ship templates or syntax of other versions under .py names."""
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (SyntaxError, ValueError):
        return False
    return True
