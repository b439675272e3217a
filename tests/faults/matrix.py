"""Which runs there are: every fault at every call and at every event, and pairs by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from tests.faults.catalogue import EVENTS, KILLS, KINDS, STOPS
from tests.faults.disturbances import (
    BLINKS,
    CLOCKS,
    CUTS,
    DROPS,
    EDITS,
    LEASES,
    PHASES,
    SECOND,
)
from tests.faults.fleets import FLEETS, WINDOW
from tests.faults.run import Case, Clean, Injection
from tests.faults.splits import is_of_split

NEEDS_A_PAST = "stale read"


def crashes(clean: Clean) -> Iterator[Case]:
    """Kill at every call, at three positions."""
    return (
        Case(kind, (Injection("call", call.number, kind),))
        for _, call in clean.calls
        for kind in KILLS
    )


def replies(clean: Clean) -> Iterator[Case]:
    """Every other fault at every call that it can be done to."""
    read: set[tuple[str, str]] = set()
    for _, call in clean.calls:
        place = (call.cluster, call.path)
        for kind, fault in KINDS.items():
            if kind in KILLS or not fault.fits(call):
                continue
            if kind != NEEDS_A_PAST or place in read:
                yield Case(kind, (Injection("call", call.number, kind),))
        read.add(place)


def events(clean: Clean) -> Iterator[Case]:
    """Every fault at every event of a watch."""
    return (
        Case(kind, (Injection("event", event.number, kind),))
        for _, event in clean.events
        for kind in EVENTS
    )


def disturbances() -> Iterator[Case]:
    """Every cut, every hand on what is told, and pods out of sight for a moment, in every phase."""
    for kind in (*CUTS, *EDITS):
        for number in range(len(PHASES)):
            yield Case(kind, (Injection("phase", number, kind),))
    yield from blinks()


def blinks() -> Iterator[Case]:
    """Pods out of sight for a moment, in every phase in which all of them serve: else both witnesses agree."""
    for kind in BLINKS:
        for number, phase in enumerate(PHASES):
            if not phase.bad:
                yield Case(kind, (Injection("phase", number, kind),))


def lost() -> Iterator[Case]:
    """The lease lost in every phase; in the midst of an attempt records dropped, and a second controller by another
    lease."""
    for number, phase in enumerate(PHASES):
        for kind in LEASES:
            yield Case(kind, (Injection("phase", number, kind),))
        if phase.share < 1000:
            yield Case(SECOND, (Injection("phase", number, SECOND),))
        for kind in DROPS if 0 < phase.share < 1000 else ():
            yield Case(kind, (Injection("phase", number, kind),))


def of_two(clean: Clean) -> Iterator[Case]:
    """For two controllers: whoever calls is stopped at every call, or killed at every write; clocks are set."""
    for _, call in clean.calls:
        for kind, fault in STOPS.items():
            if fault.fits(call):
                yield Case(kind, (Injection("call", call.number, kind),))
        if call.is_write:
            yield Case("one of two killed", (Injection("call", call.number, "killed between"),))
    for kind in CLOCKS:
        for number in range(len(PHASES)):
            yield Case(kind, (Injection("phase", number, kind),))
    for number in range(len(PHASES)):
        cut = "only the lease vanished"
        yield Case(f"{cut}, two", (Injection("phase", number, cut),))


def of_routes(clean: Clean) -> Iterator[Case]:
    """With HTTPRoutes: crashes, answers and events where a route is in it; the rest is as with TrafficSplits."""
    calls = {call.number for _, call in clean.calls if "httproutes" in call.path}
    observed = {event.number for _, event in clean.events if event.resource == "httproutes"}
    for case in (*crashes(clean), *replies(clean), *events(clean)):
        first = case.injections[0]
        if first.number in (calls if first.what == "call" else observed):
            yield replace(case, group=f"{case.group}, HTTPRoute")
    yield from (replace(case, group=f"{case.group}, HTTPRoute") for case in blinks())
    for _, call in clean.calls:
        for kind in ("empty list", "undecodable list"):
            if KINDS[kind].fits(call) and call.number not in calls:
                yield Case(f"{kind}, HTTPRoute", (Injection("call", call.number, kind),))
    for case in lost():
        yield replace(case, group=f"{case.group}, HTTPRoute")


def of_fleets(clean: Clean) -> Iterator[Case]:
    """With a Fleet: what people do to it in every phase, and faults where Fleets or namespaces are in it; a window that
    begins between the two writes of each step; its API server away."""
    for number in range(len(PHASES)):
        for kind in (*FLEETS, "lease's cluster cut off", "lease's cluster vanished"):
            yield Case(f"{kind}, Fleet", (Injection("phase", number, kind),))
    for _, call in clean.calls:
        if call.is_write and is_of_split(call.path):
            yield Case(WINDOW, (Injection("call", call.number, WINDOW),))
    calls = {call.number for _, call in clean.calls if "/fleets" in call.path}
    observed = {event.number for _, event in clean.events if event.resource == "fleets"}
    for case in (*crashes(clean), *replies(clean), *events(clean)):
        first = case.injections[0]
        if first.number in (calls if first.what == "call" else observed):
            yield replace(case, group=f"{case.group}, Fleet")


def pairs(clean: Clean, seed: int, count: int) -> Iterator[Case]:
    """Two faults in one run, drawn by the seed: of calls, of events, or one of each.

    The second is behind the first, in the same leg by the clean run's numbers, so that it also meets what the
    first made necessary; where it meets nothing, the run is counted apart.
    """
    rng = random.Random(seed)
    single = [*crashes(clean), *replies(clean), *events(clean)]
    for _ in range(count):
        first = rng.choice(single).injections[0]
        if rng.random() < 0.3:
            after = _behind(first, "event", clean, rng)
            second = Injection("event", after, rng.choice(list(EVENTS)))
        else:
            after = _behind(first, "call", clean, rng)
            second = Injection("call", after, rng.choice(list(KINDS)))
        yield Case("pair", (first, second))


def _behind(first: Injection, what: str, clean: Clean, rng: random.Random) -> int:
    """Draw the number of a call or event behind the first, in its leg."""
    observed: dict[str, list[tuple[str, int, float]]] = {
        "call": [(leg, call.number, call.at_s) for leg, call in clean.calls],
        "event": [(leg, event.number, event.at_s) for leg, event in clean.events],
    }
    leg, _, at_s = next(found for found in observed[first.what] if found[1] == first.number)
    behind = [number for other, number, when in observed[what] if other == leg and when > at_s]
    if not behind:
        return first.number + 1 if first.what == what else observed[what][-1][1]
    return rng.choice(behind)
