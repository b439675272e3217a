"""The console scripts, where the controller's libraries are not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['kubernetes_asyncio'] = None; sys.argv[1:] = {argv!r}\n"


@pytest.mark.parametrize(
    ("script", "argv", "program"),
    [
        ("controller", ["--check-config"], "migrate-controller"),
        ("kubectl_migrate", ["status"], "kubectl migrate"),
    ],
)
def test_missing_library_is_one_sentence(script: str, argv: list[str], program: str) -> None:
    """Without a library of the controller each script says which, and what to install, and no traceback."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT.format(argv=argv) + f"from controller.scripts import {script}; {script}()",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"kubernetes_asyncio is not installed, which {program} needs:"
        " pip install 'mesh-migrate[controller]'\n"
    )


def test_help_needs_no_library() -> None:
    """``kubectl migrate --help`` answers where only the prober's libraries are installed."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT.format(argv=["--help"])
            + "from controller.scripts import kubectl_migrate; kubectl_migrate()",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0
    assert "exit codes" in ended.stdout
