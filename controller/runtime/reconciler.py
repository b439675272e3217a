"""The shell around the core: look, plan, act; for one migration at a time, by its key.

    cluster, prober, timer -> state -> queue -> observe -> plan -> actions -> the API servers -> cluster ...

There is no second path: the answer to a write is absorbed like any change, and the next look finds nothing
left to do. A look never awaits, so nothing that hangs delays it; what it asks for is done by hands.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from controller.decide.plan import plan
from controller.decide.resolve import resolve
from controller.decide.slots import Want, grant
from controller.domain import (
    Action,
    Answer,
    EventText,
    GlobalContext,
    Key,
    Observed,
    Phase,
    Plan,
    ReadSplits,
    WritePin,
    WriteSplit,
)
from controller.evidence.clients.monitor import Answered
from controller.evidence.probes import ProberReport
from controller.kube.api import (
    AlreadyExists,
    ApiError,
    Cluster,
    Conflict,
    Events,
    NotFound,
    ServiceRef,
    Unavailable,
)
from controller.kube.objects import (
    Change,
    Deleted,
    Freshness,
    KubeObject,
    Listed,
    Resource,
    Upserted,
)
from controller.mesh import pin
from controller.mesh.splits import mirror_name
from controller.mesh.splits.kinds import PROVIDERS
from controller.report import status
from controller.report.gauges import Figures, figures
from controller.report.metrics import Metrics
from controller.report.tracing import Tracing
from controller.report.ui import Feed, Shown
from controller.runtime.probers import Probers
from controller.runtime.prometheus import Traffic
from controller.runtime.queue import Queue
from controller.runtime.settings import Settings
from controller.runtime.store import Store
from controller.runtime.writer import Place, Writer

TICK_S = 0.1
"""A tick of evidence (docs/evidence.md)."""

REGRANT_S = 5.0
"""How often slots are looked at without a reason."""

START_GRACE_S = 5.0
"""What is stale or unheld this soon after the start is not worth an Event."""

RESYNC_S = 10.0
"""A migration that is probed is looked at this often at the least, so that its status stays fresh."""


class Leadership(Protocol):
    """What the reconciler asks of the lease."""

    @property
    def leads(self) -> bool: ...  # noqa: D102 - as controller.runtime.lease
    @property
    def may_roll_back(self) -> bool: ...  # noqa: D102 - as controller.runtime.lease
    @property
    def fencing_token(self) -> int: ...  # noqa: D102 - as controller.runtime.lease
    @property
    def left_s(self) -> float: ...  # noqa: D102 - as controller.runtime.lease


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where everything is told that is not told to the clusters."""

    metrics: Metrics
    tracing: Tracing
    log: FilteringBoundLogger
    board: Feed


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who is asked how the paths are, and how real callers fare."""

    probers: Probers
    traffic: Traffic


class Reconciler:
    """All migrations of one pair of clusters."""

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
        self._settings = settings
        self._store = store
        self._clusters = clusters
        self._probers = evidence.probers
        self._traffic = evidence.traffic
        self._prometheus = frozenset(
            name for name, cluster in settings.clusters.items() if cluster.prometheus.url
        )
        self._leader = leader
        self._metrics = telemetry.metrics
        self._tracing = telemetry.tracing
        self._log = telemetry.log
        self._board = telemetry.board
        self._clock = clock
        self._probed: dict[Key, float] = {}
        self._queue = Queue(clock, at_risk=self._probed.__contains__)
        self._writer = Writer(self._freed, self._log)
        self._events = {n: Events(cluster, monotonic=clock) for n, cluster in clusters.items()}
        self._stories: dict[Key, status.Story] = {}
        self._wants: dict[Key, Want] = {}
        self._holders: frozenset[Key] = frozenset()
        self._waiting: tuple[Key, ...] = ()
        self._held_since: dict[Key, float] = {}
        self._phases: dict[Key, Phase] = {}
        self._reverting: dict[Key, float] = {}
        self._noted: dict[Key, status.Note | None] = {}
        self._stopping = False

    # --- what is told ---------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Take a change of a cluster in."""
        keys = self._store.apply(change)
        if isinstance(change, Freshness):
            self._metrics.watch_current(change.cluster, change.resource.value, change.current)
            keys = self._store.migrations()
        for key in keys:
            self._queue.add(key, urgent=not isinstance(change, Listed))

    def on_report(self, on_report: ProberReport) -> None:
        """Take a prober's report in."""
        self._store.on_report(on_report)
        counted = [
            told
            for told in on_report.samples
            if not (told[1].discarded or on_report.report.discarded)
        ]
        self._metrics.prober_heard(
            on_report.cluster, absorbed=len(counted), void=len(on_report.samples) - len(counted)
        )
        for order, part in counted:
            self._metrics.probed(order.key, order.path, part)

    def answered(self, answered: Answered) -> None:
        """Take what one cluster's Prometheus says in."""
        self._metrics.prometheus_tells(answered.cluster, not answered.error)
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
            self._settings = settings
            self._regrant()
            self.requeue_all()

    def requeue_all(self) -> None:
        """Have every migration looked at: leadership or settings changed."""
        if not self._leader.leads:
            self._writer.drop_raises()
        for key in self._store.migrations():
            self._queue.add(key)

    # --- running ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at what is due, and tick, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ticks(), name="ticks")
            tasks.create_task(self._grants(), name="slots")
            while True:
                key = await self._queue.get()
                self._metrics.queue_depth(len(self._queue))
                self._reconcile_safely(key)
                await asyncio.sleep(0)  # a long queue must not keep the sockets waiting

    async def stop(self, deadline_s: float) -> None:
        """Raise nothing more, and let the writes in flight finish."""
        self._stopping = True
        await self._writer.drain(deadline_s)

    async def _ticks(self) -> None:
        """Fold the evidence every 100 ms, by the monotonic clock."""
        due = self._clock()
        while True:
            due += TICK_S
            await asyncio.sleep(max(0.0, due - self._clock()))
            due = max(due, self._clock() - TICK_S)  # late ticks are not caught up
            for key in self._store.fold(self._clock()):
                self._queue.add(key, urgent=True)

    async def _grants(self) -> None:
        while True:
            await asyncio.sleep(REGRANT_S)
            self._regrant()

    # --- one look ---------------------------------------------------------------------------------------

    def _reconcile_safely(self, key: Key) -> None:
        """Look; an error of ours in one migration must not disarm the path back of the others."""
        try:
            self.reconcile(key)
        except Exception:  # noqa: BLE001 - see the docstring; it is logged, and tried again
            self._log.exception("look failed", migration=str(key))
            self._queue.add_in(key, RESYNC_S)

    def reconcile(self, key: Key, *, just_read: bool = False) -> None:
        """Decide what is next for one migration, and set the hands to it."""
        began = self._clock()
        now = self._now()
        observed, decided = self._decide(key, now, just_read=just_read)
        self._want(key, observed, decided)
        if observed.has_slot != (key in self._holders):
            observed, decided = self._decide(key, now, just_read=just_read)
        self._probers.order(key, decided.probes)
        self._traffic.order(key, decided.traffic)
        self._store.order(key, decided, self._clock())
        for action in decided.actions:
            self._act(action)
        self._tell(observed, decided, now)
        self._board.leads = self._leader.leads
        self._board.put(key, lambda: self._shown(observed, decided, now))
        if decided.requeue_after_s is not None:
            self._queue.add_in(key, decided.requeue_after_s)
        if decided.probes:
            self._queue.add_in(key, RESYNC_S)
        self._measure(observed, decided, now, self._clock() - began)
        if not self._store.is_migration(key):
            self._forget(key)

    def _decide(self, key: Key, now: datetime, *, just_read: bool) -> tuple[Observed, Plan]:
        observed = self._observe(key, just_read=just_read)
        return observed, self._with_failures(key, plan(observed, now))

    def _measure(self, observed: Observed, decided: Plan, now: datetime, seconds: float) -> None:
        reason = decided.ruling.reason if decided.ruling else ""
        self._metrics.reconciled(seconds)
        self._metrics.planned(decided.phase, reason)
        if not self._leader.may_roll_back:
            # The leader's word is the word: what another replica does not do it does not tell either.
            self._clear(observed.key)
            return
        found = figures(observed, decided, now)
        self._metrics.shares(observed.key, decided.shares)
        self._metrics.evidence(observed.key, observed.paths if decided.probes else {})
        self._metrics.traffic(observed.key, observed.traffic)
        self._metrics.stands(observed.key, found)
        self._time_rollback(observed, found)
        if self._phases.get(observed.key) is not decided.phase:
            self._phases[observed.key] = decided.phase
            self._metrics.migrations(Counter(self._phases.values()))

    def _clear(self, key: Key) -> None:
        """Return nothing of a migration any more."""
        self._reverting.pop(key, None)
        self._metrics.shares(key, {})
        self._metrics.evidence(key, {})
        self._metrics.traffic(key, {})
        self._metrics.stands(key, None)
        if self._phases.pop(key, None):
            self._metrics.migrations(Counter(self._phases.values()))

    def _time_rollback(self, observed: Observed, found: Figures) -> None:
        """Measure a revert from its decision, as this process saw it."""
        if found.phase is Phase.REVERTING:
            self._reverting.setdefault(observed.key, self._clock())
            return
        began = self._reverting.pop(observed.key, None)
        if began is None or found.phase is not Phase.REVERTED:
            return
        attempt = resolve(observed).attempt
        if attempt is not None and found.reverted is not None:
            reason = found.reverted.reason
            with self._tracing.span(observed.key, attempt, "home", reason=reason):
                self._metrics.rolled_back(reason, self._clock() - began)

    def _observe(self, key: Key, *, just_read: bool) -> Observed:
        place = self._waiting.index(key) + 1 if key in self._waiting else 0
        return self._store.observe(
            key,
            self._context(),
            self._clock(),
            writing=self._writer.writing(key, "split", "pin"),
            has_slot=key in self._holders,
            slot_place=place,
            just_read=just_read,
        )

    def _context(self) -> GlobalContext:
        return GlobalContext(
            clusters=self._store.clusters,
            paused=self._settings.paused,
            leads=self._leader.leads and not self._stopping,
            may_roll_back=self._leader.may_roll_back,
            fencing_token=self._leader.fencing_token,
            split=self._settings.split,
            traffic=self._settings.traffic.mode,
            prometheus=self._prometheus,
        )

    def _now(self) -> datetime:
        """Return the lease cluster's time; another's, or this machine's, only where it never answered."""
        names = [self._settings.lease.cluster, *self._clusters]
        on_report = (self._clusters[name].now() for name in names)
        return next((now for now in on_report if now is not None), datetime.now(UTC))

    def _with_failures(self, key: Key, decided: Plan) -> Plan:
        """Show what an API server refused: nobody sees a log line from the outside."""
        failed = tuple(
            ("WriteFailed", f"in {place.cluster} the {place.what} was not written: {message}")
            for place, message in sorted(self._writer.failures(key).items())
        )
        return replace(decided, warnings=decided.warnings + failed) if failed else decided

    def _forget(self, key: Key) -> None:
        """Let go of what is no migration any more."""
        if self._writer.writing(key, "split"):
            return
        self._store.forget(key)
        self._writer.forget(key)
        self._queue.forget(key)
        self._board.drop(key)
        self._stories.pop(key, None)
        self._held_since.pop(key, None)
        self._probed.pop(key, None)
        self._probers.order(key, ())
        self._traffic.order(key, None)
        self._clear(key)
        if self._wants.pop(key, None):
            self._regrant()

    # --- slots ------------------------------------------------------------------------------------------

    def _want(self, key: Key, observed: Observed, decided: Plan) -> None:
        held_up = decided.ruling is not None and not decided.ruling.waits
        if not (held_up and key in self._holders):
            self._held_since.pop(key, None)
        else:
            self._held_since.setdefault(key, self._clock())
        if decided.probes:
            self._probed[key] = decided.rate_per_s
        else:
            self._probed.pop(key, None)
        if not decided.wants_slot:
            if self._wants.pop(key, None) is not None:
                self._regrant()
            return
        known = self._store.known(key)
        want = Want(
            key,
            known.asked,
            dict.fromkeys(self._clusters, decided.rate_per_s),
            shifted=bool(decided.probes) and decided.phase is not Phase.PENDING,
        )
        if self._wants.get(key) != want:
            self._wants[key] = want
            self._regrant()

    def _regrant(self) -> None:
        """Share out the slots anew; whoever gained or lost one is looked at."""
        now_s = self._clock()
        wants = {
            key: replace(want, held_up_s=now_s - self._held_since.get(key, now_s))
            for key, want in self._wants.items()
        }
        before, queued = self._holders, self._waiting
        soaking_per_s = sum(r for key, r in self._probed.items() if key not in self._wants)
        caps = {name: cap - soaking_per_s for name, cap in self._probers.caps().items()}
        self._holders, self._waiting = grant(wants, before, self._settings.max_in_progress, caps)
        for key in (before ^ self._holders) | (set(queued) ^ set(self._waiting)):
            self._queue.add(key)
        self._metrics.slots(len(self._holders), len(self._waiting))

    # --- acting -----------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        if isinstance(action, ReadSplits):
            self._writer.take(Place(action.key, "", "read"), lambda: self._read_splits(action.key))
        elif isinstance(action, WritePin):
            self._writer.take(
                Place(action.key, action.cluster, "pin"), lambda: self._write_pin(action)
            )
        else:
            self._writer.take(
                Place(action.key, action.cluster, "split"),
                lambda: self._write_split(action),
                urgent=action.revert,
            )

    def _freed(self, key: Key, urgent: bool) -> None:
        self._queue.add(key, urgent=urgent)

    async def _write_split(self, action: WriteSplit) -> None:
        """Write weights and record in one patch. A raise must be over before the lease can be lost."""
        far = next(name for name in self._clusters if name != action.cluster)
        provider = PROVIDERS[action.kind]
        body = provider.body(action, mirror_name(action.key.service, far))
        limit = None if action.revert else self._leader.left_s
        with self._span(action):
            try:
                async with asyncio.timeout(limit):
                    if action.resource_version is None and await self._has_other_kind(action):
                        return
                    await self._put(
                        action.cluster,
                        provider.RESOURCE,
                        action.key.namespace,
                        action.name,
                        body,
                        make=action.resource_version is None,
                    )
            except TimeoutError:
                raise Unavailable(
                    "the lease ran out before the answer came", outcome_unknown=True
                ) from None
        self._log.info(
            "wrote split",
            migration=str(action.key),
            cluster=action.cluster,
            share=action.record.share_permille / 10,
            away=action.away_permille / 10,
            revert=action.revert,
        )
        if action.told:
            await self._say(action.key, action.told)

    async def _has_other_kind(self, action: WriteSplit) -> bool:
        """Return whether a split of another kind stands there, of which the streams have not told yet.

        Each kind has a stream of its own, so a split that was converted may be seen to go before its
        successor is seen to come.
        """
        for kind, provider in PROVIDERS.items():
            if kind is not action.kind:
                at = (provider.RESOURCE, action.key.namespace, action.name)
                await self._read(action.cluster, *at)
        return bool(self._store.views[action.cluster].splits(action.key))

    def _span(self, action: WriteSplit) -> AbstractContextManager[object]:
        """Trace a write of an attempt; one that only enrols belongs to none."""
        attempt = action.record.attempt
        if attempt is None:
            return nullcontext()
        return self._tracing.span(
            action.key,
            attempt,
            "revert" if action.revert else "step",
            cluster=action.cluster,
            share_permille=action.record.share_permille,
        )

    async def _write_pin(self, action: WritePin) -> None:
        namespace = self._settings.clusters[action.cluster].gateway_namespace
        body = pin.body(action, namespace, self._settings.domain)
        name = pin.name(action.key, self._settings.domain)
        make = action.resource_version is None
        await self._put(action.cluster, Resource.SERVICEPROFILES, namespace, name, body, make=make)
        self._log.info("wrote pin", migration=str(action.key), cluster=action.cluster, made=make)
        if action.told:
            await self._say(action.key, action.told)

    async def _put(
        self,
        cluster: str,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        make: bool,
    ) -> None:
        """Make or patch, and absorb what the server answers; where it is unclear what stands, read it."""
        api = self._clusters[cluster]
        outcome = "ok"
        try:
            if make:
                found = await api.create(resource, namespace, body)
            else:
                found = await api.patch(resource, namespace, name, body)
        except (Conflict, AlreadyExists) as error:
            outcome = "conflict"
            await self._read(cluster, resource, namespace, name, body)
            if isinstance(error, AlreadyExists):
                raise  # what stands there may not be ours: not at once again
        except NotFound:
            outcome = "gone"
            if make:
                raise
            await self._read(cluster, resource, namespace, name, body)
        except Unavailable as error:
            outcome = "unknown" if error.outcome_unknown else "unavailable"
            if error.outcome_unknown:
                await self._read(cluster, resource, namespace, name, body)
            raise
        except ApiError:
            outcome = "refused"
            raise
        else:
            self.apply(Upserted(cluster, resource, found))
        finally:
            self._metrics.wrote(cluster, resource.value, outcome)

    async def _read(
        self,
        cluster: str,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Look again at what really stands there."""
        try:
            found: KubeObject = await self._clusters[cluster].get(resource, namespace, name)
        except NotFound:
            version = str((body or {}).get("metadata", {}).get("resourceVersion", ""))
            self.apply(Deleted(cluster, resource, namespace, name, version))
        else:
            self.apply(Upserted(cluster, resource, found))

    async def _read_splits(self, key: Key) -> None:
        """Read both splits from the API servers themselves, then decide on what was just read."""
        await asyncio.gather(
            *(
                self._read(cluster, PROVIDERS[split.kind].RESOURCE, key.namespace, split.name)
                for cluster, view in self._store.views.items()
                for split in view.splits(key)
            )
        )
        self.reconcile(key, just_read=True)

    # --- telling ----------------------------------------------------------------------------------------

    def _tell(self, observed: Observed, decided: Plan, now: datetime) -> None:
        """Write the status and the Event of a transition, once its writes are done."""
        key = observed.key
        baseline = self._status_cluster(key)
        if baseline is None or not self._leader.may_roll_back:
            return
        known = self._story(key, baseline)
        if known is None or _starting(observed, decided):
            return
        telling = status.tell(known, observed, decided, self._store.known(key), now, self._clock())
        reverting = decided.ruling is not None and decided.ruling.answer is Answer.REVERT
        phase_changed = telling.story.note is not None and (
            known.note is None or telling.story.note.phase != known.note.phase
        )
        busy = bool(self._writer.writing(key, "split")) or bool(decided.actions)
        if busy and not (reverting and phase_changed):
            return
        if telling.status is None:
            return
        place = Place(key, baseline, "status")
        if self._writer.busy(place):
            return
        if telling.events and self._noted.get(key) != telling.story.note:
            self._noted[key] = telling.story.note
            self._note(observed, decided, telling.status)
        self._writer.take(place, lambda: self._write_status(key, baseline, telling))

    def _story(self, key: Key, baseline: str) -> status.Story | None:
        """Return the story to go on with, None where another replica tells it.

        What others wrote since is part of it. Only the leader writes over that: of two who may both bring
        people home, each would write over the other without end.
        """
        known, told = self._stories.get(key), self._told(key, baseline)
        if known is None:
            return status.remember(told)
        if status.stands(told, known):
            return known
        if not self._leader.leads:
            return None
        return status.remember(told) if told else replace(known, written={})

    def _told(self, key: Key, baseline: str) -> Mapping[str, Any]:
        """Return what the Migration says now, whoever wrote it; {} where there is none."""
        migration = self._store.views[baseline].migration(key)
        return migration.status if migration else {}

    def _shown(self, observed: Observed, decided: Plan, now: datetime) -> Shown:
        """Return what the board shows: what was decided here, else what the replica that decides has told."""
        key = observed.key
        baseline = self._status_cluster(key)
        told = self._told(key, baseline) if baseline else {}
        if not self._leader.may_roll_back:
            return Shown(told)
        story = self._stories.get(key) or status.remember(told)
        body = status.body_of(
            observed, decided, self._store.known(key), story.history, story.conditions
        )
        return Shown(body, figures(observed, decided, now).due)

    def _note(self, observed: Observed, decided: Plan, told: Mapping[str, Any]) -> None:
        """One log line, and the numbers, of a transition."""
        reason = str(told["reason"])
        self._log.info(
            "transition",
            migration=str(observed.key),
            phase=decided.phase,
            share=told["share"],
            reason=reason,
            message=told["message"],
            verdict=told["verdict"],
            by=observed.context.fencing_token,
        )
        self._metrics.moved(decided.phase, reason)
        if decided.phase is Phase.REVERTED:
            self._metrics.reverted(reason)
        attempt = resolve(observed).attempt
        if attempt and decided.phase in (Phase.REVERTED, Phase.COMPLETED):
            self._tracing.finish(observed.key, attempt, decided.phase, reason, self._now())

    def _status_cluster(self, key: Key) -> str | None:
        """The Migration stands beside the annotated Service; where both are, in the first that has one."""
        annotated = self._store.known(key).annotated
        having = [n for n, view in self._store.views.items() if view.migration(key) is not None]
        both = [name for name in annotated if name in having]
        return next(iter([*both, *annotated, *having]), None)

    async def _write_status(self, key: Key, cluster: str, telling: status.Telling) -> None:
        """Write the status, then its Events. Only what was written has been told.

        With the version of what it replaces: one that was held up on its way must not bury a newer one.
        """
        api = self._clusters[cluster]
        if self._store.views[cluster].migration(key) is None:
            await self._make_migration(key, cluster)
        known = self._store.views[cluster].migration(key)
        version = {"resourceVersion": known.metadata.resource_version} if known else {}
        try:
            found = await api.patch(
                Resource.MIGRATIONS,
                key.namespace,
                key.service,
                {"metadata": version, "status": telling.status},
                subresource="status",
            )
        except (Conflict, NotFound):
            await self._read(cluster, Resource.MIGRATIONS, key.namespace, key.service)
            raise
        self._stories[key] = telling.story
        self._store.apply(Upserted(cluster, Resource.MIGRATIONS, found))
        for event in telling.events:
            await self._say(key, EventText(event.reason, event.message), kind=event.kind)

    async def _make_migration(self, key: Key, cluster: str) -> None:
        service = self._store.views[cluster].service(key)
        metadata: dict[str, Any] = {"name": key.service, "namespace": key.namespace}
        if service is not None:
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Service", "name": key.service, "uid": service.uid}
            ]
        try:
            found = await self._clusters[cluster].create(
                Resource.MIGRATIONS, key.namespace, {"metadata": metadata}
            )
        except AlreadyExists:
            found = await self._clusters[cluster].get(
                Resource.MIGRATIONS, key.namespace, key.service
            )
        self._store.apply(Upserted(cluster, Resource.MIGRATIONS, found))

    async def _say(self, key: Key, told: EventText, *, kind: str = "Normal") -> None:
        """Post an Event on the annotated Service. It is for people: losing one decides nothing."""
        cluster = self._status_cluster(key)
        service = (
            self._store.views[cluster].observed(key, writing=False).service if cluster else None
        )
        if cluster is None or service is None:
            return
        try:
            await self._events[cluster].tell(
                key.namespace,
                ServiceRef(key.service, service.uid),
                told.reason,
                told.message,
                "Warning" if kind == "Warning" else "Normal",
            )
        except ApiError as error:
            self._log.warning(
                "event lost", migration=str(key), reason=told.reason, error=str(error)
            )


def _starting(observed: Observed, decided: Plan) -> bool:
    """Return whether this is only the blindness of a process that has just begun."""
    blind = decided.ruling is not None and decided.ruling.reason in ("ClusterStale", "NoLease")
    return blind and observed.started_s < START_GRACE_S
