"""The reconciler by itself: what it does with a plan, whatever the plan is. Time is virtual, the servers are fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import structlog

from controller.decide import decision, laws
from controller.decide.input import Input
from controller.domain import (
    PREFIX,
    Action,
    Key,
    Observed,
    Phase,
    Plan,
    ReadSplits,
    Reason,
    Record,
    Revert,
    SplitKind,
    WritePin,
    WriteSplit,
)
from controller.kube.api import NotFound
from controller.kube.objects import (
    DECODERS,
    Freshness,
    KubeObject,
    Listed,
    Resource,
)
from controller.report.metrics import Metrics
from controller.report.tracing import tracing_to
from controller.report.ui import Feed
from controller.runtime.cluster_store import WATCHED
from controller.runtime.probers import Probers
from controller.runtime.put_off import LONGEST_S
from controller.runtime.queue import Rank
from controller.runtime.reconciler import Evidence, Reconciler, Telemetry
from controller.runtime.settings import ClusterSettings, LeaseSettings, ProberSettings, Settings
from controller.runtime.store import Store
from tests.faults.virtual import VirtualLoop

A, B = Key("default", "service-a"), Key("default", "service-b")
FAR = {"legacy": "eks", "eks": "legacy"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAW = "only PASS raises"


@dataclass
class Server:
    """An API server: the objects it has, and what was written to it. It hangs while ``answers`` is false."""

    name: str
    bodies: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    written: list[tuple[Resource, Mapping[str, Any]]] = field(default_factory=list)
    read: list[tuple[Resource, str]] = field(default_factory=list)
    answers: bool = True

    def now(self) -> datetime:
        """Its time stands still."""
        return NOW

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """Read an object."""
        self.read.append((resource, name))
        if (resource, namespace, name) not in self.bodies:
            raise NotFound(name, status=404)
        return self.found(resource, namespace, name)

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubeObject:
        """Create an object; of an Event nobody reads the answer."""
        name = body["metadata"].get("name", "")
        return await self.patch(resource, namespace, name, {"kind": "Event", **body})

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], **_: str
    ) -> KubeObject:
        """Put what is sent over what is there, and count the version up."""
        if not self.answers:
            await asyncio.Event().wait()
        self.written.append((resource, body))
        if resource is Resource.EVENTS:
            return cast("KubeObject", None)
        self.put(resource, namespace, name, body)
        return self.found(resource, namespace, name)

    def put(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Put an object there."""
        known = self.bodies.setdefault((resource, namespace, name), {"metadata": {}})
        version = int(known["metadata"].get("resourceVersion", 0)) + 1
        stamp = {"namespace": namespace, "name": name, "resourceVersion": str(version)}
        known.update({**body, "metadata": {**known["metadata"], **body["metadata"], **stamp}})

    def found(self, *at: str) -> KubeObject:
        """Return an object as it is read."""
        found = DECODERS[cast("Resource", at[0])](json.dumps(self.bodies[at]).encode())
        return cast("KubeObject", found)

    def weights(self) -> list[int]:
        """Return the mirror's weights that were written, in order."""
        return [
            backend["weight"]
            for resource, body in self.written
            if resource is Resource.TRAFFICSPLITS
            for backend in body["spec"]["backends"]
            if backend["service"].endswith(f"-{FAR[self.name]}")
        ]


@dataclass
class Lease:
    """Held by this process, for ``left_s`` more."""

    leads: bool = True
    may_roll_back: bool = True
    fencing_token: int = 1
    left_s: float = 10.0


class Desk:
    """A reconciler with two Services at 25 %, and a planner that is told what to plan."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: VirtualLoop) -> None:
        self.loop = loop
        self.log = structlog.testing.CapturingLogger()
        self.metrics = Metrics("test", loop.time)
        self.servers = {name: Server(name) for name in FAR}
        self.lease = Lease()
        self.planned: list[Observed] = []
        self.planner: Callable[[Observed], tuple[Action, ...]] = lambda _: ()
        self.broken: tuple[str, ...] = ()
        self.ruling: Revert | None = None
        monkeypatch.setattr(decision, "planned", self._plan)
        monkeypatch.setattr(laws, "broken", lambda *_: self.broken)
        settings = Settings(
            clusters={name: ClusterSettings() for name in FAR},
            lease=LeaseSettings(cluster="legacy"),
            prober=ProberSettings(token_file="-"),
        )
        probers = Probers(
            {},
            token_file=Path("-"),
            streams=2,
            proxy_url=None,
            on_report=print,
            meter=Mock(),
            log=self.log,
        )
        self.reconciler = Reconciler(
            settings,
            Store(dict.fromkeys(FAR, "linkerd-multicluster"), "cluster.local"),
            cast("Any", self.servers),
            Evidence(probers, Mock()),
            self.lease,
            Telemetry(
                self.metrics,
                tracing_to(None, "test"),
                cast("Any", self.log),
                Feed(),
                lambda *_: None,
            ),
            loop.time,
        )
        for name, server in self.servers.items():
            for key in (A, B):
                self._add(server, key)
            for change in listed(server):
                self.reconciler.apply(change)
            for resource in WATCHED:
                self.reconciler.apply(Freshness(name, resource, True, ""))

    def _add(self, server: Server, key: Key) -> None:
        asked = {PREFIX + "target": "eks"} if server.name == "legacy" else {}
        ports = [{"name": "http", "port": 80}]
        server.put(
            Resource.SERVICES,
            *key,
            {"metadata": {"uid": "1", "annotations": asked}, "spec": {"ports": ports}},
        )
        away = 250 if server.name == "legacy" else 750
        backends = [
            {"service": key.service, "weight": 1000 - away},
            {"service": f"{key.service}-{FAR[server.name]}", "weight": away},
        ]
        spec = {"service": key.service, "backends": backends}
        server.put(Resource.TRAFFICSPLITS, *key, {"metadata": {}, "spec": spec})

    def _plan(self, given: Input) -> Plan:
        observed = given.observed
        self.planned.append(observed)
        shares = {"legacy": 250, "eks": 250}
        return Plan(Phase.PROGRESSING, shares, self.ruling, actions=self.planner(observed))

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something in virtual time, and end everything that it began."""

        async def whole() -> None:
            await work()
            await self.reconciler.stop(0.0)

        self.loop.run_until_complete(whole())

    async def live(self, seconds: float) -> None:
        """Let the reconciler run for so long, in virtual time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.reconciler.run()

    def lines(self, event: str) -> list[Mapping[str, Any]]:
        """Return what was logged of one kind."""
        return [call.kwargs for call in self.log.calls if call.args == (event,)]


def listed(server: Server) -> list[Listed]:
    """Return what a cluster's streams say first."""
    return [
        Listed(
            server.name,
            resource,
            tuple(server.found(*at) for at in server.bodies if at[0] == resource),
        )
        for resource in WATCHED
    ]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A reconciler that was just made."""
    return Desk(monkeypatch, VirtualLoop())


def write(cluster: str, share: int, *, revert: bool = False, key: Key = A) -> WriteSplit:
    """A write of this share of the target eks."""
    kind = SplitKind.TRAFFICSPLIT
    away = share if cluster == "legacy" else 1000 - share
    record = Record(kind=kind, share_permille=share)
    return WriteSplit(cluster, key, kind, away, record, "1", key.service, revert=revert)


def broken(value: Metrics) -> float | None:
    """How often the law was broken."""
    return value.registry.get_sample_value("migrate_controller_laws_broken_total", {"law": LAW})


# --- laws -----------------------------------------------------------------------------------------


def test_a_plan_that_breaks_a_law_raises_nobody_and_rolls_back(desk: Desk) -> None:
    """Of a plan that breaks a law the rollback is written and the raise is not; it is counted, and logged once."""
    desk.broken = (LAW,)
    desk.planner = lambda _: (write("legacy", 500), write("eks", 0, revert=True))

    async def work() -> None:
        desk.reconciler.reconcile(A)
        desk.reconciler.reconcile(A)
        await asyncio.sleep(1.0)

    desk.run(work)
    assert desk.servers["legacy"].weights() == []
    assert desk.servers["eks"].weights() == [1000]
    assert desk.lines("plan breaks a law") == [
        {
            "migration": "default/service-a",
            "laws": [LAW],
            "phase": Phase.PROGRESSING,
            "reason": "",
        }
    ]
    assert broken(desk.metrics) == 2


def test_a_raise_that_is_called_a_rollback_is_a_raise(desk: Desk) -> None:
    """A write that raises a share is left out of a plan that breaks a law, whatever the plan calls it."""
    desk.broken = (LAW,)
    desk.planner = lambda _: (write("legacy", 500, revert=True), write("eks", 500, revert=True))

    async def work() -> None:
        desk.reconciler.reconcile(A)
        await asyncio.sleep(1.0)

    desk.run(work)
    assert [server.weights() for server in desk.servers.values()] == [[], []]


def test_a_lawful_plan_is_done(desk: Desk) -> None:
    """Where no law is broken everything that is planned is written, and nothing is logged or counted."""
    desk.planner = lambda _: (write("legacy", 500), write("eks", 500))

    async def work() -> None:
        desk.reconciler.reconcile(A)
        await asyncio.sleep(1.0)

    desk.run(work)
    assert [server.weights() for server in desk.servers.values()] == [[500], [500]]
    assert desk.lines("plan breaks a law") == []
    assert broken(desk.metrics) is None


# --- the way back first ---------------------------------------------------------------------------


def test_while_others_may_have_to_go_back_only_splits_are_written(desk: Desk) -> None:
    """What brings callers back is written at once; pins, orders and status of that migration come when nobody else may
    have to be rolled back, and then all the same."""
    desk.ruling = Revert(Reason.TARGET_BAD, "bad")
    split, pin = write("legacy", 0, revert=True), WritePin("legacy", A, None)

    def kinds() -> list[Resource]:
        return [resource for resource, _ in desk.servers["legacy"].written]

    def left() -> tuple[Action, ...]:
        wanted: dict[Resource, Action] = {
            Resource.TRAFFICSPLITS: split,
            Resource.SERVICEPROFILES: pin,
        }
        return tuple(action for resource, action in wanted.items() if resource not in kinds())

    desk.planner = lambda observed: left() if observed.key == A else ()

    async def work() -> None:
        desk.reconciler._queue.add(B, Rank.WITNESS)
        desk.reconciler.reconcile(A)
        await asyncio.sleep(0.05)
        assert kinds() == [Resource.TRAFFICSPLITS]
        await desk.live(1.0)

    desk.run(work)
    assert Resource.SERVICEPROFILES in kinds()


def test_what_was_put_off_too_long_is_done_though_others_wait(desk: Desk) -> None:
    """While others may have to be rolled back without end, the pins of who was follow after 3 s all the same."""
    desk.ruling = Revert(Reason.TARGET_BAD, "bad")
    desk.planner = lambda _: (WritePin("legacy", A, None),)

    def pins() -> int:
        written = [resource for resource, _ in desk.servers["legacy"].written]
        return written.count(Resource.SERVICEPROFILES)

    async def work() -> None:
        desk.reconciler._queue.add(B, Rank.WITNESS)
        desk.reconciler.reconcile(A)
        await asyncio.sleep(LONGEST_S)
        assert pins() == 0
        assert list(desk.reconciler._put_off.overdue(desk.loop.time())) == [A]
        desk.reconciler.reconcile(A)
        await asyncio.sleep(0.05)

    desk.run(work)
    assert pins() == 1
    assert list(desk.reconciler._put_off.overdue(desk.loop.time())) == []


# --- one path -------------------------------------------------------------------------------------


def test_what_was_just_read_is_decided_on_in_its_turn(desk: Desk) -> None:
    """Splits that are to be read are read once, and the next decision, and only that, knows it."""
    desk.planner = lambda observed: (
        () if observed.key == B or any(o.just_read for o in desk.planned) else (ReadSplits(A),)
    )

    async def work() -> None:
        await desk.live(3.0)
        desk.reconciler.requeue_all()
        await desk.live(3.0)

    desk.run(work)
    reads = [(name, read) for name, server in desk.servers.items() for read in server.read]
    split = (Resource.TRAFFICSPLITS, "service-a")
    assert [one for one in reads if one[1] == split] == [("legacy", split), ("eks", split)]
    seen = [observed.just_read for observed in desk.planned if observed.key == A]
    assert seen.count(True) == 1
    assert not seen[0]
    assert not seen[-1]


def test_an_error_in_one_migration_stays_in_it(desk: Desk) -> None:
    """While one migration cannot be decided on, another is rolled back."""

    def planner(observed: Observed) -> tuple[Action, ...]:
        if observed.key == A:
            raise ValueError("a bug")
        away = observed.clusters["legacy"].splits[0].away_permille
        return (write("legacy", 0, revert=True, key=B),) if away else ()

    desk.planner = planner
    desk.run(lambda: desk.live(15.0))
    assert desk.servers["legacy"].weights() == [0]
    failed = desk.lines("look failed")
    assert {line["migration"] for line in failed} == {"default/service-a"}
    assert len(failed) > 1


# --- rollbacks ------------------------------------------------------------------------------------


def test_a_rollback_overtakes_a_raise(desk: Desk) -> None:
    """A raise that hangs is replaced by the rollback that is planned after it."""
    desk.servers["legacy"].answers = False
    desk.planner = lambda _: (write("legacy", 500),)

    async def work() -> None:
        desk.reconciler.reconcile(A)
        await asyncio.sleep(0.1)
        desk.servers["legacy"].answers = True
        desk.planner = lambda _: (write("legacy", 0, revert=True),)
        desk.reconciler.reconcile(A)
        await asyncio.sleep(0.1)

    desk.run(work)
    assert desk.servers["legacy"].weights() == [0]
