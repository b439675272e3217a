"""A parser that answers a slip as people are helped: in one sentence, with the flag as it was typed, and what may have
been meant. Imports nothing that is slow.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from controller.cli.exit_codes import Exit, Failure

_OF_ARGUMENT = re.compile(r"argument (\S+): (.*)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence like all others."""

    _typed: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Raise Failure with this complaint, about the flag as it was typed where it is about one."""
        if about := _OF_ARGUMENT.match(message):
            message = f"{typed(about[1].split('/'), self._typed)}: {about[2]}"
        see = " See" if message.endswith("?") else "; see"
        raise Failure(f"{message}{see} {self.prog} --help", code=Exit.USAGE)

    def parse_known_args(  # type: ignore[override]  # of its overloads, that which argparse itself calls
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and take names of Services or waves that stand after a flag, as kubectl does.

        What is left is refused here, where the flags that there are are known, and not by whoever called.
        """
        self._typed = args or ()
        asked, left = super().parse_known_args(args, namespace)
        names = getattr(asked, "services", getattr(asked, "waves", None))
        flag = next((text for text in left if text.startswith("-")), None)
        if flag is not None:
            flag = flag.partition("=")[0]
            self.error(f"there is no flag {flag}{meant(flag, self._option_string_actions)}")
        if left and names is None:
            self.error(f"this is too much: {' '.join(left)}")
        if left and names is not None:
            names += left
        return asked, []

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise Failure for what is no choice; argparse has no other place to say it in other words."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if not action.option_strings:
            self.error(f"there is no {str(action.metavar).lower()} {value}{meant(value, known)}")
        flag = typed(action.option_strings, self._typed)
        self.error(
            f"{flag} {value}: write {', '.join(known[:-1])} or {known[-1]}{meant(value, known)}"
        )


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add ``-o``, for a table, documents, and what ``more`` a verb can print."""
    choices = ("table", *more, "json", "yaml")
    parser.add_argument("-o", "--output", choices=choices, default="table", help=", ".join(choices))


def typed(names: Sequence[str], argv: Iterable[str]) -> str:
    """Return which of a flag's names was typed, alone or with its value; all of them where none was."""
    words = tuple(argv)
    for name in names:
        pattern = re.escape(name) + ("(=.*)?" if name.startswith("--") else ".*")
        if any(re.fullmatch(pattern, word, re.DOTALL) for word in words):
            return name
    return "/".join(names)


def meant(written: str, known: Iterable[str]) -> str:
    """Return the question whether another of those that are known was meant, "" where none is near."""
    from controller.domain.spelling import nearest  # noqa: PLC0415 - nobody who types well waits for it

    known = tuple(known)
    found = nearest(written, known)
    if found is None:
        longer = [each for each in known if len(written) > 2 and each.startswith(written)]
        found = longer[0] if len(longer) == 1 else None
    return f": did you mean {found}?" if found else ""
