"""What the demo prints: lines that fit, colour on a terminal only, and a last line that counts."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from deploy.local.__main__ import closing
from deploy.local.fleet import OF_A_FLEET
from deploy.local.screen import WIDTH, Terminal, coloured
from deploy.local.stage import CONDITIONS, Result
from deploy.local.stories import STORIES

ROOT = Path(__file__).parents[3]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
LONG = "  12.3 s  status says: Completed, " + "a sentence of many words, " * 12 + "Completed"


class Tty(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """A terminal of 120 columns that knows colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Tty()


def test_a_terminal_has_colours_and_lines_that_fit(tty: Tty) -> None:
    """On a terminal a long line is folded at words, what follows is indented, and words have their colour."""
    Terminal(tty).say(coloured(LONG))
    assert "\x1b[32mCompleted" in tty.getvalue()
    lines = ESCAPES.sub("", tty.getvalue()).splitlines()
    assert len(lines) > 3
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.startswith(" " * 10) for line in lines[1:])


def test_a_pipe_has_neither() -> None:
    """In a pipe a line is a line, without colour and without a bar."""
    out = io.StringIO()
    screen = Terminal(out)
    screen.preparing("two API servers", 0.5)
    screen.say(coloured(LONG, "bold"))
    assert out.getvalue() == f"{LONG}\n"


def test_the_bar_goes_with_the_first_line(tty: Tty) -> None:
    """A terminal shows what is being brought up, until something is said."""
    screen = Terminal(tty)
    screen.preparing("two API servers", 0.1)
    screen.preparing("probers and controller", 0.9)
    screen.say(coloured("first"))
    shown, _, last = tty.getvalue().rpartition("probers and controller")
    assert "━" in shown
    assert ESCAPES.sub("", last).split() == ["first"]


def test_nothing_is_said_where_figures_are_wanted(tty: Tty) -> None:
    """With ``--json`` the screen is quiet."""
    screen = Terminal(tty, quiet=True)
    screen.preparing("two API servers", 0.5)
    screen.say(coloured(LONG))
    assert tty.getvalue() == ""


def test_the_conditions_of_a_story_fit() -> None:
    """What stands above each story is no longer than a line."""
    assert all(len(f"   {text}") <= WIDTH for text in (CONDITIONS, OF_A_FLEET))


def test_the_last_line_counts() -> None:
    """It says how many stories were kept, and of all requests how many failed, by the moves and on purpose."""
    kept = Result("move", requests=40_000)
    assert closing([kept]).plain == "\n1 of 1 kept, 40,000 requests, 0 failed"
    reverted = Result("revert", requests=1_203, failed_by_target=12)
    broken = Result("crash", requests=10, failed=2, broken=["2 of 10 requests failed by the move"])
    assert closing([kept, reverted, broken]).plain == (
        "\n2 of 3 kept, 41,213 requests, 2 failed; 12 more by targets that were made to"
    )


def test_stories_are_told_in_the_order_of_the_readme() -> None:
    """The README's table has every story, in the order in which all are told."""
    rows = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == list(STORIES)
