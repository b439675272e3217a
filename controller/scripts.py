"""The console scripts: where only what the prober needs is installed, they say what is missing.

Nothing is imported before it is called for: the import itself is what may fail.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

MISSING = "{name} is not installed, which {program} needs: pip install 'mesh-migrate[controller]'\n"
USAGE = 2


def controller() -> None:
    """Run ``migrate-controller``."""
    _run("migrate-controller", "controller.__main__", "main")


def kubectl_migrate() -> None:
    """Run ``kubectl-migrate``."""
    _run("kubectl migrate", "controller.cli", "main")


def kubectl_complete() -> None:
    """Run ``kubectl_complete-migrate``, which kubectl asks for what may be typed next."""
    _run("kubectl migrate", "controller.cli.completing", "answer_kubectl")


def _run(program: str, module: str, name: str) -> None:
    """Call a program's main function; one sentence and exit code 2 where a library is missing."""
    try:
        main: Callable[[], int | None] = getattr(import_module(module), name)
        ended = main()
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("controller", "prober"):
            raise  # a fault of ours, not of the installation
        sys.stderr.write(MISSING.format(name=library, program=program))
        ended = USAGE
    sys.exit(ended)
