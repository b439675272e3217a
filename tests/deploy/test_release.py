"""What `make release-dry-run` builds, used as those do who have nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.local.pair import Plan
from deploy.release.__main__ import changes, packed
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.deploy.conftest import REGISTRY
from tests.deploy.rendering import ROOT, example, run
from tests.integration.stories.scene import QUICK, playing

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


def kubectl_migrate(dist: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the one file with Python's own library and nothing else."""
    return subprocess.run(
        [sys.executable, "-I", "-S", dist / "kubectl-migrate", *words],
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_versions_are_one() -> None:
    """Chart, changelog and the install page have the version of pyproject.toml."""
    chart = yaml.safe_load((ROOT / "deploy" / "chart" / "Chart.yaml").read_text())
    assert (chart["version"], str(chart["appVersion"])) == (VERSION, VERSION)
    assert changes((ROOT / "CHANGELOG.md").read_text(), VERSION)
    named = re.findall(
        r"/(?:controller|prober):(\d\S*)", (ROOT / "deploy" / "README.md").read_text()
    )
    assert set(named) <= {VERSION}


def test_workflow_is_safe() -> None:
    """Zizmor, which knows what goes wrong in workflows, has nothing to say."""
    zizmor = Path(sys.executable).parent / "zizmor"
    command = [str(zizmor), "--offline", "--no-progress", str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_workflow_runs_what_runs_here() -> None:
    """The workflow tests and releases by make's targets, and the second is the dry run and its publishing."""
    assert re.findall(r"make ([a-z-]+)", re.sub(r"#.*", "", WORKFLOW.read_text())) == [
        "ci",
        "release",
    ]
    recipes = re.findall(
        r"^(release\S*): .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert {name for name, recipe in recipes if "-m deploy.release $(RELEASE)" in recipe} == {
        "release",
        "release-dry-run",
    }


def test_packed_is_reproducible(tmp_path: Path) -> None:
    """An archive is the same whenever its files were written."""
    path = tmp_path / "kubectl-migrate"
    path.write_text("#!/bin/sh\n")
    before = packed({path.name: path})
    os.utime(path, (0, 0))
    assert packed({path.name: path}) == before


def test_tag_is_the_version() -> None:
    """A tag that is not the version is refused by a sentence that says which would be right."""
    command = [sys.executable, "-m", "deploy.release", "--tag", "v9.9.9"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"tag v{VERSION}" in done.stderr


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("helm")
async def test_one_file_needs_only_python(dist: Path, tmp_path: Path) -> None:
    """kubectl-migrate starts with a bare Python, and reads a cluster through its API server."""
    assert VERSION in kubectl_migrate(dist, tmp_path, "version").stdout
    async with EmbeddedApi("legacy", tokens=("a-token",)) as server:
        (tmp_path / ".kube").mkdir()
        (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(server.kubeconfig()))
        done = await _typed(dist, tmp_path, "status", "service-a")
    assert "service-a" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


async def _typed(dist: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(kubectl_migrate, dist, home, *words)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("helm")
def test_krew_finds_what_it_installs(dist: Path) -> None:
    """The krew manifest has the archive's checksum, and names files that are in it."""
    (archive,) = dist.glob("kubectl-migrate-*.tar.gz")
    manifest = yaml.safe_load((dist / "migrate.yaml").read_text())
    assert manifest["spec"]["version"] == f"v{VERSION}"
    with tarfile.open(archive) as opened:
        inside = {entry.name: entry.mode for entry in opened}
    assert inside["kubectl-migrate"] == 0o755
    for platform in manifest["spec"]["platforms"]:
        assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert platform["uri"].endswith(f"/v{VERSION}/{archive.name}")
        assert {found["from"] for found in platform["files"]} == set(inside)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("helm")
def test_chart_names_the_released_images(dist: Path) -> None:
    """The packaged chart renders without the checkout, with images of the release's registry and version."""
    (chart,) = dist.glob("mesh-migrate-*.tgz")
    done = run("helm", "template", "migrate", str(chart), f"--values={example('legacy')}")
    assert done.returncode == 0, done.stderr
    images = set(re.findall(r"image: \"?([^\s\"]+)", done.stdout))
    assert images == {f"{REGISTRY}/{name}:{VERSION}" for name in ("controller", "prober")}


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("helm")
def test_checksums_and_sdist(dist: Path) -> None:
    """SHA256SUMS speaks for every file, and the sdist has what the install page and the demo use."""
    lines = [line.split("  ") for line in (dist / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == {path.name for path in dist.iterdir()} - {"SHA256SUMS"}
    for digest, name in lines:
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    assert {f"{name}.cdx.json" for name in ("controller", "prober", "kubectl-migrate")} <= {
        name for _, name in lines
    }
    with tarfile.open(dist / f"mesh_migrate-{VERSION}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    used = (
        "Makefile",
        "deploy/chart/Chart.yaml",
        "deploy/chart/files/dashboards/rules.yaml",
        "deploy/chart/files/crds/migrations.yaml",
        "deploy/examples/eks.yaml",
        "deploy/peer-kubeconfig",
        "deploy/local/__main__.py",
    )
    assert set(used) <= names
    assert not any(name.startswith((".venv", ".tools")) for name in names)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the wheel, in an environment of the locks' packages and of nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    pip = ["-m", "pip", f"--python={folder}", "install", "--quiet"]
    for command in (
        ["-m", "venv", "--without-pip", str(folder)],
        [*pip, "--require-hashes", f"--requirement={ROOT / 'requirements' / 'controller.txt'}"],
        [*pip, "--no-deps", "--no-index", str(wheel)],
    ):
        subprocess.run([sys.executable, *command], check=True, cwd=folder, timeout=200)
    return folder / "bin"


@pytest.mark.timeout(400)
@pytest.mark.story
@pytest.mark.usefixtures("helm")
async def test_a_service_moves_by_what_is_released(
    dist: Path, installed: Path, tmp_path: Path
) -> None:
    """Controller and probers of the wheel move a Service to eks, as kubectl-migrate, the one file, asks them."""
    programs: dict[str, tuple[str, ...]] = {
        name: (str(installed / f"migrate-{name}"),) for name in ("controller", "prober")
    }
    async with playing(Plan(programs=programs)) as scene:
        await scene.service("service-a")
        (tmp_path / ".kube").mkdir()
        shutil.copy(scene.pair.kubeconfig, tmp_path / ".kube" / "config")
        await scene.ask("service-a", **QUICK)
        quick = ("--steps", "50", "--dwell", "1s", "--soak", "1s")
        started = await _typed(dist, tmp_path, "start", "service-a", "--to", "eks", *quick)
        assert started.returncode == 0, started.stderr
        wait = ("wait", "service-a", "--for", "completed", "--timeout", "55s")
        waited = await _typed(dist, tmp_path, *wait)
        assert waited.returncode == 0, waited.stderr + scene.pair.controller.tail()
        assert scene.pair.totals()[1] == 0
