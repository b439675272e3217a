"""The rules of the layout that a machine can check (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.limits import over, product

ROOT = Path(__file__).parent.parent
PURE = next(
    contract["source_modules"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    if "asyncio" in contract.get("forbidden_modules", ())
)
"""The packages and modules of the one purity contract."""

WORLDLY = {"asyncio", "logging", "os", "random", "structlog", "time"}
CLOCKS = {"now", "today", "utcnow"}
NOT_NAMES = {"base", "common", "helpers", "manager", "utils"}


def pure() -> list[Path]:
    """Every module that the purity contract names, those in packages too."""
    places = [ROOT.joinpath(*name.split(".")) for name in PURE]
    return [
        p for p in product() if any(place in (p.with_suffix(""), *p.parents) for place in places)
    ]


def name_of(path: Path) -> str:
    """The module's path in the project."""
    return str(path.relative_to(ROOT))


def impurities(source: str) -> list[str]:
    """What in a module's source awaits, reads a clock or imports what does, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                found.append(f"line {node.lineno}: async")
            case ast.Import(names=names):
                found += [
                    f"line {node.lineno}: import {alias.name}"
                    for alias in names
                    if alias.name.split(".")[0] in WORLDLY
                ]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in WORLDLY:
                found.append(f"line {node.lineno}: from {module}")
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in CLOCKS:
                found.append(f"line {node.lineno}: .{attr}")
    return found


def test_imports_point_one_way() -> None:
    """Every import contract in pyproject.toml is kept."""
    # In a process of its own: the linter switches off every logger that it finds.
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("path", pure(), ids=name_of)
def test_decisions_are_pure(path: Path) -> None:
    """A module at plan or below neither awaits, nor reads a clock, nor imports what does."""
    assert impurities(path.read_text()) == []


@pytest.mark.parametrize("name", PURE)
def test_every_pure_module_is_checked(name: str) -> None:
    """Each name in the purity contract is a package or a module that the check above covers."""
    place = ROOT.joinpath(*name.split("."))
    assert any(place in (path.with_suffix(""), *path.parents) for path in pure())


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): ...",
        "import os.path",
        "from time import monotonic",
        "import logging as quiet",
        "from datetime import datetime\nx = datetime.now()",
    ],
)
def test_impurity_is_seen(source: str) -> None:
    """The check above finds what it looks for."""
    assert len(impurities(source)) == 1


@pytest.mark.parametrize("path", product(), ids=name_of)
def test_classes_and_functions_keep_to_the_limits(path: Path) -> None:
    """No class has over 250 lines, no function over 60 or a complexity over 10, as radon counts."""
    assert list(over(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n" + "    pass\n" * 59, []),
        ("def f():\n" + "    pass\n" * 60, ["1: f has 61 lines, 60 at most"]),
        ("class C:\n" + "    x = 1\n" * 249, []),
        ("class C:\n" + "    x = 1\n" * 250, ["1: C has 251 lines, 250 at most"]),
        ("def f(x):\n    return " + " or ".join("x" * 10), []),
        (
            "def f(x):\n    return " + " or ".join("x" * 11),
            ["1: f has a complexity of 11, 10 at most"],
        ),
        (
            "class C:\n    def f(self, x):\n        return " + " or ".join("x" * 11),
            ["2: C.f has a complexity of 11, 10 at most"],
        ),
    ],
)
def test_what_is_over_a_limit_is_seen(source: str, found: list[str]) -> None:
    """The check above lets the limit itself pass, and names what is one above it."""
    assert list(over(source)) == found


def test_modules_are_named_for_what_they_do() -> None:
    """No module or package is called utils, helpers, common, manager or base."""
    names = {path.stem for path in product()} | {path.parent.name for path in product()}
    assert names & NOT_NAMES == set()
