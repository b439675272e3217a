"""The pin: an empty ServiceProfile in the gateway's namespace, named for the Service.

It keeps that cluster's gateway on local backends whatever the splits say (facts 7 and 8), so that a
request never bounces between two gateways. It carries a copy of the attempt and of the latch of a revert, so that
two splits that are deleted, or written anew without their records, do not forget them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from controller.domain import PREFIX, Begun, Key, Latch, Pin, WritePin
from controller.kube.objects import ServiceProfileObject

LATCH = PREFIX + "latch"
"""The annotation on the pin that remembers a revert."""

BEGUN = PREFIX + "begun"
"""The annotation on the pin that remembers the attempt."""

OF = PREFIX + "pin"
"""The annotation that says whose pin it is."""


_Copy = TypeVar("_Copy", Latch, Begun)
_encode = msgspec.json.Encoder(decimal_format="string").encode


def name(key: Key, domain: str) -> str:
    """Return the name of the profile, as the proxies look it up."""
    return f"{key.service}.{key.namespace}.svc.{domain}"


def key_of(profile_name: str, domain: str) -> Key | None:
    """Return the Service that a profile of this name is for, None where it is for none."""
    service, _, rest = profile_name.partition(".")
    namespace, _, tail = rest.partition(".")
    return Key(namespace, service) if namespace and tail == f"svc.{domain}" else None


def read(found: ServiceProfileObject) -> Pin:
    """Read the profile: a copy that cannot be read, or is another Service's, is as good as none."""
    meta = found.metadata
    copies = meta.annotations if _is_of(meta.name, meta.annotations.get(OF, "")) else {}
    return Pin(
        resource_version=meta.resource_version,
        created=meta.creation_timestamp or datetime.fromtimestamp(0, UTC),
        latch=_copy(copies.get(LATCH), Latch),
        begun=_copy(copies.get(BEGUN), Begun),
        foreign=(
            f"the ServiceProfile {meta.name} in {meta.namespace} has dstOverrides, so it sends the"
            " gateway's calls elsewhere: remove them"
            if found.overrides
            else ""
        ),
    )


def _is_of(profile_name: str, said: str) -> bool:
    """Return whether a profile is the pin of the Service that it says: it may be a copy of another's."""
    namespace, _, service = said.partition("/")
    return not said or profile_name.startswith(f"{service}.{namespace}.svc.")


def _copy(text: str | None, kind: type[_Copy]) -> _Copy | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError):
        return None


def body(write: WritePin, gateway_namespace: str, domain: str) -> dict[str, Any]:
    """Return the profile to create, or the merge patch that puts a copy on it."""
    metadata: dict[str, Any] = {
        "name": name(write.key, domain),
        "namespace": gateway_namespace,
        "annotations": {OF: str(write.key)},
    }
    if write.latch is not None:
        metadata["annotations"][LATCH] = _encode(write.latch).decode()
    if write.begun is not None:
        metadata["annotations"][BEGUN] = _encode(write.begun).decode()
    if write.resource_version is not None:
        metadata["resourceVersion"] = write.resource_version
        return {"metadata": metadata}
    return {"metadata": metadata, "spec": {"routes": []}}
