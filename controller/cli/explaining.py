"""``plan`` and ``explain``: what lies ahead of a migration, and why the last thing happened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.cli import forecast, show, verbs
from controller.cli.api import Api
from controller.cli.arguments import PROG, Asked
from controller.cli.documents import DOCUMENTS, print_document
from controller.cli.exit_codes import Exit, Failure, NothingToDo, tell, worst
from controller.cli.migration import Migration
from controller.cli.reading import found_of, reported
from controller.cli.selection import select
from controller.cli.verbs import Found


async def plan(api: Api, asked: Asked) -> Exit:
    """Show the steps ahead of those that are meant. Raises Failure."""
    now = api.now()
    if asked.one is not None:
        return _show([_planned(await found_of(api, asked.one), now)], asked)
    return await _each(api, asked, lambda found: _planned(found, now))


def _planned(found: Found, now: datetime) -> Page:
    plan = forecast.foresee(found, now)
    code = Exit.USAGE if plan.problems else Exit.OK
    return Page(forecast.page(plan, now), forecast.document(plan), code)


async def explain(api: Api, asked: Asked) -> Exit:
    """Show why the last thing happened to those that are meant. Raises Failure."""
    now = api.now()
    if asked.one is not None:
        return _show([_explained(await reported(api, asked.one), now)], asked)
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
    """Print pages; a document is one object where one Service is named, else a list."""
    if asked.output in DOCUMENTS:
        documents = [page.document for page in pages]
        print_document(documents[0] if asked.one is not None else documents, asked.output)
    elif pages:
        sys.stdout.write("\n\n".join(page.text for page in pages) + "\n")
    return worst(page.code for page in pages)
