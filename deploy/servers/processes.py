"""Child processes that end: with this process at the latest, however it dies."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_S = 6.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 25


class ServerFailed(Exception):  # noqa: N818 - it is the finding
    """A server's binaries are missing, or it did not become ready; the text says which and why."""


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
    """One of the product's programs, as its users run it: ``python -m controller``, ``-m prober``.

    ``command`` runs it in place of that, where it stands elsewhere than in this Python.
    """

    def __init__(self, module: str, config: Path, log: Path, command: Sequence[str] = ()) -> None:
        self.log = log
        begins = command or (sys.executable, "-m", module)
        self._command = [*begins, "--config", str(config)]
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
        """Report whether it runs."""
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
        """Return the end of its log."""
        return _end_of(self.log, lines)


class Servers:
    """Other people's servers as children, with a folder of their own.

    ``owner`` begins what is told of them, ``ended`` is set once they are to end. They end with `stop`, with this
    process however it dies (on Linux), and after ``lifetime_s`` in any case.
    """

    def __init__(self, owner: str, lifetime_s: float) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=f"{owner}-")
        self.folder = Path(self._folder.name)
        self._owner = owner
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.ended = threading.Event()
        self._lifetime = threading.Timer(lifetime_s, self._kill)
        self._lifetime.daemon = True
        self._lifetime.start()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start one, by its name; where the lifetime is over by then it ends at once."""
        self._children[name] = spawn(command, self._log_of(name))
        if self.ended.is_set():
            self._kill()

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    def log(self, name: str) -> str:
        """Return what one of them said so far."""
        return _said_in(self._log_of(name))

    @asynccontextmanager
    async def starting(self, within_s: float) -> AsyncIterator[None]:
        """Bound what is done to start them; where that fails all are stopped. Raises ServerFailed."""
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError:
            told = f"{self._owner} was not ready in {within_s:.0f} s\n{self._tail()}"
            await self.stop()
            raise ServerFailed(told) from None
        except BaseException:
            await self.stop()
            raise

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Poll a condition, within the caller's deadline. Raises ServerFailed where one of them has ended."""
        while not await holds():
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise ServerFailed(
                        f"{self._owner}: {name} ended with {child.returncode}\n{self._tail()}"
                    )
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Kill all and remove the folder; a second stop does nothing."""
        self._lifetime.cancel()
        self._kill()
        for child in self._children.values():
            await asyncio.to_thread(child.wait)
        self._folder.cleanup()

    def _log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _kill(self) -> None:
        self.ended.set()
        for child in list(self._children.values()):
            child.kill()

    def _tail(self) -> str:
        """Return the end of each log."""
        told: list[str] = []
        for name in self._children:
            told += [f"--- {name}", _end_of(self._log_of(name), _LOG_TAIL_LINES)]
        return "\n".join(told)


def _said_in(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _end_of(log: Path, lines: int) -> str:
    return "\n".join(_said_in(log).splitlines()[-lines:])
