"""A Migration as the command reads it: what the controller reports of one Service (:mod:`controller.domain.status`).

What stands in a cluster is not to be trusted with a terminal: control characters are escaped as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from controller.domain import PREFIX
from controller.domain.annotation_schema import shortened
from controller.domain.status import MigrationStatus

LONGEST = 4000
"""Of a text in a status, in characters."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A Migration by name; ``raw`` is the object as it came."""

    namespace: str
    service: str
    created: datetime | None
    status: MigrationStatus
    raw: Mapping[str, Any]

    @property
    def resource_name(self) -> str:
        """What ``kubectl get -o name`` calls it."""
        return f"migration.migrate.tradeshift/{self.service}"

    def answers(self, annotations: Mapping[str, str]) -> bool:
        """Return whether the status is about what these annotations of the Service ask for.

        A higher attempt than theirs may be asked for by the same Service in the other cluster; and a key
        that is absent here leaves the word to that one (docs/annotations.md).
        """
        target = annotations.get(PREFIX + "target")
        attempt = asked_attempt(annotations)
        return (target is None or self.status.asked_target == target) and (
            attempt is None or self.status.observed.attempt >= attempt
        )


def asked_attempt(annotations: Mapping[str, str]) -> int | None:
    """Return the number that the annotations ask for; None where they say none, or no number."""
    text = annotations.get(PREFIX + "attempt", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    creation_timestamp: datetime | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


def read_migration(raw: Mapping[str, Any]) -> Migration:
    """Read a Migration. A status of another shape is shown as such: one must not hide all others."""
    metadata = msgspec.convert(raw, _Object).metadata
    try:
        status = msgspec.convert(printable(raw.get("status") or {}), MigrationStatus)
    except msgspec.ValidationError as error:
        status = MigrationStatus(
            reason="Unreadable", message=f"the status has another shape: {error}"
        )
    return Migration(metadata.namespace, metadata.name, metadata.creation_timestamp, status, raw)


def printable(value: Any) -> Any:
    """Return the same JSON with every text printable and of a bearable length."""
    if isinstance(value, str):
        return shortened(value, LONGEST)
    if isinstance(value, list):
        return [printable(inner) for inner in value]
    if isinstance(value, dict):
        return {shortened(key, LONGEST): printable(inner) for key, inner in value.items()}
    return value
