"""The seam between the core's :class:`~controller.domain.Split` and the objects that hold the weights.

A provider is one module with three functions: ``services_of`` (object -> the Services it is about), ``read``
(object -> Split, or None where the object is about another Service) and ``body`` (WriteSplit -> the JSON to
create, or to merge). What every kind of split has in common, shares, names, the record and foreign owners, is
here; :mod:`controller.mesh.splits.kinds` lists the providers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from controller.domain import (
    FIELD_MANAGER,
    PREFIX,
    WHOLE,
    Key,
    Record,
    Split,
    SplitKind,
    Unreadable,
    Weights,
    WriteSplit,
)
from controller.kube.objects import (
    FAILOVER,
    ROLLOUT,
    ManagedFields,
    Metadata,
    Resource,
    ServiceProfileObject,
)

RECORD = PREFIX + "record"
"""The annotation that holds the record, beside the weights and in the same patch."""

RECORD_VERSION = 1
FOREIGN_MANAGERS = {
    "flagger": "Flagger",
    "rollouts-controller": "Argo Rollouts",
    "gatewayAPI": "Argo Rollouts, by its Gateway API plugin",
}
"""By field manager, who moves traffic by the field that it owns."""

FOREIGN_OWNERS = {"Canary": "Flagger", "Rollout": "Argo Rollouts"}
FOREIGN_LABELS = {FAILOVER: "linkerd-failover", ROLLOUT: FOREIGN_MANAGERS["gatewayAPI"]}
"""By label: the plugin's stands on a route while a canary is in progress."""

SELECTOR_ONLY = frozenset({"rollouts-controller"})
"""Who writes a Service's selector to choose among its own pods, as a blue-green Rollout does: that moves no calls
between Services."""

_encode = msgspec.json.Encoder(decimal_format="string").encode


class _Written(Record, frozen=True):
    """A record as it is written: with the Service that it is about, since a split is copied with its annotations."""

    service: str = ""


_decode = msgspec.json.Decoder(_Written).decode


class Provider(Protocol):
    """One kind of split."""

    KIND: SplitKind
    RESOURCE: Resource

    def services_of(self, found: Any) -> tuple[Key, ...]:
        """Return which Services somebody's object is about, however it spells them."""

    def read(
        self, found: Any, key: Key, mirror: str, profile: ServiceProfileObject | None
    ) -> Split | None:
        """Read somebody's object; None where it is not about ``key``.

        ``profile`` is the ServiceProfile beside the Service, None where there is none.
        """

    def body(self, write: WriteSplit, mirror: str) -> dict[str, Any]:
        """Return the object to create, or the merge patch where ``write`` names a resource version."""


def mirror_name(service: str, cluster: str) -> str:
    """Return the name of the mirror of a Service of ``cluster``, as Linkerd's service-mirror controller does."""
    return f"{service}-{cluster}"


def short_name(name: str, namespace: str) -> str | None:
    """Return a Service's short name for any of its spellings, None where it is of another namespace.

    ``service-a``, ``service-a.default`` and ``service-a.default.svc.cluster.local`` are one.
    """
    first, *rest = name.split(".")
    if not rest:
        return first
    if rest[0] != namespace or (len(rest) > 1 and rest[1] != "svc"):
        return None
    return first


def away_permille(weights: Weights) -> int:
    """Return the mirror's part in per mille. Only a true nothing is 0 and only a true all is 1,000.

    All zero, or no weight at all, is local: so does Linkerd (facts 15).
    """
    local, mirror = weights.local or Decimal(0), weights.mirror or Decimal(0)
    total = local + mirror
    if total <= 0 or mirror <= 0:
        return 0
    if local <= 0:
        return WHOLE
    return min(max(round(WHOLE * mirror / total), 1), WHOLE - 1)


def weights_for(away: int) -> tuple[int, int]:
    """Return the weights of the local Service and of the mirror: per mille that sum to 1,000, never all zero.

    Raises ValueError for a share that is none: that is an error of ours, and reaches no API server.
    """
    if not 0 <= away <= WHOLE:
        raise ValueError(f"a share of {away} per mille: write 0 to {WHOLE}")
    return WHOLE - away, away


def stranger(backend: str, weight: Decimal, service: str, mirror: str) -> str:
    """Return what is wrong with a backend that is neither side of the Service: at no weight it may be written over."""
    whose = "remove it from the split"
    if weight == 0:
        whose += (
            ", unless another tool moves calls with it: then this Service is that tool's to move"
        )
    return f"the backend {backend} (weight {weight}) is neither {service} nor {mirror}: {whose}"


def metadata_for(write: WriteSplit) -> dict[str, Any]:
    """Return the metadata of a write: the record always, the resource version where the split was there."""
    metadata: dict[str, Any] = {
        "name": write.name,
        "namespace": write.key.namespace,
        "annotations": {RECORD: encode_record(write.record, write.key)},
    }
    if write.resource_version is not None:
        metadata["resourceVersion"] = write.resource_version
    return metadata


def encode_record(record: Record, key: Key | None = None) -> str:
    """Return the record of this Service (None: of one that it does not name) as the text of its annotation."""
    return _encode(_Written(**_fields(record), service=str(key or ""))).decode()


def _fields(record: Record) -> dict[str, Any]:
    """Return what a record says, by field."""
    return {name: getattr(record, name) for name in Record.__struct_fields__}


def decode_record(
    annotations: Mapping[str, str], key: Key | None = None
) -> Record | Unreadable | None:
    """Read the record back: None where there is none, Unreadable where somebody else wrote in it, or where it names
    another Service than ``key`` (None: it may be anybody's)."""
    text = annotations.get(RECORD)
    if text is None:
        return None
    try:
        written = _decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        return Unreadable(f"{RECORD} is not what the controller wrote: {error}")
    if written.v != RECORD_VERSION:
        return Unreadable(
            f"{RECORD} has format {written.v}; this controller reads {RECORD_VERSION}"
        )
    if key is not None and written.service not in ("", str(key)):
        return Unreadable(f"{RECORD} is that of {written.service}: it was copied with its split")
    return Record(**_fields(written))


def last_editor(
    entries: Sequence[ManagedFields], path: Sequence[str]
) -> tuple[str, datetime | None]:
    """Return the name of who last wrote the field at ``path`` (as in ``("spec", "backends")``), and when.

    Gives ``("", None)`` where it was us, or where nobody is named.
    """
    owners = [entry for entry in entries if _owns(entry.fields_v1, path)]
    dated = sorted(owners, key=lambda entry: (entry.time is not None, str(entry.time)))
    if not dated or dated[-1].manager == FIELD_MANAGER:
        return "", None
    return dated[-1].manager, dated[-1].time


def _owns(fields: Mapping[str, Any], path: Sequence[str]) -> bool:
    inner = fields.get(f"f:{path[0]}") if path else {}
    return inner is not None and (not inner or _owns(inner, path[1:]))


def foreign_owner(meta: Metadata, weights: Sequence[str]) -> str:
    """Return the name of the other controller that moves a split's traffic, or "".

    ``weights`` is the path of the field that holds them: who owns another field only moves nothing. Argo CD,
    Flux and Helm are none whatever they own: they keep manifests, they do not shift weights.
    """
    return _foreign(meta, weights, FOREIGN_MANAGERS)


def foreign_owner_of_service(meta: Metadata) -> str:
    """Return the name of the other controller that moves the calls to a Service by its spec, or ""."""
    managers = {m: name for m, name in FOREIGN_MANAGERS.items() if m not in SELECTOR_ONLY}
    return _foreign(meta, ("spec",), managers)


def _foreign(meta: Metadata, path: Sequence[str], managers: Mapping[str, str]) -> str:
    for label, name in FOREIGN_LABELS.items():
        if label in meta.labels:
            return f"{name} ({label}: {meta.labels[label]})"
    for owner in meta.owner_references:
        if owner.kind in FOREIGN_OWNERS:
            return f"{FOREIGN_OWNERS[owner.kind]} (owner reference to a {owner.kind})"
    for entry in meta.managers:
        if entry.manager in managers and _owns(entry.fields_v1, path):
            what = f"field manager {entry.manager} of {'.'.join(path)}"
            return f"{managers[entry.manager]} ({what})"
    return ""
