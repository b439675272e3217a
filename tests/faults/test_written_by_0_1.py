"""What 0.1 wrote is taken up where it stands: every phase of both kinds of split, by the controller that ships."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from controller.domain import Phase
from tests.faults.journey import LEGS, POLL_S, Leg, reached
from tests.faults.oracle import CLUSTERS, FAR, LEASE, NAMESPACE, PIN, RECORD
from tests.faults.proxy import Plan
from tests.faults.run import LEG_LIMIT_S, in_child
from tests.faults.splits import backends_of, is_of_split
from tests.faults.virtual import VirtualLoop
from tests.faults.world import World
from tests.faults.written import BEGUN, KINDS, LATCH, MOMENTS, Undisturbed, Written, read, taken

Json = dict[str, Any]

FILES = Path(__file__).parent.parent / "data" / "written-by-0.1"
DOWN_S = 10.0
"""From the last write of the old controller to the start of the new one."""

HISTORY = 10
REST_S = 30.0
"""Long enough to wait for the old one's lease, to take it, and to have done whatever would be done."""

MOVE, RETURN, REVERT = LEGS


@dataclass(frozen=True)
class Next:
    """How a moment goes on: by itself, or, where it ``rests``, once the owner ``asks`` for something."""

    leg: Leg
    rests: bool = False
    asks: Mapping[str, str] = field(default_factory=dict)


NEXT = {
    "asked": Next(MOVE, asks={"paused": "false"}),
    "pending": Next(MOVE, rests=True, asks={"paused": "false"}),
    "begun": Next(MOVE),
    "first-step-by-half": Next(MOVE),
    "at-25": Next(MOVE),
    "at-50": Next(MOVE),
    "holding": Next(MOVE, rests=True, asks={"paused": "false"}),
    "soaking": Next(MOVE),
    "completed-by-half": Next(MOVE),
    "completed": Next(RETURN, rests=True, asks={"target": "legacy"}),
    "returning": Next(RETURN),
    "returned": Next(MOVE, rests=True, asks={"target": "eks"}),
    "on-again": Next(MOVE),
    "reverting": Next(REVERT),
    "reverted": Next(MOVE, rests=True, asks={"attempt": "2"}),
}
EVERY = tuple(f"{kind}-{moment}" for kind in KINDS for moment in NEXT)


def following(name: str) -> Next:
    """How the moment of a file goes on."""
    return NEXT[name.partition("-")[2]]


FORWARD = tuple(n for n in EVERY if not following(n).asks and following(n).leg is not REVERT)
RESTING = tuple(n for n in EVERY if following(n).rests)
REVERTING = tuple(n for n in EVERY if following(n).leg is REVERT)


@dataclass(frozen=True)
class Write:
    """What the controller wrote."""

    cluster: str
    path: str
    document: Json

    @property
    def record(self) -> Json:
        """The record that a write to a split carries."""
        found: Json = json.loads(self.document["metadata"]["annotations"][RECORD])
        return found


class Resumed(World):
    """A world in which stands what was written, later by ``DOWN_S``."""

    def __init__(self, loop: VirtualLoop, plan: Plan, written: Written) -> None:
        skew_s = dict.fromkeys(CLUSTERS, written.at_s + DOWN_S)
        super().__init__(loop, plan, skew_s, routes=written.kind == "httproute")
        self._written = written

    async def start(self) -> None:
        """Bring up the API servers with these objects as they are, and the probers."""
        self.bad = dict(self._written.bad)
        for name, api in self.apis.items():
            await api.start()
            await self.probers[name].start()
            self.oracle.away[name] = self._written.away(name)
            api.store.listen(partial(self.oracle.applied, name))
            for body in sorted(self._written.objects[name], key=_version):
                group = body["apiVersion"].rpartition("/")[0]
                resource = next(
                    r
                    for r in api.store.resources.values()
                    if (r.kind, r.group) == (body["kind"], group)
                )
                bare = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")}
                api.store.version = _version(body) - 1
                api.store.put(resource, bare)


def _version(body: Json) -> int:
    return int(body["metadata"]["resourceVersion"])


@dataclass(frozen=True)
class Gone:
    """How it went on: what stood before the owner asked for more, and at the end; and all writes by then."""

    wrong: list[str]
    rested: Written
    end: Written
    writes_at_rest: list[Write]
    writes: list[Write]


class Going(Undisturbed):
    """The shipped controller on what was written."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._next = NEXT[written.moment]
        super().__init__(lambda loop, plan: Resumed(loop, plan, written))
        self._rested = written
        self._writes_at_rest: list[Write] = []

    async def go(self) -> None:
        """Take it up, let it rest where it does, and reach its end."""
        self.world.oracle.begin(self._written.status["observed"]["target"])
        await self.world.start()
        await self.start()
        if self._next.asks:
            await asyncio.sleep(REST_S)
            self._rested = self._taken("rested")
            self._writes_at_rest = self._writes()
            self._ask()
        try:
            async with asyncio.timeout(LEG_LIMIT_S):
                while not reached(self.world, self._next.leg):  # noqa: ASYNC110 - no cost
                    await asyncio.sleep(POLL_S)
                await asyncio.sleep(REST_S)
        except TimeoutError:
            self.troubles.append(f"{self._next.leg} was not reached")

    def gone(self, wrong: list[str]) -> Gone:
        """Return how it went."""
        return Gone(wrong, self._rested, self._taken("end"), self._writes_at_rest, self._writes())

    def _ask(self) -> None:
        """Ask for more, of a target that answers well again."""
        self.world.bad = dict.fromkeys(CLUSTERS, 0.0)
        if "paused" not in self._next.asks:
            self.world.oracle.begin(self._next.leg.target)
        self.world.annotate(**self._next.asks)

    def _taken(self, moment: str) -> Written:
        return taken(self.world, self._written.kind, moment)

    def _writes(self) -> list[Write]:
        return [Write(c.cluster, c.path, c.document()) for c in self.calls if c.is_write]


def _gone_on(written: Written) -> list[Gone]:
    going = Going(written)
    return [going.gone(going.run(going.go))]


@cache
def went(name: str) -> tuple[Written, Gone]:
    """What was written, and how it went on."""
    written = read(FILES / f"{name}.json")
    return written, in_child(partial(_gone_on, written))[0]


def first_write(gone: Gone, cluster: str) -> Write | None:
    """The first write to the split of a cluster."""
    return next((w for w in gone.writes if w.cluster == cluster and is_of_split(w.path)), None)


def changed(before: Json, after: Json) -> set[str]:
    """The keys of two objects that say something else."""
    return {key for key in before | after if before.get(key) != after.get(key)}


def test_there_is_a_file_for_each_moment() -> None:
    """No phase is left out, and no file is there that no test reads."""
    assert {path.stem for path in FILES.glob("*.json")} == {*EVERY, "keys"}
    assert [moment.name for moment in MOMENTS] == list(NEXT)
    for kind in KINDS:
        told = {read(FILES / f"{kind}-{moment}.json").status["phase"] for moment in NEXT}
        assert told == {phase.value for phase in Phase}


@pytest.mark.parametrize("name", EVERY)
def test_each_moment_reaches_its_end(name: str) -> None:
    """What was under way completes, what was reverting is home in both clusters; and the oracle agrees."""
    _, gone = went(name)
    leg = following(name).leg
    assert gone.wrong == []
    assert (gone.end.status["phase"], gone.end.status["share"]) == (leg.phase, leg.share)
    assert gone.end.status["observed"]["target"] == leg.target
    over = "reverted" if leg is REVERT else "completed"
    assert all(over in gone.end.record(cluster) for cluster in CLUSTERS)


@pytest.mark.parametrize("name", FORWARD)
def test_the_first_write_takes_over_and_changes_nothing_else(name: str) -> None:
    """What goes on by itself is read exactly: first its record is written again, with nothing else than another fencing
    token, its Lease, and the Service that it is about."""
    written, gone = went(name)
    for cluster in CLUSTERS:
        write = first_write(gone, cluster)
        assert write is not None
        before, after = written.record(cluster), write.record
        assert changed(before, after) == {"epoch", "lease", "service"}
        assert after["epoch"] == before["epoch"] + 1
        assert backends_of(write.document) == backends_of(written.split(cluster))
    assert written.status["asked"].items() <= gone.end.status["asked"].items()


@pytest.mark.parametrize("name", REVERTING)
def test_a_revert_by_half_goes_on_with_the_other_half(name: str) -> None:
    """The cluster that is home is left alone; the other gets the same latch, and is rolled back in the same write."""
    written, gone = went(name)
    assert first_write(gone, "legacy") is None
    write = first_write(gone, "eks")
    assert write is not None
    assert write.record["reverted"] == written.record("legacy")["reverted"]
    assert write.record["attempt"] == written.record("eks")["attempt"]
    assert [b["weight"] for b in backends_of(write.document) or ()] == [0, 1000]
    latches = [json.loads(gone.end.annotations(c, "ServiceProfile", PIN)[LATCH]) for c in CLUSTERS]
    assert [latch["reverted"] for latch in latches] == [write.record["reverted"]] * 2


def reworded(status: Json) -> Json:
    """Return a status with the sentences for people as they are worded since 0.1; its history stays as told."""
    text = json.dumps({key: told for key, told in status.items() if key != "history"})
    said = text.replace("it stays at home, enrolled", "it stays at the baseline, enrolled")
    for target, origin in FAR.items():
        said = said.replace(
            f"{target} serves every call of default/service-a",
            f"{target} serves 100 % by both splits; whether anybody still calls {origin}'s pods was not"
            f" measured: no Prometheus of {origin}",
        )
    return {**status, **json.loads(said)}


def _is_another_s(body: Json) -> bool:
    """Report whether an object is always written, or is the SMI adaptor's."""
    beside = body["kind"] == "ServiceProfile" and body["metadata"]["namespace"] == NAMESPACE
    return beside or body["kind"] in ("Lease", "Migration")


def ours(body: Json) -> Json:
    """Return a route without what Linkerd writes into its status, and a pin without the attempt, which pins of 0.1 do
    not remember; what is neither, as it is."""
    if body["kind"] not in ("HTTPRoute", "ServiceProfile"):
        return body
    noted = ("resourceVersion", "managedFields", "annotations")
    metadata = {key: value for key, value in body["metadata"].items() if key not in noted}
    notes = body["metadata"].get("annotations") or {}
    metadata["annotations"] = {key: value for key, value in notes.items() if key != BEGUN}
    return {**body, "metadata": metadata, "status": None}


@pytest.mark.parametrize("name", RESTING)
def test_what_rests_goes_on_resting(name: str) -> None:
    """What is paused, Completed or Reverted stays as it is: the lease is taken, the status says the same, and at most
    the pins are told of the attempt, once each."""
    written, gone = went(name)
    for cluster in CLUSTERS:
        mine, since = (
            [ours(body) for body in one.objects[cluster] if not _is_another_s(body)]
            for one in (written, gone.rested)
        )
        assert since == mine
    # Nothing is probed at rest.
    told = {**gone.rested.status, "asked": written.status["asked"]}
    assert changed(reworded(written.status), told) <= {"asOf", "ways", "originCalls"}
    assert written.status["asked"].items() <= gone.rested.status["asked"].items()
    pins = [w for w in gone.writes_at_rest if "/serviceprofiles/" in w.path]
    assert len(pins) <= len(CLUSTERS)
    rest = [w for w in gone.writes_at_rest if w not in pins]
    assert all(w.path.endswith((f"/leases/{LEASE}", "/status")) for w in rest)


@pytest.mark.parametrize("name", EVERY)
def test_the_history_goes_on(name: str) -> None:
    """The last transitions stay, the new ones follow them, and the old ones are not told again."""
    written, gone = went(name)
    before, after = written.status["history"], gone.end.status["history"]
    new = [entry for entry in after if entry not in before]
    assert new
    assert after == [*before, *new][-HISTORY:]
    assert min(entry["at"] for entry in new) > max(entry["at"] for entry in before)


@pytest.mark.parametrize("name", EVERY)
def test_the_lease_is_taken_as_the_next(name: str) -> None:
    """The Lease is the same object with another holder, whose number is the next."""
    written, gone = went(name)
    before, after = (one.of("legacy", "Lease", LEASE) for one in (written, gone.end))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["holderIdentity"] != before["spec"]["holderIdentity"]
    assert after["spec"]["leaseTransitions"] == before["spec"]["leaseTransitions"] + 1


def test_a_status_has_the_keys_that_it_had() -> None:
    """Whoever reads a Migration finds each thing under the same name, also within its lists; some are new."""
    written = [went(name)[0].status for name in EVERY]
    told = [
        write.document["status"]
        for name in EVERY
        for write in went(name)[1].writes
        if write.path.endswith("/status")
    ]
    new = {key for status in told for key in status} - {key for s in written for key in s}
    assert new <= {"originCalls"}
    assert {key for s in written for key in s} <= {key for status in told for key in status}
    for part in ("ways", "conditions", "history"):
        before, now = (
            {key for status in statuses for entry in status[part] for key in entry}
            for statuses in (written, told)
        )
        assert before <= now
        assert now - before <= {"target"}
