"""The chart as helm renders it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
MANIFESTS = ROOT / "deploy" / "manifests"
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
NAMESPACE = "migrate"


def tool(name: str) -> Path | None:
    """A program that tests/deploy/tools builds, or one of that name on PATH; None where there is neither."""
    built = ROOT / ".tools" / "bin" / name
    found = built if os.access(built, os.X_OK) else shutil.which(name)
    return Path(found) if found else None


def run(program: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool to its end, whatever that is."""
    path = tool(program)
    assert path is not None, f"{program} is missing"
    return subprocess.run(
        [path, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def template(values: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """``helm template`` with a values file, and with more arguments, as ``--set=a=b``."""
    return run(
        "helm",
        "template",
        "migrate",
        str(CHART),
        f"--namespace={NAMESPACE}",
        f"--values={values}",
        *more,
    )


def render(values: Path, *more: str) -> list[Json]:
    """The objects of it; fails with what helm says."""
    done = template(values, *more)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def example(name: str) -> Path:
    """The values file of this name."""
    return ROOT / "deploy" / "examples" / f"{name}.yaml"


def one(objects: list[Json], kind: str, name: str) -> Json:
    """The one object of this kind and name."""
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found
