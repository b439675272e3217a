"""What a release writes: every object of both API servers, at each moment of a journey, as files to keep.

    python -m tests.faults.written tests/data/written-by-0.1

travels there, back, there again and home on both kinds of split, in virtual time with the real controller, and
writes one file for each moment. A test takes each file up again (``test_written_by_0_1.py``): a change of the
code is not to need another folder, a change of what is written is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from controller.__main__ import Controller
from controller.runtime.settings import load
from deploy.stand_ins.apiserver import Event as Change
from tests.faults.journey import LEGS, Leg, travel
from tests.faults.oracle import CLUSTERS, PIN, RECORD, SERVICE
from tests.faults.proxy import Call, CallFault, Cut, Event, EventFault, Reply
from tests.faults.run import LEG_LIMIT_S, in_child
from tests.faults.splits import backends_of
from tests.faults.virtual import Process, VirtualLoop
from tests.faults.world import GATEWAYS, World

Json = dict[str, Any]

SPLITS = {"trafficsplit": "TrafficSplit", "httproute": "HTTPRoute"}
KINDS = tuple(SPLITS)
PASSING = {"events", "namespaces"}
"""What no controller reads back, and what every API server has."""

FIELDS_DEPTH = 4
"""Of what has a line of its own in a file: objects, a cluster, an object, its metadata, a field of that."""

POD = "migrate-controller-0"
"""What the lease's holder is named for, on whatever machine this runs."""

LATCH = "migrate.tradeshift/latch"
BEGUN = "migrate.tradeshift/begun"
EVERY_WISH = {
    "probe-port": "http",
    "probe-path": "/healthz?deep=1",
    "probe-protocol": "http",
    "probe-expect": "200-399,404",
    "probe-expect-header": "x-ready=yes",
    "probe-expect-body": "ready",
    "probe-cluster-header": "x-cluster",
    "slo-latency": "300ms@99",
    "origin-floor": "40",
    "split": "httproute",
    "traffic": "advisory",
}
"""Every annotation that a record keeps, so that each of its keys is written."""


@dataclass(frozen=True)
class Written:
    """All objects at one moment: ``at_s`` seconds after the world began, with so many bad answers by cluster."""

    kind: str
    moment: str
    at_s: float
    bad: Mapping[str, float]
    objects: Mapping[str, list[Json]]

    @property
    def name(self) -> str:
        """Return what its file is called."""
        return f"{self.kind}-{self.moment}"

    def of(self, cluster: str, kind: str, name: str = SERVICE) -> Json:
        """Return an object of one cluster, {} where it is not there; of ServiceProfiles a pin."""
        found = [o for o in self.objects[cluster] if o["kind"] == kind]
        if kind == "ServiceProfile":
            found = [o for o in found if o["metadata"]["namespace"] == GATEWAYS]
        return next((o for o in found if o["metadata"]["name"] == name), {})

    def annotations(self, cluster: str, kind: str, name: str = SERVICE) -> Mapping[str, str]:
        """Return the annotations of an object."""
        found: Mapping[str, str] = (
            self.of(cluster, kind, name).get("metadata", {}).get("annotations")
        )
        return found or {}

    def split(self, cluster: str) -> Json:
        """Return the split of one cluster, of whichever kind."""
        return self.of(cluster, SPLITS[self.kind])

    def record(self, cluster: str) -> Json:
        """Return the record on the split of one cluster, {} where there is none."""
        found: Json = json.loads(self.annotations(cluster, SPLITS[self.kind]).get(RECORD, "{}"))
        return found

    def away(self, cluster: str) -> int:
        """Return what one cluster's split sends to the mirror, per mille."""
        weights = {b["service"]: b["weight"] for b in backends_of(self.split(cluster)) or ()}
        return int(sum(weight for name, weight in weights.items() if name != SERVICE))

    @property
    def status(self) -> Json:
        """Return what the Migration says, {} where it says nothing."""
        found: Json = self.of("legacy", "Migration").get("status") or {}
        return found


def read(path: Path) -> Written:
    """Return what a file says."""
    return Written(**json.loads(path.read_text()))


def write(folder: Path, written: Written) -> None:
    """Write it into its file, so that two of them can be compared line by line."""
    (folder / f"{written.name}.json").write_text(_text(written.__dict__) + "\n")


def _text(value: Any, depth: int = 0) -> str:
    """Return JSON in which each field of an object's metadata, spec and status has a line of its own."""
    if depth > FIELDS_DEPTH or not value or not isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    inner = (
        [f"{json.dumps(key)}: {_text(value[key], depth + 1)}" for key in sorted(value)]
        if isinstance(value, dict)
        else [_text(one, depth + 1) for one in value]
    )
    begin, end = "{}" if isinstance(value, dict) else "[]"
    indent = "\n" + " " * depth
    return f"{begin}{indent} {f',{indent} '.join(inner)}{indent}{end}"


def taken(world: World, kind: str, moment: str) -> Written:
    """Return what stands in a world now."""
    objects = {
        cluster: [
            stored.decoded(stored.resource.versions[0])
            for plural in sorted(api.store.resources)
            if plural not in PASSING
            for stored in api.store.objects(plural)
        ]
        for cluster, api in world.apis.items()
    }
    return Written(kind, moment, round(world.loop.time(), 3), dict(world.bad), objects)


class Undisturbed:
    """A world, a controller in it, and proxies that do nothing but listen."""

    def __init__(self, make: Callable[[VirtualLoop, Undisturbed], World]) -> None:
        random.seed(7)
        self.loop = VirtualLoop()
        self.calls: list[Call] = []
        self.troubles: list[str] = []
        self.world = make(self.loop, self)

    def at_call(self, call: Call) -> CallFault | None:
        """Take note."""
        self.world.oracle.sent(call)
        self.calls.append(call)
        return None

    def at_event(self, _: Event) -> EventFault | None:
        """Let it pass."""
        return None

    def replied(self, call: Call, reply: Reply | None) -> None:
        """Let it pass."""

    async def start(self) -> None:
        """Start the controller."""
        path = await self.world.connect("a")
        settings = load(path, {})

        async def main() -> None:
            await Controller(settings, path, self.loop.time).run()

        task = Process(self.loop, "a").start(main)
        task.add_done_callback(lambda done: self.troubles.append(f"it exited: {done!r}"))

    def run(self, journey: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
        """Run a journey to its end; return what must not be, as the oracle and the world saw it."""
        logging.disable(logging.CRITICAL)
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
            logger_factory=structlog.ReturnLoggerFactory(),
        )
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(journey())
        finally:
            self.world.clean_up()
        return [*self.troubles, *self.world.oracle.violations]


# --- the moments --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """A moment of the journey's ``leg``, once ``holds``; ``then`` is done to the world after it."""

    name: str
    leg: str
    holds: Callable[[Written], bool]
    then: Callable[[World], None] = lambda _: None


def _says(phase: str, share: str) -> Callable[[Written], bool]:
    return lambda now: (now.status.get("phase"), now.status.get("share")) == (phase, share)


def _away(legacy: int, eks: int) -> Callable[[Written], bool]:
    return lambda now: (now.away("legacy"), now.away("eks")) == (legacy, eks)


def _completed_by_half(now: Written) -> bool:
    done = ["completed" in now.record(c) for c in CLUSTERS]
    return any(done) and not all(done)


def _home_by_half(now: Written) -> bool:
    return now.status.get("phase") == "Reverting" and _away(0, 500)(now)


def _latched(now: Written) -> bool:
    return now.status.get("phase") == "Reverted" and all(
        LATCH in now.annotations(cluster, "ServiceProfile", PIN) for cluster in CLUSTERS
    )


MOMENTS = (
    Moment("asked", "move", _says("Pending", "?/?")),
    Moment(
        "pending", "move", _says("Pending", "0/0"), lambda world: world.annotate(paused="false")
    ),
    Moment("begun", "move", _says("Progressing", "0/0")),
    Moment("first-step-by-half", "move", _away(250, 1000)),
    Moment("at-25", "move", _says("Progressing", "25/25")),
    Moment(
        "at-50", "move", _says("Progressing", "50/50"), lambda world: world.annotate(paused="true")
    ),
    Moment(
        "holding", "move", _says("Holding", "50/50"), lambda world: world.annotate(paused="false")
    ),
    Moment("soaking", "move", _says("Soaking", "99.9/99.9")),
    Moment("completed-by-half", "move", _completed_by_half),
    Moment("completed", "move", _says("Completed", "100/100")),
    Moment("returning", "return", _says("Progressing", "50/50")),
    Moment("returned", "return", _says("Completed", "100/100")),
    Moment(
        "on-again",
        "revert",
        _says("Progressing", "50/50"),
        lambda world: world.cut("eks", Cut(refuses=True)),
    ),
    Moment("reverting", "revert", _home_by_half, lambda world: world.mend("eks")),
    Moment("reverted", "revert", _latched),
)


class Travel(Undisturbed):
    """The journey on one kind of split, and what was written at each of its moments."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._due = list(MOMENTS)
        self._leg: Leg = LEGS[0]
        self.found: list[Written] = []
        routes = kind == "httproute"
        super().__init__(lambda loop, plan: World(loop, plan, routes=routes))

    async def go(self) -> None:
        """Go all legs."""
        await self.world.start()
        for api in self.world.apis.values():
            api.store.listen(self._changed)
        await self.start()
        more = EVERY_WISH if self._kind == "httproute" else {}
        self.world.annotate(paused="true", **more)
        for leg in LEGS:
            self._leg = leg
            async with asyncio.timeout(LEG_LIMIT_S):
                await travel(self.world, leg)
        if self._due:
            self.troubles.append(f"never came: {', '.join(m.name for m in self._due)}")

    def _changed(self, _: Change) -> None:
        """Take what stands after a write, within the write itself: a controller may end at any of them."""
        if not self._due or self._due[0].leg != self._leg.name:
            return
        now = taken(self.world, self._kind, self._due[0].name)
        if self._due[0].holds(now):
            self.found.append(now)
            # Not within the write: what is done may write too.
            self.loop.call_soon(self._due.pop(0).then, self.world)


def _travelled(kind: str) -> list[Written]:
    travelling = Travel(kind)
    with mock.patch("socket.gethostname", return_value=POD):
        wrong = travelling.run(travelling.go)
    if wrong:
        raise AssertionError("; ".join(wrong))
    return travelling.found


def main(folder: Path) -> None:
    """Write all files of both kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for written in in_child(partial(_travelled, kind)):
            write(folder, written)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the files go")
    main(parser.parse_args().folder)
