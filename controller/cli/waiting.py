"""``wait``: until a migration comes to an end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from controller.cli import show
from controller.cli.api import Api
from controller.cli.arguments import Asked
from controller.cli.exit_codes import Exit, Failure, tell, worst
from controller.cli.selection import Selection, again, select
from controller.cli.verbs import Found, no_migration, refuse_mirror
from controller.domain import Key, Phase
from controller.domain.status import Transition
from controller.kube.api import Backoff, Unavailable

POLL_S = 1.0
"""How often the cluster is asked."""

Goal = Literal["completed", "reverted"]

ENDS: Mapping[str, Goal] = {Phase.COMPLETED: "completed", Phase.REVERTED: "reverted"}


def end_of(found: Found) -> Goal | None:
    """Return at which end the Service's migration is, None while it is at none.

    What is reported of another target or an earlier attempt than the annotations ask for is no answer, and
    Completed none where it is another target that serves every call.
    """
    status = found.reported
    if status is None or (status.phase == Phase.COMPLETED and status.asks_otherwise):
        return None
    return ENDS.get(status.phase)


def unprinted(history: Sequence[Transition], last: Transition | None) -> Sequence[Transition]:
    """Return what came after the transition that was printed last; at first, only the newest."""
    if last is None:
        return history[-1:]
    if last in history:
        return history[history.index(last) + 1 :]
    return [entry for entry in history if entry.at > last.at]


def not_reached(found: Found, goal: Goal, seconds: float) -> str:
    """Return where a migration is when the time is up."""
    late = f"{found.name} is not {goal} after {show.span(seconds)}"
    if found.migration is None:
        return f"{late}: {no_migration(found)}"
    status = found.migration.status
    if found.reported is None:
        observed = status.observed
        return (
            f"{late}: the controller has not taken its annotations up and still tells of attempt"
            f" {observed.attempt} to {observed.target or 'no target'} ({status.phase or '-'}"
            f" {status.reason}): {status.message}"
        )
    what = status.waiting_for or status.message
    to = f" to {status.observed.target}" if status.asks_otherwise else ""
    return f"{late}: it is {status.phase}{to} at {status.share} %, {status.reason}" + (
        f": {what}" if what else ""
    )


async def wait(api: Api, asked: Asked) -> Exit:
    """Wait for all that are meant. Raises Failure for every way out but the one that is waited for."""
    if asked.one is not None:
        return await _wait_for_one(api, asked.one, asked.goal, asked.timeout_s)
    return await _wait_for_many(api, asked)


async def _wait_for_one(api: Api, name: str, goal: Goal, timeout_s: float) -> Exit:
    """Wait until the end is reached, with a line per transition. Raises Failure for every other way out."""
    until_s = time.monotonic() + timeout_s
    backoff = Backoff(POLL_S, 10 * POLL_S)
    found: Found | None = None
    last: Transition | None = None
    while True:
        pause_s = POLL_S
        try:
            found = await _read(api, name)
            backoff.reset()
        except Unavailable as error:
            if found is None:
                raise
            pause_s = backoff.after_failure_s(error.retry_after_s)
            sys.stderr.write(f"no answer, asking again in {pause_s:.1f} s: {error}\n")
        else:
            last = _print(found, last)
            if reached := end_of(found):
                return _ended(found, goal, reached)
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise Failure(not_reached(found, goal, timeout_s), code=Exit.TIMEOUT)
        await asyncio.sleep(min(pause_s, left_s))


async def _read(api: Api, name: str) -> Found:
    service = await api.service(name)
    refuse_mirror(service)
    found = Found(service, await api.migration(name))
    if found.own("target") is None and found.migration is None:
        raise Failure(no_migration(found))
    return found


def _print(found: Found, last: Transition | None, name: str = "") -> Transition | None:
    """Print the transitions since ``last``, with the Service's name where several are waited for; return the newest
    that was printed.
    """
    if found.reported is None:
        return last
    for entry in unprinted(found.reported.history, last):
        sys.stdout.write(f"{name and f'{name}   '}{show.history_line(entry)}\n")
        last = entry
    sys.stdout.flush()
    return last


def _ended(found: Found, goal: Goal, reached: Goal) -> Exit:
    status = found.migration.status if found.migration else None
    if reached == goal or status is None:
        sys.stdout.write(f"{found.name} is {reached}\n")
        return Exit.OK
    raise Failure(
        f"{found.name} is {reached}, not {goal} ({status.reason}): {status.message}",
        code=Exit.OTHER_END,
    )


class _Waits:
    """Several Services that are waited for: who is ``pending``, as last read, and who ``failed``, with why."""

    def __init__(self, selection: Selection, asked: Asked) -> None:
        self._asked = asked
        self._last: dict[Key, Transition | None] = {}
        self.failed = list(selection.failed.values())
        self.pending: dict[Key, Found] = {}
        for found in selection.found:
            if found.own("target") is not None or found.migration is not None:
                self.pending[found.key] = found
            elif asked.named:
                self.failed.append(Failure(no_migration(found)))
        self.total = len(self.pending) + len(self.failed)

    def take(self, read: Mapping[Key, Found]) -> None:
        """Print what is new of those that are pending; who came to an end, or is gone, is so no longer."""
        for key, before in list(self.pending.items()):
            found = read.get(key)
            if found is None:
                self._end(before, Failure(f"{before.name} cannot be read any more: is it deleted?"))
                continue
            self.pending[key] = found
            self._last[key] = _print(found, self._last.get(key), found.name)
            if reached := end_of(found):
                try:
                    _ended(found, self._asked.goal, reached)
                except Failure as failure:
                    self._end(found, failure)
                else:
                    del self.pending[key]
        sys.stdout.flush()

    def late(self) -> None:
        """Give up those that are pending."""
        for found in list(self.pending.values()):
            sentence = not_reached(found, self._asked.goal, self._asked.timeout_s)
            self._end(found, Failure(sentence, code=Exit.TIMEOUT))

    def _end(self, found: Found, failure: Failure) -> None:
        del self.pending[found.key]
        self.failed.append(failure)


async def _wait_for_many(api: Api, asked: Asked) -> Exit:
    """Wait until each of those that are meant is at an end, with a line per transition, and count them."""
    until_s = time.monotonic() + asked.timeout_s
    selection = await select(api, asked)
    waits = _Waits(selection, asked)
    if not waits.total:
        raise Failure("no Service that is meant is annotated here, or has a Migration")
    read: Mapping[Key, Found] = {found.key: found for found in selection.found}
    backoff = Backoff(POLL_S, 10 * POLL_S)
    pause_s = POLL_S
    while True:
        waits.take(read)
        left_s = until_s - time.monotonic()
        if waits.pending and left_s <= 0:
            waits.late()
        if not waits.pending:
            break
        await asyncio.sleep(min(pause_s, left_s))
        try:
            read = await again(api, asked, waits.pending)
            backoff.reset()
            pause_s = POLL_S
        except Unavailable as error:
            pause_s = backoff.after_failure_s(error.retry_after_s)
            sys.stderr.write(f"no answer, asking again in {pause_s:.1f} s: {error}\n")
    total, lost = waits.total, len(waits.failed)
    sys.stdout.write(f"{total} Services: {total - lost} {asked.goal}, {lost} not\n")
    for failure in waits.failed:
        tell(failure.sentences)
    return worst(failure.code for failure in waits.failed)
