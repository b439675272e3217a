"""What several verbs read of one Service: itself, its Migration, and the record on its split."""

from __future__ import annotations

from controller.cli import verbs
from controller.cli.api import Api
from controller.cli.exit_codes import Failure
from controller.cli.migration import Migration
from controller.cli.verbs import Found
from controller.kube.api import Refused
from controller.kube.objects import ServiceObject


async def service(api: Api, name: str) -> ServiceObject:
    """Read a Service. Raises Failure where there is none, or where it is a mirror."""
    read = await api.service(name)
    verbs.refuse_mirror(read)
    return read


async def reported(api: Api, name: str) -> Migration:
    """Read a Migration that is to be shown; where there is none, the Service says more about why."""
    migration = await api.migration(name)
    if migration is None:
        raise Failure(verbs.no_migration(Found(await service(api, name))))
    return migration


async def found_of(api: Api, name: str) -> Found:
    """Read a Service and what is known of its migration. Raises Failure as :func:`service` does."""
    read = await service(api, name)
    migration = await api.migration(name)
    record = await api.record(name)
    clusters = migration.status.pair if migration else None
    if clusters is None and record and record.attempt:
        clusters = (record.attempt.origin, record.attempt.target)
    return Found(read, migration, record, clusters or await _pair(api))


async def _pair(api: Api) -> tuple[str, str] | None:
    """Learn the clusters' names from any other Migration here: there is one pair for all."""
    try:
        others, _ = await api.migrations(everywhere=False)
    except (Failure, Refused):
        return None
    return next((other.status.pair for other in others if other.status.pair), None)
