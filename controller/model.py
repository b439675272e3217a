"""The words of the product as frozen values. No I/O, no clock, no log: everything below imports this.

Shares and weights are integers per mille (0 to 1,000) of one cluster's calls. Times that outlive the
process are aware ``datetime`` (UTC, from an API server's clock); stretches of time are seconds as
floats in fields that end in ``_s``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

import msgspec

from prober.contract import GRPC_STATUSES, Protocol

PREFIX = "migrate.tradeshift/"
"""Of every annotation that is ours."""

WHOLE = 1000
"""All of a cluster's calls, in per mille."""

SLIVER = 999
"""The share of the soak: the last per mille stays at the origin as a way home (facts 16)."""


class Key(NamedTuple):
    """A Service by name: the same name in both clusters is one migration."""

    namespace: str
    service: str

    def __str__(self) -> str:
        """Give the usual ``namespace/name``."""
        return f"{self.namespace}/{self.service}"


class SplitKind(StrEnum):
    """The object that holds the weights."""

    TRAFFICSPLIT = "trafficsplit"
    HTTPROUTE = "httproute"

    @property
    def api_kind(self) -> str:
        """The kind as the API and people write it."""
        return {"trafficsplit": "TrafficSplit", "httproute": "HTTPRoute"}[self.value]


class Phase(StrEnum):
    """Where a migration stands (design section 3)."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    HOLDING = "Holding"
    SOAKING = "Soaking"
    COMPLETED = "Completed"
    REVERTING = "Reverting"
    REVERTED = "Reverted"


# --- the wish: what the annotations ask for -------------------------------------------------------


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: another cannot be compared with the clock."""

Stretch = Annotated[float, msgspec.Meta(ge=0, le=7 * 24 * 3600)]
"""Seconds, up to the longest that the annotations allow."""


TrafficMode = Literal["off", "advisory", "required"]
"""Whether real traffic is judged, and whether one that is not known holds the rise."""
SplitChoice = Literal["auto", "trafficsplit", "httproute"]
"""Which kind of split is made; ``auto`` is decided by what can be served (controller.splits.choice)."""


class Frozen(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A value that is also stored as JSON, in the record."""


class ProbeWish(Frozen, frozen=True):
    """What to probe and what counts as good; ``port`` is a name or number of the Service's ports.

    ``protocol`` is None where the port says it. ``expect`` are statuses of HTTP, or of gRPC by number (0 to
    16), inclusive; ``header`` is a name and its value, ``body`` what the body contains, and
    ``cluster_header`` the name of the header in which the application says which cluster answered.
    """

    port: str | int | None = None
    path: str = "/"
    protocol: Protocol | None = None
    expect: tuple[tuple[int, int], ...] = ((200, 399),)
    rate_per_s: int = 10
    grpc_service: str = ""
    header: tuple[str, str] | None = None
    body: str = ""
    cluster_header: str = ""

    @property
    def expects_grpc(self) -> bool:
        """Whether ``expect`` names statuses of gRPC: all of them do, or none."""
        return any(low < len(GRPC_STATUSES) for low, _ in self.expect)


class LatencyWish(Frozen, frozen=True):
    """``limit_s`` is to be met by ``percent`` of the probes."""

    limit_s: float
    percent: Decimal


class Wish(Frozen, frozen=True):
    """What the owner asks for. ``steps`` are per mille, rising; ``"now"`` is one raise to the sliver.

    ``attempt``, ``split`` and ``traffic`` are None where the annotations do not say.
    """

    target: str | None = None
    attempt: int | None = None
    paused: bool = False
    abort: bool = False
    steps: tuple[int, ...] | Literal["now"] = (10, 100, 250, 500)
    dwell_s: Stretch = 60.0
    soak_s: Stretch = 3600.0
    probe: ProbeWish = ProbeWish()
    success_percent: Decimal = Decimal("99.9")
    latency: LatencyWish | None = None
    origin_floor_percent: int = 50
    split: SplitChoice | None = None
    traffic: TrafficMode | None = None

    def __post_init__(self) -> None:
        """Refuse an objective that cannot be judged: a record may come from any hand. Raises ValueError."""
        asked = [self.success_percent, *([self.latency.percent] if self.latency else [])]
        if not all(50 <= percent <= Decimal("99.99") for percent in asked):
            raise ValueError("an objective is not within 50 to 99.99")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an annotation: where, and in a sentence what is wrong and what to write."""

    key: str
    cluster: str
    message: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Annotations that are no wish. ``abort`` and ``target`` are kept where they can be read by
    themselves, because nothing that a person writes wrongly elsewhere disarms the way home."""

    problems: tuple[Problem, ...]
    abort: bool = False
    target: str | None = None


# --- the record: what the controller wrote beside the weights -------------------------------------


class Reverted(Frozen, frozen=True):
    """The latch: this attempt is over. ``message`` is the sentence people were told."""

    reason: str
    message: str
    at: Moment


class Attempt(Frozen, frozen=True):
    """What (target, number) identifies. ``home`` is the share of each cluster before it, 0 or 1,000.

    ``kinds`` is by cluster the kind of split that the attempt began on: one that is deleted is made anew as
    it was. Records of before HTTPRoute have none.
    """

    number: int
    origin: str
    target: str
    home: dict[str, int]
    origin_ready: int
    wish: Wish
    started: Moment
    kinds: dict[str, SplitKind] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no controller writes: a record may come from any hand. Raises ValueError."""
        if self.origin == self.target or set(self.home) != {self.origin, self.target}:
            raise ValueError("home is not of origin and target")
        if not set(self.home.values()) <= {0, WHOLE}:
            raise ValueError("a home is neither 0 nor 1000")


class Record(Frozen, frozen=True):
    """The only durable state, one on each split, written in the same patch as the weights.

    ``share_permille`` and ``since`` are of this split; the rest is equal on both. ``since`` is when the
    attempt wrote the share (None: callers stand where it found them). ``made`` is when we made or rewrote
    the split (None: found as it is), ``converted`` when it took the place of one of another kind. Without
    ``attempt`` the Service is only enrolled.
    """

    kind: SplitKind
    v: int = 1
    epoch: int = 0
    made: Moment | None = None
    converted: Moment | None = None
    attempt: Attempt | None = None
    share_permille: Annotated[int, msgspec.Meta(ge=0, le=WHOLE)] = 0
    since: Moment | None = None
    completed: Moment | None = None
    reverted: Reverted | None = None


# --- what is seen of one Service in one cluster ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record annotation that is not ours any more; ``message`` says why."""

    message: str


class Weights(NamedTuple):
    """Of the local Service and of the mirror, as found; None where no backend names it."""

    local: Decimal | None
    mirror: Decimal | None


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with somebody's split. ``mendable``: writing it anew moves no traffic."""

    reason: str
    message: str
    mendable: bool


@dataclass(frozen=True, slots=True)
class Split:
    """One cluster's split of a Service, as it was read.

    ``away_permille`` is what really goes to the mirror now (the effective share: a split that Linkerd
    ignores sends all calls to the local Service). ``editor`` is the field manager that wrote the weights last,
    ``edited`` when. ``port`` is where an HTTPRoute sends the calls, None in a TrafficSplit; ``carried`` is what
    stands beside the weights in lists that are written whole, for the provider alone.
    """

    kind: SplitKind
    name: str
    resource_version: str
    away_permille: int
    weights: Weights
    record: Record | Unreadable | None = None
    flaws: tuple[Flaw, ...] = ()
    foreign: str = ""
    editor: str = ""
    edited: datetime | None = None
    port: int | None = None
    carried: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service."""

    name: str
    number: int
    protocol: str = "TCP"
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Who stands behind a Service, from its EndpointSlices. ``pods`` are ``ip:port`` by port name, only
    of Pods of the Service's own namespace. ``unready`` counts the endpoints that are there and not ready.
    ``identity`` is the gateway's, on a mirror."""

    ready: int = 0
    unready: int = 0
    pods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    identity: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A Service. ``annotations`` are those under our prefix; ``asked`` is when its target was last written
    and ``asked_by`` the field manager that did it. ``opaque_ports`` is what Linkerd's annotation of this name
    says (None: it is absent). ``mirror_of`` names the cluster that a mirror leads to."""

    uid: str
    ports: tuple[Port, ...]
    cluster_ip: str = ""
    type: str = "ClusterIP"
    session_affinity: str = "None"
    opaque_ports: str | None = None
    mirror_of: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    foreign: str = ""
    asked: datetime | None = None
    asked_by: str = ""


class Latch(Frozen, frozen=True):
    """A copy of a revert, kept on the pins: which attempt is over, and why."""

    target: str
    attempt: int
    reverted: Reverted


@dataclass(frozen=True, slots=True)
class Pin:
    """The ServiceProfile that keeps this cluster's gateway on local backends.

    ``foreign`` says why it is no pin (it overrides destinations).
    """

    resource_version: str
    created: datetime
    latch: Latch | None = None
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """One Service in one cluster. ``current`` is false where a list or watch is missing or stale: what is
    absent then is unknown. ``split_kinds`` are those that this cluster serves (empty: not known yet).
    ``other_mirrors`` are mirrors of the same Service here that lead to a cluster of another name. ``rivals``
    name what outside the gateway's namespace routes calls to the Service and beats an HTTPRoute (facts 13)."""

    name: str
    current: bool
    stale_reason: str = ""
    service: ServiceSeen | None = None
    mirror: ServiceSeen | None = None
    other_mirrors: tuple[str, ...] = ()
    endpoints: Endpoints = Endpoints()
    mirror_endpoints: Endpoints = Endpoints()
    splits: tuple[Split, ...] = ()
    rivals: tuple[str, ...] = ()
    pin: Pin | None = None
    split_kinds: frozenset[SplitKind] = frozenset()
    writing: bool = False

    @property
    def split(self) -> Split | None:
        """The one split of the Service; ours (with a record) first where somebody added a second."""
        return next((s for s in self.splits if s.record is not None), None) or (
            self.splits[0] if self.splits else None
        )


# --- evidence -------------------------------------------------------------------------------------


class Side(StrEnum):
    """Which way callers could go; the apex is where they go now."""

    TARGET = "target"
    HOME = "home"
    APEX = "apex"


class Way(NamedTuple):
    """How callers of one cluster reach one side."""

    callers: str
    side: Side


class Verdict(StrEnum):
    """Of a way."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class WayEvidence:
    """What is known of one way now. ``points``/``threshold`` are those of the objective nearest to FAIL,
    ``clean``/``needed`` those of the objective furthest from PASS (verdicts.md).

    ``silent_s`` is the time since the last valid slice (infinite: none yet); ``heard_s`` the time since
    anything at all came from this way's prober, and ``back_for_s`` the time since it was heard again after a
    second of silence (infinite: it always was). ``bad_share_3s`` is over the last 3 s and of the same
    objective as the points, None without a probe.
    ``loop_s`` is the time since the last answer 508 that counts (infinite: none).
    ``all_bad_1s``: in the last second at least 4 probes, all bad, the prober's reference clean.
    ``unanswered_1s``: the same, and no answer among them that an application gave (timeouts, errors, 502-504).
    ``suspected`` is the same way with the faults that still wait for an explanation counted: only for
    own pods, and only to keep callers from a home that looks no better (None: nothing waits here).
    ``lowered_per_s`` is the base rate that the prober's cap leaves, None where it leaves all of it.
    ``usual_answer`` is what nearly every probe was answered (``404``, ``UNAVAILABLE``, ``timeout``), "" when
    mixed; ``wrong_cluster_3s`` counts the answers of another cluster than was asked, over the last 3 s.
    ``refused`` is why the prober does not probe this way at all, as a reason and a sentence.
    """

    verdict: Verdict
    reason: str
    points: float = 0.0
    threshold: float = 0.0
    objective: str = "success"
    clean: int = 0
    needed: int = 0
    silent_s: float = float("inf")
    heard_s: float = float("inf")
    back_for_s: float = float("inf")
    bad_share_3s: float | None = None
    loop_s: float = float("inf")
    answered_s: float = 0.0
    all_bad_1s: bool = False
    unanswered_1s: bool = False
    usual_answer: str = ""
    wrong_cluster_3s: int = 0
    success_share: float | None = None
    rate_per_s: float = 0.0
    lowered_per_s: float | None = None
    suspected: WayEvidence | None = None
    refused: tuple[str, str] | None = None


class Calls(NamedTuple):
    """Requests of real callers, and how many of them failed."""

    requests: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class TrafficEvidence:
    """What real callers of one cluster see, by the Prometheus of that cluster.

    ``judged``: an attempt is, and ``points``, ``requests`` and ``failures`` are of what the target answered
    in it. ``unknown`` is why Prometheus does not tell ("": it does). ``bad_share`` is of the last requests to the
    target, ``home_bad_share`` of the last 50 to the origin (None: fewer in this attempt). ``share`` is
    the part of the last minutes' requests that the target answered (None: too few).
    ``looped``: callers were answered 508 while a gateway refused a loop.
    ``ignoring`` names the workloads that do not follow a TrafficSplit, and ``follow`` tells whether callers
    were seen to (None: not known). ``unmeshed`` counts the last minutes' requests from outside the mesh.
    """

    verdict: Verdict
    reason: str
    unknown: str = ""
    judged: bool = False
    points: float = 0.0
    threshold: float = 0.0
    requests: int = 0
    failures: int = 0
    bad_share: float | None = None
    home_bad_share: float | None = None
    share: float | None = None
    looped: bool = False
    ignoring: tuple[str, ...] = ()
    follow: bool | None = None
    unmeshed: int = 0


# --- decisions ------------------------------------------------------------------------------------


class Answer(StrEnum):
    """What a gate that speaks asks for."""

    HOLD = "HOLD"
    REVERT = "REVERT"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a migration does not advance. ``waits`` marks what ends by itself in the ordinary course (dwell,
    collecting, settling); ``wake_s`` is when to look again at the latest. ``alert`` asks for a person."""

    answer: Answer
    reason: str
    message: str
    waits: bool = False
    wake_s: float | None = None
    alert: bool = False


class Told(NamedTuple):
    """What an Event says of a write: a reason in CamelCase and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class WriteSplit:
    """Put this share's weights and this record on the split of ``cluster``, or make the split.

    ``away_permille`` is the mirror's weight; the local Service has the rest. ``port`` and
    ``carried`` are as on Split. ``revert`` goes ahead of everything and needs no lease.
    """

    cluster: str
    key: Key
    kind: SplitKind
    away_permille: int
    record: Record
    resource_version: str | None
    name: str
    port: int | None = None
    carried: str = ""
    revert: bool = False
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class WritePin:
    """Make the pin of ``cluster``'s gateway, or put the latch on it."""

    cluster: str
    key: Key
    resource_version: str | None
    latch: Latch | None = None
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class ReadSplits:
    """Read both splits from the API servers, then plan again: an attempt begins on what was just read."""

    key: Key


Action = WriteSplit | WritePin | ReadSplits


@dataclass(frozen=True, slots=True)
class ProbeOrder:
    """One way to be probed now, by the prober of ``way.callers``.

    ``generation`` changes when a step has settled: only slices of an assignment of the present generation
    earn credit. ``identity`` is what the evidence is keyed by: another identity starts at zero.
    """

    way: Way
    key: Key
    route: Literal["mirror", "pods", "apex"]
    mirror_of: str
    port: int
    addresses: tuple[str, ...]
    protocol: Protocol
    probe: ProbeWish
    success_percent: Decimal
    latency: LatencyWish | None
    traffic_on: bool
    above_home: bool
    generation: int
    identity: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TrafficOrder:
    """Real traffic of one Service to be counted. ``kinds`` and ``made`` are of the splits, by cluster, and
    ``pods`` are the addresses (``ip:port``) of the own pods.

    ``success_percent`` is the objective of a running attempt (None: nothing is judged), ``identity`` what
    its evidence is keyed by.
    """

    key: Key
    target: str
    kinds: Mapping[str, SplitKind]
    made: Mapping[str, datetime | None]
    pods: Mapping[str, tuple[str, ...]]
    success_percent: Decimal | None = None
    identity: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next for one migration, what to probe, what to tell, and when to look again.

    ``shares`` is by cluster what the target serves of its calls (None: not known or no target).
    ``number`` is the attempt that all this is about. ``rate_per_s`` is what each prober would send for it.
    ``wants_slot``: every gate before the slot lets it pass, or it holds one and needs it still.
    """

    phase: Phase
    shares: Mapping[str, int | None]
    refusal: Refusal | None
    actions: tuple[Action, ...] = ()
    probes: tuple[ProbeOrder, ...] = ()
    traffic: TrafficOrder | None = None
    wants_slot: bool = False
    rate_per_s: float = 0.0
    number: int = 1
    next: str = ""
    waiting_for: str = ""
    warnings: tuple[tuple[str, str], ...] = ()
    wake_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is the same for all migrations.

    ``leads``: this process holds the lease, and ``epoch`` is its term. ``may_go_home``: no other process is
    known to hold it, so this one may bring callers home (design section 5: going home needs no lease).
    ``traffic`` is how real traffic is judged where the owner does not say, ``prometheus`` the clusters that
    have one.
    ``split`` is the kind of split for whoever names none.
    """

    clusters: tuple[str, str]
    paused: bool = False
    leads: bool = False
    may_go_home: bool = False
    epoch: int = 0
    split: SplitChoice = "auto"
    traffic: TrafficMode = "advisory"
    prometheus: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one decision may use: nothing else is looked at.

    ``wish`` is None where neither Service carries an annotation of ours. ``settled_s`` is the time since a
    change of the weights of either split was last seen. ``just_read``: both splits were read for this decision.
    ``started_s`` is the time since this process first saw the migration. ``slot_place`` is the place in the
    queue for a slot, from 1 (0: not queued). ``traffic`` is by the callers' cluster.
    """

    key: Key
    fleet: Fleet
    clusters: Mapping[str, ClusterSeen]
    wish: Wish | Malformed | None
    ways: Mapping[Way, WayEvidence]
    has_slot: bool = False
    slot_place: int = 0
    just_read: bool = False
    settled_s: float = float("inf")
    started_s: float = float("inf")
    generation: int = 0
    traffic: Mapping[str, TrafficEvidence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MigrationKnown:
    """Where the Service of a migration is annotated, and who asked for it when."""

    annotated: tuple[str, ...]
    asked: datetime | None
    asked_by: str
