"""``status --watch``: a live view on a terminal, a line per change elsewhere; until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.cli import show
from controller.cli.documents import as_json, as_yaml
from controller.cli.exit_codes import Failure
from controller.cli.migration import Migration
from controller.kube.api import Backoff, Unavailable

if TYPE_CHECKING:
    from rich.text import Text

POLL_S = 1.0
"""How often the cluster is asked."""

GIVE_UP_S = 300.0
"""A cluster that has not answered for so long is not asked any more."""

COLOURS = {
    "green": ("Completed", "PASS"),
    "yellow": ("Holding", "UNKNOWN", "Warning"),
    "red": ("Reverting", "Reverted", "FAIL"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One object that is watched: which it is (to kubectl ``resource_name``), what it is now in a line,
    and as it came.
    """

    key: str
    resource_name: str
    text: str
    raw: Mapping[str, Any]

    def written(self, output: str) -> str:
        """Return it as ``-o`` asks, for a stream."""
        as_asked: Mapping[str, Callable[[], str]] = {
            "json": lambda: as_json(self.raw),
            "yaml": lambda: f"---\n{as_yaml(self.raw)}",
            "name": lambda: self.resource_name,
        }
        return as_asked.get(output, lambda: self.text)()


def line_of(found: Migration, *, namespaces: bool) -> Line:
    """Return a migration as a line."""
    key = f"{found.namespace}/{found.service}"
    text = show.change_line(found, namespaces=namespaces)
    return Line(key, found.resource_name, text, found.raw)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read at one time: the page for a terminal, and the objects. ``trouble``: it failed."""

    page: str
    found: Sequence[Line]
    trouble: str = ""


Read = Callable[[], Awaitable[Reading]]


Colours = Mapping[str, Sequence[str]]
"""By colour, the words that have it."""


async def watch(read: Read, output: str, colours: Colours = COLOURS) -> None:
    """Show what is read, on and on: a live view on a terminal, else a line per change."""
    if sys.stdout.isatty() and output in ("table", "wide"):
        await on_terminal(read, colours)
    else:
        await in_lines(read, output)


def show_once(page: str, colours: Colours) -> None:
    """Write a page, with colours on a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.write(f"{page}\n")
        return
    from rich.console import Console  # noqa: PLC0415 - a command in a pipe needs none of it

    Console().print(_coloured(page, colours), soft_wrap=True)


async def on_terminal(read: Read, colours: Colours) -> None:
    """Redraw the page whenever it changes."""
    from rich.live import Live  # noqa: PLC0415 - a second command in a pipe needs none of it

    drawn = ""
    with Live(auto_refresh=False) as live:
        async for reading in _readings(read):
            text = f"{reading.page}\n\n{reading.trouble}" if reading.trouble else reading.page
            if text != drawn:
                drawn = text
                live.update(_coloured(text, colours), refresh=True)


async def in_lines(read: Read, output: str) -> None:
    """Write each object that changed, as a line of text or as ``output`` asks."""
    known: dict[str, str] = {}
    async for reading in _readings(read):
        if reading.trouble:
            sys.stderr.write(f"{reading.trouble}\n")
        for each in reading.found:
            line = each.written(output)
            if known.get(each.key) != line:
                known[each.key] = line
                sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


async def _readings(read: Read) -> AsyncIterator[Reading]:
    """Read again and again. The first time must succeed; later ones may fail for a while."""
    reading = await read()
    heard_s = time.monotonic()
    backoff = Backoff(POLL_S, 10 * POLL_S)
    yield reading
    pause_s = POLL_S
    while True:
        await asyncio.sleep(pause_s)
        try:
            reading = await read()
        except Unavailable as error:
            if time.monotonic() - heard_s > GIVE_UP_S:
                raise Failure(f"no answer for {show.span(GIVE_UP_S)}: {error}") from error
            pause_s = backoff.after_failure_s(error.retry_after_s)
            yield Reading(reading.page, (), f"no answer, asking again in {pause_s:.1f} s: {error}")
            continue
        heard_s, pause_s = time.monotonic(), POLL_S
        backoff.reset()
        yield reading


def _coloured(page: str, colours: Colours) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as above

    text = Text(page, no_wrap=True, overflow="ellipsis")
    for colour, words in colours.items():
        text.highlight_words(words, style=colour)
    return text
