"""The chores: the Makefile and the locks that it compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = [
    "help",
    "setup",
    "quick",
    "test",
    "coverage",
    "lint",
    "format",
    "docs",
    "tools",
    "clusters",
    "demo",
    "bench",
    "faults",
    "faults-deep",
    "dashboards",
    "check-dashboards",
    "pictures",
    "screenshots",
    "model-check",
    "manifests",
    "check-deploy",
    "images",
    "check-release",
    "release-dry-run",
    "release",
    "lock",
    "ci",
    "clean",
]
LOCKS = sorted(ROOT.glob("requirements/*.txt"))
PIN = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.]+ \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make in the project, as if from a plain shell and not from another make."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environ | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def pins(path: Path) -> dict[str, str]:
    """The versions in a lock, by name."""
    lines = [line for line in path.read_text().splitlines() if line[:1].isalnum()]
    return dict(line.rstrip(" \\").split("==") for line in lines)


def test_help_lists_every_target() -> None:
    """``make`` alone lists every target, each with what it does."""
    listed = [line.split(maxsplit=2) for line in make().stdout.splitlines()]
    assert [words[:2] for words in listed] == [["make", target] for target in TARGETS]
    assert all(len(words) == 3 for words in listed)


def test_every_target_is_phony() -> None:
    """No file can stand in the path of a target: all of them are phony."""
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert phony[1].split() == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str) -> None:
    """``make -n`` knows how to make each target."""
    planned = make("-n", target)
    assert planned.returncode == 0, planned.stderr


def test_an_old_python_is_told_what_to_do(tmp_path: Path) -> None:
    """Where python3 is too old, setup makes nothing and says in a sentence what to do."""
    old = tmp_path / "old-python"
    pretend = "import sys; sys.version_info = (3, 10, 14); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{pretend}' \"$2\"\n")
    old.chmod(0o755)
    told = make("setup", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert told.returncode != 0
    assert "install Python 3.11 or newer" in told.stderr
    assert not (tmp_path / "venv").exists()


def test_locks_are_there() -> None:
    """Locks are for the prober, also with HTTP/2, the wheel's build, kubectl-migrate, the controller and developers."""
    assert [path.stem for path in LOCKS] == ["base", "build", "cli", "controller", "dev", "http2"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_locks_name_pins_and_hashes_only(path: Path) -> None:
    """Each line of a lock is a pin, a hash or a comment: no host, no path, no option."""
    lines = path.read_text().splitlines()
    other = [
        line
        for line in lines
        if not (line == "" or line.lstrip().startswith("#") or PIN.fullmatch(line))
        and not HASH.fullmatch(line)
    ]
    assert other == []
    assert "#    make lock" in lines
    assert not [line for line in lines if "://" in line or " /" in line]


def test_locks_agree() -> None:
    """What two locks pin, they pin at one version."""
    base, build, cli, controller, dev, http2 = map(pins, LOCKS)
    assert base.items() <= controller.items() <= dev.items()
    assert base.items() <= http2.items() <= dev.items()
    assert base.items() <= cli.items() <= dev.items()
    assert http2.keys() - base.keys() == {"h2", "hpack", "hyperframe"}
    assert build["hatchling"] == dev["hatchling"]
    assert "hatchling" in dev
    assert "kubernetes-asyncio" not in base


def packages(folder: Path, commands: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script that gets Prometheus, on a machine that has only these commands."""
    script = folder / "tests" / "real" / "tools" / "packages"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "real" / "tools" / "packages", script)
    path = folder / "path"
    path.mkdir()
    # What the script and the stand-ins call besides.
    for name in (
        "bash",
        "cat",
        "chmod",
        "cp",
        "dirname",
        "head",
        "mkdir",
        "mktemp",
        "mv",
        "rm",
        "sed",
    ):
        (path / name).symlink_to(shutil.which(name) or name)
    for name, text in commands.items():
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    return subprocess.run(
        [str(path / "bash"), str(script)],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_prometheus_on_the_path_is_taken(tmp_path: Path) -> None:
    """Where prometheus, promtool and alertmanager are on PATH already, nothing is downloaded."""
    told = packages(tmp_path, dict.fromkeys(("prometheus", "promtool", "alertmanager"), "exit 0"))
    assert told.returncode == 0, told.stderr
    assert f"{tmp_path}/path/prometheus" in told.stdout
    assert not (tmp_path / ".tools").exists()


def test_a_machine_without_apt_is_told_what_to_install(tmp_path: Path) -> None:
    """Where there is neither a Prometheus nor apt, a sentence says what to put where."""
    told = packages(tmp_path, {"promtool": "exit 0"})
    assert told.returncode == 1
    assert "put them on PATH, version 2.42 (alertmanager 0.25) or later" in told.stderr


def test_apt_is_told_what_there_is_once(tmp_path: Path) -> None:
    """A machine whose apt has no lists yet gets them, and then the packages."""
    apt = f"""
        echo "$2" >>{tmp_path}/asked
        case "$2" in
          update) echo >{tmp_path}/lists ;;
          download) [ -e {tmp_path}/lists ] && echo >prometheus_9_all.deb ;;
        esac"""
    dpkg = """
        mkdir -p "$3/usr/bin"
        for name in prometheus promtool prometheus-alertmanager; do
          printf '#!/bin/sh\necho 9' >"$3/usr/bin/$name"
          chmod +x "$3/usr/bin/$name"
        done
        mkdir -p "$3"/usr/share/prometheus/alertmanager"""
    told = packages(tmp_path, {"apt-get": apt, "dpkg": dpkg})
    assert (tmp_path / "asked").read_text().split() == ["download", "update", "download"]
    assert told.stdout.endswith("put into .tools/bin: 9\n"), told.stderr
    assert {path.name for path in (tmp_path / ".tools" / "bin").iterdir()} == {
        "prometheus",
        "promtool",
        "alertmanager",
    }
