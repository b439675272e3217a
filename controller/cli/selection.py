"""Which Services are meant by names, ``-l``, ``--all`` and ``-A``, and what is known of each: read in few requests.

However many they are, it is a page of 500 objects per request; only Services that are named are read one by one,
for which nobody needs the right to list them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from controller.cli.api import Api
from controller.cli.arguments import Asked
from controller.cli.exit_codes import Exit, Failure
from controller.cli.migration import Migration, read_migration
from controller.cli.service_labels import is_of_others, metas
from controller.cli.verbs import Found, refuse_mirror
from controller.domain import Key, Record
from controller.kube.api import NotFound, Refused
from controller.kube.objects import (
    DECODERS,
    KubeObject,
    Resource,
    ServiceObject,
    SplitObject,
    Undecodable,
)
from controller.mesh.splits import decode_record
from controller.mesh.splits.kinds import PROVIDER_OF

AT_A_TIME = 16
"""Requests to one cluster at a time."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The Services that are meant, by name. ``failed`` are those that were named and cannot be used, ``left_out``
    those of a crowd that no migration can be about, each with why in a word."""

    found: tuple[Found, ...]
    failed: Mapping[str, Failure] = field(default_factory=dict)
    left_out: Mapping[Key, str] = field(default_factory=dict)


async def select(api: Api, asked: Asked) -> Selection:
    """Read the Services that are meant. Raises Failure where none is."""
    beside = await _beside(api, None if asked.everywhere else api.place.namespace)
    if asked.named:
        return await _named(api, asked, beside)
    services, left_out = await crowd(api, asked)
    if not services and not left_out:
        raise Failure(await nobody(api, asked))
    found = (replace(beside.of(each), everywhere=asked.everywhere) for each in services)
    return Selection(tuple(found), left_out=left_out)


async def again(api: Api, asked: Asked, keys: Iterable[Key]) -> dict[Key, Found]:
    """Read these Services of a selection anew; what is gone is not among them."""
    beside = await _beside(api, None if asked.everywhere else api.place.namespace)
    if asked.named:
        selected = await _named(api, asked, beside)
        return {each.key: each for each in selected.found}
    wanted = set(keys)
    services, _ = await crowd(api, asked)
    return {
        found.key: replace(found, everywhere=asked.everywhere)
        for found in map(beside.of, services)
        if found.key in wanted
    }


async def crowd(api: Api, asked: Asked) -> tuple[list[ServiceObject], dict[Key, str]]:
    """List the Services of ``-l`` or ``--all``, and what is left out of them. Raises Failure for a bad selector."""
    raw = await _selected(api, asked)
    labels = {key: meta.labels or {} for key, meta in metas(raw).items()}
    services: dict[Key, ServiceObject] = {}
    left_out: dict[Key, str] = {}
    for each in (DECODERS[Resource.SERVICES](one) for one in raw):
        if not isinstance(each, ServiceObject):
            continue  # nobody's Service, as the controller sees it: it is told there (ObjectUnreadable)
        key = Key(each.metadata.namespace, each.metadata.name)
        why = _left_out(each, key, labels.get(key, {}))
        if why:
            left_out[key] = why
        else:
            services[key] = each
    return [services[key] for key in sorted(services)], left_out


async def _selected(api: Api, asked: Asked) -> list[msgspec.Raw]:
    namespace = None if asked.everywhere else api.place.namespace
    try:
        return await api.items(Resource.SERVICES, namespace, asked.selector or "")
    except Refused as error:
        if error.status == 400 and asked.selector:
            raise Failure(
                f"-l {asked.selector} is no selector: {error}", code=Exit.USAGE
            ) from error
        raise


def _left_out(service: ServiceObject, key: Key, labels: Mapping[str, str]) -> str:
    """Return why no crowd has this Service, "" where nothing speaks against it."""
    if service.is_mirror:
        return "a mirror"
    if is_of_others(key, labels):
        return "of Kubernetes, Linkerd or the controller"
    if service.type == "ExternalName":
        return "ExternalName"
    return "headless" if service.cluster_ip == "None" else ""


async def nobody(api: Api, asked: Asked) -> str:
    """Return that nothing was selected, and where."""
    if not asked.everywhere and (unknown := await api.unknown_namespace()):
        return unknown
    where = "any namespace" if asked.everywhere else f"namespace {api.place.namespace}"
    labels = f" with {asked.selector}" if asked.selector else ""
    return f"there is no Service{labels} in {where} of {api.place}"


# --- what is known beside the Services ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Beside:
    """Migrations and records by Service, and the pair that any of them names."""

    migrations: Mapping[Key, Migration]
    records: Mapping[Key, Record]
    pair: tuple[str, str] | None

    def of(self, service: ServiceObject) -> Found:
        key = Key(service.metadata.namespace, service.metadata.name)
        return Found(service, self.migrations.get(key), self.records.get(key), self.pair)


async def _beside(api: Api, namespace: str | None) -> _Beside:
    told, *splits = await asyncio.gather(
        *(_readable(api, each, namespace) for each in (Resource.MIGRATIONS, *PROVIDER_OF))
    )
    read = (read_migration(msgspec.json.decode(raw)) for raw in told)
    migrations = {Key(each.namespace, each.service): each for each in read}
    records: dict[Key, Record] = {}
    for resource, raws in zip(PROVIDER_OF, splits, strict=True):
        for raw in raws:
            _note(records, DECODERS[resource](raw), resource)
    return _Beside(migrations, records, _pair(migrations.values(), records.values()))


def _note(records: dict[Key, Record], split: KubeObject | Undecodable, resource: Resource) -> None:
    """Note the record that a split carries, for the Services that it is about."""
    record = decode_record(split.metadata.annotations) if isinstance(split, SplitObject) else None
    if isinstance(split, SplitObject) and isinstance(record, Record):
        for key in PROVIDER_OF[resource].services_of(split):
            records.setdefault(key, record)


def _pair(told: Iterable[Migration], records: Iterable[Record]) -> tuple[str, str] | None:
    """Return the names of the clusters, as any Migration or record has them: there is one pair for all."""
    named = (each.status.pair for each in told)
    begun = ((a.origin, a.target) for each in records if (a := each.attempt))
    return next(filter(None, (*named, *begun)), None)


async def _readable(api: Api, resource: Resource, namespace: str | None) -> list[msgspec.Raw]:
    """List a resource; nothing where it is not served, or may not be read."""
    try:
        return await api.items(resource, namespace)
    except (NotFound, Refused):
        return []


async def _named(api: Api, asked: Asked, beside: _Beside) -> Selection:
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(name: str) -> Found | Failure:
        async with turns:
            try:
                service = await api.service(name)
                refuse_mirror(service)
            except Failure as failure:
                return failure
            except Refused as error:
                return Failure(f"{api.place} refused: {error}")
        return beside.of(service)

    read = dict(
        zip(
            asked.services,
            await asyncio.gather(*(one(name) for name in asked.services)),
            strict=True,
        )
    )
    return Selection(
        tuple(each for each in read.values() if isinstance(each, Found)),
        failed={name: each for name, each in read.items() if isinstance(each, Failure)},
    )
