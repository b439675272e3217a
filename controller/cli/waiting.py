"""``wait``: until a migration comes to an end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from controller.cli import show
from controller.cli.api import Api
from controller.cli.exit_codes import Exit, Failure
from controller.cli.verbs import Found, no_migration, refuse_mirror
from controller.domain import Phase
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


async def wait(api: Api, name: str, goal: Goal, timeout_s: float) -> Exit:
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


def _print(found: Found, last: Transition | None) -> Transition | None:
    """Print the transitions since ``last``; return the newest that was printed."""
    if found.reported is None:
        return last
    for entry in unprinted(found.reported.history, last):
        sys.stdout.write(show.history_line(entry) + "\n")
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
