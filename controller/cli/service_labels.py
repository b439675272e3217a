"""What Services, or other objects, are called and labelled, read from what a list brought, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from controller.domain import Key
from controller.domain.identity import OWN_LABEL, is_of_the_platform


class Meta(msgspec.Struct):
    """The part of an object's metadata that is asked about."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: Meta


_LABELLED = msgspec.json.Decoder(_Labelled)


def metas(raw: list[msgspec.Raw]) -> dict[Key, Meta]:
    """Return what each object is called and labelled, of those that can be read."""
    found: dict[Key, Meta] = {}
    for each in raw:
        try:
            meta = _LABELLED.decode(each).metadata
        except (msgspec.MsgspecError, RecursionError):
            continue  # nothing that could be meant
        found[Key(meta.namespace, meta.name)] = meta
    return found


def is_of_others(key: Key, labels: Mapping[str, str]) -> bool:
    """Return whether a Service with these labels is Kubernetes', Linkerd's or this product's own."""
    name, value = OWN_LABEL
    return is_of_the_platform(key) or labels.get(name) == value
