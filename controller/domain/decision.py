"""What a decision asks for: of people, of the API servers, of the probers and of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from controller.domain.evidence import CallPath
from controller.domain.identity import Key, Phase, SplitKind
from controller.domain.reasons import Reason
from controller.domain.record import Begun, Latch, Record
from controller.domain.spec import LatencySpec, ProbeSpec
from prober.contract import Protocol


@dataclass(frozen=True, slots=True)
class Hold:
    """A gate's decision to stay, and why. ``waits`` marks what ends by itself in the ordinary course (dwell,
    collecting, settling); ``requeue_after_s`` is when to decide again at the latest. ``alert`` asks for a person.
    """

    reason: Reason
    message: str
    waits: bool = False
    requeue_after_s: float | None = None
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Revert:
    """A gate's decision to roll every caller back, and why; the rest as on :class:`Hold`, of who must stay."""

    reason: Reason
    message: str
    requeue_after_s: float | None = None
    alert: bool = False

    @property
    def waits(self) -> bool:
        """A revert waits for nothing."""
        return False


Ruling = Hold | Revert
"""Why a migration does not advance."""


class EventText(NamedTuple):
    """What an Event says of a write: a reason in CamelCase and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class WriteSplit:
    """Put this share's weights and this record on the split of ``cluster``, or make the split.

    ``away_permille`` is the mirror's weight; the local Service has the rest. ``port`` and
    ``carried`` are as on Split. ``revert`` goes ahead of everything and needs no lease. ``beside`` are the writes
    of the split's other objects, where it has several: they are made at once.
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
    event: EventText | None = None
    beside: tuple[WriteSplit, ...] = ()

    def each(self) -> tuple[WriteSplit, ...]:
        """Return the writes of single objects that it consists of, first this one's."""
        return (replace(self, beside=()), *self.beside) if self.beside else (self,)


@dataclass(frozen=True, slots=True)
class WritePin:
    """Make the pin of ``cluster``'s gateway, or put a copy of the latch, or of the attempt, on it (None: as it is)."""

    cluster: str
    key: Key
    resource_version: str | None
    latch: Latch | None = None
    event: EventText | None = None
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class WriteCanary:
    """Make the split of ``cluster`` by which one sees whether anybody obeys its kind; ``key`` waits for that."""

    cluster: str
    key: Key
    kind: SplitKind


@dataclass(frozen=True, slots=True)
class ReadCanary:
    """Read the canary of ``cluster``, and what answers it, from the API server itself, then decide again: that the
    streams brought no answer does not say that there is none."""

    cluster: str
    key: Key
    kind: SplitKind


@dataclass(frozen=True, slots=True)
class ReadEndpoints:
    """List the EndpointSlices of a Service, and of its mirror, in ``cluster``, then decide again: what streams and
    lists of everything showed is one witness, and may be wrong."""

    cluster: str
    key: Key


@dataclass(frozen=True, slots=True)
class ReadSplits:
    """Read both splits, and what says whether they are in force, from the API servers, then decide again: an attempt
    begins on what was just read, and nobody is asked for because a stream brought nothing."""

    key: Key


Action = WriteSplit | WritePin | WriteCanary | ReadCanary | ReadEndpoints | ReadSplits


WATCH_PER_S = 3.0
"""The base rate of what is only watched: the next fault is seen within a third of a second, and the burst that it
begins does the rest."""

APEX_PER_S = 1.0
"""The base rate of what decides nothing: three seconds give the three answers that show what is usual."""

BURST = 5
"""How many times its rate a path that rises is asked after a bad probe."""


@dataclass(frozen=True, slots=True)
class ProbeOrder:
    """One path to be probed now, by the prober of ``path.callers``.

    ``generation`` changes when a step has settled: only samples of an assignment of the present generation
    earn credit. ``identity`` is what the evidence is keyed by: another identity starts at zero. ``judges`` is
    how many sources judge, and share alpha. ``slowed`` asks only as often as watching needs.
    """

    path: CallPath
    key: Key
    route: Literal["mirror", "pods", "apex"]
    mirror_of: str
    port: int
    addresses: tuple[str, ...]
    protocol: Protocol
    probe: ProbeSpec
    success_percent: Decimal
    latency: LatencySpec | None
    judges: int
    shifted: bool
    generation: int
    identity: tuple[object, ...]
    slowed: bool = False

    @property
    def rate_per_s(self) -> float:
        """Return the base rate: the spec's, or that of watching."""
        asked = float(self.probe.rate_per_s)
        if self.route == "apex":
            return min(APEX_PER_S, asked)
        return min(WATCH_PER_S, asked) if self.slowed else asked

    @property
    def burst_per_s(self) -> float | None:
        """Return what a bad probe adds to a slowed path, up to a rising one's burst (None: the usual)."""
        if not self.slowed or self.route == "apex":
            return None
        return BURST * self.probe.rate_per_s - self.rate_per_s


@dataclass(frozen=True, slots=True)
class TrafficOrder:
    """Real traffic of one Service to be counted. ``kinds`` and ``made`` are of the splits, by cluster, and
    ``pods`` are the addresses (``ip:port``) of the own pods, and ``names`` what these are called.

    ``success_percent`` is the objective of a running attempt (None: nothing is judged), ``identity`` what
    its evidence is keyed by, and ``judges`` how many sources judge and share alpha. In the clusters of
    ``shared_names`` a route's series may be of another Service of that name, in those of ``shared_ports`` of
    calls to a port that its HTTPRoute does not move (facts 28).
    """

    key: Key
    target: str
    kinds: Mapping[str, SplitKind]
    made: Mapping[str, datetime | None]
    pods: Mapping[str, tuple[str, ...]]
    success_percent: Decimal | None = None
    identity: tuple[object, ...] = ()
    judges: int = 1
    shared_names: frozenset[str] = frozenset()
    shared_ports: frozenset[str] = frozenset()
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)


OriginCalls = Literal["", "none", "some", "unknown"]
"""Whether anybody called the origin's pods in the last two minutes; "" before a migration is completed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next for one migration, what to probe, what to tell, and when to decide again.

    ``target`` is what stands, whatever is asked for: of the attempt, before one of the annotations ("": none).
    ``shares`` is by cluster what it serves of its calls (None: not known or no target).
    ``number`` is the attempt that all this is about. ``rate_per_s`` is what each prober would send for it.
    ``wants_slot``: every gate before the slot lets it pass, or it holds one and needs it still.
    """

    phase: Phase
    shares: Mapping[str, int | None]
    ruling: Ruling | None
    actions: tuple[Action, ...] = ()
    probes: tuple[ProbeOrder, ...] = ()
    traffic: TrafficOrder | None = None
    wants_slot: bool = False
    rate_per_s: float = 0.0
    number: int = 1
    target: str = ""
    next: str = ""
    waiting_for: str = ""
    warnings: tuple[tuple[Reason, str], ...] = ()
    origin_calls: OriginCalls = ""
    requeue_after_s: float | None = None

    @property
    def reverts(self) -> tuple[WriteSplit, ...]:
        """Return the writes that bring callers back."""
        return tuple(a for a in self.actions if isinstance(a, WriteSplit) and a.revert)
