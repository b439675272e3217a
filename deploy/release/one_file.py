"""kubectl-migrate as one file, which needs nothing but Python: a zipapp as shiv makes it.

All of it is pure Python but msgspec. Of the others' extensions none is kept, and they do without; msgspec's stand
beside each other, by names that each Python knows as its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

LOCK = Path("requirements/cli.txt")
NATIVE = "msgspec"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (
    ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    ("musllinux_1_2_x86_64",),
    ("musllinux_1_2_aarch64",),
    ("macosx_11_0_arm64",),
)
"""As wheels name them; on a Mac of Intel's the file would have the same name as on one of Apple's."""
AT_A_TIME = 4


def build(wheel: Path, folder: Path, to: Path, environ: Mapping[str, str]) -> None:
    """Write the file to a path, from our wheel; ``folder`` is an empty one to work in. Raises CalledProcessError."""
    site = folder / "site"
    first = (PYTHONS[0], PLATFORMS[0])
    _pip("install", *first, "--no-compile", f"--target={site}", f"--requirement={LOCK}")
    _pip("install", *first, "--no-compile", f"--target={site}", "--no-index", str(wheel))
    shutil.rmtree(site / "bin", ignore_errors=True)
    for extension in list(site.rglob("*.so")):
        extension.unlink()
    (folder / "native.txt").write_text("\n".join(_locked(NATIVE)))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for found in pool.map(lambda of: _native(folder, *of), product(PYTHONS, PLATFORMS)):
            with zipfile.ZipFile(found) as opened:
                opened.extractall(
                    site, [name for name in opened.namelist() if name.endswith(".so")]
                )
    command = [sys.executable, "-m", "shiv", "--reproducible", "--compressed"]
    command += [f"--site-packages={site}", "--entry-point=controller.scripts:kubectl_migrate"]
    command += ["--python=/usr/bin/env python3", "--preamble=deploy/release/preamble.py"]
    subprocess.run([*command, f"--output-file={to}"], check=True, env=environ)  # noqa: S603 - ours


def _native(folder: Path, python: str, platforms: tuple[str, ...]) -> Path:
    """Fetch the wheel of what is not pure Python, for one Python on one platform."""
    to = folder / f"{python}-{platforms[0]}"
    _pip("download", python, platforms, f"--dest={to}", f"--requirement={folder / 'native.txt'}")
    (wheel,) = to.iterdir()
    return wheel


def _pip(verb: str, python: str, platforms: tuple[str, ...], *more: str) -> None:
    hashes = [] if "--no-index" in more else ["--require-hashes"]
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--python-version={python}", *(f"--platform={name}" for name in platforms)]
    subprocess.run([*command, *hashes, *more], check=True)  # noqa: S603 - ours


def _locked(name: str) -> Iterator[str]:
    """Return the lines of the lock that pin one package, with its hashes."""
    found = re.search(rf"^{name}==(?:.*\\\n)*.*", LOCK.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{LOCK} pins no {name}")
    yield found[0]
