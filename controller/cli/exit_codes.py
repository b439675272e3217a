"""How a command ends: an exit code and, where it did not do what was asked, sentences for stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
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


class NothingToDo(Failure):
    """There is nothing that the verb could do to this Service: an error where it was named, and left out of a
    crowd. ``why`` says so in a word or two, for a count.
    """

    def __init__(self, sentence: str, why: str) -> None:
        super().__init__(sentence)
        self.why = why


def worst(codes: Iterable[Exit]) -> Exit:
    """Return 0 where nothing failed, the code of all that did where it is one, else FAILED."""
    failed = {code for code in codes if code is not Exit.OK}
    if not failed:
        return Exit.OK
    return failed.pop() if len(failed) == 1 else Exit.FAILED


def tell(sentences: Iterable[str]) -> None:
    """Write sentences to stderr, each on one line: a part of one may come from the cluster, and is data."""
    for sentence in sentences:
        line = "".join(c if c.isprintable() else " " for c in sentence)
        sys.stderr.write(f"kubectl migrate: {line}\n")


def tell_failed(failed: Mapping[str, Failure]) -> Exit:
    """Write to stderr what failed, each sentence behind its Service's name; return how that ends."""
    for name, failure in failed.items():
        tell(f"{name}: {sentence}" for sentence in failure.sentences)
    return worst(failure.code for failure in failed.values())
