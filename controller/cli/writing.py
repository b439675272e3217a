"""The verbs that write annotations, for one Service or many: planned, asked about, written, told and counted."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from controller.cli import verbs
from controller.cli.api import Api, unanswered
from controller.cli.arguments import PROG, Asked
from controller.cli.asking import agreed, listed
from controller.cli.documents import DOCUMENTS, print_document
from controller.cli.exit_codes import Exit, Failure, NothingToDo, tell, worst
from controller.cli.reading import found_of
from controller.cli.selection import AT_A_TIME, Selection, select
from controller.cli.verbs import Change, Found
from controller.domain import Key
from controller.kube.api import ApiError, Backoff, Conflict, Unavailable

WRITES = 5
"""How often a change is tried when the Service changes under it."""

Reread = Callable[[Key], Awaitable[Found]]


class Came(StrEnum):
    """What came of a verb for one Service."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    LEFT_OUT = "leftOut"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: ``sentences`` for people; ``why`` one of a crowd was left out, in a word or two."""

    key: Key
    came: Came
    sentences: tuple[str, ...] = ()
    change: Mapping[str, str | None] = field(default_factory=dict)
    why: str = ""
    code: Exit = Exit.OK


@dataclass(frozen=True, slots=True)
class Writing:
    """One call of a verb. ``reread`` reads one Service anew."""

    api: Api
    asked: Asked
    reread: Reread

    async def one(self, found: Found) -> Exit:
        """Change one Service that is named, and say so. Raises Failure."""
        found, change = await self._change(found)
        self._print([self._result(found, change)], [found] if change else [], summary="")
        return Exit.OK

    async def many(self, selection: Selection) -> Exit:
        """Change all that are meant, and say what came of each and of all; an error is of its Service only."""
        planned = {each.key: self._planned(each) for each in selection.found}
        moving = [each for each in selection.found if planned[each.key].came is Came.CHANGED]
        await self._agree(moving)
        namespace = self.api.place.namespace
        results = [
            *(_failed(Key(namespace, name), why) for name, why in selection.failed.items()),
            *{**planned, **await self._written(moving)}.values(),
            *(_left_out(key, why) for key, why in selection.left_out.items()),
        ]
        changed = {each.key for each in results if each.came is Came.CHANGED}
        moved = [each for each in moving if each.key in changed]
        self._print(results, moved, summary=_summary(results, dry_run=self.asked.dry_run))
        return self._ended(results)

    def _ended(self, results: Sequence[Result]) -> Exit:
        """Tell what failed, and return how it ends. Raises Failure where there was nothing to do for anybody."""
        if all(each.came is Came.LEFT_OUT for each in results):
            raise Failure(f"there is nothing to {self.asked.verb}: {_why(results)}")
        for each in results:
            if each.came is Came.FAILED:
                name = str(each.key) if self.asked.everywhere else each.key.service
                tell(f"{name}: {sentence}" for sentence in each.sentences)
        return worst(each.code for each in results)

    # --- what is to be done ---------------------------------------------------------------------------

    def _planned(self, found: Found) -> Result:
        try:
            change = self._asked_of(found)
        except NothingToDo as nothing:
            if not self.asked.named:
                return _left_out(found.key, nothing.why)
            return _failed(found.key, nothing)
        except Failure as failure:
            return _failed(found.key, failure)
        return self._result(found, change)

    def _result(self, found: Found, change: Change) -> Result:
        line = verbs.outcome(found, self.asked.verb, change)
        return Result(found.key, Came.CHANGED if change else Came.UNCHANGED, (line,), change)

    def _asked_of(self, found: Found) -> Change:
        return verbs.effective(found, verbs.VERBS[self.asked.verb](found, self.asked))

    async def _agree(self, moving: Sequence[Found]) -> None:
        words = verbs.MOVING.get(self.asked.verb)
        if words is None or len(moving) < 2 or self.asked.yes or self.asked.dry_run:
            return
        who = f"{len(moving)} Services ({listed([each.name for each in moving])})"
        await agreed(words.format(who, getattr(self.asked, "to", "")))

    # --- what is written ------------------------------------------------------------------------------

    async def _written(self, moving: Iterable[Found]) -> dict[Key, Result]:
        """Write to all, so many at a time. Where the cluster does not answer the others are not tried."""
        turns = asyncio.Semaphore(AT_A_TIME)
        gone: list[ApiError] = []

        async def one(found: Found) -> Result:
            async with turns:
                if gone:
                    untried = Failure(f"not tried, since {self.api.place} did not answer")
                    return _failed(found.key, untried)
                try:
                    return self._result(*await self._change(found))
                except Failure as failure:
                    return _failed(found.key, failure)
                except ApiError as error:
                    if isinstance(error, Unavailable) and not error.status:
                        gone.append(error)
                    return _failed(found.key, unanswered(self.api, error))

        moving = list(moving)
        results = await asyncio.gather(*(one(found) for found in moving))
        return {found.key: result for found, result in zip(moving, results, strict=True)}

    async def _change(self, found: Found) -> tuple[Found, Change]:
        """Write what the verb asks of one Service; what was read is what the change is made for."""
        backoff = Backoff(0.1, 2.0)
        for tries in range(1, WRITES + 1):
            change = self._asked_of(found)
            try:
                if change:
                    await self.api.annotate(found.service, change, dry_run=self.asked.dry_run)
            except Conflict:
                if tries < WRITES:
                    sys.stderr.write(f"{found.name} was changed meanwhile: reading it again\n")
                    await asyncio.sleep(backoff.after_failure_s())
                    found = await self.reread(found.key)
                continue
            return found, change
        raise Failure(
            f"{found.name} was changed by somebody else {WRITES} times meanwhile: try again"
        )

    # --- what is told ---------------------------------------------------------------------------------

    def _print(self, results: Sequence[Result], moved: Sequence[Found], summary: str) -> None:
        if self.asked.output in DOCUMENTS:
            print_document([self._document(each) for each in results], self.asked.output)
            return
        if self.asked.output == "name":
            changed = (each.key.service for each in results if each.came is Came.CHANGED)
            sys.stdout.write("".join(f"service/{name}\n" for name in changed))
            return
        for line in (*self._lines(results), summary, self._watch(moved)):
            if line:
                sys.stdout.write(f"{line}\n")

    def _lines(self, results: Sequence[Result]) -> Iterator[str]:
        """Return what came of each; what was so already is told only of those that were named."""
        dry = " (dry run)" if self.asked.dry_run else ""
        shown = (Came.CHANGED, Came.UNCHANGED) if self.asked.named else (Came.CHANGED,)
        return (f"{each.sentences[0]}{dry}" for each in results if each.came in shown)

    def _watch(self, moved: Sequence[Found]) -> str:
        """Return how to see what comes of it, "" where there is nothing to see."""
        if self.asked.verb not in verbs.WATCHED or not moved or self.asked.dry_run:
            return ""
        if len(moved) == 1:
            return f"watch it with {PROG} status {moved[0].typed} --watch"
        which = f" -l {self.asked.selector}" if self.asked.selector else ""
        return (
            f"watch them with {PROG} status{which}{' -A' if self.asked.everywhere else ''} --watch"
        )

    def _document(self, result: Result) -> dict[str, Any]:
        return {
            "namespace": result.key.namespace,
            "service": result.key.service,
            "result": result.came.value,
            "change": dict(result.change),
            "message": "; ".join(result.sentences) or result.why,
            "dryRun": self.asked.dry_run,
        }


async def write(api: Api, asked: Asked) -> Exit:
    """Do a verb that writes annotations, for all that are meant. Raises Failure."""

    async def reread(key: Key) -> Found:
        found = await found_of(api.within(key.namespace), key.service)
        return replace(found, everywhere=asked.everywhere)

    writing = Writing(api, asked, reread)
    if asked.one is not None:
        return await writing.one(await found_of(api, asked.one))
    return await writing.many(await select(api, asked))


def _failed(key: Key, failure: Failure) -> Result:
    return Result(key, Came.FAILED, failure.sentences, code=failure.code)


def _left_out(key: Key, why: str) -> Result:
    return Result(key, Came.LEFT_OUT, why=why)


def _summary(results: Sequence[Result], *, dry_run: bool) -> str:
    """Return how many came to what, in a line."""
    count = Counter(each.came for each in results)
    changed = "would be changed" if dry_run else "changed"
    parts = [f"{len(results)} Services: {count[Came.CHANGED]} {changed}"]
    if count[Came.UNCHANGED]:
        parts.append(f"{count[Came.UNCHANGED]} as asked already")
    if count[Came.LEFT_OUT]:
        parts.append(f"{count[Came.LEFT_OUT]} left out ({_why(results)})")
    parts.append(f"{count[Came.FAILED]} failed")
    return ", ".join(parts)


def _why(results: Iterable[Result]) -> str:
    why = Counter(each.why for each in results if each.came is Came.LEFT_OUT)
    return ", ".join(f"{number} {word}" for word, number in sorted(why.items()))
