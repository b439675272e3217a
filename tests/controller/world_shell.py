"""The shell around the core, as a simulation: what ``reconcile``, ``hands`` and ``probers`` do, without I/O.

It looks, plans and acts in the same order and by the same rules (one write at a time for each object, a
revert takes the place of a raise, an unclear outcome is read again), so that a story in the simulated
world tells what the core does with a real shell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from controller.decide.plan import plan
from controller.decide.slots import Want, grant
from controller.domain import (
    FIELD_MANAGER,
    Action,
    CallPath,
    GlobalContext,
    Key,
    Observed,
    Phase,
    Plan,
    ProbeOrder,
    ReadSplits,
    Revert,
    TrafficMode,
    TrafficOrder,
    WritePin,
    WriteSplit,
    probe_checks,
)
from controller.evidence.clients.monitor import Answered
from controller.evidence.probes import ProberReport
from controller.kube.objects import Deleted, Freshness, Resource, Upserted
from controller.mesh import pin
from controller.mesh.splits import mirror_name
from controller.mesh.splits.kinds import PROVIDERS
from controller.report import status
from controller.runtime.cluster_store import NEEDED
from controller.runtime.store import Store
from prober.contract import GRPC_STATUSES, OPEN, Counts, Report, Sample
from tests.controller.world_api import AwayError, ConflictError, ExistsError, MissingError
from tests.controller.world_mesh import GOOD, SILENT

if TYPE_CHECKING:
    from tests.controller.world import World

DOMAIN = "cluster.local"
GATEWAYS = "linkerd-multicluster"
STREAMS = 2
RESYNC_S = 10.0
REGRANT_S = 5.0
STALE_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_URGENT_PAUSE_S = 0.1, 5.0, 1.0

Place = tuple[Key, str, str]
"""What a hand is on: the migration, the cluster, and split, pin or read."""


@dataclass(slots=True)
class _Hand:
    urgent: bool
    dropped: bool = False


@dataclass(slots=True)
class _Link:
    """One controller's ears on one cluster's API server."""

    cursor: int = 0
    up: bool = False
    stale: bool = True
    lost_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Coming:
    """A slice on its way from a stream."""

    due_s: float
    order: ProbeOrder
    part: Sample


@dataclass
class Shell:
    """One controller process in the cluster ``at``; it leads with ``fencing token`` where ``leads`` says so."""

    world: World
    at: str
    fencing_token: int = 1
    leads: bool = True
    may_roll_back: bool = True
    paused: bool = False
    slots: int = 20
    caps: dict[str, float] = field(default_factory=dict)
    probing: bool = True
    alive: bool = True
    traffic: TrafficMode = "advisory"

    def __post_init__(self) -> None:
        """Know nothing yet."""
        world = self.world
        gateways = dict.fromkeys(world.clusters, GATEWAYS)
        self.store = Store(gateways, DOMAIN, prometheus=world.prometheus)
        self.traffic_orders: dict[Key, TrafficOrder] = {}
        self.orders: dict[Key, tuple[ProbeOrder, ...]] = {}
        self.plans: dict[Key, Plan] = {}
        self.observed: dict[Key, Observed] = {}
        self.holders: frozenset[Key] = frozenset()
        self.waiting: tuple[Key, ...] = ()
        self.histories: dict[Key, status.History] = {}
        self._links = {name: _Link() for name in world.clusters}
        self._coming: dict[tuple[str, int], list[_Coming]] = {
            (name, stream): [] for name in world.clusters for stream in range(STREAMS)
        }
        self._told: dict[tuple[str, int], set[tuple[Key, CallPath]]] = {
            at: set() for at in self._coming
        }
        self._numbers = 0
        self._queue: set[Key] = set()
        self._timers: dict[Key, float] = {}
        self._writer: dict[Place, _Hand] = {}
        self._failed: dict[Place, int] = {}
        self._wants: dict[Key, Want] = {}
        self._held_since: dict[Key, float] = {}
        self._regrant_s = 0.0

    # --- what comes in ------------------------------------------------------------------------------

    def watch(self) -> bool:
        """Take in what the API servers tell; whether there was anything."""
        moved = False
        for name, link in self._links.items():
            api = self.world.apis[name]
            if api.away or (name, self.at) in self.world.deaf:
                moved |= self._lost(name, link)
                continue
            if not link.up:
                self._list(name, link)
                moved = True
            while link.cursor < len(api.log):
                change = api.log[link.cursor]
                link.cursor += 1
                self._queue |= self.store.apply(change)
                moved = True
        return moved

    def _lost(self, name: str, link: _Link) -> bool:
        if link.up:
            link.up, link.lost_at_s = False, self.world.now_s
        if link.stale or self.world.now_s - link.lost_at_s < STALE_S:
            return False
        link.stale = True
        self._freshen(name, current=False)
        return True

    def _list(self, name: str, link: _Link) -> None:
        api = self.world.apis[name]
        for listed in api.listed():
            self._queue |= self.store.apply(listed)
        link.cursor, link.up, link.stale = len(api.log), True, False
        self._freshen(name, current=True)

    def _freshen(self, name: str, *, current: bool) -> None:
        for resource in NEEDED:
            self.store.apply(Freshness(name, resource, current, "" if current else "is away"))
        self._queue |= self.store.migrations()

    def probe(self) -> None:
        """Have the probers send what is due in this tick."""
        if not self.probing:
            return
        for orders in self.orders.values():
            for order in orders:
                due = self.world.due(order.probe.rate_per_s)
                if due:
                    self._send(order, due)

    def _send(self, order: ProbeOrder, probes: int) -> None:
        """One slice: all that one stream sends for this order in this tick."""
        callers, stream = order.path.callers, self.world.ticks % STREAMS
        if callers in self.world.refusing:
            return
        if not self.world.hears(self.at, callers, stream):
            return
        answers: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        for _ in range(probes):
            answer, address = self.world.mesh.answer(order)
            if answer == GOOD:
                answer = {"grpc": "OK", "tcp": OPEN}.get(order.protocol, GOOD)
            answers[answer] += 1
            if address and not expected(answer, order):
                faults[address] += 1
        bad = sum(count for answer, count in answers.items() if not expected(answer, order))
        self._numbers += 1
        part = Sample(
            assignment=1,
            number=self._numbers,
            age_s=0.0,
            base=Counts(probes, bad, bad),
            answers=dict(answers),
            loops=answers["508"],
            faults={a: (Counts(n, n, n), Counts()) for a, n in faults.items()},
        )
        late = 1.0 if answers.keys() & SILENT else 0.0
        self._coming[callers, stream].append(_Coming(self.world.now_s + late, order, part))

    def hear(self) -> None:
        """Take in a report of every stream that is up: the heartbeat, whatever is in it."""
        if not self.probing:
            return
        for (cluster, stream), coming in self._coming.items():
            if self.world.hears(self.at, cluster, stream):
                self._report(cluster, stream, coming)
            else:
                coming.clear()
                self._told[cluster, stream].clear()

    def _report(self, cluster: str, stream: int, coming: list[_Coming]) -> None:
        now_s = self.world.now_s
        ripe = [one for one in coming if one.due_s <= now_s]
        coming[:] = [one for one in coming if one.due_s > now_s]
        told = self._told[cluster, stream]
        told.update((one.order.key, one.order.path) for one in ripe)
        busy = {(one.order.key, one.order.path) for one in (*ripe, *coming)}
        report = Report(
            number=0,
            samples=tuple(one.part for one in ripe),
            control=Counts(1, int(cluster in self.world.bad_references), 0),
            discarded=self.world.void.get(cluster, ""),
        )
        on_report = ProberReport(
            cluster=cluster,
            stream=stream,
            report=report,
            samples=tuple((one.order, one.part) for one in ripe),
            idle=tuple(
                order
                for orders in self.orders.values()
                for order in orders
                if order.path.callers == cluster
                and (order.key, order.path) in told
                and (order.key, order.path) not in busy
            ),
            throttled={},
            refused=tuple(
                (order, *ruling)
                for orders in self.orders.values()
                for order in orders
                if order.path.callers == cluster and (ruling := self.world.refusing.get(cluster))
            ),
            now_s=now_s,
        )
        self.store.on_report(on_report)

    def answered(self, answered: Answered) -> None:
        """Take what a Prometheus says in."""
        self._queue |= self.store.answered(answered)

    def fold(self) -> None:
        """Close the tick."""
        self._queue |= self.store.fold(self.world.now_s)

    # --- looking ------------------------------------------------------------------------------------

    def look_at_due(self) -> bool:
        """Look at everything that is due; whether there was anything."""
        now_s = self.world.now_s
        ripe = {key for key, due_s in self._timers.items() if due_s <= now_s}
        for key in ripe:
            del self._timers[key]
        if now_s >= self._regrant_s:
            self._regrant_s = now_s + REGRANT_S
            self._regrant()
        due, self._queue = sorted(self._queue | ripe), set()
        for key in due:
            self.reconcile(key)
        return bool(due)

    def requeue_all(self) -> None:
        """Look at every migration at the next chance: leadership or settings changed."""
        self._queue |= self.store.migrations()

    def observe(self, key: Key, *, just_read: bool = False) -> Observed:
        """Put together what a decision may look at now."""
        return self.store.observe(
            key,
            GlobalContext(
                clusters=self.world.clusters,
                paused=self.paused,
                leads=self.leads,
                may_roll_back=self.may_roll_back,
                fencing_token=self.fencing_token,
                split=self.world.fleet_split,
                traffic=self.traffic,
                prometheus=self.world.prometheus,
            ),
            self.world.now_s,
            writing=self._writing(key, "split", "pin"),
            has_slot=key in self.holders,
            slot_place=self.waiting.index(key) + 1 if key in self.waiting else 0,
            just_read=just_read,
        )

    def _writing(self, key: Key, *what: str) -> frozenset[str]:
        return frozenset(place[1] for place in self._writer if place[0] == key and place[2] in what)

    def reconcile(self, key: Key, *, just_read: bool = False) -> None:
        """Decide what is next for one migration, and act."""
        observed = self.observe(key, just_read=just_read)
        decided = plan(observed, self.world.now)
        self.world.looked(self, observed, decided)
        self.plans[key], self.observed[key] = decided, observed
        self.orders[key] = decided.probes
        self.store.order(key, decided, self.world.now_s)
        if decided.traffic is None:
            self.traffic_orders.pop(key, None)
        else:
            self.traffic_orders[key] = decided.traffic
        self._want(key, decided)
        for action in decided.actions:
            self._act(action)
        self._tell(observed, decided)
        waits_s = [decided.requeue_after_s] if decided.requeue_after_s is not None else []
        waits_s += [RESYNC_S] if decided.probes else []
        if waits_s:
            due_s = self.world.now_s + max(min(waits_s), 0.001)  # a clock that moves a little
            self._timers[key] = min(due_s, self._timers.get(key, due_s))
        if not self.store.is_migration(key) and not self._writing(key, "split"):
            self._forget(key)

    def _forget(self, key: Key) -> None:
        self.store.forget(key)
        self.orders.pop(key, None)
        self._timers.pop(key, None)
        self._held_since.pop(key, None)
        if self._wants.pop(key, None):
            self._regrant()

    # --- slots --------------------------------------------------------------------------------------

    def _want(self, key: Key, decided: Plan) -> None:
        held_up = decided.ruling is not None and not decided.ruling.waits
        if not (held_up and key in self.holders):
            self._held_since.pop(key, None)
        else:
            self._held_since.setdefault(key, self.world.now_s)
        if not decided.wants_slot:
            if self._wants.pop(key, None) is not None:
                self._regrant()
            return
        want = Want(
            key,
            self.store.known(key).asked,
            dict.fromkeys(self.world.clusters, decided.rate_per_s),
            shifted=bool(decided.probes) and decided.phase is not Phase.PENDING,
        )
        if self._wants.get(key) != want:
            self._wants[key] = want
            self._regrant()

    def _regrant(self) -> None:
        now_s = self.world.now_s
        wants = {
            key: replace(want, held_up_s=now_s - self._held_since.get(key, now_s))
            for key, want in self._wants.items()
        }
        before, queued = self.holders, self.waiting
        self.holders, self.waiting = grant(wants, before, self.slots, self.caps)
        self._queue |= (before ^ self.holders) | (set(queued) ^ set(self.waiting))

    # --- acting -------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        if isinstance(action, ReadSplits):
            self._take((action.key, "", "read"), lambda: self._read_splits(action.key), "")
        elif isinstance(action, WritePin):
            place = (action.key, action.cluster, "pin")
            self._take(place, lambda: self._write_pin(action), action.cluster)
        else:
            place = (action.key, action.cluster, "split")
            self._take(
                place, lambda: self._write_split(action), action.cluster, urgent=action.revert
            )

    def _take(
        self, place: Place, work: Callable[[], None], cluster: str, *, urgent: bool = False
    ) -> None:
        """Begin this work unless the hand is busy; what a revert replaces may still land, unheard of."""
        held = self._writer.get(place)
        if held is not None:
            if held.urgent or not urgent:
                return
            held.dropped = True
        hand = self._writer[place] = _Hand(urgent)
        delay_s = self.world.apis[cluster].delay_s if cluster else 0.0
        self.world.later(delay_s, lambda: self._work(place, hand, work))

    def _work(self, place: Place, hand: _Hand, work: Callable[[], None]) -> None:
        pause_s = 0.0
        try:
            work()
        except (AwayError, ExistsError, MissingError):
            failures = self._failed[place] = self._failed.get(place, 0) + 1
            longest_s = LONGEST_URGENT_PAUSE_S if hand.urgent else LONGEST_PAUSE_S
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(failures, 10), longest_s)
        else:
            self._failed.pop(place, None)
        if hand.dropped or not self.alive:
            return
        self.world.later(pause_s, lambda: self._free(place, hand))

    def _free(self, place: Place, hand: _Hand) -> None:
        if self._writer.get(place) is hand:
            del self._writer[place]
        self._queue.add(place[0])

    def _write_split(self, action: WriteSplit) -> None:
        far = self.world.mesh.far[action.cluster]
        provider = PROVIDERS[action.kind]
        body = provider.body(action, mirror_name(action.key.service, far))
        self.world.writing_split(self, action)
        make = action.resource_version is None
        try:
            self._put(action.cluster, provider.RESOURCE, body, make=make)
        finally:
            self.world.wrote_split(action)  # also where the answer was lost
        if action.told:
            self.world.told.append((self.world.now_s, action.told))

    def _write_pin(self, action: WritePin) -> None:
        body = pin.body(action, GATEWAYS, DOMAIN)
        make = action.resource_version is None
        self._put(action.cluster, Resource.SERVICEPROFILES, body, make=make)
        if action.told:
            self.world.told.append((self.world.now_s, action.told))

    def _put(self, cluster: str, resource: Resource, body: dict[str, Any], *, make: bool) -> None:
        api = self.world.apis[cluster]
        meta = body["metadata"]
        try:
            found = api.write(resource, body, make=make, manager=FIELD_MANAGER)
        except (ConflictError, ExistsError) as error:
            self._read(cluster, resource, meta)
            if isinstance(error, ExistsError):
                raise
        except MissingError:
            if make:
                raise
            self._read(cluster, resource, meta)
        except AwayError:
            if not api.away:
                self._read(cluster, resource, meta)
            raise
        else:
            self._absorb(Upserted(cluster, resource, found))

    def _read(self, cluster: str, resource: Resource, meta: dict[str, Any]) -> None:
        namespace, name = meta["namespace"], meta["name"]
        try:
            found = self.world.apis[cluster].read(resource, namespace, name)
        except MissingError:
            version = str(meta.get("resourceVersion", ""))
            self._absorb(Deleted(cluster, resource, namespace, name, version))
        else:
            self._absorb(Upserted(cluster, resource, found))

    def _absorb(self, change: Upserted | Deleted) -> None:
        if self.alive:
            self._queue |= self.store.apply(change)

    def _read_splits(self, key: Key) -> None:
        for name, view in self.store.views.items():
            split = view.observed(key, writing=False).split
            if split is not None:
                meta = {"namespace": key.namespace, "name": split.name}
                self._read(name, PROVIDERS[split.kind].RESOURCE, meta)
        if self.alive:
            self.reconcile(key, just_read=True)

    # --- telling ------------------------------------------------------------------------------------

    def _tell(self, observed: Observed, decided: Plan) -> None:
        key = observed.key
        baseline = self._status_cluster(key)
        if baseline is None or not self.may_roll_back:
            return
        known = self.histories.get(key)
        if known is None:
            migration = self.store.views[baseline].migration(key)
            known = status.remember(migration.status) if migration else status.History()
        asked = self.store.known(key)
        told = status.tell(known, observed, decided, asked, self.world.now, self.world.now_s)
        reverting = isinstance(decided.ruling, Revert)
        phase_changed = told.history.note is not None and (
            known.note is None or told.history.note.phase != known.note.phase
        )
        busy = bool(self._writing(key, "split")) or bool(decided.actions)
        if (busy and not (reverting and phase_changed)) or told.status is None:
            return
        api = self.world.apis[baseline]
        if api.away:
            return
        meta = {"name": key.service, "namespace": key.namespace}
        api.put(Resource.MIGRATIONS, {"metadata": meta, "status": told.status})
        self.histories[key] = told.history
        self.world.statuses.append((self.world.now_s, key, told.status))
        for event in told.events:
            self.world.events.append((self.world.now_s, key, event))

    def _status_cluster(self, key: Key) -> str | None:
        annotated = self.store.known(key).annotated
        having = [n for n, view in self.store.views.items() if view.migration(key) is not None]
        both = [name for name in annotated if name in having]
        return next(iter([*both, *annotated, *having]), None)


def expected(answer: str, order: ProbeOrder) -> bool:
    """Return whether an answer is one that the spec calls good."""
    if answer in GRPC_STATUSES:
        answer = str(GRPC_STATUSES.index(answer))
    good = probe_checks.expected(order.probe, order.protocol)
    return answer == OPEN or (answer.isdigit() and any(a <= int(answer) <= b for a, b in good))
