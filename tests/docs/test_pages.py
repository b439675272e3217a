"""The pages: what they link to is there, and what they tell people to type can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.cli.arguments import parse
from tests.docs.commands import PAGES, ROOT, Command, commands

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
WORDS = 33_000


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make."""
    found = (re.sub(r"[^\w\- ]", "", text.lower()) for text in HEADING.findall(page.read_text()))
    return {text.strip().replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link of a page that stays in the project leads to a file, and to a heading where it names one."""
    dead = []
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(link)
    assert dead == []


def test_index_names_every_page() -> None:
    """The index of docs/ leads to each page there, but to the runbooks only by their own index."""
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page not in {*named, index}] == []


def test_pages_can_be_read() -> None:
    """All pages together stay within what somebody reads: what is said twice goes before more is said."""
    assert sum(len(page.read_text().split()) for page in PAGES) <= WORDS


def of(*programs: str) -> list[Command]:
    """Return the commands of these programs, each once."""
    found = {c.words: c for c in commands() if c.words[0] in programs}
    return list(found.values())


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_make_targets_exist(command: Command) -> None:
    """Every ``make`` that a page names is a target that ``make help`` lists."""
    targets = TARGET.findall((ROOT / "Makefile").read_text())
    assert [word for word in command.words[1:] if "=" not in word and word not in targets] == []


@pytest.mark.parametrize("command", of(".venv/bin/python"), ids=str)
def test_modules_exist(command: Command) -> None:
    """Every module that a page runs with ``python -m`` is one of the project's, or pytest."""
    assert command.words[1] == "-m"
    path = ROOT / command.words[2].replace(".", "/")
    assert command.words[2] == "pytest" or path.with_suffix(".py").is_file() or path.is_dir()


@pytest.mark.parametrize("command", of("kubectl", "kubectl-migrate"), ids=str)
def test_verbs_and_flags_exist(command: Command) -> None:
    """Every ``kubectl migrate`` that a page names parses: its verb and flags are there."""
    if command.words[0] == "kubectl" and command.words[1] != "migrate":
        return
    arguments = command.words[2 if command.words[0] == "kubectl" else 1 :]
    if len(arguments) > 1:
        parse(arguments)
    else:  # a page may name a verb alone
        with pytest.raises(SystemExit):
            parse([*arguments, "--help"])
