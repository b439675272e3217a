"""Completion, in the shells and under ``kubectl``: what may be typed next, names in the cluster among it.

argcomplete walks the parser and speaks to the shells. kubectl asks a program ``kubectl_complete-migrate`` in the
protocol of Cobra: the words and the one that is begun come in, a line for each that may follow goes out, and behind
them what the shell may add by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from argcomplete.completers import BaseCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.shell_integration import shellcode

from controller.cli import kubeconfig
from controller.cli.api import Api
from controller.cli.arguments import Asked, parser
from controller.cli.exit_codes import Failure
from controller.cli.selection import crowd
from controller.kube.api import ApiError

PATIENCE_S = 3.0
"""How long somebody who pressed Tab waits for names."""

NO_FILES = 4
FILES = 0
"""Cobra's directives: the shell offers names of files, or does not."""

PROGRAM = "kubectl-migrate"

Names = Callable[[Api, argparse.Namespace], Awaitable[Sequence[str]]]


def script(shell: str) -> str:
    """Return what a shell reads to complete ``kubectl-migrate``."""
    return shellcode([PROGRAM], shell=shell)


def answer_shell() -> None:
    """Answer the shell that asks by argcomplete's variables, and end."""
    _Finder()(parser(), always_complete_options=False, default_completer=_Names())


def answer_kubectl(words: Sequence[str] | None = None) -> int:
    """Print what may stand in the place of the last word (None: of the process), as Cobra's ``__complete`` does."""
    words = sys.argv[1:] if words is None else words
    said = io.StringIO()
    with _asked(words):
        _Finder()(
            parser(),
            output_stream=said,
            exit_method=lambda _code: None,
            append_space=False,
            always_complete_options=False,
            default_completer=_Names(),
        )
    lines = [line.rstrip() for line in said.getvalue().splitlines()]
    files = len(words) > 1 and words[-2] == "--kubeconfig"
    sys.stdout.write("\n".join([*lines, f":{FILES if files else NO_FILES}", ""]))
    return 0


class _Finder(CompletionFinder):
    """The library's, without its debug output: that takes a file descriptor which need not be its own."""

    def _init_debug_stream(self) -> None:
        """Leave the debug output where it is."""


@contextmanager
def _asked(words: Sequence[str]) -> Any:
    """Ask argcomplete as a shell would, for a line of these words of which the last is begun."""
    begun = words[-1] if words else ""
    line = " ".join([PROGRAM, *map(shlex.quote, words[:-1]), begun])
    said = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_DFS": "\t",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
    }
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class _Names(BaseCompleter):
    """What argcomplete asks where the parser itself knows no choices."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> Sequence[str]:
        """Return the names that an argument may have; none where the cluster does not tell them in time."""
        try:
            return _known(action.dest, parsed_args)
        except (ApiError, Failure, TimeoutError):
            return ()


def _known(argument: str, asked: argparse.Namespace) -> Sequence[str]:
    """Return all names that an argument may have. Raises Failure, ApiError or TimeoutError."""
    file = _of(asked, "kubeconfig")
    if argument in ("context", "other_context"):
        return kubeconfig.known_contexts(file, os.environ)
    names = _NAMES.get(argument)
    if names is None:
        return ()
    place = kubeconfig.find(file, _of(asked, "context"), _of(asked, "namespace"), os.environ)
    return asyncio.run(_asked_of(Api(place), names, asked))


def _of(asked: argparse.Namespace, name: str) -> str | None:
    found: str | None = getattr(asked, name, None)
    return found


async def _asked_of(api: Api, names: Names, asked: argparse.Namespace) -> Sequence[str]:
    async with asyncio.timeout(PATIENCE_S), api:
        return await names(api, asked)


async def _services(api: Api, asked: argparse.Namespace) -> Sequence[str]:
    """Return those that can be begun, and to other verbs those that have a Migration."""
    if getattr(asked, "verb", None) in ("start", "check", "convert"):
        selected, _ = await crowd(api, Asked(everywhere=False, selector=None))
        return [each.metadata.name for each in selected]
    return await _migrations(api)


async def _migrations(api: Api) -> Sequence[str]:
    found, _ = await api.migrations(everywhere=False)
    return [each.service for each in found]


async def _clusters(api: Api, _asked: argparse.Namespace) -> Sequence[str]:
    found, _ = await api.migrations(everywhere=True)
    return sorted({name for each in found for name in each.status.clusters})


async def _namespaces(api: Api, _asked: argparse.Namespace) -> Sequence[str]:
    return sorted(await api.namespaces())


async def _fleets(api: Api, _asked: argparse.Namespace) -> Sequence[str]:
    return [each["metadata"]["name"] for each in await api.fleets()]


async def _waves(api: Api, asked: argparse.Namespace) -> Sequence[str]:
    named = getattr(asked, "fleet", None)
    fleets = [f for f in await api.fleets() if named in (None, f["metadata"]["name"])]
    return [wave["name"] for fleet in fleets for wave in fleet["spec"]["waves"]]


_NAMES: Mapping[str, Names] = MappingProxyType(
    {
        "services": _services,
        "namespace": _namespaces,
        "to": _clusters,
        "toward": _clusters,
        "fleet": _fleets,
        "waves": _waves,
        "wave": _waves,
    }
)
"""By argument, what names it may have."""
