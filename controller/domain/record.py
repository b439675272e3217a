"""What the controller writes beside the weights: the only durable state.

The JSON keys are those of the first release (``home``, ``wish``, ``epoch``, ``dwellS``): records outlive programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from controller.domain.identity import WHOLE, SplitKind
from controller.domain.spec import Frozen, MigrationSpec, Moment


class Reverted(Frozen, frozen=True):
    """The latch: this attempt is over. ``message`` is the sentence people were told."""

    reason: str
    message: str
    at: Moment


class Attempt(Frozen, frozen=True):
    """What (target, number) identifies. ``baseline`` is the share of each cluster before it, 0 or 1,000.

    ``kinds`` is by cluster the kind of split that the attempt began on: one that is deleted is made anew as
    it was. Records of before HTTPRoute have none. ``asked_by`` is the Fleet and its wave that asked for it, as
    ``fleet/to-eks/checkout`` ("": the Service's owner did).
    """

    number: int
    origin: str
    target: str
    baseline: dict[str, int] = msgspec.field(name="home")
    origin_ready: int
    spec: MigrationSpec = msgspec.field(name="wish")
    started: Moment
    kinds: dict[str, SplitKind] = msgspec.field(default_factory=dict)
    asked_by: str = msgspec.field(default="", name="wishOf")

    def __post_init__(self) -> None:
        """Refuse what no controller writes: a record may come from any hand. Raises ValueError."""
        if self.origin == self.target or set(self.baseline) != {self.origin, self.target}:
            raise ValueError("home is not of origin and target")
        if not set(self.baseline.values()) <= {0, WHOLE}:
            raise ValueError("a home is neither 0 nor 1000")

    def is_same(self, other: Attempt | None) -> bool:
        """Return whether both are one attempt: two controllers may begin one of the same number at once."""
        return other is not None and (self.target, self.number, self.started) == (
            other.target,
            other.number,
            other.started,
        )


HIGHEST_TOKEN = 2**31 - 1
"""A Lease counts no further: its ``leaseTransitions`` are an int32."""

BELIEVED_TOKEN = 10**9
"""So many times nobody has led: a record with more was written by hand, and is not climbed above."""


class Record(Frozen, frozen=True):
    """The only durable state, one on each split, written in the same patch as the weights.

    ``share_permille`` and ``since`` are of this split; the rest is equal on both. ``since`` is when the
    attempt wrote the share (None: callers stand where it found them). ``made`` is when we made or rewrote
    the split (None: found as it is), ``converted`` when it took the place of one of another kind. Without
    ``attempt`` the Service is only enrolled. ``lease`` names the Lease whose term the fencing token is ("": written
    before records said so).
    """

    kind: SplitKind
    v: int = 1
    fencing_token: Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_TOKEN)] = msgspec.field(
        default=0, name="epoch"
    )
    lease: str = ""
    made: Moment | None = None
    converted: Moment | None = None
    attempt: Attempt | None = None
    share_permille: Annotated[int, msgspec.Meta(ge=0, le=WHOLE)] = 0
    since: Moment | None = None
    completed: Moment | None = None
    reverted: Reverted | None = None

    def is_under(self, lease: str) -> bool:
        """Return whether its fencing token is of this Lease, as far as both are named."""
        return not self.lease or not lease or self.lease == lease


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record annotation that is not ours any more; ``message`` says why."""

    message: str


class Latch(Frozen, frozen=True):
    """A copy of a revert, kept on the pins: which attempt is over, and why."""

    target: str
    attempt: int
    reverted: Reverted


class Begun(Frozen, frozen=True):
    """A copy of the attempt that every record names, kept on the pins: records that are dropped do not end it.

    ``completed`` is as in the records, ``splits`` are by cluster the names of the objects that had one.
    """

    attempt: Attempt
    splits: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    completed: Moment | None = None
