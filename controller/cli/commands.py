"""The verbs, done: each is looked up, given the cluster, and what a cluster answers becomes a sentence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from controller.cli import kubeconfig
from controller.cli.api import Api, unanswered
from controller.cli.arguments import WRITING, Asked
from controller.cli.exit_codes import Exit
from controller.kube.api import ApiError

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "status": "showing:status",
        "plan": "explaining:plan",
        "explain": "explaining:explain",
        "wait": "waiting:wait",
        "check": "checking:check",
        "drained": "checking:drained",
        "convert": "converting:convert",
        "fleet": "fleet.commands:fleet",
        **dict.fromkeys(WRITING, "writing:write"),
    }
)
"""By verb the module here and its function: imported when it is typed, for a preflight needs much that a status
does not."""

Command = Callable[[Api, Asked], Awaitable[Exit]]


def command(verb: str) -> Command:
    """Return what does a verb."""
    module, _, name = MODULES[verb].partition(":")
    found: Command = getattr(import_module(f"controller.cli.{module}"), name)
    return found


def run(does: Command, asked: Asked) -> Exit:
    """Do what is asked, by what does its verb. Raises Failure, with a sentence for people, for all that a cluster
    answers.
    """
    place = kubeconfig.find(asked.kubeconfig, asked.context, asked.namespace, os.environ)
    try:
        return asyncio.run(_run(Api(place), does, asked))
    except KeyboardInterrupt:
        if getattr(asked, "watch", False):
            return Exit.OK  # Ctrl-C is how a watch ends
        raise


async def _run(api: Api, does: Command, asked: Asked) -> Exit:
    try:
        async with api:
            return await does(api, asked)
    except ApiError as error:
        raise unanswered(api, error) from error
