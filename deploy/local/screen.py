"""What a person sees while a story runs: a bar until it begins, then a line whenever something changed.

On a terminal there is colour, and no line is longer than :data:`WIDTH`; in a pipe there is neither.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from deploy.local.observed import CLUSTERS
from deploy.local.pair import Pair

WIDTH = 100
_POLL_S = 0.05
_INDENT = " " * 10

Say = Callable[[Text], None]

STYLES: Mapping[str, tuple[str, ...]] = {
    "green": ("Completed", "PASS", "kept"),
    "yellow": ("Holding", "UNKNOWN", "left out"),
    "red": ("Reverting", "Reverted", "FAIL", "BROKEN", "STARVED"),
}


def coloured(text: str, style: str = "") -> Text:
    """Return a line with the colours of the words in it."""
    made = Text(text, style=style)
    for colour, words in STYLES.items():
        made.highlight_words(words, style=colour)
    return made


class Terminal:
    """Where lines go: ``quiet`` to nobody. A terminal has colour, folded lines and a bar."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._console = Console(file=out, highlight=False, quiet=quiet)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def say(self, line: Text) -> None:
        """Write a line; a bar that is shown goes."""
        self.ready()
        if self._console.is_terminal:
            line = _folded(line, min(WIDTH, self._console.width))
        self._console.print(line, soft_wrap=True)
        self._console.file.flush()

    def preparing(self, what: str, part: float) -> None:
        """Show on a terminal what is being brought up, and how much of all stands already (0 to 1)."""
        if not self._console.is_terminal:
            return
        if self._bar is None:
            columns = (BarColumn(bar_width=30), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task(what, total=1.0)
            self._bar.start()
        self._bar.update(self._task, description=what, completed=part)

    def ready(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _folded(line: Text, width: int) -> Text:
    """Return a line folded at words, what follows indented."""
    parts = []
    for part in line.plain.splitlines():
        parts += textwrap.wrap(part, width, subsequent_indent=_INDENT) or [""]
    return coloured("\n".join(parts), str(line.style))


class Screen:
    """Follows one Service of a pair and prints; ``say`` takes one line."""

    def __init__(self, pair: Pair, service: str, say: Say) -> None:
        self._pair = pair
        self._service = service
        self._say = say
        self._began = asyncio.get_running_loop().time()
        self._last: tuple[Any, ...] = ()
        self._failed = (False, False)

    def at(self) -> float:
        """Return the seconds since the story began."""
        return asyncio.get_running_loop().time() - self._began

    def tell(self, text: str, style: str = "bold") -> None:
        """Print a line of the story itself."""
        self._say(coloured(f"{self.at():6.1f} s  {text}", style))

    async def run(self) -> None:
        """Print until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            self._look()

    def _look(self) -> None:
        self._look_at_failures()
        status = self._pair.observed.status(self._service)
        seen = tuple(status.get(key, "") for key in ("phase", "share", "reason"))
        if status and seen != self._last:
            self._last = seen
            self.tell(self._line(status), "")

    def _look_at_failures(self) -> None:
        """Say it once where a request failed by the move, or a workload began to fail some."""
        _, failed, by_target = self._pair.totals()
        before, self._failed = self._failed, (bool(failed), bool(by_target))
        if self._failed[0] > before[0]:
            self.tell("BROKEN: a request failed by the move", "red")
        if self._failed[1] > before[1]:
            self.tell("a request failed by the workload that answered it", "yellow")

    def _line(self, status: Mapping[str, Any]) -> str:
        served = self._pair.served(self._service)
        measured = ", ".join(f"{name} {_percent(served[name])}" for name in CLUSTERS)
        return (
            f"{status['phase']:<12} {status['share']:>9}  {status['verdict']:<8}"
            f" {status['reason']:<18} eks answers: {measured}"
        )


def _percent(counts: Mapping[str, int]) -> str:
    """Return what part of a second's calls eks answered."""
    total = sum(counts.values())
    return f"{100 * counts[CLUSTERS[1]] / total:.0f} %" if total else "-"


def terminal(*, quiet: bool) -> Terminal:
    """Return the terminal, or pipe, of this process."""
    return Terminal(sys.stdout, quiet=quiet)
