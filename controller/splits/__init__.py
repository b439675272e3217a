"""The seam between the core's :class:`~controller.model.Split` and the objects that hold the weights.

A provider is one module with two functions: ``read`` (object -> Split, or None where the object is about
another Service) and ``body`` (WriteSplit -> the whole JSON to create, which is also the merge patch).
What every kind of split has in common, the record and foreign owners, is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from controller.model import PREFIX, Key, Record, Split, SplitKind, Unreadable, WriteSplit
from controller.objects import ManagedFields

RECORD = PREFIX + "record"
"""The annotation that holds the record, beside the weights and in the same patch."""

MANAGER = "migrate-controller"
"""The field manager of all our writes."""

RECORD_VERSION = 1
FOREIGN_MANAGERS = {"flagger": "Flagger", "rollouts-controller": "Argo Rollouts"}
FOREIGN_OWNERS = {"Canary": "Flagger", "Rollout": "Argo Rollouts"}
FAILOVER_LABEL = "failover.linkerd.io/controlled-by"

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Record).decode


class Provider(Protocol):
    """One kind of split."""

    KIND: SplitKind

    def read(self, found: Any, key: Key, mirror: str) -> Split | None:
        """Read somebody's object; None where it is not about ``key``."""

    def body(self, write: WriteSplit, mirror: str) -> dict[str, Any]:
        """Give the object to create, which is the merge patch as well."""


def mirror_name(service: str, cluster: str) -> str:
    """Name the mirror of a Service of ``cluster``, as Linkerd's service-mirror controller does."""
    return f"{service}-{cluster}"


def encode_record(record: Record) -> str:
    """Give the record as the text of its annotation."""
    return _encode(record).decode()


def decode_record(annotations: Mapping[str, str]) -> Record | Unreadable | None:
    """Read the record back: None where there is none, Unreadable where somebody else wrote in it."""
    text = annotations.get(RECORD)
    if text is None:
        return None
    try:
        record = _decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        return Unreadable(f"{RECORD} is not what the controller wrote: {error}")
    if record.v != RECORD_VERSION:
        return Unreadable(f"{RECORD} has format {record.v}; this controller reads {RECORD_VERSION}")
    return record


def last_editor(
    entries: Sequence[ManagedFields], path: Sequence[str]
) -> tuple[str, datetime | None]:
    """Name who last wrote the field at ``path`` (as in ``("spec", "backends")``), and when.

    Gives ``("", None)`` where it was us, or where nobody is named.
    """
    owners = [entry for entry in entries if _owns(entry.fields_v1, path)]
    dated = sorted(owners, key=lambda entry: (entry.time is not None, str(entry.time)))
    if not dated or dated[-1].manager == MANAGER:
        return "", None
    return dated[-1].manager, dated[-1].time


def _owns(fields: Mapping[str, Any], path: Sequence[str]) -> bool:
    for name in path:
        inner = fields.get(f"f:{name}")
        if inner is None:
            return False
        if not inner:
            return True
        fields = inner
    return True


def foreign_owner(
    labels: Mapping[str, str],
    owner_kinds: Sequence[str],
    managers: Sequence[str],
) -> str:
    """Name the other controller that moves this traffic, or "".

    Argo CD, Flux and Helm are none: they keep manifests, they do not shift weights (design section 6).
    """
    if FAILOVER_LABEL in labels:
        return f"linkerd-failover ({FAILOVER_LABEL}: {labels[FAILOVER_LABEL]})"
    for kind in owner_kinds:
        if kind in FOREIGN_OWNERS:
            return f"{FOREIGN_OWNERS[kind]} (owner reference to a {kind})"
    for manager in managers:
        if manager in FOREIGN_MANAGERS:
            return f"{FOREIGN_MANAGERS[manager]} (field manager {manager})"
    return ""
