"""A Fleet as the command reads it: its waves, what was asked by hand, and what the controller reports.

What stands in a cluster is not to be trusted with a terminal: control characters are escaped as it is read, and what
has another shape than the CRD's is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from controller.cli.migration import printable
from controller.domain import PREFIX
from controller.domain.fleet_status import FleetStatus, WaveStatus, readable

T = TypeVar("T")


class _Wave(msgspec.Struct, frozen=True):
    name: str = ""
    opens: str = ""


class _Spec(msgspec.Struct, frozen=True):
    target: str = ""
    waves: tuple[_Wave, ...] = ()


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    generation: int = 0
    resource_version: str = ""
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """One Fleet; ``waves`` are the names in their order, ``by_hand`` those that open by hand, ``raw`` the object."""

    name: str
    generation: int
    version: str
    target: str
    waves: tuple[str, ...]
    by_hand: frozenset[str]
    annotations: Mapping[str, str]
    status: FleetStatus
    raw: Mapping[str, Any]

    @property
    def resource_name(self) -> str:
        """What ``kubectl get -o name`` calls it."""
        return f"fleet.migrate.tradeshift/{self.name}"

    def own(self, key: str) -> str | None:
        """Return an annotation of ours, None where it is absent."""
        return self.annotations.get(PREFIX + key)

    @property
    def is_paused(self) -> bool:
        """Whether it is asked to keep everybody: also by a text that is neither true nor false."""
        return self.own("paused") not in (None, "false")

    @property
    def is_told(self) -> bool:
        """Whether the controller has said anything of it."""
        return bool(self.status.state)

    @property
    def is_late(self) -> bool:
        """Whether what is reported is of an earlier spec than the one that stands."""
        return self.status.observed_generation < self.generation

    def wave(self, name: str) -> WaveStatus:
        """Return what is reported of a wave, empty where nothing is."""
        return next((wave for wave in self.status.waves if wave.name == name), WaveStatus(name, 0))


def read_fleet(raw: Mapping[str, Any]) -> Fleet:
    """Read a Fleet, whatever shape it has."""
    metadata = _read(raw.get("metadata"), _Metadata)
    spec = _read(raw.get("spec"), _Spec)
    return Fleet(
        name=metadata.name,
        generation=metadata.generation,
        version=metadata.resource_version,
        target=spec.target,
        waves=tuple(wave.name for wave in spec.waves),
        by_hand=frozenset(wave.name for wave in spec.waves if wave.opens == "byHand"),
        annotations=metadata.annotations or {},
        status=readable(printable(raw.get("status"))),
        raw=raw,
    )


def _read(raw: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(printable(raw or {}), kind)
    except msgspec.ValidationError:
        return kind()
