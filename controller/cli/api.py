"""The few requests to the one cluster: Migrations, Services and splits are read, annotations written."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from controller.cli.exit_codes import Failure
from controller.cli.kubeconfig import Place
from controller.cli.migration import Migration, read_migration
from controller.cli.service_labels import metas
from controller.domain import PREFIX, Key, Record, WriteSplit
from controller.domain.spelling import nearest
from controller.kube.api import (
    ApiError,
    Client,
    ClusterAccess,
    NotFound,
    Refused,
    Unavailable,
)
from controller.kube.objects import (
    DECODERS,
    LeaseObject,
    Metadata,
    Resource,
    ServiceObject,
    SplitObject,
)
from controller.mesh.splits import decode_record
from controller.mesh.splits.kinds import PROVIDER_OF

CLI_MANAGER = "kubectl-migrate"
"""By which the API server, and so the Migration, names who asked."""

Change = Mapping[str, str | None]
"""Of annotations, without the prefix; None removes one."""

Account = tuple[str, str]
"""A service account: namespace and name."""


D = TypeVar("D")


class _Allowed(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Allowed = msgspec.field(default_factory=_Allowed)


class Api:
    """One namespace of one cluster. Every request has a deadline of 10 s and raises the ApiError family.

    With an ``account`` everything is asked as that service account, which one must be allowed to act as.
    """

    def __init__(self, place: Place, account: Account | None = None) -> None:
        self.place = place
        self._client = Client(
            str(place),
            ClusterAccess(place.kubeconfig, place.context),
            meter=_Unmetered(),
            user_agent=CLI_MANAGER,
            as_user=_user(account) if account else "",
        )

    async def __aenter__(self) -> Self:
        """Return itself: connections are made when needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._client.close()

    def within(self, namespace: str) -> Api:
        """Return the same connection, for another namespace."""
        other = copy.copy(self)
        other.place = replace(self.place, namespace=namespace)
        return other

    def now(self) -> datetime:
        """Return the API server's time (UTC); this machine's before the first answer."""
        return self._client.now() or datetime.now(UTC)

    # --- what is read ---------------------------------------------------------------------------------

    async def service(self, name: str) -> ServiceObject:
        """Read a Service. Raises Failure where there is none."""
        try:
            found = await self._client.get(Resource.SERVICES, self.place.namespace, name)
        except NotFound as error:
            lost = f"there is no Service {name} in namespace {self.place.namespace} of {self.place}"
            raise Failure(await self.unknown_namespace() or lost) from error
        assert isinstance(found, ServiceObject)  # noqa: S101 - DECODERS says so by its key
        return found

    async def unknown_namespace(self) -> str:
        """Return that the namespace is not there, and which may be meant; "" where it is, or may not be read."""
        name = self.place.namespace
        try:
            await self._client.read(Resource.NAMESPACES, None, name)
        except NotFound:
            near = nearest(name, await self.namespaces())
        except Refused:
            return ""
        else:
            return ""
        hint = f"; did you mean {near}?" if near else ""
        return f"there is no namespace {name} in {self.place}{hint}"

    async def namespaces(self) -> set[str]:
        """List the names of all namespaces, none where they may not be read."""
        try:
            raw = await self.items(Resource.NAMESPACES, None)
        except Refused:
            return set()
        return {key.service for key in metas(raw)}

    async def lease(self, namespace: str, name: str) -> LeaseObject | None:
        """Read a Lease, None where there is none. Raises Refused where that may not be read."""
        try:
            found = await self._client.get(Resource.LEASES, namespace, name)
        except NotFound:
            return None
        return found if isinstance(found, LeaseObject) else None

    async def migration(self, name: str) -> Migration | None:
        """Read the Migration of a Service, None where there is none."""
        try:
            answer = await self._client.read(Resource.MIGRATIONS, self.place.namespace, name)
        except NotFound:
            return None
        return read_migration(_json(answer))

    async def migrations(self, *, everywhere: bool) -> tuple[tuple[Migration, ...], dict[str, Any]]:
        """List the Migrations, of the namespace or of all, by name; also as the list that came."""
        namespace = None if everywhere else self.place.namespace
        try:
            answer = await self._client.read(Resource.MIGRATIONS, namespace)
        except NotFound as error:
            raise Failure(
                f"{self.place} knows no Migrations: is the controller's CRD installed there?"
            ) from error
        listed = _json(answer)
        found = (read_migration(item) for item in listed.get("items") or ())
        return tuple(sorted(found, key=lambda m: (m.namespace, m.service))), listed

    async def record(self, name: str) -> Record | None:
        """Read the controller's record on the Service's split, None where there is none to be read."""
        for resource in PROVIDER_OF:
            try:
                found = await self.splits(resource, name)
            except (NotFound, Refused):
                continue
            for split in found:
                record = decode_record(split.metadata.annotations)
                if isinstance(record, Record):
                    return record
        return None

    async def splits(self, resource: Resource, name: str) -> list[SplitObject]:
        """Read the splits of one kind that are about a Service. Raises NotFound where the kind is not served."""
        namespace = self.place.namespace
        found = (DECODERS[resource](raw) for raw in await self.items(resource, namespace))
        key, provider = Key(namespace, name), PROVIDER_OF[resource]
        return [s for s in found if isinstance(s, SplitObject) and key in provider.services_of(s)]

    async def items(
        self, resource: Resource, namespace: str | None, labels: str = ""
    ) -> list[msgspec.Raw]:
        """List a resource whole in one namespace or (None) in all; what has these labels, where a selector is
        given. Raises NotServed too.
        """
        return await self._client.items(resource, namespace, labels)

    async def fleets(self) -> list[dict[str, Any]]:
        """List the Fleets, as they came. Raises NotServed where the cluster knows none."""
        return [msgspec.json.decode(raw) for raw in await self.items(Resource.FLEETS, None)]

    # --- what is asked --------------------------------------------------------------------------------

    async def rehearse(
        self,
        resource: Resource,
        namespace: str,
        name: str | None,
        body: Mapping[str, Any],
    ) -> None:
        """Have the server do everything for a write of the controller but store it: a merge patch, or (no name) a
        creation. Raises as a write would.
        """
        if name is None:
            await self._client.create(resource, namespace, body, dry_run=True)
        else:
            await self._client.patch(resource, namespace, name, body, dry_run=True)

    async def allowed(self, asked: Mapping[str, str], account: Account | None) -> bool:
        """Ask whether something may be done (``resourceAttributes`` of an access review), by whoever asks or
        by a service account (namespace, name). Raises where that cannot be asked."""
        spec: dict[str, Any] = {"resourceAttributes": asked}
        kind = "SelfSubjectAccessReview"
        if account is not None:
            kind = "SubjectAccessReview"
            spec["user"] = _user(account)
            spec["groups"] = [
                "system:serviceaccounts",
                f"system:serviceaccounts:{account[0]}",
                "system:authenticated",
            ]
        answer = await self._client.transport.request(
            "POST",
            "accessreviews",
            f"/apis/authorization.k8s.io/v1/{kind.lower()}s",
            body=msgspec.json.encode(
                {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
            ),
        )
        return _decoded(answer, _Review).status.allowed

    async def has_account(self, namespace: str, name: str) -> bool:
        """Return whether there is such a service account. Raises Refused where that may not be read."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        try:
            await self._client.transport.request("GET", "serviceaccounts", path)
        except NotFound:
            return False
        return True

    # --- what is written ------------------------------------------------------------------------------

    async def put_split(
        self, resource: Resource, body: Mapping[str, Any], write: WriteSplit
    ) -> None:
        """Make a split, or merge into the one that was read. Raises Conflict where it changed since."""
        namespace = write.key.namespace
        if write.resource_version is None:
            await self._client.create(resource, namespace, body, manager=CLI_MANAGER)
        else:
            await self._client.patch(resource, namespace, write.name, body, manager=CLI_MANAGER)

    async def delete(self, resource: Resource, meta: Metadata) -> None:
        """Delete an object as it was read, if it is still there. Raises Conflict where it changed since."""
        with contextlib.suppress(NotFound):
            await self._client.delete(resource, meta)

    async def annotate(
        self, service: ServiceObject, change: Change, *, dry_run: bool = False
    ) -> None:
        """Write annotations under our prefix. Raises Conflict where the Service changed since it was read."""
        meta = service.metadata
        await self._client.patch(
            Resource.SERVICES,
            meta.namespace,
            meta.name,
            _annotations(meta.resource_version, change),
            manager=CLI_MANAGER,
            dry_run=dry_run,
        )

    async def annotate_fleet(
        self, name: str, version: str, change: Change, *, dry_run: bool = False
    ) -> None:
        """Write annotations of a Fleet. Raises Conflict where it is not of this resource version any more."""
        await self._client.patch(
            Resource.FLEETS,
            "",
            name,
            _annotations(version, change),
            manager=CLI_MANAGER,
            dry_run=dry_run,
        )


def unanswered(api: Api, error: ApiError) -> Failure:
    """Return in a sentence what came of a request in place of an answer."""
    if isinstance(error, Unavailable):
        lost = "; it may have been written all the same" if error.outcome_unknown else ""
        return Failure(f"no usable answer from {api.place}: {error}{lost}")
    return Failure(f"{api.place} refused: {error}")


class _Unmetered:
    """Nothing is counted in a command that lives for a moment."""

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count nothing."""

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Note nothing."""

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Count nothing."""


def _annotations(version: str, change: Change) -> dict[str, Any]:
    """Return a merge patch of annotations, under our prefix unless their keys are whole, of the object at this
    version.
    """
    notes = {key if "/" in key else PREFIX + key: value for key, value in change.items()}
    return {"metadata": {"resourceVersion": version, "annotations": notes}}


def _user(account: Account) -> str:
    return "system:serviceaccount:{}:{}".format(*account)


def _json(answer: bytes) -> dict[str, Any]:
    return _decoded(answer, dict[str, Any])


def _decoded(answer: bytes, kind: type[D]) -> D:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unavailable(f"a malformed answer: {error}") from error
