"""``status``: where traffic goes, what comes next and what it waits for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from controller.cli import show, verbs, watching
from controller.cli.api import Api
from controller.cli.arguments import PROG, Asked
from controller.cli.documents import DOCUMENTS, print_document
from controller.cli.exit_codes import Exit, Failure, tell
from controller.cli.migration import Migration
from controller.cli.reading import reported, service
from controller.cli.selection import crowd
from controller.cli.verbs import Found
from controller.domain import Key


async def status(api: Api, asked: Asked) -> Exit:
    """Show the migrations that are meant, once or on and on. Raises Failure."""
    if asked.watch:
        return await _watch(api, asked)
    if asked.one is not None:
        migration = await reported(api, asked.one)
        _print(
            asked, [migration], migration.raw, show.status_page(migration, api.now(), **_how(asked))
        )
        return Exit.OK
    found, listed, lost = await _migrations(api, asked)
    if found or asked.output in DOCUMENTS:
        _print(asked, found, listed, show.status_table(found, api.now(), **_how(asked)))
    elif not lost:
        if not asked.everywhere and (unknown := await api.unknown_namespace()):
            raise Failure(unknown)
        sys.stderr.write(f"{_none(api, asked)}\n")
    tell(lost)
    return Exit.FAILED if lost else Exit.OK


def _how(asked: Asked) -> show.Columns:
    return {"namespaces": asked.everywhere, "wide": asked.output == "wide"}


def _print(
    asked: Asked, found: Sequence[Migration], document: Mapping[str, Any], page: str
) -> None:
    """Print as ``-o`` asks: names, one document, or the page."""
    if asked.output in DOCUMENTS:
        print_document(document, asked.output)
        return
    names = (each.resource_name for each in found)
    sys.stdout.write(("\n".join(names) if asked.output == "name" else page) + "\n")


async def _watch(api: Api, asked: Asked) -> Exit:
    if not asked.everywhere and (unknown := await api.unknown_namespace()):
        raise Failure(unknown)

    async def read() -> watching.Reading:
        if asked.one is None:
            found, _, _ = await _migrations(api, asked)
            table = show.status_table(found, api.now(), **_how(asked))
            lines = [watching.line_of(each, namespaces=asked.everywhere) for each in found]
            return watching.Reading(table if found else _none(api, asked), lines)
        migration = await api.migration(asked.one)
        if migration is None:
            return watching.Reading(verbs.no_migration(Found(await service(api, asked.one))), ())
        page = show.status_page(migration, api.now(), **_how(asked))
        return watching.Reading(page, (watching.line_of(migration, namespaces=False),))

    await watching.watch(read, asked.output)
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
        return verbs.no_migration(Found(await service(api, name)))
    except Failure as failure:
        return failure.sentences[0]


def _none(api: Api, asked: Asked) -> str:
    where = "any namespace" if asked.everywhere else f"namespace {api.place.namespace}"
    return (
        f"no migrations in {where} of {api.place}: begin one with {PROG} start SERVICE --to CLUSTER"
    )
