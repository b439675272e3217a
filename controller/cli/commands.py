"""The verbs, done: read what is needed, ask the pure modules, print or write."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from controller.cli import converting, forecast, kubeconfig, show, verbs, waiting, watching
from controller.cli.api import Api
from controller.cli.arguments import PROG, Asked
from controller.cli.as_json import as_json
from controller.cli.checking import check, drained
from controller.cli.exit_codes import Exit, Failure
from controller.cli.migration import Migration
from controller.cli.verbs import Found
from controller.kube.api import ApiError, Backoff, Conflict, Refused, Unavailable

WRITES = 5
"""How often a change is tried when the Service changes under it."""


def run(asked: Asked) -> Exit:
    """Do what is asked. Raises Failure, with the sentence for people, for all that a cluster answers."""
    place = kubeconfig.find(asked.kubeconfig, asked.context, asked.namespace, os.environ)
    try:
        return asyncio.run(_run(Api(place), asked))
    except KeyboardInterrupt:
        if asked.verb == "status" and asked.watch:
            return Exit.OK  # Ctrl-C is how a watch ends
        raise


async def _run(api: Api, asked: Asked) -> Exit:
    try:
        async with api:
            return await COMMANDS[asked.verb](api, asked)
    except Unavailable as error:
        lost = "; it may have been written all the same" if error.outcome_unknown else ""
        raise Failure(f"no usable answer from {api.place}: {error}{lost}") from error
    except ApiError as error:
        raise Failure(f"{api.place} refused: {error}") from error


async def _status(api: Api, asked: Asked) -> Exit:
    if asked.watch:
        return await _watch(api, asked)
    if asked.service is not None:
        migration = await _reported(api, asked.service)
        if asked.output == "json":
            _print_json(migration.raw)
        else:
            _print(show.status_page(migration, api.now()))
        return Exit.OK
    found, listed = await api.migrations(everywhere=asked.everywhere)
    if asked.output == "json":
        _print_json(listed)
    elif found:
        _print(show.status_table(found, api.now(), namespaces=asked.everywhere))
    else:
        sys.stderr.write(f"{_none(api, asked)}\n")
    return Exit.OK


async def _watch(api: Api, asked: Asked) -> Exit:
    async def read() -> watching.Reading:
        if asked.service is None:
            found, _ = await api.migrations(everywhere=asked.everywhere)
            table = show.status_table(found, api.now(), namespaces=asked.everywhere)
            return watching.Reading(table if found else _none(api, asked), found)
        migration = await api.migration(asked.service)
        if migration is None:
            service = await _service(api, asked.service)
            return watching.Reading(verbs.no_migration(Found(service)), ())
        return watching.Reading(show.status_page(migration, api.now()), (migration,))

    json = asked.output == "json"
    if sys.stdout.isatty() and not json:
        await watching.on_terminal(read)
    else:
        await watching.in_lines(read, json=json, namespaces=asked.everywhere)
    return Exit.OK


async def _plan(api: Api, asked: Asked) -> Exit:
    found = await _found(api, _named(asked))
    now = api.now()
    plan = forecast.foresee(found, now)
    if asked.output == "json":
        _print_json(forecast.document(plan))
    else:
        _print(forecast.page(plan, now))
    return Exit.USAGE if plan.problems else Exit.OK


async def _explain(api: Api, asked: Asked) -> Exit:
    migration = await _reported(api, _named(asked))
    if asked.output == "json":
        told = migration.raw.get("status") or {}
        shown = ("observed", "phase", "share", "reason", "message", "asked", "history", "ways")
        _print_json({key: told.get(key) for key in (*shown, "warnings")})
    else:
        _print(show.explain_page(migration, api.now()))
    return Exit.OK


async def _write(api: Api, asked: Asked) -> Exit:
    """Change the annotations; what was read is what the change is made for."""
    name = _named(asked)
    backoff = Backoff(0.1, 2.0)
    for _ in range(WRITES):
        found = await _found(api, name)
        change = verbs.effective(found, verbs.VERBS[asked.verb](found, asked))
        try:
            if change:
                await api.annotate(found.service, change)
        except Conflict:
            sys.stderr.write(f"{name} was changed meanwhile: reading it again\n")
            await asyncio.sleep(backoff.after_failure_s())
            continue
        _print(verbs.outcome(found, asked.verb, change))
        return Exit.OK
    raise Failure(f"{name} was changed by somebody else {WRITES} times meanwhile: try again")


async def _convert(api: Api, asked: Asked) -> Exit:
    await _service(api, _named(asked))
    _print(await converting.convert(api, _named(asked)))
    return Exit.OK


async def _wait(api: Api, asked: Asked) -> Exit:
    return await waiting.wait(api, _named(asked), asked.goal, asked.timeout_s)


COMMANDS: Mapping[str, Callable[[Api, Asked], Awaitable[Exit]]] = MappingProxyType(
    {
        "status": _status,
        "plan": _plan,
        "explain": _explain,
        "wait": _wait,
        "check": check,
        "drained": drained,
        "convert": _convert,
        **dict.fromkeys(verbs.VERBS, _write),
    }
)


# --- what is read ---------------------------------------------------------------------------------


def _named(asked: Asked) -> str:
    assert asked.service is not None  # noqa: S101 - the parser asks for it
    return asked.service


async def _service(api: Api, name: str) -> Any:
    service = await api.service(name)
    verbs.refuse_mirror(service)
    return service


async def _reported(api: Api, name: str) -> Migration:
    """Read a Migration that is to be shown; where there is none, the Service says more about why."""
    migration = await api.migration(name)
    if migration is None:
        raise Failure(verbs.no_migration(Found(await _service(api, name))))
    return migration


async def _found(api: Api, name: str) -> Found:
    service = await _service(api, name)
    migration = await api.migration(name)
    record = await api.record(name)
    clusters = migration.status.pair if migration else None
    if clusters is None and record and record.attempt:
        clusters = (record.attempt.origin, record.attempt.target)
    return Found(service, migration, record, clusters or await _pair(api))


async def _pair(api: Api) -> tuple[str, str] | None:
    """Learn the clusters' names from any other Migration here: there is one pair for all."""
    try:
        others, _ = await api.migrations(everywhere=False)
    except (Failure, Refused):
        return None
    return next((other.status.pair for other in others if other.status.pair), None)


# --- what is printed ------------------------------------------------------------------------------


def _none(api: Api, asked: Asked) -> str:
    where = "any namespace" if asked.everywhere else f"namespace {api.place.namespace}"
    return (
        f"no migrations in {where} of {api.place}: begin one with {PROG} start SERVICE --to CLUSTER"
    )


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _print_json(value: object) -> None:
    _print(as_json(value, indent=2))
