"""TrafficSplit (``split.smi-spec.io`` v1alpha1 and v1alpha2) <-> Split.

Linkerd reads a TrafficSplit only in one spelling: short names, in ``spec.service`` and in every
backend. A dotted ``spec.service`` is ignored (all calls stay local), a dotted backend answers 500 to
everything (facts 17). Weights are relative; all zero, negative ones, and sums above 429,496 freeze or kill
proxies (facts 15). So :func:`read` says what really happens, and :func:`body` writes per mille that sum to 1,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from controller.domain import Defect, Key, Reason, Split, SplitKind, Weights, WriteSplit
from controller.kube.objects import (
    SMI_SKIP,
    Backend,
    Resource,
    ServiceProfileObject,
    TrafficSplitObject,
)
from controller.mesh.splits import (
    away_permille,
    decode_record,
    foreign_owner,
    last_editor,
    metadata_for,
    short_name,
    stranger,
    weights_for,
)

KIND = SplitKind.TRAFFICSPLIT
RESOURCE = Resource.TRAFFICSPLITS
LARGEST_SUM = 429_496
"""A sum of weights above this overflows in the proxies (facts 15)."""


def services_of(found: TrafficSplitObject) -> tuple[Key, ...]:
    """Return which Service this split is about, however ``spec.service`` spells it; none is of another namespace."""
    namespace = found.metadata.namespace
    service = short_name(found.spec.service, namespace)
    return () if service is None else (Key(namespace, service),)


def read(
    found: TrafficSplitObject, key: Key, mirror: str, profile: ServiceProfileObject | None
) -> Split | None:
    """Read somebody's TrafficSplit: what it does to the callers of this cluster now, and what is wrong.

    Proxies read the overrides that the SMI adaptor writes from it into the Service's ``profile`` (facts 32).
    """
    if key not in services_of(found):
        return None
    weights, defects = _weights(found.spec.backends, key, mirror)
    defects += _spelling(found, key, weights)
    away = 0 if defects and not _obeyed(found) else away_permille(weights)
    overrides = profile.overrides if profile else ()
    stands = away_permille(_weights(overrides, key, mirror)[0])
    meta = found.metadata
    editor, edited = last_editor(meta.managers, ("spec", "backends"))
    return Split(
        kind=KIND,
        name=meta.name,
        resource_version=meta.resource_version,
        away_permille=away,
        weights=weights,
        record=decode_record(meta.annotations, key),
        defects=defects,
        foreign=foreign_owner(meta, ("spec", "backends")),
        editor=editor,
        edited=edited,
        carried=_strangers(found, key, mirror),
        not_in_force=_not_in_force(found, profile, stands)
        if stands != away or not overrides
        else "",
        in_force_permille=stands,
        answered=bool(overrides),
    )


def _not_in_force(
    found: TrafficSplitObject, profile: ServiceProfileObject | None, stands: int
) -> str:
    """Return in a sentence what proxies read in place of the split."""
    if profile is not None and SMI_SKIP in profile.metadata.annotations:
        return (
            f"the ServiceProfile {profile.metadata.name} has the annotation {SMI_SKIP}, so the SMI adaptor"
            " writes no weights into it: remove the annotation"
        )
    if profile is None or not profile.overrides:
        return (
            "the SMI adaptor has not written its weights into the Service's ServiceProfile, which is what"
            " proxies read, so every call stays with the local Service"
        )
    return (
        f"the ServiceProfile {profile.metadata.name}, which is what proxies read, sends {stands / 10:g} %"
        f" to the mirror: the SMI adaptor has not followed {found.metadata.name}"
    )


def body(write: WriteSplit, mirror: str) -> dict[str, Any]:
    """Return the whole TrafficSplit: to create it, or as the merge patch with its resourceVersion.

    ``write.carried`` names the backends that stay beside the two sides.
    """
    local, away = weights_for(write.away_permille)
    return {
        "metadata": metadata_for(write),
        "spec": {
            "service": write.key.service,
            "backends": [
                {"service": write.key.service, "weight": local},
                {"service": mirror, "weight": away},
                *({"service": name, "weight": 0} for name in write.carried.split()),
            ],
        },
    }


def _strangers(found: TrafficSplitObject, key: Key, mirror: str) -> str:
    """Return the backends that are no side of the Service, which are somebody's and stay, without calls.

    A dotted one does not: it answers 500 to every call, whatever its weight.
    """
    names = [b.service for b in found.spec.backends if b.service not in (key.service, mirror)]
    return " ".join(dict.fromkeys(name for name in names if name and "." not in name))


def _obeyed(found: TrafficSplitObject) -> bool:
    """Return whether Linkerd reads this split at all: only with a short ``spec.service``."""
    return "." not in found.spec.service


def _weights(
    backends: Sequence[Backend], key: Key, mirror: str
) -> tuple[Weights, tuple[Defect, ...]]:
    """Sum the weights by side; what is no side of this Service, or no weight, is a defect."""
    sums: dict[str, Decimal] = {}
    defects: list[Defect] = []
    for backend in backends:
        name = short_name(backend.service, key.namespace)
        if backend.weight is None:
            defects.append(_harmful(f"the weight of {backend.service} is no number"))
        elif name in (key.service, mirror):
            sums[name] = sums.get(name, Decimal(0)) + backend.weight
        else:
            message = stranger(backend.service, backend.weight, key.service, mirror)
            defects.append(Defect(Reason.BACKEND_FOREIGN, message, repairable=False))
    written = [b.weight for b in backends if b.weight is not None]
    defects += _out_of_bounds(written)
    if written and not defects and sum(written) == 0:
        defects.append(_ALL_ZERO)
    return Weights(sums.get(key.service), sums.get(mirror)), tuple(defects)


def _out_of_bounds(weights: list[Decimal]) -> Iterator[Defect]:
    if any(weight < 0 for weight in weights):
        yield _harmful("a weight is negative")
    total = sum(weights, Decimal(0))
    if total > LARGEST_SUM:
        yield _harmful(f"the weights sum to {total}, above {LARGEST_SUM:,}")


_ALL_ZERO = Defect(
    Reason.WEIGHTS_ALL_ZERO,
    "all weights are 0: Linkerd sends every call to the local Service, and a proxy that starts now gets"
    " stuck",
    repairable=True,
)


def _harmful(what: str) -> Defect:
    return Defect(
        Reason.WEIGHTS_HARMFUL,
        f"{what}: proxies that read this freeze at their old weights and ignore good ones later;"
        " write weights of 0 to 1,000 and restart the callers",
        repairable=False,
    )


def _spelling(found: TrafficSplitObject, key: Key, weights: Weights) -> tuple[Defect, ...]:
    """Find dotted names. Writing short ones moves nothing only where the weights say what happens already:
    all calls local, in a split that Linkerd ignores."""
    dotted = [b.service for b in found.spec.backends if "." in b.service]
    if not _obeyed(found):
        says_local = away_permille(weights) == 0
        tail = (
            "the weights say so too, so short names change no traffic"
            if says_local
            else f"its weights would send {away_permille(weights) / 10:g} % to the mirror at once: set"
            " them to what you mean, all local, or delete the split"
        )
        return (
            Defect(
                Reason.SPLIT_IGNORED,
                f"spec.service is {found.spec.service}: Linkerd reads only the short name"
                f" {key.service}, ignores this split and sends every call to the local Service; {tail}",
                repairable=says_local,
            ),
        )
    if dotted:
        return (
            Defect(
                Reason.BACKEND_NOT_SHORT,
                f"the backend {dotted[0]} is not a short name: Linkerd answers 500 to every call;"
                f" write {short_name(dotted[0], key.namespace) or key.service}",
                repairable=False,
            ),
        )
    return ()
