"""Objects as kubectl asks for what it prints: as a Table of meta.k8s.io/v1, by the printer columns of their CRD.

As in kube-apiserver's apiextensions (tableconvertor): the name first, then a cell for each column, None where the
object has nothing there, and an age in place of a date. A resource without columns is given as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.stand_ins.apiserver.resources import Column, Resource
from deploy.stand_ins.apiserver.store import Stored

_NAME = {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}


@dataclass(frozen=True, slots=True)
class Tables:
    """One request for a Table: of which resource and version, with how much of each object, and what the time is."""

    resource: Resource
    version: str
    include: str
    now: Callable[[], datetime]

    def table(self, found: Iterable[Stored], metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the Table of these."""
        columns = self.resource.columns[self.version]
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": dict(metadata),
            "columnDefinitions": [_NAME, *(column.head for column in columns)],
            "rows": [self._row(stored, columns) for stored in found],
        }

    def _row(self, stored: Stored, columns: Iterable[Column]) -> dict[str, Any]:
        body = stored.decoded(self.version)
        cells = [stored.name, *(self._cell(body, column) for column in columns)]
        return {"cells": cells, "object": self._object(body)}

    def _cell(self, body: Mapping[str, Any], column: Column) -> Any:
        value: Any = body
        for part in column.path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None or column.type != "date":
            return value
        return age((self.now() - datetime.fromisoformat(value)).total_seconds())

    def _object(self, body: dict[str, Any]) -> Any:
        if self.include == "None":
            return None
        if self.include == "Object":
            return body
        kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return {**kind, "metadata": body["metadata"]}


def tables_asked(
    accept: str, query: Mapping[str, str], resource: Resource, version: str
) -> Tables | None:
    """Return how to answer who would rather have a Table; None where nobody asks, or there are no columns."""
    first = accept.partition(",")[0].replace(" ", "").split(";")
    if not {"as=Table", "v=v1", "g=meta.k8s.io"} <= set(first) or version not in resource.columns:
        return None
    return Tables(resource, version, query.get("includeObject", "Metadata"), _now)


def _now() -> datetime:
    return datetime.now(UTC)


def age(seconds: float) -> str:
    """Return a stretch of time as kube-apiserver tells an age (apimachinery's HumanDuration)."""
    s = int(seconds)
    if s < 0:
        return "<invalid>" if s < -1 else "0s"
    minutes, hours, days = s // 60, s // 3600, s // 86400
    if s < 120:
        return f"{s}s"
    if minutes < 10:
        return f"{minutes}m{s % 60}s" if s % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d{hours % 24}h" if days < 8 and hours % 24 else f"{days}d"
