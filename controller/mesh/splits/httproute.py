"""HTTPRoute (``gateway.networking.k8s.io`` v1 and v1beta1) with a Service as its parent <-> Split.

gRPC goes through it as any HTTP/2 does, where Linkerd takes the port for HTTP (facts 24). It follows a new route at
once, also in busy clients (facts 11), and gateways ignore routes on HTTP (facts 9). What it does with the rest is read
in linkerd2's policy controller (``outbound/index/http.rs``, ``outbound/http.rs``): a rule without backends is
local; a backend without a port, of another kind, or that does not exist answers 500 to its part; a route with
a filter that Linkerd does not know is ignored as a whole; an absent weight is 1.

A merge patch replaces lists whole. So :func:`body` takes every rule as it was found, and changes nothing in it
but the weights: matches, filters and timeouts are carried over. What cannot be is a Defect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from controller.domain import Defect, Key, Reason, Split, SplitKind, Weights, WriteSplit
from controller.kube.objects import (
    HTTPRouteObject,
    ParentRef,
    Resource,
    RouteBackend,
    RouteRule,
    RouteRuling,
    ServiceProfileObject,
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

KIND = SplitKind.HTTPROUTE
RESOURCE = Resource.HTTPROUTES

FOLLOWED = frozenset({"RequestHeaderModifier", "ResponseHeaderModifier"})
"""The filters that Linkerd follows and that leave the choice of a backend to the weights."""

REDIRECT = "RequestRedirect"

_SERVICE = (("", "Service"), ("core", "Service"))


def services_of(found: HTTPRouteObject) -> tuple[Key, ...]:
    """Return which Services this route splits. A route in another namespace is for the callers there only."""
    namespace = found.metadata.namespace
    keys = (_service_of(parent, namespace) for parent in found.parents)
    return tuple(dict.fromkeys(key for key in keys if key))


def _service_of(parent: ParentRef, namespace: str) -> Key | None:
    service = short_name(parent.name, namespace)
    if not parent.is_service or parent.namespace != namespace or service is None:
        return None
    return Key(namespace, service)


def read(
    found: HTTPRouteObject, key: Key, mirror: str, profile: ServiceProfileObject | None
) -> Split | None:
    """Read somebody's HTTPRoute: what it does to the callers of this cluster now, and what is wrong.

    Linkerd says itself, in the status, whether it accepts it (facts 26); a ``profile`` says nothing of it.
    """
    del profile
    if key not in services_of(found):
        return None
    weights, defects = _weights(found, key, mirror)
    defects = (*defects, *_parents(found, key, weights), *_filters(found), *_refused(found, key))
    meta = found.metadata
    editor, edited = last_editor(meta.managers, ("spec", "rules"))
    ignored = any(
        defect.reason in (Reason.SPLIT_IGNORED, Reason.ROUTE_IGNORED) for defect in defects
    )
    away = 0 if ignored else away_permille(weights)
    rulings = [r for r in found.rulings if _service_of(r.parent, key.namespace) == key]
    not_in_force = _not_in_force(rulings)
    return Split(
        kind=KIND,
        name=meta.name,
        resource_version=meta.resource_version,
        away_permille=away,
        weights=weights,
        record=decode_record(meta.annotations, key),
        defects=defects,
        foreign=foreign_owner(meta, ("spec", "rules")),
        editor=editor,
        edited=edited,
        port=_port(found, key),
        parent_port=next(p.port for p in found.parents if _service_of(p, key.namespace) == key),
        carried=f'{{"parentRefs":{found.parents_written},"rules":{found.rules_written}}}',
        not_in_force=not_in_force,
        in_force_permille=0 if not_in_force else away,
        answered=bool(rulings),
    )


def _not_in_force(rulings: Sequence[RouteRuling]) -> str:
    """Return why Linkerd is not seen to follow the route as it stands, "" where it says that it does."""
    if not rulings:
        return (
            "Linkerd has not written into its status that it accepts it (linkerd.io/policy-controller), and"
            " follows none that it does not"
        )
    if not all(ruling.accepted == "True" for ruling in rulings):
        return "Linkerd does not accept it"
    if any(ruling.outdated for ruling in rulings):
        return "Linkerd's word in its status is of an earlier generation of it"
    return ""


def body(write: WriteSplit, mirror: str) -> dict[str, Any]:
    """Return the whole HTTPRoute to create, or the merge patch: every rule that was found, with these weights.

    Raises ValueError for a share that is none, and where no port is known: both are errors of ours.
    """
    sides = dict(zip((write.key.service, mirror), weights_for(write.away_permille), strict=True))
    if write.port is None:
        raise ValueError(f"{write.key}: a backend of an HTTPRoute needs a port")
    known = msgspec.json.decode(write.carried) if write.carried else {}
    rules = [_rewritten(rule, sides, write) for rule in known.get("rules") or [{}]]
    spec: dict[str, Any] = {"rules": rules}
    parents = [_short_parent(parent, write.key) for parent in known.get("parentRefs") or ()]
    if not parents:
        parents = [{"group": "", "kind": "Service", "name": write.key.service, "port": write.port}]
    if parents != known.get("parentRefs"):
        spec["parentRefs"] = parents
    return {"metadata": metadata_for(write), "spec": spec}


def _rewritten(rule: dict[str, Any], sides: dict[str, int], write: WriteSplit) -> dict[str, Any]:
    """Return a rule with these weights: what else it says stays, and so does what a backend says of itself.

    A backend that is no side of the Service is somebody's: it stays too, and gets no calls.
    """
    found: dict[str | None, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for ref in rule.get("backendRefs") or ():
        name = short_name(str(ref.get("name", "")), write.key.namespace)
        if name in sides and _is_own(ref, write.key):
            found.setdefault(name, ref)
        else:
            others.append({**ref, "weight": 0})
    refs = [
        {"group": "", "kind": "Service", "port": write.port}
        | found.get(name, {})
        | {"name": name, "weight": weight}
        for name, weight in sides.items()
    ]
    return {**rule, "backendRefs": refs + others}


def _is_own(ref: dict[str, Any], key: Key) -> bool:
    """Return whether a backend as it is written is a Service of this namespace."""
    kind = (ref.get("group") or "", ref.get("kind") or "Service")
    return kind in _SERVICE and (ref.get("namespace") or key.namespace) == key.namespace


def _short_parent(parent: dict[str, Any], key: Key) -> dict[str, Any]:
    name = str(parent.get("name", ""))
    ours = parent.get("kind") == "Service" and short_name(name, key.namespace) == key.service
    return {**parent, "name": key.service} if ours else parent


def _port(found: HTTPRouteObject, key: Key) -> int | None:
    """Return the port that calls go to: that of the backends, else that of the parent."""
    ports = [backend.port for rule in found.rules for backend in rule.backends]
    ports += [p.port for p in found.parents if _service_of(p, key.namespace) == key]
    return next((port for port in ports if port is not None), None)


def _weights(found: HTTPRouteObject, key: Key, mirror: str) -> tuple[Weights, tuple[Defect, ...]]:
    """Sum the weights by side, of rules that all say the same; what is no side, or no weight, is a defect."""
    defects: list[Defect] = []
    by_rule: list[Weights] = []
    for rule in found.rules:
        sums: dict[str, Decimal] = {}
        for backend in rule.backends:
            name = _side(backend, key, mirror)
            if name is not None and backend.weight is not None:
                sums[name] = sums.get(name, Decimal(0)) + backend.weight
            defects += _backend_flaws(backend, key, mirror)
        by_rule.append(Weights(sums.get(key.service), sums.get(mirror)))
        defects += _rule_flaws(rule)
    shares = {away_permille(weights) for weights in by_rule}
    if len(shares) > 1:
        said = " and ".join(f"{share / 10:g} %" for share in sorted(shares))
        defects.append(
            Defect(
                Reason.RULES_DIFFER,
                f"its rules send different shares to {mirror}, {said}: give them all the same weights,"
                " or one rule",
                repairable=False,
            )
        )
    weights = max(by_rule, key=away_permille, default=Weights(None, None))
    return weights, tuple(dict.fromkeys(defects))


def _side(backend: RouteBackend, key: Key, mirror: str) -> str | None:
    """Return the side of the Service that a backend is, None where it is none."""
    name = short_name(backend.name, key.namespace)
    own = backend.is_service and backend.namespace == key.namespace
    return name if own and name in (key.service, mirror) else None


def _backend_flaws(backend: RouteBackend, key: Key, mirror: str) -> Iterable[Defect]:
    side = _side(backend, key, mirror)
    if backend.weight is None or backend.weight < 0:
        what = "is no number" if backend.weight is None else "is negative"
        yield Defect(
            Reason.WEIGHTS_HARMFUL,
            f"the weight of {backend.name} {what}: write weights of 0 to 1,000",
            repairable=False,
        )
    elif side is None:
        kind = "" if backend.is_service else f"{backend.kind} "
        yield Defect(
            Reason.BACKEND_FOREIGN,
            stranger(f"{kind}{backend.name}", backend.weight, key.service, mirror),
            repairable=False,
        )
    elif "." in backend.name:
        yield Defect(
            Reason.BACKEND_NOT_SHORT,
            f"the backend {backend.name} is not a short name, so there is no such Service: Linkerd"
            f" answers 500 to its part; write {side}",
            repairable=False,
        )
    elif backend.port is None:
        yield Defect(
            Reason.BACKEND_WITHOUT_PORT,
            f"the backend {backend.name} has no port: Linkerd answers 500 to its part; write the"
            " Service's port",
            repairable=False,
        )


def _rule_flaws(rule: RouteRule) -> Iterable[Defect]:
    weights = [backend.weight for backend in rule.backends]
    if weights and all(weight == 0 for weight in weights):
        yield Defect(
            Reason.WEIGHTS_ALL_ZERO,
            "all weights are 0: proxies that read this route break; write weights of 0 to 1,000 that are"
            " not all 0, and restart the callers",
            repairable=False,
        )


def _parents(found: HTTPRouteObject, key: Key, weights: Weights) -> Iterable[Defect]:
    """Find who else the route is for: its weights are theirs too. A dotted parent is no Service at all."""
    own = [p for p in found.parents if _service_of(p, key.namespace) == key]
    others = [p for p in found.parents if p not in own] + own[1:]
    if others:
        what = ", ".join(f"{p.kind} {p.name}" for p in others)
        yield Defect(
            Reason.PARENTS_FOREIGN,
            f"it is also for {what}, whose calls our weights would move: give the Service a route of its"
            " own, with one parent",
            repairable=False,
        )
    if "." in own[0].name:
        local = away_permille(weights) == 0
        tail = (
            "its weights say so too, so a short name changes no traffic"
            if local
            else f"its weights would send {away_permille(weights) / 10:g} % to the mirror at once: set"
            " them to what you mean, all local, or delete the route"
        )
        yield Defect(
            Reason.SPLIT_IGNORED,
            f"its parent is {own[0].name}: there is no Service of that name, so Linkerd ignores the route"
            f" and sends every call to the local Service; {tail}",
            repairable=local,
        )


def _filters(found: HTTPRouteObject) -> Iterable[Defect]:
    """Find filters that make the weights count for nothing."""
    for name in sorted({name for rule in found.rules for name in rule.filters} - FOLLOWED):
        if name == REDIRECT:
            yield Defect(
                Reason.ROUTE_REDIRECTS,
                "a rule answers with a redirect, so its weights count for nothing: remove the filter",
                repairable=False,
            )
        else:
            yield Defect(
                Reason.ROUTE_IGNORED,
                f"it has the filter {name}, for which Linkerd ignores the whole route and sends every"
                " call to the local Service: remove the filter",
                repairable=False,
            )


def _refused(found: HTTPRouteObject, key: Key) -> Iterable[Defect]:
    """Believe Linkerd where it says itself that it does not follow the route.

    A dotted parent is no Service, so Linkerd refuses it: that has its own defect, and its own repair.
    """
    for ruling in found.rulings:
        dotted = "." in ruling.parent.name
        if (
            ruling.accepted == "False"
            and not dotted
            and _service_of(ruling.parent, key.namespace) == key
        ):
            why = f" ({ruling.message})" if ruling.message else ""
            yield Defect(
                Reason.ROUTE_NOT_ACCEPTED,
                f"Linkerd does not accept it{why}, and follows none that it does not: see the condition"
                " Accepted in its status",
                repairable=False,
            )
