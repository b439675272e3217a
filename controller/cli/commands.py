"""The verbs, done: read what is needed, ask the pure modules, print or write."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from controller.cli import converting, forecast, kubeconfig, show, verbs, waiting, watching
from controller.cli.api import Api
from controller.cli.arguments import PROG, Asked
from controller.cli.as_json import as_json
from controller.cli.asking import agreed, listed
from controller.cli.checking import check, drained
from controller.cli.exit_codes import Exit, Failure, NothingToDo, tell, tell_failed, worst
from controller.cli.fleet.commands import fleet
from controller.cli.migration import Migration
from controller.cli.selection import Selection, crowd, select
from controller.cli.verbs import Found
from controller.cli.writing import Writing, unanswered
from controller.domain import Key
from controller.kube.api import ApiError, Refused


def run(asked: Asked) -> Exit:
    """Do what is asked. Raises Failure, with the sentence for people, for all that a cluster answers."""
    place = kubeconfig.find(asked.kubeconfig, asked.context, asked.namespace, os.environ)
    try:
        return asyncio.run(_run(Api(place), asked))
    except KeyboardInterrupt:
        if getattr(asked, "watch", False):
            return Exit.OK  # Ctrl-C is how a watch ends
        raise


async def _run(api: Api, asked: Asked) -> Exit:
    try:
        async with api:
            return await COMMANDS[asked.verb](api, asked)
    except ApiError as error:
        raise unanswered(api, error) from error


# --- what is shown --------------------------------------------------------------------------------


async def _status(api: Api, asked: Asked) -> Exit:
    if asked.watch:
        return await _watch(api, asked)
    if asked.one is not None:
        migration = await _reported(api, asked.one)
        if asked.output == "json":
            _print_json(migration.raw)
        else:
            _print(show.status_page(migration, api.now()))
        return Exit.OK
    found, listed, lost = await _migrations(api, asked)
    if asked.output == "json":
        _print_json(listed)
    elif found:
        _print(show.status_table(found, api.now(), namespaces=asked.everywhere))
    elif not lost:
        sys.stderr.write(f"{_none(api, asked)}\n")
    for sentence in lost:
        tell([sentence])
    return Exit.FAILED if lost else Exit.OK


async def _watch(api: Api, asked: Asked) -> Exit:
    async def read() -> watching.Reading:
        if asked.one is None:
            found, _, _ = await _migrations(api, asked)
            table = show.status_table(found, api.now(), namespaces=asked.everywhere)
            lines = [watching.line_of(each, namespaces=asked.everywhere) for each in found]
            return watching.Reading(table if found else _none(api, asked), lines)
        migration = await api.migration(asked.one)
        if migration is None:
            service = await _service(api, asked.one)
            return watching.Reading(verbs.no_migration(Found(service)), ())
        return watching.Reading(
            show.status_page(migration, api.now()), (watching.line_of(migration, namespaces=False),)
        )

    await watching.watch(read, json=asked.output == "json")
    return Exit.OK


async def _migrations(
    api: Api, asked: Asked
) -> tuple[Sequence[Migration], dict[str, Any], list[str]]:
    """Read the Migrations that are meant, also as the list that came; and what there is no Migration of."""
    found, whole = await api.migrations(everywhere=asked.everywhere)
    if not asked.named and asked.selector is None:
        return found, whole, []
    by_key = {Key(each.namespace, each.service): each for each in found}
    wanted = await _wanted(api, asked)
    lost = [await _why_not(api, key.service) for key in wanted if asked.named and key not in by_key]
    chosen = [by_key[key] for key in wanted if key in by_key]
    return chosen, {**whole, "items": [each.raw for each in chosen]}, lost


async def _wanted(api: Api, asked: Asked) -> list[Key]:
    if asked.named:
        return [Key(api.place.namespace, name) for name in asked.services]
    services, _ = await crowd(api, asked)
    return [Key(each.metadata.namespace, each.metadata.name) for each in services]


async def _why_not(api: Api, name: str) -> str:
    """Return why there is no Migration of a Service."""
    try:
        return verbs.no_migration(Found(await _service(api, name)))
    except Failure as failure:
        return failure.sentences[0]


async def _plan(api: Api, asked: Asked) -> Exit:
    now = api.now()
    if asked.one is not None:
        return _show([_planned(await _found(api, asked.one), now)], asked)
    return await _each(api, asked, lambda found: _planned(found, now))


def _planned(found: Found, now: datetime) -> Page:
    plan = forecast.foresee(found, now)
    code = Exit.USAGE if plan.problems else Exit.OK
    return Page(forecast.page(plan, now), forecast.document(plan), code)


async def _explain(api: Api, asked: Asked) -> Exit:
    now = api.now()
    if asked.one is not None:
        return _show([_explained(await _reported(api, asked.one), now)], asked)
    return await _each(api, asked, lambda found: _explained(_migration_of(found), now))


def _migration_of(found: Found) -> Migration:
    if found.migration is None:
        raise NothingToDo(verbs.no_migration(found), "without a Migration")
    return found.migration


def _explained(migration: Migration, now: datetime) -> Page:
    told = migration.raw.get("status") or {}
    shown = ("observed", "phase", "share", "reason", "message", "asked", "history", "ways")
    named = {"namespace": migration.namespace, "service": migration.service}
    document = {key: told.get(key) for key in (*shown, "warnings")}
    return Page(show.explain_page(migration, now), named | document, Exit.OK)


@dataclass(frozen=True, slots=True)
class Page:
    """What a verb shows of one Service: as text and as JSON, and how it ends."""

    text: str
    document: Mapping[str, Any]
    code: Exit


async def _each(api: Api, asked: Asked, page_of: Callable[[Found], Page]) -> Exit:
    """Show each Service that is meant. Where one cannot be shown that is told, and the others are."""
    selection = await select(api, asked)
    pages: list[Page] = []
    lost = list(selection.failed.values())
    for found in selection.found:
        try:
            pages.append(page_of(found))
        except NothingToDo as nothing:
            if asked.named:
                lost.append(nothing)
    if not pages and not lost:
        raise Failure(f"no Service that is meant has a Migration here: see {PROG} status")
    ended = _show(pages, asked)
    for failure in lost:
        tell(failure.sentences)
    return worst([ended, *(failure.code for failure in lost)])


def _show(pages: Sequence[Page], asked: Asked) -> Exit:
    """Print pages; JSON is one object where one Service is named, else a list."""
    if asked.output == "json":
        documents = [page.document for page in pages]
        _print_json(documents[0] if asked.one is not None else documents)
    elif pages:
        _print("\n\n".join(page.text for page in pages))
    return worst(page.code for page in pages)


# --- what is written ------------------------------------------------------------------------------


async def _write(api: Api, asked: Asked) -> Exit:
    async def reread(key: Key) -> Found:
        found = await _found(api.within(key.namespace), key.service)
        return replace(found, everywhere=asked.everywhere)

    writing = Writing(api, asked, reread)
    if asked.one is not None:
        return await writing.one(await _found(api, asked.one))
    return await writing.many(await select(api, asked))


async def _convert(api: Api, asked: Asked) -> Exit:
    if asked.one is not None:
        await _service(api, asked.one)
        _print(await converting.convert(api, asked.one))
        return Exit.OK
    return await _convert_many(api, await select(api, asked), asked)


async def _convert_many(api: Api, selection: Selection, asked: Asked) -> Exit:
    begun = [found for found in selection.found if found.record or asked.named]
    if len(begun) > 1 and not asked.yes:
        who = f"{len(begun)} Services ({listed([each.name for each in begun])})"
        await agreed(f"put an HTTPRoute in the place of the TrafficSplit of {who}")
    failed = dict(selection.failed)
    for found in begun:
        if why := await _converted(api, found):
            failed[found.name] = why
    total = len(begun) + len(selection.failed)
    _print(f"{total} Services: {total - len(failed)} converted, {len(failed)} failed")
    return tell_failed(failed)


async def _converted(api: Api, found: Found) -> Failure | None:
    """Convert one of several; return what it failed with."""
    try:
        _print(await converting.convert(api.within(found.key.namespace), found.key.service))
    except Failure as failure:
        return failure
    except Refused as error:
        return unanswered(api, error)
    return None


async def _wait(api: Api, asked: Asked) -> Exit:
    if asked.one is not None:
        return await waiting.wait(api, asked.one, asked.goal, asked.timeout_s)
    return await waiting.wait_for_many(api, asked)


COMMANDS: Mapping[str, Callable[[Api, Asked], Awaitable[Exit]]] = MappingProxyType(
    {
        "status": _status,
        "plan": _plan,
        "explain": _explain,
        "wait": _wait,
        "check": check,
        "drained": drained,
        "convert": _convert,
        "fleet": fleet,
        **dict.fromkeys(verbs.VERBS, _write),
    }
)


# --- what is read ---------------------------------------------------------------------------------


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
