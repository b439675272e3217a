"""Child processes that end: with this process at the latest, however it dies."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_S = 6.0


def spawn(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one dies (on Linux); its output goes to ``log``."""
    die_with_parent: Callable[[], None] | None = None
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the command is built by us, from no one's input
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(environ) if environ is not None else None,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, loaded before
        )


class Program:
    """One of the product's programs, as its users run it: ``python -m controller``, ``-m prober``."""

    def __init__(self, module: str, config: Path, log: Path) -> None:
        self.log = log
        self._command = [sys.executable, "-m", module, "--config", str(config)]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. What the environment says for the product is not passed on."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MIGRATE_")}
        self._child = spawn(self._command, self.log, environ)

    @property
    def pid(self) -> int:
        """The process's id."""
        if self._child is None:
            raise RuntimeError("it is not started")
        return self._child.pid

    def running(self) -> bool:
        """Tell whether it runs."""
        return self._child is not None and self._child.poll() is None

    async def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        if self._child is not None:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help within 6 s."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            await asyncio.to_thread(self._child.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            await self.kill()

    def tail(self, lines: int = 15) -> str:
        """Give the end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
