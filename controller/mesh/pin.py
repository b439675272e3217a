"""The pin: an empty ServiceProfile in the gateway's namespace, named for the Service.

It keeps that cluster's gateway on local backends whatever the splits say (facts 7 and 8), so that a
request never bounces between two gateways. It carries a copy of the latch of a revert, so that two deleted
splits do not forget it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from controller.domain import PREFIX, Key, Latch, Pin, WritePin
from controller.kube.objects import ServiceProfileObject

LATCH = PREFIX + "latch"
"""The annotation on the pin that remembers a revert."""


def name(key: Key, domain: str) -> str:
    """Return the name of the profile, as the proxies look it up."""
    return f"{key.service}.{key.namespace}.svc.{domain}"


def key_of(profile_name: str, domain: str) -> Key | None:
    """Return the Service that a profile of this name is for, None where it is for none."""
    service, _, rest = profile_name.partition(".")
    namespace, _, tail = rest.partition(".")
    return Key(namespace, service) if namespace and tail == f"svc.{domain}" else None


def read(found: ServiceProfileObject) -> Pin:
    """Read the profile: a latch that cannot be read is as good as none, the splits have theirs."""
    meta = found.metadata
    latch = None
    text = meta.annotations.get(LATCH)
    if text is not None:
        try:
            latch = msgspec.json.decode(text, type=Latch)
        except (msgspec.MsgspecError, ValueError):
            latch = None
    return Pin(
        resource_version=meta.resource_version,
        created=meta.creation_timestamp or datetime.fromtimestamp(0, UTC),
        latch=latch,
        foreign=(
            f"the ServiceProfile {meta.name} in {meta.namespace} has dstOverrides, so it sends the"
            " gateway's calls elsewhere: remove them"
            if found.overrides
            else ""
        ),
    )


def body(write: WritePin, gateway_namespace: str, domain: str) -> dict[str, Any]:
    """Return the profile to create, or the merge patch that puts the latch on it."""
    metadata: dict[str, Any] = {
        "name": name(write.key, domain),
        "namespace": gateway_namespace,
        "annotations": {PREFIX + "pin": str(write.key)},
    }
    if write.latch is not None:
        metadata["annotations"][LATCH] = msgspec.json.encode(write.latch).decode()
    if write.resource_version is not None:
        metadata["resourceVersion"] = write.resource_version
        return {"metadata": metadata}
    return {"metadata": metadata, "spec": {"routes": []}}
