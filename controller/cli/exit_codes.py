"""How a command ends: an exit code and, where it did not do what was asked, sentences for stderr."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, as docs/cli.md and ``--help`` tell them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    OTHER_END = 3
    TIMEOUT = 4
    BLOCKED = 5
    UNREACHED = 6
    INTERRUPTED = 130


class Failure(Exception):  # noqa: N818 - what the command ends with, not a fault of the program
    """The command cannot do what was asked. Each of ``sentences`` is one line on stderr."""

    def __init__(self, *sentences: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(*sentences)
        self.sentences = sentences
        self.code = code
