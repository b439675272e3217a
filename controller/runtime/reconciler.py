"""The loop around the core, for one migration at a time, by its key.

    cluster, prober, timer -> store -> queue -> observe -> decide -> submit -> publish -> the API servers -> ...

There is no second path: the answer to a write, and to a read, is applied like any change, and what comes next
is decided when the key's turn comes. Nothing in a turn awaits, so nothing that hangs delays it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from controller.decide.decision import Decision
from controller.decide.gates import SETTLE_S
from controller.domain import Key, ProbeOrder, ReadEndpoints, ReadSplits
from controller.domain.notices import Notify
from controller.evidence.clients.monitor import Answered
from controller.evidence.looks import Look
from controller.evidence.probes import ProberReport
from controller.kube.api import Cluster
from controller.kube.objects import Change, Freshness, Listed, Resource
from controller.report.metrics import Metrics
from controller.report.observers import (
    LawWatch,
    Numbers,
    Page,
    RollbackTimer,
    Transitions,
)
from controller.report.tracing import Tracing
from controller.report.ui import Feed
from controller.runtime.decider import Decider, Leading
from controller.runtime.fleet_looks import FleetLooks
from controller.runtime.fleet_publisher import FleetPublisher
from controller.runtime.objects import Objects
from controller.runtime.probers import Probers
from controller.runtime.prometheus import Traffic
from controller.runtime.publisher import Publisher
from controller.runtime.put_off import PutOff
from controller.runtime.queue import Queue, Rank
from controller.runtime.settings import Settings
from controller.runtime.slots import Slots
from controller.runtime.store import Store
from controller.runtime.ticks import Ticks
from controller.runtime.writer import Writer
from controller.runtime.writes import LeaseTime, Writes

REGRANT_S = 5.0
"""How often slots are shared out anew without a reason."""

RESYNC_S = 10.0
"""A migration that is probed is reconciled this often, so that its status stays fresh."""

RESYNCS_PER_S = 10.0
"""No more of them than this for freshness alone: a fleet that soaks must not keep the API servers writing."""


class Leadership(Leading, LeaseTime, Protocol):
    """What is asked of the lease."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where everything is reported that the clusters are not told."""

    metrics: Metrics
    tracing: Tracing
    log: FilteringBoundLogger
    page: Feed
    notify: Notify


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who is asked how the paths are, and how real callers fare."""

    probers: Probers
    traffic: Traffic


class Reconciler:
    """All migrations of one pair of clusters. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clusters: Mapping[str, Cluster],
        evidence: Evidence,
        leader: Leadership,
        telemetry: Telemetry,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        metrics, tracing, log = telemetry.metrics, telemetry.tracing, telemetry.log
        self._settings = settings
        self._store = store
        self._evidence = evidence
        self._leader = leader
        self._metrics, self._log = metrics, log
        self._clock = clock
        self._just_read: set[Key] = set()
        self._slots = Slots(
            settings.max_in_progress,
            evidence.probers.caps,
            self._requeue,
            metrics.process,
            clock,
        )
        self._ticks = Ticks(clock)
        self._put_off = PutOff()
        self._queue = Queue(clock)
        self._writer = Writer(self._requeue, log, clock)
        self._decider = Decider(settings, store, clusters, leader, self._slots, self._writer, clock)
        objects = Objects(clusters, self.apply, metrics.clusters)
        self._fleet_looks = FleetLooks(
            store.fleets,
            self._queue,
            _fleet_publisher(
                settings, store, clusters, objects, self._writer, leader, telemetry, clock
            ),
            self._decider.now,
            self._slots.probed,
        )
        self._publisher = _publisher(
            store, clusters, objects, self._writer, leader, telemetry, clock
        )
        self._writes = Writes(
            settings,
            store,
            objects,
            self._writer,
            leader,
            read=self._read,
            report=self._publisher.wrote,
            tracing=tracing,
        )
        self._witnesses = RollbackTimer(metrics, tracing, clock), LawWatch(metrics, log)
        """Who sees every decision."""
        self._observers = (Numbers(metrics), Page(telemetry.page, self._publisher.shown))
        """Who sees those that are told, too."""

    # --- what comes in --------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Take a change of a cluster in."""
        keys = self._store.apply(change)
        if isinstance(change, Freshness):
            self._metrics.clusters.watch_current(
                change.cluster, change.resource.value, change.current
            )
            keys = self._store.migrations()
        for key in keys:
            self._queue.add(key, self._rank(key, change))

    def _rank(self, key: Key, change: Change) -> Rank:
        """Return how pressing a change is for a migration: of who is probed, wish and endpoints may be a rollback."""
        if isinstance(change, Listed):
            return Rank.ROUTINE
        witness = change.resource in (Resource.SERVICES, Resource.ENDPOINTSLICES, Resource.FLEETS)
        return Rank.WITNESS if witness and self._slots.probed(key) else Rank.ECHO

    def on_report(self, on_report: ProberReport) -> None:
        """Take a prober's report in."""
        self._store.on_report(on_report)
        self._metrics.heard(on_report)
        self._ticks.heard()

    def answered(self, answered: Answered) -> None:
        """Take what one cluster's Prometheus says in."""
        self._metrics.traffic.prometheus_tells(answered.cluster, not answered.error)
        self.requeue(self._store.answered(answered))

    def requeue(self, keys: Iterable[Key]) -> None:
        """Have these migrations reconciled: a source of evidence has something new."""
        for key in keys:
            self._queue.add(key)

    def resettle(self, settings: Settings) -> None:
        """Take settings that were re-read in: only ``paused`` and ``max_in_progress`` may differ."""
        if settings != self._settings:
            self._log.info(
                "settings changed", paused=settings.paused, slots=settings.max_in_progress
            )
            self._settings = self._decider.settings = settings
            self._slots.resize(settings.max_in_progress)
            self.requeue_all()

    def requeue_all(self) -> None:
        """Have every migration reconciled: leadership or settings changed."""
        if not self._leader.leads:
            self._writer.drop_raises()
        for key in self._store.migrations():
            self._queue.add(key)
        self._fleet_looks.queue_all()

    def _requeue(self, key: Key, urgent: bool = False) -> None:
        failed = urgent and self._writer.failures(key)
        self._queue.add(key, Rank.WITNESS if failed else Rank.ECHO)

    def _read(self, action: ReadSplits | ReadEndpoints) -> None:
        """Note a read that was just made: what is decided next is decided on that."""
        if isinstance(action, ReadSplits):
            self._just_read.add(action.key)
            self._store.splits_read(action.key, self._clock())
        else:
            self._store.endpoints_read(action.key, action.cluster, self._clock())

    # --- running --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile what is due, and tick, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick(), name="ticks")
            tasks.create_task(self._regrant(), name="slots")
            while True:
                key = await self._queue.get()
                self._metrics.decisions.queue_depth(len(self._queue))
                self._reconcile_safely(key)
                if not self._queue.is_due(Rank.ECHO):
                    self._slots.settle()
                await asyncio.sleep(0)  # a long queue must not keep the sockets waiting

    async def stop(self, deadline_s: float) -> None:
        """Raise nothing more, and let the writes in flight finish."""
        self._decider.raises = False
        await self._writer.drain(deadline_s)

    async def _tick(self) -> None:
        """Fold the evidence at each tick."""
        while True:
            await self._ticks.wait()
            for key, look in self._store.fold(self._clock()).items():
                self._queue.add(key, Rank.WITNESS if look is Look.NOW else Rank.ECHO)
                if proven := self._store.proven_bad(key):  # it may have to wait for its turn
                    self._evidence.probers.spare(key, proven)
            for key in self._put_off.overdue(self._clock()):
                self._queue.add(key, Rank.WITNESS)
            self._metrics.process.gateways(self._store.gateways.dead())

    async def _regrant(self) -> None:
        while True:
            await asyncio.sleep(REGRANT_S)
            self._slots.regrant()

    # --- one migration --------------------------------------------------------------------------------

    def _reconcile_safely(self, key: Key) -> None:
        """Reconcile; an error of ours in one migration must not disarm the path back of the others."""
        try:
            self.reconcile(key)
        except Exception:  # noqa: BLE001 - see the docstring; it is logged, and tried again
            self._log.exception("look failed", migration=str(key))
            self._queue.add_in(key, RESYNC_S)

    def reconcile(self, key: Key) -> None:
        """Decide what is next for one migration, submit its writes, and publish it."""
        if not key.namespace:
            self._fleet_looks.look(key)
            return
        began_s = self._clock()
        just_read = key in self._just_read
        self._just_read.discard(key)
        decision = self._decider.decide(key, just_read=just_read)
        for witness in self._witnesses:
            witness.observe(decision)
        hurries = decision.rolls_back and self._queue.is_due(Rank.WITNESS)
        if hurries and self._put_off.may(key, began_s):
            self._bring_back(decision)
        else:
            self._carry_out(decision)
        self._metrics.decisions.reconciled(self._clock() - began_s)
        if not self._store.is_migration(key):
            self._forget(key)

    def _bring_back(self, decision: Decision) -> None:
        """Have what is urgent done: the rest can wait until nobody else may have to be rolled back."""
        self._writes.submit(decision.pressing)
        if decision.brings_all_back:
            # No probe changes that any more: the probers are for those who are not decided on yet.
            self._evidence.probers.order(decision.key, ())
            self._store.wait(decision.key)
        self._queue.add(decision.key, Rank.ECHO)

    def _carry_out(self, decision: Decision) -> None:
        """Have done what was decided, and told."""
        self._put_off.over(decision.key)
        self._fleet_looks.queue_due()
        self._order(decision)
        self._writes.submit(decision.plan.actions)
        self._publisher.publish(decision)
        self._look_again(decision)
        for observer in self._observers:
            observer.observe(decision)

    def _look_again(self, decision: Decision) -> None:
        """Have the migration reconciled when the plan says so, when a step settles, and now and then."""
        key, plan, settled_s = decision.key, decision.plan, decision.observed.settled_s
        rank = Rank.WITNESS if plan.probes else Rank.ROUTINE
        if plan.requeue_after_s is not None:
            self._queue.add_in(key, plan.requeue_after_s, rank)
        if plan.probes and settled_s < SETTLE_S:
            self._queue.add_in(key, SETTLE_S - settled_s, rank)
        if plan.probes:
            self._queue.add_in(key, max(RESYNC_S, self._slots.all_probed / RESYNCS_PER_S))

    def _order(self, decision: Decision) -> None:
        """Have counted, from now on, exactly the evidence that the plan asks for."""
        key, decided = decision.key, decision.plan
        self._evidence.traffic.order(key, decided.traffic)
        self._store.order(key, decided, self._clock())
        self._probe(key, decided.probes)

    def _probe(self, key: Key, orders: tuple[ProbeOrder, ...]) -> None:
        """Have exactly these paths of one migration probed, and the gateways that any goes through."""
        for at, asked in self._store.gateways.beside(key, orders).items():
            self._evidence.probers.order(at, asked)

    def _forget(self, key: Key) -> None:
        """Let go of what is no migration any more."""
        if self._writer.writing(key, "split"):
            return
        self._evidence.traffic.order(key, None)
        self._just_read.discard(key)
        self._store.forget(key)
        self._probe(key, ())
        self._put_off.over(key)
        parts = self._writer, self._queue, self._publisher, self._slots
        for part in (*parts, *self._witnesses, *self._observers):
            part.forget(key)


def _publisher(
    store: Store,
    clusters: Mapping[str, Cluster],
    objects: Objects,
    writer: Writer,
    leader: Leadership,
    telemetry: Telemetry,
    clock: Callable[[], float],
) -> Publisher:
    """Return who tells of migrations."""
    return Publisher(
        store,
        clusters,
        objects,
        writer,
        leader,
        moved=Transitions(telemetry.metrics, telemetry.tracing, telemetry.log).moved,
        notify=telemetry.notify,
        log=telemetry.log,
        clock=clock,
    )


def _fleet_publisher(
    settings: Settings,
    store: Store,
    clusters: Mapping[str, Cluster],
    objects: Objects,
    writer: Writer,
    leader: Leadership,
    telemetry: Telemetry,
    clock: Callable[[], float],
) -> FleetPublisher:
    """Return who tells of Fleets, where the lease is."""
    return FleetPublisher(
        store.fleets,
        clusters[settings.lease.cluster],
        objects,
        writer,
        leader,
        metrics=telemetry.metrics,
        page=telemetry.page,
        notify=telemetry.notify,
        log=telemetry.log,
        clock=clock,
    )
