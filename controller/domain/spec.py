"""What the annotations of a Service ask for. Stretches of time are seconds as floats in fields that end in ``_s``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from prober.contract import GRPC_STATUSES, Protocol

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: another cannot be compared with the clock."""


Stretch = Annotated[float, msgspec.Meta(ge=0, le=7 * 24 * 3600)]
"""Seconds, up to the longest that the annotations allow."""


TrafficMode = Literal["off", "advisory", "required"]
"""Whether real traffic is judged, and whether one that is not known holds the rise."""


SplitChoice = Literal["auto", "trafficsplit", "httproute"]
"""Which kind of split is made; ``auto`` is decided by what can be served (controller.decide.split_choice)."""


class Frozen(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A value that is also stored as JSON, in the record."""


class ProbeSpec(Frozen, frozen=True):
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


class LatencySpec(Frozen, frozen=True):
    """``limit_s`` is to be met by ``percent`` of the probes."""

    limit_s: float
    percent: Decimal


class MigrationSpec(Frozen, frozen=True):
    """What the owner asks for. ``steps`` are per mille, rising; ``"now"`` is one raise to the soak's share.

    ``attempt``, ``split`` and ``traffic`` are None where the annotations do not say. ``ports`` are names and
    numbers of the Service's ports that HTTPRoutes move (empty: all that they can).
    """

    target: str | None = None
    attempt: int | None = None
    paused: bool = False
    abort: bool = False
    steps: tuple[int, ...] | Literal["now"] = (10, 100, 250, 500)
    step_pause_s: Stretch = msgspec.field(default=60.0, name="dwellS")
    soak_s: Stretch = 3600.0
    probe: ProbeSpec = ProbeSpec()
    success_percent: Decimal = Decimal("99.9")
    latency: LatencySpec | None = None
    origin_floor_percent: int = 50
    split: SplitChoice | None = None
    traffic: TrafficMode | None = None
    ports: tuple[str | int, ...] = ()

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
    """Annotations that are no spec. ``abort`` and ``target`` are kept where they can be read by
    themselves, because nothing that a person writes wrongly elsewhere disarms the path back."""

    problems: tuple[Problem, ...]
    abort: bool = False
    target: str | None = None
