"""``convert``: an HTTPRoute takes the place of a TrafficSplit, where all calls are local.

While both stand the TrafficSplit is the one that Linkerd follows (facts 13), and the controller holds with
SecondSplit. Deleting it sends everything local at once (facts 12): hence only where everything is local, and the
route that is there by then says so too. Cut off at any moment, one of the two is in force, and doing it again
finishes it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from controller.cli.api import Api, unanswered
from controller.cli.arguments import Asked
from controller.cli.asking import agreed, listed
from controller.cli.exit_codes import Exit, Failure, tell_failed
from controller.cli.reading import service
from controller.cli.selection import Selection, select
from controller.cli.verbs import Found
from controller.decide.writes import together
from controller.domain import (
    PREFIX,
    WHOLE,
    Key,
    Port,
    Record,
    Split,
    SplitKind,
    Unreadable,
    WriteSplit,
)
from controller.domain.ports import why_no_route
from controller.kube.api import Backoff, Conflict, NotFound, Refused
from controller.kube.api.discovery import PLACES
from controller.kube.objects import (
    DECODERS,
    OPAQUE_PORTS,
    HTTPRouteObject,
    OtherRouteObject,
    Resource,
    ServiceObject,
    SplitObject,
    TrafficSplitObject,
)
from controller.mesh import conflicts
from controller.mesh.splits import httproute, short_name
from controller.mesh.splits.kinds import PROVIDERS

TRIES = 5
ADAPTOR_S = 10.0
"""The SMI adaptor removes its overrides as soon as it sees the split go."""


@dataclass(frozen=True, slots=True)
class ServiceSplits:
    """A Service in one cluster, and its splits of both kinds; ``others`` are routes of its namespace that are none."""

    service: ServiceObject
    splits: tuple[SplitObject, ...]
    routes: tuple[SplitObject, ...]
    others: tuple[OtherRouteObject, ...] = ()

    @property
    def stronger(self) -> tuple[str, ...]:
        """What would beat the HTTPRoute, in words (facts 26)."""
        own = [route for route in self.routes if isinstance(route, HTTPRouteObject)]
        taken = [conflicts.of(route, "").get(self.key) for route in self.others]
        return conflicts.judge(filter(None, taken), own, self.service.ports).winning

    @property
    def key(self) -> Key:
        """The Service."""
        return Key(self.service.metadata.namespace, self.service.metadata.name)

    @property
    def ports(self) -> tuple[Port, ...]:
        """The Service's ports that a split can move."""
        return tuple(port for port in self.service.ports if port.protocol == "TCP")

    @property
    def mirror(self) -> str:
        """The Service's mirror, as the TrafficSplit names it."""
        names = [
            short_name(backend.service, self.key.namespace)
            for split in self.splits
            if isinstance(split, TrafficSplitObject)
            for backend in split.spec.backends
        ]
        return next((name for name in names if name and name != self.key.service), "")


def route_for(found: ServiceSplits, now: datetime) -> WriteSplit | None:
    """Return the routes to make, one for each port, None where they stand already. Raises Failure where there is
    nothing to convert, or where converting would move somebody or forget something."""
    split = _split(found)
    record = _record(split)
    _refuse_service(found)
    if split.away_permille > 0:
        served = (WHOLE - split.away_permille) / 10
        raise Failure(
            f"this cluster serves {served:g} % of its calls to {found.key.service} itself: without its"
            " TrafficSplit the others would come back at once, so it is converted only where that is 100 %"
        )
    attempt = record.attempt
    if attempt and not (record.completed or record.reverted):
        raise Failure(
            f"attempt {attempt.number} to {attempt.target} is under way: convert before it, or when it"
            " is completed or reverted"
        )
    converted = msgspec.structs.replace(record, kind=SplitKind.HTTPROUTE, converted=now)
    begun = _begun(found)
    writes = [
        write
        for port in found.ports
        if (write := _route(found, converted, port, begun.get(port.number)))
    ]
    return next(iter(together(writes)), None)


def _route(
    found: ServiceSplits, converted: Record, port: Port, begun: tuple[Split, Record] | None
) -> WriteSplit | None:
    """Return the write of the route of one port, None where it stands already."""
    if begun is None:
        return _write(found, converted, port, None)
    route, theirs = begun
    same = msgspec.structs.replace(converted, converted=theirs.converted)
    stands = same == theirs and route.away_permille == 0 and not route.defects
    return None if stands else _write(found, same, port, route)


def _begun(found: ServiceSplits) -> dict[int | None, tuple[Split, Record]]:
    """Return by port the routes that an earlier convert made, with their records. Raises Failure where one is
    another's."""
    begun: dict[int | None, tuple[Split, Record]] = {}
    for each in found.routes:
        route = PROVIDERS[SplitKind.HTTPROUTE].read(each, found.key, found.mirror, None)
        record = route.record if route else None
        ours = isinstance(record, Record) and record.converted is not None
        if route is None or not isinstance(record, Record) or not ours:
            raise Failure(
                f"the HTTPRoute {each.metadata.name} for {found.key.service} stands there and is not of"
                " convert: delete it, or the TrafficSplit, whichever is not used"
            )
        begun[route.parent_port] = (route, record)
    return begun


def _split(found: ServiceSplits) -> Split:
    """Return the one TrafficSplit that there is. Raises Failure."""
    name = found.key.service
    if not found.splits:
        what = "an HTTPRoute already" if found.routes else "no split"
        raise Failure(f"{name} has {what} in this cluster, and no TrafficSplit to convert")
    if len(found.splits) > 1:
        raise Failure(f"{name} has {len(found.splits)} TrafficSplits: delete those not used first")
    if not found.mirror:
        raise Failure(
            f"the TrafficSplit of {name} names no mirror, so nobody can be sent there: enrol it"
        )
    split = PROVIDERS[SplitKind.TRAFFICSPLIT].read(found.splits[0], found.key, found.mirror, None)
    assert split is not None  # noqa: S101 - it was found by its Service
    for defect in split.defects:
        if not defect.repairable:
            raise Failure(f"the TrafficSplit {split.name}: {defect.message}")
    return split


def _record(split: Split) -> Record:
    """Return the record to carry over; a split that has none yet gets that of an enrolled one. Raises Failure."""
    if isinstance(split.record, Unreadable):
        raise Failure(
            f"the TrafficSplit {split.name}: {split.record.message}; put it back, or remove it"
        )
    return split.record or Record(kind=split.kind)


def _refuse_service(found: ServiceSplits) -> None:
    service, name = found.service, found.key.service
    annotations = service.metadata.annotations
    asked: Any = annotations.get(PREFIX + "probe-protocol") if len(service.ports) == 1 else None
    if not found.ports:
        raise Failure(f"{name} has no TCP port, so there is nothing that an HTTPRoute could carry")
    for port in found.ports:
        why = why_no_route(port, annotations.get(OPAQUE_PORTS), asked)
        if why:
            raise Failure(f"an HTTPRoute cannot carry {name}: {why}; or keep the TrafficSplit")
    if found.stronger:
        raise Failure(
            f"{' and '.join(found.stronger)} would beat an HTTPRoute of {name}: remove it first"
        )
    if annotations.get(PREFIX + "split") == SplitKind.TRAFFICSPLIT:
        raise Failure(f"the annotation split of {name} says trafficsplit: remove it first")


def _write(found: ServiceSplits, record: Record, port: Port, route: Split | None) -> WriteSplit:
    name = found.key.service
    if port != found.ports[0]:
        name = f"{name}.{port.number}"
    return WriteSplit(
        cluster="",
        key=found.key,
        kind=SplitKind.HTTPROUTE,
        away_permille=0,
        record=record,
        resource_version=route.resource_version if route else None,
        name=route.name if route else name,
        port=port.number,
        carried=route.carried if route else "",
    )


# --- done -----------------------------------------------------------------------------------------


async def convert_one(api: Api, name: str) -> str:
    """Convert the split of a Service in this cluster; return what was done. Raises Failure, and ApiErrors."""
    backoff = Backoff(0.1, 2.0)
    for _ in range(TRIES):
        found = await _service_splits(api, name)
        try:
            write = route_for(found, api.now())
            for each in write.each() if write else ():
                await api.put_split(Resource.HTTPROUTES, httproute.body(each, found.mirror), each)
            await api.delete(Resource.TRAFFICSPLITS, found.splits[0].metadata)
        except Conflict:
            await asyncio.sleep(backoff.after_failure_s())
            continue
        await _without_overrides(api, found.key)
        return (
            f"{name}: the HTTPRoute took the TrafficSplit's place here, all calls local as before; callers"
            " that were busy follow it once they were idle for 5 s or restarted"
        )
    raise Failure(f"{name}'s splits were changed {TRIES} times meanwhile: run it again")


async def _service_splits(api: Api, name: str) -> ServiceSplits:
    service = await api.service(name)
    try:
        routes = await api.splits(Resource.HTTPROUTES, name)
    except NotFound as error:
        group = PLACES[Resource.HTTPROUTES].group
        raise Failure(f"{api.place} serves no HTTPRoute ({group}): install it first") from error
    try:
        splits = await api.splits(Resource.TRAFFICSPLITS, name)
    except NotFound:
        splits = []
    others = [
        route
        for resource in (Resource.GRPCROUTES, Resource.POLICY_HTTPROUTES)
        for route in await _others(api, resource, service.metadata.namespace)
    ]
    return ServiceSplits(service, tuple(splits), tuple(routes), tuple(others))


async def _others(api: Api, resource: Resource, namespace: str) -> list[OtherRouteObject]:
    """Return the routes of a kind that is never ours; none where they are not served, or may not be read."""
    try:
        raw = await api.items(resource, namespace)
    except (NotFound, Refused):
        return []
    found = (DECODERS[resource](each) for each in raw)
    return [each for each in found if isinstance(each, OtherRouteObject)]


async def _without_overrides(api: Api, key: Key) -> None:
    """Wait until the adaptor has taken its overrides away. Raises Failure where it does not (facts 13)."""
    backoff = Backoff(0.1, 1.0)
    try:
        async with asyncio.timeout(ADAPTOR_S):
            while left := await _overrides(api, key):  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(backoff.after_failure_s())
    except TimeoutError:
        raise Failure(
            f"the TrafficSplit is deleted, but the ServiceProfile {left[0]} still has its overrides and"
            " beats the HTTPRoute: does the SMI adaptor run? Else remove spec.dstOverrides there"
        ) from None


async def _overrides(api: Api, key: Key) -> Sequence[str]:
    found: list[Any] = [
        msgspec.json.decode(raw) for raw in await api.items(Resource.SERVICEPROFILES, key.namespace)
    ]
    return [
        each["metadata"]["name"]
        for each in found
        if each["metadata"]["name"].startswith(f"{key.service}.{key.namespace}.svc.")
        and (each.get("spec") or {}).get("dstOverrides")
    ]


async def convert(api: Api, asked: Asked) -> Exit:
    """Do the verb, for all that are meant. Raises Failure."""
    if asked.one is not None:
        await service(api, asked.one)
        sys.stdout.write(f"{await convert_one(api, asked.one)}\n")
        return Exit.OK
    return await _convert_many(api, await select(api, asked), asked)


async def _convert_many(api: Api, selection: Selection, asked: Asked) -> Exit:
    begun = [found for found in selection.found if found.record or asked.named]
    if len(begun) > 1 and not asked.yes:
        who = f"{len(begun)} Services ({listed([each.name for each in begun])})"
        await agreed(f"put an HTTPRoute in the place of the TrafficSplit of {who}")
    failed = dict(selection.failed)
    for found in begun:
        if why := await _converted(api, found):
            failed[found.name] = why
    total = len(begun) + len(selection.failed)
    sys.stdout.write(f"{total} Services: {total - len(failed)} converted, {len(failed)} failed\n")
    return tell_failed(failed)


async def _converted(api: Api, found: Found) -> Failure | None:
    """Convert one of several; return what it failed with."""
    try:
        said = await convert_one(api.within(found.key.namespace), found.key.service)
        sys.stdout.write(f"{said}\n")
    except Failure as failure:
        return failure
    except Refused as error:
        return unanswered(api, error)
    return None
