"""The commands that the documentation tells people to type, as they stand in code blocks and code spans."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/*.md"),
        *ROOT.glob("dashboards/*.md"),
    ]
)
PROGRAMS = (
    "kubectl",
    "kubectl-migrate",
    "make",
    ".venv/bin/python",
    "migrate-controller",
    "migrate-prober",
)
"""What this project's pages tell people to run and these tests can: others (helm) are run where they are built."""

NAMES = {"SERVICE": "service-a", "NAMESPACE": "default", "CLUSTER": "legacy", "FLEET": "to-eks"}
"""What the placeholders of the pages stand for here."""

_BLOCK = re.compile(r"^(?: {4,}|\t)(?:\$ |if )?(?P<text>\S.*)$")
_FENCE = re.compile(r"^```")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Command:
    """One command, and where it stands. ``words`` are its arguments, the program first."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command on one line."""
        return shlex.join(self.words)

    def __str__(self) -> str:
        """Return the name of it as tests do: where it stands, and what it is."""
        return f"{self.page}:{self.line}: {self.text}"


def commands() -> list[Command]:
    """Collect every command of every page that names a Service by name, or a program with its arguments."""
    return [command for page in PAGES for command in _of_page(page)]


def _of_page(page: Path) -> Iterator[Command]:
    name = str(page.relative_to(ROOT))
    lines = page.read_text().splitlines()
    fenced = False
    number = 0
    while number < len(lines):
        line = lines[number]
        first = number + 1
        if _FENCE.match(line):
            fenced = not fenced
        elif (block := _BLOCK.match(line)) or fenced:
            text = block["text"] if block else line.removeprefix("$ ")
            while text.endswith("\\") and number + 1 < len(lines):
                number += 1
                text = text[:-1] + " " + lines[number].strip()
            yield from _parsed(name, first, text)
        else:
            for span in _SPAN.findall(line):
                yield from _parsed(name, first, span)
        number += 1


def _parsed(page: str, line: int, text: str) -> Iterator[Command]:
    """Return the command of a line, up to a pipe; nothing where it is none, or is cut short (…)."""
    text = re.split(r"; then| \| ", text)[0]
    if "…" in text or not text.startswith(tuple(f"{program} " for program in PROGRAMS)):
        return
    for placeholder, name in NAMES.items():
        text = text.replace(placeholder, name)
    words = tuple(shlex.split(text, comments=True))
    if len(words) > 1 and words != ("kubectl", "migrate"):
        yield Command(page, line, words)
