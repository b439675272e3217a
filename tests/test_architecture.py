"""The rules of the layout that a machine can check (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
SCREEN = 70


def product() -> list[Path]:
    """Every module of the controller and the prober."""
    return sorted([*ROOT.glob("controller/**/*.py"), *ROOT.glob("prober/**/*.py")])


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
            case ast.Attribute(attr=attr) if attr in CLOCKS:
                found.append(f"line {node.lineno}: .{attr}")
    return found


def long_functions(source: str) -> list[str]:
    """The functions longer than a screen, with their lengths."""
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > SCREEN
    ]


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
def test_functions_fit_a_screen(path: Path) -> None:
    """No function of the product is longer than 70 lines."""
    assert long_functions(path.read_text()) == []


def test_a_long_function_is_seen() -> None:
    """The check above lets 70 lines pass and finds 71."""
    assert long_functions("def f():\n" + "    pass\n" * 69) == []
    assert long_functions("def f():\n" + "    pass\n" * 70) == ["f has 71 lines"]


def test_modules_are_named_for_what_they_do() -> None:
    """No module or package is called utils, helpers, common, manager or base."""
    names = {path.stem for path in product()} | {path.parent.name for path in product()}
    assert names & NOT_NAMES == set()
