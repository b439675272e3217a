"""A small simulated world for the controller: two clusters, their API servers, a mesh, probers and a clock.

Deterministic, and without waiting: time is virtual, and a ``tick`` of it is 100 ms. The controllers are the
reconciler that ships (``world_replica``). Shares are per mille of the target's part unless they say percent.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import math
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from controller.domain import (
    PREFIX,
    WHOLE,
    CallPath,
    Key,
    Observed,
    Phase,
    Plan,
    Record,
    Side,
    SplitChoice,
    SplitKind,
    TrafficMode,
)
from controller.domain.notices import Notice
from controller.evidence.gateways import PROBERS
from controller.kube.objects import MIRROR_OF, Resource
from controller.mesh import pin
from controller.mesh.splits import RECORD, decode_record, mirror_name
from controller.mesh.splits.canary import CANARY
from controller.mesh.splits.kinds import PROVIDERS
from deploy.stand_ins.apiserver import Stored
from tests.faults.virtual import VirtualLoop
from tests.scenarios.world_cluster import ApiServer, Json, Notes, Request
from tests.scenarios.world_mesh import Fault, Mesh, Pod
from tests.scenarios.world_replica import Replica

CLUSTERS = ("legacy", "eks")
FAR = {"legacy": "eks", "eks": "legacy"}
A = Key("default", "service-a")
PORTS = [{"name": "http", "port": 80}]
DOMAIN = "cluster.local"
GATEWAYS = "linkerd-multicluster"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN_S = 1000.0
"""What the monotonic clock says at the beginning."""

TICK_S = 0.1
WORK_S = 0.0006
"""What a tick's looks and writes get: hundreds of passes of the loop, within a millisecond of the clock."""

MOST_REQUESTS = 100
"""More requests to one API server within one tick than this, and the controllers do not come to rest."""

ONE_KIND = dict.fromkeys(CLUSTERS, SplitKind.TRAFFICSPLIT)
"""By cluster the kind of split that it has, unless a test says otherwise (world_kinds)."""

SAME_DOMAIN = dict.fromkeys(CLUSTERS, DOMAIN)
"""By cluster the domain of its DNS, unless a test says otherwise."""

SPLITS = frozenset(provider.RESOURCE for provider in PROVIDERS.values())

WRITES = ("SplitMade", "SplitRemade", "SplitRewritten", "PinRemade")
"""The reasons of Events that tell of a write."""

QUICK = {"slo-success": "99", "dwell": "3s", "soak": "5s", "probe-rate": "50"}
"""Annotations that let a migration pass each step with 100 clean probes, 2 s."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write of a split: what share and record it leaves, of what target. ``made``: there was none before."""

    at_s: float
    cluster: str
    key: Key
    away_permille: int
    record: Record
    spec: Json
    version: str
    made: bool

    @property
    def share(self) -> int:
        """The share that the record tells."""
        return self.record.share_permille

    @property
    def revert(self) -> bool:
        """Whether it rolls back, or keeps there."""
        return self.record.reverted is not None


@dataclass(frozen=True, slots=True)
class Posted:
    """An Event on a Service, each time that it was told."""

    reason: str
    message: str
    kind: str


class World(Notes):
    """Two linked clusters with a Service in both, and one controller, in ``at``.

    ``kinds`` is by cluster the kind of split that people write there; it serves that one, and ``serving``.
    ``split`` and ``traffic`` are the controllers' settings, ``domains`` the clusters' DNS domains, which nobody
    tells them. Another world ends the one before it.
    """

    kinds: Mapping[str, SplitKind] = ONE_KIND
    _present: ClassVar[World | None] = None

    def __init__(
        self,
        at: str = "legacy",
        *,
        services: tuple[str, ...] = (A.service,),
        prometheus: frozenset[str] = frozenset(),
        kinds: Mapping[str, SplitKind] | None = None,
        serving: Collection[SplitKind] = (),
        split: SplitChoice = "auto",
        traffic: TrafficMode = "advisory",
        domains: Mapping[str, str] = SAME_DOMAIN,
    ) -> None:
        World.end_of_all()
        World._present = self
        random.seed(0)  # for the jitter of pauses
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unhandled)
        self.failures: list[BaseException] = []
        self.clusters = CLUSTERS
        self.prometheus = prometheus
        self.domains = domains
        self.kinds = kinds or type(self).kinds
        self.fleet_split: SplitChoice = split
        self.traffic: TrafficMode = traffic
        self.ticks = 0
        self.apis = {name: ApiServer(name, lambda: self.now) for name in CLUSTERS}
        for name, api in self.apis.items():
            api.answering.domain = self.domains[name]
            served = {self.kinds[name], *serving}
            api.unserved = {p.RESOURCE for kind, p in PROVIDERS.items() if kind not in served}
        self._read: dict[tuple[str, Key], tuple[int, int]] = {}
        self.mesh = Mesh(self._obeyed, self._pinned, FAR)
        self.silent: set[tuple[str, int]] = set()
        self.void: dict[str, str] = {}
        self.refusing: dict[str, tuple[str, str]] = {}
        """By cluster: why its prober does not probe anything, as a reason and a sentence."""
        self.bad_references: set[str] = set()
        self.deaf: set[tuple[str, str]] = set()
        """Pairs (API server, cluster): it cannot be watched from there, and is written to all the same."""
        self.writes: list[Written] = []
        self.statuses: list[tuple[float, Key, Any]] = []
        self.events: list[tuple[float, Key, Posted]] = []
        self.notices: list[tuple[float, str, Notice]] = []
        """When others were notified, by the replica in which cluster, and of what."""
        self.on_look: list[Callable[[Replica, Observed, Plan], None]] = []
        self.on_write: list[Callable[[Written], None]] = []
        for service in services:
            self.add_service(service)
        self.replicas = [Replica(self, at)]
        self._killed: list[Replica] = []

    def end(self) -> None:
        """Let every controller clean up; nothing happens in this world any more."""
        World._present = None  # whatever comes of it: the next test's world is its own
        for replica in self._killed:
            replica.revive()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    @classmethod
    def end_of_all(cls) -> None:
        """End the world that is left."""
        if cls._present is not None:
            cls._present.end()

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if error := context.get("exception"):
            self.failures.append(error)

    # --- time ---------------------------------------------------------------------------------------

    def clock(self) -> float:
        """Return monotonic seconds, in whole milliseconds: what happens at a tick has one time."""
        return BEGIN_S + math.floor((self.loop.time() + 1e-7) * 1000) / 1000

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.clock()

    @property
    def now(self) -> datetime:
        """The API servers' clock."""
        return EPOCH + timedelta(seconds=round(self.now_s, 3))

    def due(self, rate_per_s: float) -> int:
        """Return how many probes of this rate are due in this tick."""
        return int(self.ticks * rate_per_s / 10) - int((self.ticks - 1) * rate_per_s / 10)

    def tick(self) -> None:
        """Let 100 ms pass."""
        self.ticks += 1
        requests = {name: api.requests for name, api in self.apis.items()}
        self.loop.go_to(self.ticks / 10)
        for replica in self.replicas:
            replica.start()
            replica.watch()
            replica.beat()
        self.rest()
        for name, api in self.apis.items():
            assert api.requests - requests[name] < MOST_REQUESTS, f"no rest: {self.describe()}"

    def rest(self) -> None:
        """Let everything happen that is due now. Raises what a controller took for an error of its own."""
        self.loop.go_to(max(self.ticks / 10 + WORK_S, self.loop.time() + WORK_S / 3))
        if self.failures:
            raise self.failures[0]

    def run(self, seconds: float) -> None:
        """Let this time pass."""
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    def until(self, reached: Callable[[], object], limit_s: float = 600.0) -> None:
        """Let time pass until something is so; AssertionError where it does not come about."""
        end = self.ticks + round(limit_s / TICK_S)
        while not reached():
            assert self.ticks < end, f"not within {limit_s} s: {self.describe()}"
            self.tick()

    def until_share(self, share: int, limit_s: float = 600.0) -> None:
        """Let time pass until both clusters' records stand at this share."""
        self.until(lambda: self.recorded() == (share, share), limit_s)

    def until_phase(self, phase: Phase, limit_s: float = 600.0) -> None:
        """Let time pass until the migration is in this phase."""
        self.until(lambda: self.plan is not None and self.plan.phase is phase, limit_s)

    # --- what is so ---------------------------------------------------------------------------------

    @property
    def replica(self) -> Replica:
        """The newest controller."""
        return self.replicas[-1]

    @property
    def plan(self) -> Plan | None:
        """What the newest controller decided last for the Service."""
        return self.replica.decided(A)

    @property
    def decided(self) -> Plan:
        """The same, where there is one."""
        assert self.plan is not None, "nothing was decided yet"
        return self.plan

    @property
    def reason(self) -> str:
        """Why the migration does not advance, "" where it does."""
        ruling = self.decided.ruling
        return ruling.reason if ruling else ""

    @property
    def message(self) -> str:
        """The same in a sentence."""
        ruling = self.decided.ruling
        return ruling.message if ruling else ""

    @property
    def phase(self) -> Phase:
        """Where the migration stands."""
        return self.decided.phase

    def describe(self) -> str:
        """Return where everything stands, for a failed assertion."""
        plan = self.plan
        told = f"{plan.phase} {plan.ruling}" if plan else "no plan"
        return f"at {self.now_s:.1f} s: away {self.aways()}, recorded {self.recorded()}, {told}"

    def aways(self, key: Key = A) -> tuple[int, int]:
        """Return how much of each cluster's calls goes to the mirror."""
        return self._away("legacy", key), self._away("eks", key)

    def shares(self, target: str = "eks", key: Key = A) -> tuple[int, int]:
        """Return the target's share of each cluster's calls, by the objects themselves."""
        legacy, eks = self.aways(key)
        return (legacy, WHOLE - eks) if target == "eks" else (WHOLE - legacy, eks)

    def record(self, cluster: str, key: Key = A) -> Record | None:
        """Read the record on a cluster's split."""
        found = self.split(cluster, key)
        if found is None:
            return None
        record = decode_record(found["metadata"].get("annotations", {}))
        return record if isinstance(record, Record) else None

    def recorded(self, key: Key = A) -> tuple[int | None, int | None]:
        """Return the share that each record tells."""
        legacy, eks = (self.record(name, key) for name in CLUSTERS)
        return (
            legacy.share_permille if legacy and legacy.attempt else None,
            eks.share_permille if eks and eks.attempt else None,
        )

    def resource(self, cluster: str) -> Resource:
        """Return the resource of a cluster's splits."""
        return PROVIDERS[self.kinds[cluster]].RESOURCE

    def split(self, cluster: str, key: Key = A) -> Json | None:
        """Return the split that we write, as JSON."""
        api = self.apis[cluster]
        at = (self.resource(cluster), key.namespace, key.service)
        return api.get(*at) if api.has(*at) else None

    def pin(self, cluster: str, key: Key = A) -> Json | None:
        """Return the pin, as JSON."""
        at = (Resource.SERVICEPROFILES, GATEWAYS, pin.name(key, self.domains[cluster]))
        return self.apis[cluster].get(*at) if self.apis[cluster].has(*at) else None

    def status(self) -> Any:
        """Return the Service's last status."""
        return next(told for _, key, told in reversed(self.statuses) if key == A)

    def serves(self, callers: str, key: Key = A, calls: int = 1000) -> bool:
        """Return whether each of so many calls made in a cluster now is answered well."""
        return all(self.mesh.call(callers, key) == "200" for _ in range(calls))

    def trail(self, cluster: str, *, key: Key = A, reverts: bool = True) -> list[int]:
        """Return the shares that were written for one cluster, each once in a row."""
        shares = [
            w.share
            for w in self.writes
            if w.cluster == cluster
            and w.key == key
            and w.record.attempt
            and (reverts or not w.revert)
        ]
        return [share for share, _ in itertools.groupby(shares)]

    # --- what people and the world do ---------------------------------------------------------------

    def add_service(self, service: str, clusters: tuple[str, ...] = CLUSTERS, pods: int = 3) -> Key:
        """Make a Service with ready pods, and its mirrors."""
        key = Key("default", service)
        for name in clusters:
            self.apis[name].put(Resource.SERVICES, service_body(key))
            base = 10 + len(self.mesh.pods)
            self.set_pods(name, [Pod(f"10.{base}.0.{n}:8080") for n in range(pods)], key)
        return key

    def set_port(self, port: Json, key: Key = A) -> None:
        """Let a Service have this one port, in both clusters."""
        for name, api in self.apis.items():
            service = api.get(Resource.SERVICES, *key)
            spec = {**service["spec"], "ports": [port]}
            api.put(Resource.SERVICES, {"metadata": service["metadata"], "spec": spec})
            self.sync(name, key)

    def set_pods(self, cluster: str, pods: list[Pod], key: Key = A) -> None:
        """Set a Service's pods, and with them its slices here and the mirror's there."""
        self.mesh.pods[cluster, key] = pods
        self.sync(cluster, key)

    def pods(self, cluster: str, key: Key = A) -> list[Pod]:
        """Return a Service's pods; call ``sync`` after their readiness changed."""
        return self.mesh.pods[cluster, key]

    def sync(self, cluster: str, key: Key = A) -> None:
        """Write EndpointSlice and mirror of a Service's pods."""
        ready = [pod for pod in self.mesh.pods[cluster, key] if pod.ready]
        service = self.apis[cluster].get(Resource.SERVICES, *key)
        name = service["spec"]["ports"][0]["name"]
        self.apis[cluster].put(Resource.ENDPOINTSLICES, slice_body(key, ready, name))
        far = FAR[cluster]
        mirror = Key(key.namespace, mirror_name(key.service, cluster))
        self.apis[far].put(
            Resource.SERVICES, mirror_body(mirror, cluster, service, self.domains[cluster])
        )
        self.apis[far].put(Resource.ENDPOINTSLICES, gateway_body(mirror, ready=bool(ready)))

    def annotate(self, cluster: str = "legacy", key: Key = A, **notes: str | None) -> None:
        """Write annotations of ours on a Service (None removes one); ``_`` in a name stands for ``-``."""
        for note, value in notes.items():
            self.note(cluster, note.replace("_", "-"), value, key)

    def note(self, cluster: str, note: str, value: str | None, key: Key = A) -> None:
        """Write or remove one annotation of ours."""
        annotations = {"metadata": {"annotations": {PREFIX + note: value}}}
        self.apis[cluster].patch(Resource.SERVICES, *key, annotations, manager="kubectl-annotate")

    def ask(self, cluster: str = "legacy", key: Key = A, **notes: str) -> None:
        """Ask for a migration with QUICK settings; eks is the target unless said."""
        quick = {note.replace("-", "_"): value for note, value in QUICK.items()}
        self.annotate(cluster, key, **{"target": "eks", **quick, **notes})

    def forget_wish(self, cluster: str = "legacy", key: Key = A) -> None:
        """Remove every annotation of ours from a Service."""
        found = self.apis[cluster].get(Resource.SERVICES, *key)["metadata"].get("annotations", {})
        self.annotate(cluster, key, **{note.removeprefix(PREFIX): None for note in found})

    def edit(self, cluster: str, mirror: Any, *, by: str = "kubectl-edit", key: Key = A) -> None:
        """Set the weights of a split by hand; ``mirror`` is the mirror's of 1,000."""
        backends = [
            {"service": key.service, "weight": WHOLE - mirror},
            {"service": mirror_name(key.service, FAR[cluster]), "weight": mirror},
        ]
        spec = split_spec(self.kinds[cluster], key.service, backends)
        self.apis[cluster].patch(
            self.resource(cluster),
            key.namespace,
            key.service,
            {"spec": {k: v for k, v in spec.items() if k in ("backends", "rules")}},
            manager=by,
        )

    def put_split(
        self,
        cluster: str,
        backends: list[Json],
        *,
        service: str = "",
        by: str = "kubectl",
        key: Key = A,
        **metadata: Any,
    ) -> None:
        """Write somebody's whole split for a Service; ``backends`` are (service, weight) as a TrafficSplit's."""
        kind = self.kinds[cluster]
        body = {
            "apiVersion": API_VERSIONS[kind],
            "kind": kind.api_kind,
            "metadata": {"name": key.service, "namespace": key.namespace, **metadata},
            "spec": split_spec(kind, service or key.service, backends),
        }
        self.apis[cluster].put(self.resource(cluster), body, manager=by)

    def unrecord(self, cluster: str, text: str | None) -> None:
        """Write something else in the record's place, or remove it."""
        self.apis[cluster].patch(
            self.resource(cluster),
            A.namespace,
            A.service,
            {"metadata": {"annotations": {RECORD: text}}},
            manager="kubectl-edit",
        )

    def begin_on_legacy(self, key: Key = A) -> None:
        """Let the callers of both clusters be served by legacy, as before the first of all migrations."""
        backends = [
            {"service": key.service, "weight": 0},
            {"service": mirror_name(key.service, "legacy"), "weight": WHOLE},
        ]
        self.put_split("eks", backends, key=key)

    def delete_split(self, cluster: str, key: Key = A) -> None:
        """Delete a cluster's split."""
        self.apis[cluster].delete(self.resource(cluster), key.namespace, key.service)

    def delete_pin(self, cluster: str, key: Key = A) -> None:
        """Delete a gateway's pin."""
        name = pin.name(key, self.domains[cluster])
        self.apis[cluster].delete(Resource.SERVICEPROFILES, GATEWAYS, name)

    def fault(self, callers: str, side: str, answer: str = "500", every: int = 1) -> None:
        """Let the probes of one path be answered so, each ``every``-th."""
        self.mesh.faults[path(callers, side)] = Fault(answer, every)

    def export_probers(self) -> None:
        """Let each cluster's prober be mirrored in the other, so that gateways have paths of their own."""
        for number, name in enumerate(CLUSTERS):
            self.mesh.pods[name, PROBERS.key] = [Pod(f"10.250.{number}.1:8080")]

    def restart_prober(self, cluster: str, *, up: bool) -> None:
        """Let a cluster's prober go, or be back: its streams, and what asks it for its control path."""
        for pod in self.mesh.pods[cluster, PROBERS.key]:
            pod.ready = up
        self.silent -= {(cluster, 0), (cluster, 1)}
        if not up:
            self.mute(cluster)

    def heal(self) -> None:
        """Take away every fault of paths, link, gateways, probers and API servers."""
        self.mesh.faults.clear()
        self.mesh.link_up = True
        self.mesh.dead_gateways.clear()
        self.silent.clear()
        self.void.clear()
        self.bad_references.clear()
        for api in self.apis.values():
            api.away = False

    def kill(self, replica: Replica) -> None:
        """Kill a controller: its writes on the path land, and nobody hears of it."""
        replica.kill()
        self._killed.append(replica)
        self.replicas.remove(replica)

    def join(self, at: str, *, fencing_token: int, leads: bool = True) -> Replica:
        """Start another controller."""
        new = Replica(self, at, fencing_token=fencing_token, leads=leads)
        self.replicas.append(new)
        return new

    def crash(self, at: str = "", *, fencing_token: int = 0) -> Replica:
        """Kill the controller and start another."""
        old = self.replica
        self.kill(old)
        return self.join(at or old.at, fencing_token=fencing_token or old.fencing_token + 1)

    # --- what the controllers ask and tell ---------------------------------------------------------------

    def hears(self, controller: str, cluster: str, stream: int) -> bool:
        """Return whether a stream of a cluster's prober is heard by a controller."""
        silent = (cluster, stream) in self.silent
        return not silent and self.mesh.reaches(cluster, origin=controller)

    def mute(self, cluster: str, *streams: int) -> None:
        """Let streams of a prober fall silent: all, where none is named."""
        self.silent |= {(cluster, stream) for stream in streams or (0, 1)}

    def looked(self, replica: Replica, observed: Observed, decided: Plan) -> None:
        """Hear of every decision."""
        for check in self.on_look:
            check(replica, observed, decided)

    def sending(self, request: Request) -> None:
        """Hear of every write of a split just before it is done. A patch of one that is gone will be refused."""
        if (
            self.on_write
            and request.resource in SPLITS
            and request.body["metadata"]["name"] != CANARY
            and (request.made or self._is_there(request))
        ):
            written = self._written(request)
            for check in self.on_write:
                check(written)

    def _is_there(self, request: Request) -> bool:
        meta = request.body["metadata"]
        return self.apis[request.cluster].has(request.resource, meta["namespace"], meta["name"])

    def sent(self, request: Request, stored: Stored) -> None:
        """Keep what a controller wrote."""
        if request.resource in SPLITS and request.body["metadata"]["name"] != CANARY:
            self.writes.append(self._written(request))
        elif request.resource is Resource.MIGRATIONS and request.subresource == "status":
            key = Key(stored.namespace, stored.name)
            self.statuses.append((self.now_s, key, stored.body["status"]))
        elif request.resource is Resource.EVENTS:
            about, body = stored.body["involvedObject"], stored.body
            told = Posted(body["reason"], body["message"], body["type"])
            self.events.append((self.now_s, Key(about.get("namespace", ""), about["name"]), told))

    @property
    def told(self) -> list[Posted]:
        """The Events that tell of a write, and of no transition."""
        return [event for _, _, event in self.events if event.reason in WRITES]

    def _written(self, request: Request) -> Written:
        meta, spec = request.body["metadata"], request.body["spec"]
        at = (request.resource, meta["namespace"], meta["name"])
        if not request.made:
            spec = {**self.apis[request.cluster].get(*at)["spec"], **spec}
        key = Key(meta["namespace"], spelled(spec).partition(".")[0])
        record = decode_record(meta["annotations"])
        assert isinstance(record, Record)
        return Written(
            self.now_s,
            request.cluster,
            key,
            round(weights_of(spec)[mirror_name(key.service, FAR[request.cluster])]),
            record,
            spec,
            meta.get("resourceVersion", ""),
            request.made,
        )

    def _away(self, cluster: str, key: Key) -> int:
        """What a cluster's split would send to the mirror (facts 15 and 17), were it obeyed."""
        split = self.split(cluster, key)
        if split is None or "." in spelled(split["spec"]):
            return 0
        return share_of(weights_of(split["spec"]), mirror_name(key.service, FAR[cluster]))

    def _obeyed(self, cluster: str, key: Key) -> int:
        """What a cluster's proxies really send to the mirror; read again once anything was written there."""
        version, known = self.apis[cluster].store.version, self._read.get((cluster, key))
        if known is None or known[0] != version:
            known = self._read[cluster, key] = (version, self._sent_away(cluster, key))
        return known[1]

    def _sent_away(self, cluster: str, key: Key) -> int:
        """Read the same: by the Service's ServiceProfile, or by a route that Linkerd accepts (facts 26 and 32)."""
        if self.kinds[cluster] is SplitKind.HTTPROUTE:
            split = self.split(cluster, key) or {}
            parents = split.get("status", {}).get("parents", ())
            said = [
                c["status"] for p in parents for c in p["conditions"] if c["type"] == "Accepted"
            ]
            return self._away(cluster, key) if said == ["True"] else 0
        at = (Resource.SERVICEPROFILES, key.namespace, pin.name(key, self.domains[cluster]))
        profile = self.apis[cluster].get(*at) if self.apis[cluster].has(*at) else {"spec": {}}
        weights = {
            o["authority"]: float(o["weight"]) for o in profile["spec"].get("dstOverrides") or ()
        }
        mirror = Key(key.namespace, mirror_name(key.service, FAR[cluster]))
        return share_of(weights, pin.name(mirror, self.domains[cluster]))

    def _pinned(self, cluster: str, key: Key) -> bool:
        return self.pin(cluster, key) is not None


atexit.register(World.end_of_all)


def share_of(weights: Mapping[str, float], name: str) -> int:
    """The part of one backend, in per mille; all zero is local."""
    total = sum(weights.values())
    return round(WHOLE * weights.get(name, 0.0) / total) if total else 0


def path(callers: str, side: str) -> CallPath:
    """Return the name of a path: ``way("legacy", "target")``."""
    return CallPath(callers, Side(side))


API_VERSIONS = {
    SplitKind.TRAFFICSPLIT: "split.smi-spec.io/v1alpha2",
    SplitKind.HTTPROUTE: "gateway.networking.k8s.io/v1",
}


def split_spec(kind: SplitKind, service: str, backends: list[Json]) -> Json:
    """The spec of a split of either kind, of backends as a TrafficSplit has them."""
    if kind is SplitKind.TRAFFICSPLIT:
        return {"service": service, "backends": backends}
    refs = [{"name": b["service"], "weight": b["weight"], "port": 80} for b in backends]
    parent = {"group": "", "kind": "Service", "name": service, "port": 80}
    return {"parentRefs": [parent], "rules": [{"backendRefs": refs}]}


def spelled(spec: Json) -> str:
    """How the spec of a split of either kind spells the Service."""
    found: str = spec["service"] if "service" in spec else spec["parentRefs"][0]["name"]
    return found


def weights_of(spec: Json) -> dict[str, float]:
    """The weights in the spec of a split of either kind, by Service."""
    if "backends" in spec:
        return {b["service"]: float(b["weight"]) for b in spec["backends"]}
    return {b["name"]: float(b["weight"]) for b in spec["rules"][0]["backendRefs"]}


def service_body(key: Key, **metadata: Any) -> Json:
    """An ordinary Service with one HTTP port."""
    return {
        "metadata": {
            "name": key.service,
            "namespace": key.namespace,
            "labels": {"mirror.linkerd.io/exported": "true"},
            **metadata,
        },
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": PORTS},
    }


def mirror_body(mirror: Key, cluster: str, service: Json, domain: str = DOMAIN) -> Json:
    """The mirror that Linkerd makes, with the annotations of what it mirrors, and by what name it is known there."""
    of = Key(mirror.namespace, mirror.service.removesuffix(f"-{cluster}"))
    return {
        "metadata": {
            "name": mirror.service,
            "namespace": mirror.namespace,
            "labels": {
                "mirror.linkerd.io/mirrored-service": "true",
                "mirror.linkerd.io/cluster-name": cluster,
            },
            "annotations": {
                **service["metadata"].get("annotations", {}),
                MIRROR_OF: pin.name(of, domain),
            },
        },
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.2", "ports": service["spec"]["ports"]},
    }


def slice_body(key: Key, ready: list[Pod], port: str = "http") -> Json:
    """The EndpointSlice of a Service's ready pods."""
    endpoints = [
        {
            "addresses": [pod.address.partition(":")[0]],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": key.namespace, "name": f"pod-{pod.address}"},
        }
        for pod in ready
    ]
    return _slice(key, endpoints, {"name": port, "port": 8080}, {})


def gateway_body(mirror: Key, *, ready: bool) -> Json:
    """The EndpointSlice of a mirror: the gateway's address, where the Service behind it has a ready pod."""
    endpoints = [{"addresses": ["192.0.2.1"]}] if ready else []
    identity = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
    port = {"name": "http", "port": 4143}
    return _slice(mirror, endpoints, port, {"mirror.linkerd.io/remote-gateway-identity": identity})


def _slice(key: Key, endpoints: list[Json], port: Json, annotations: Json) -> Json:
    return {
        "metadata": {
            "name": f"{key.service}-slice",
            "namespace": key.namespace,
            "labels": {
                "kubernetes.io/service-name": key.service,
                "endpointslice.kubernetes.io/managed-by": (
                    "endpointslicemirroring-controller.k8s.io"
                    if annotations
                    else "endpointslice-controller.k8s.io"
                ),
            },
            "annotations": annotations,
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [port],
    }
