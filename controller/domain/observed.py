"""What one decision may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from controller.domain.evidence import CallPath, PathEvidence, TrafficEvidence
from controller.domain.fleet import FleetWord
from controller.domain.identity import Key, SplitKind
from controller.domain.reasons import Reason
from controller.domain.record import Begun, Latch, Record, Unreadable
from controller.domain.spec import Malformed, MigrationSpec, SplitChoice, TrafficMode


class Weights(NamedTuple):
    """Of the local Service and of the mirror, as found; None where no backend names it."""

    local: Decimal | None
    mirror: Decimal | None


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with somebody's split. ``repairable``: writing it anew moves no traffic."""

    reason: Reason
    message: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class Split:
    """One cluster's split of a Service, as it was read.

    ``away_permille`` is what really goes to the mirror now (the effective share: a split that Linkerd
    ignores sends all calls to the local Service). ``editor`` is the field manager that wrote the weights last,
    ``edited`` when. ``port`` is where an HTTPRoute sends the calls, None in a TrafficSplit; ``carried`` is what
    stands beside the weights in lists that are written whole, for the provider alone. ``parent_port`` is the
    port whose calls an HTTPRoute is for (None: every port's), and ``beside`` are the Service's other HTTPRoutes: each
    has weights and a record of its own, and all of them together are one split.

    ``not_in_force`` says why its weights are not seen to stand where proxies read them ("": they are), and
    ``in_force_permille`` what goes to the mirror by what stands there (None: what the object says).
    ``answered``: whoever makes it mean something, the SMI adaptor or Linkerd, was seen to say anything of it.
    """

    kind: SplitKind
    name: str
    resource_version: str
    away_permille: int
    weights: Weights
    record: Record | Unreadable | None = None
    defects: tuple[Defect, ...] = ()
    foreign: str = ""
    editor: str = ""
    edited: datetime | None = None
    port: int | None = None
    carried: str = ""
    parent_port: int | None = None
    beside: tuple[Split, ...] = ()
    not_in_force: str = ""
    in_force_permille: int | None = None
    answered: bool = True

    @property
    def moves_otherwise(self) -> bool:
        """Whether proxies are seen to send another share to the mirror than the object says."""
        return self.in_force_permille not in (None, self.away_permille)

    def each(self) -> tuple[Split, ...]:
        """Return every object that it consists of, first this one."""
        return (replace(self, beside=()), *self.beside) if self.beside else (self,)


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
    of Pods of the Service's own namespace, and ``names`` what those are called. ``unready`` counts the endpoints
    that are there and not ready. ``identity`` is the gateway's, on a mirror. ``strange`` says of an address what it is
    that nobody may aim a prober at, and ``handmade`` names a slice with endpoints that Kubernetes did not make."""

    ready: int = 0
    unready: int = 0
    pods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    identity: str = ""
    strange: str = ""
    handmade: str = ""


@dataclass(frozen=True, slots=True)
class ObservedService:
    """A Service. ``annotations`` are those under our prefix; ``asked`` is when its target was last written
    and ``asked_by`` the field manager that did it. ``opaque_ports`` is what Linkerd's annotation of this name
    says (None: it is absent). ``mirror_of`` names the cluster that a mirror leads to, ``remote_discovery`` marks one
    without endpoints of its own, and ``exported`` is what the label that asks for a mirror says ("": absent).
    ``exposed`` is by what it is reached from outside the cluster, "" where it is not; ``federated``: a federated
    Service has its pods. ``policies`` are Linkerd's annotations that a TrafficSplit switches off (facts 32)."""

    uid: str
    ports: tuple[Port, ...]
    cluster_ip: str = ""
    type: str = "ClusterIP"
    session_affinity: str = "None"
    opaque_ports: str | None = None
    mirror_of: str = ""
    exposed: str = ""
    federated: bool = False
    remote_discovery: bool = False
    exported: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    foreign: str = ""
    asked: datetime | None = None
    asked_by: str = ""
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """The ServiceProfile that keeps this cluster's gateway on local backends.

    ``foreign`` says why it is no pin (it overrides destinations), ``begun`` is the attempt that it knows of.
    """

    resource_version: str
    created: datetime
    latch: Latch | None = None
    foreign: str = ""
    begun: Begun | None = None


@dataclass(frozen=True)  # without slots: what is worked out of it is kept
class ObservedCluster:
    """One Service in one cluster. ``current`` is false where a list or watch is missing or stale: what is
    absent then is unknown; so it is where an object that may be about the Service is ``unreadable``, which says
    which and why. ``split_kinds`` are those that this cluster serves (empty: not known yet).
    ``other_mirrors`` are mirrors of the same Service here that lead to a cluster of another name, and ``false_mirror``
    is a Service that has the mirror's name and is none. ``conflicts``
    name what outside the gateway's namespace routes calls to the Service and beats an HTTPRoute (facts 13, 26), and
    ``overruled`` what its HTTPRoute beats for now.
    ``missing`` are the ports that are to have an HTTPRoute beside those that are there, and ``aside`` somebody's
    routes of ports that stay (controller.decide.parts).
    ``twins`` are the other Services here that lead to its pods, each with what is special about it.
    ``empty_s`` is for how long nobody was seen ready behind the Service (0: somebody is, or it is not known), and
    ``mirror_empty_s`` behind the mirror; ``endpoints_read_s`` is since the slices of both were read from the API
    server itself (infinite: never).
    ``unanswered`` are the kinds that are served and that nobody was seen to make mean anything, each with since
    when a canary asks for it (None: none does), and ``silent`` those of which the API server itself, read when the
    canary had had its time, knows no answer either. ``also_in`` are the other namespaces with a Service of this name,
    whose calls a proxy may count as this one's (facts 28)."""

    name: str
    current: bool
    stale_reason: str = ""
    unreadable: str = ""
    service: ObservedService | None = None
    mirror: ObservedService | None = None
    other_mirrors: tuple[str, ...] = ()
    false_mirror: bool = False
    endpoints: Endpoints = Endpoints()
    mirror_endpoints: Endpoints = Endpoints()
    empty_s: float = float("inf")
    mirror_empty_s: float = float("inf")
    endpoints_read_s: float = 0.0
    splits: tuple[Split, ...] = ()
    missing: tuple[int, ...] = ()
    aside: tuple[Split, ...] = ()
    conflicts: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    overruled: tuple[str, ...] = ()
    pin: Pin | None = None
    split_kinds: frozenset[SplitKind] = frozenset()
    also_in: tuple[str, ...] = ()
    unanswered: Mapping[SplitKind, datetime | None] = field(default_factory=dict)
    silent: frozenset[SplitKind] = frozenset()
    writing: bool = False

    @cached_property
    def split(self) -> Split | None:
        """The one split of the Service; ours (with a record) first where somebody added a second.

        HTTPRoutes are one split, however many they are: of ports, or of paths.
        """
        ours = (split for split in self.splits if split.record is not None)
        first = next(ours, next(iter(self.splits), None))
        if first is None or first.kind is SplitKind.TRAFFICSPLIT or len(self.splits) < 2:
            return first
        beside = (s for s in self.splits if s is not first and s.kind is first.kind)
        return replace(first, beside=tuple(beside))

    @property
    def has_parts(self) -> bool:
        """Whether the split consists of several objects."""
        return self.split is not None and bool(self.split.beside)


@dataclass(frozen=True, slots=True)
class GlobalContext:
    """What is the same for all migrations.

    ``leads``: this process holds the lease, and ``fencing_token`` is its term. ``may_roll_back``: no other process is
    known to hold it, so this one may roll callers back (docs/decisions.md, 4).
    ``lease`` names the Lease whose term that is.
    ``traffic`` is how real traffic is judged where the owner does not say, ``prometheus`` the clusters that
    have one.
    ``split`` is the kind of split for whoever names none.
    """

    clusters: tuple[str, str]
    paused: bool = False
    leads: bool = False
    may_roll_back: bool = False
    fencing_token: int = 0
    lease: str = ""
    split: SplitChoice = "auto"
    traffic: TrafficMode = "advisory"
    prometheus: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one decision may use: nothing else is looked at.

    ``spec`` is None where neither Service carries an annotation of ours. ``settled_s`` is the time since a
    change of the weights of either split was last seen, and ``splits_read_s`` since they, and what says whether they
    are in force, were read from the API servers themselves (infinite: never). ``just_read``: they were for this
    decision. ``started_s`` is the time since this process first saw the migration. ``slot_place`` is the place in the
    queue for a slot, from 1 (0: not queued). ``traffic`` is by the callers' cluster. ``judges`` is
    how many sources judge whatever the owner says: the probes, and what stands beside real traffic.
    ``other_lease`` names a Lease, not ours, under which records were written lately ("": none), and ``listens_s``
    is how long its leader, if there is one, has left to answer for this migration. ``fleet`` is what Fleets say to it
    (None: none names it).
    """

    key: Key
    context: GlobalContext
    clusters: Mapping[str, ObservedCluster]
    spec: MigrationSpec | Malformed | None
    paths: Mapping[CallPath, PathEvidence]
    has_slot: bool = False
    slot_place: int = 0
    just_read: bool = False
    settled_s: float = float("inf")
    splits_read_s: float = 0.0
    started_s: float = float("inf")
    generation: int = 0
    traffic: Mapping[str, TrafficEvidence] = field(default_factory=dict)
    judges: int = 1
    other_lease: str = ""
    listens_s: float = 0.0
    fleet: FleetWord | None = None


@dataclass(frozen=True, slots=True)
class MigrationKnown:
    """Where the Service of a migration is annotated, and who asked for it when."""

    annotated: tuple[str, ...]
    asked: datetime | None
    asked_by: str
