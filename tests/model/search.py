"""Breadth-first search over every state within a budget: what it reports first is the shortest story.

A state is a hashable value, its *budget* a tuple of how often each kind of trouble may still come. A state
that was reached before with at least as much of everything is not followed again: whatever can happen
from it could happen there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)
Budget = tuple[int, ...]


class BrokenError(Exception):
    """A promise that does not hold; its text says which and how."""


class Step(NamedTuple, Generic[S]):
    """What may happen next: a line for people, what it costs, and what comes of it.

    ``after`` raises :class:`BrokenError` where a promise breaks on the path.
    """

    line: str
    cost: Budget
    after: Callable[[], S]


@dataclass(slots=True)
class Found:
    """What a search has seen. ``story`` is the shortest that breaks a promise, empty where none does."""

    states: int = 0
    steps: int = 0
    depth: int = 0
    complete: bool = True
    broken: str = ""
    story: list[str] = field(default_factory=list)


def search(
    start: S,
    budget: Budget,
    steps: Callable[[S, Budget], Iterable[Step[S]]],
    check: Callable[[S], None],
    *,
    limit: int | None = None,
) -> Found:
    """Look at every state that can be reached from ``start``, and ``check`` each.

    Ends at the first broken promise, or after ``limit`` states (``complete`` is then false).
    """
    found = Found()
    observed: dict[S, list[Budget]] = {start: [budget]}
    # One entry per visit: (state, budget left, visit it came from, line, depth).
    visits: list[tuple[S, Budget, int, str, int]] = [(start, budget, -1, "", 0)]
    waiting = deque([0])
    while waiting:
        at = waiting.popleft()
        state, left, _, _, depth = visits[at]
        found.states, found.depth = found.states + 1, depth
        try:
            check(state)
        except BrokenError as broken:
            found.broken, found.story = str(broken), _told(visits, at)
            return found
        if limit is not None and found.states >= limit:
            found.complete = False
            return found
        for step in _affordable(steps(state, left), left):
            found.steps += 1
            try:
                after = step.after()
            except BrokenError as broken:
                found.broken, found.story = str(broken), [*_told(visits, at), step.line]
                return found
            rest = tuple(have - cost for have, cost in zip(left, step.cost, strict=True))
            if _is_new(observed, after, rest):
                visits.append((after, rest, at, step.line, depth + 1))
                waiting.append(len(visits) - 1)
    return found


def _affordable(steps: Iterable[Step[S]], left: Budget) -> Iterator[Step[S]]:
    return (s for s in steps if all(have >= cost for have, cost in zip(left, s.cost, strict=True)))


def _is_new(observed: dict[S, list[Budget]], state: S, budget: Budget) -> bool:
    """Note a visit, unless one with as much budget was made."""
    known = observed.setdefault(state, [])
    if any(_covers(other, budget) for other in known):
        return False
    known[:] = [other for other in known if not _covers(budget, other)]
    known.append(budget)
    return True


def _covers(one: Budget, other: Budget) -> bool:
    return all(mine >= theirs for mine, theirs in zip(one, other, strict=True))


def _told(visits: list[tuple[S, Budget, int, str, int]], at: int) -> list[str]:
    lines: list[str] = []
    while at > 0:
        _, _, at_before, line, _ = visits[at]
        lines.append(line)
        at = at_before
    return lines[::-1]
