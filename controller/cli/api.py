"""The few requests to the one cluster: Migrations, Services and splits are read, annotations written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from controller.cli.exit_codes import Failure
from controller.cli.kubeconfig import Place
from controller.cli.migration import Migration, read_migration
from controller.domain import FIELD_MANAGER, PREFIX, Key, Record, WriteSplit
from controller.kube.api import ClusterAccess, NotFound, Refused, Unavailable
from controller.kube.api.discovery import Places
from controller.kube.api.transport import Transport
from controller.kube.objects import (
    DECODERS,
    Metadata,
    Resource,
    ServiceObject,
    SplitObject,
    Undecodable,
)
from controller.mesh.splits import decode_record
from controller.mesh.splits.kinds import PROVIDER_OF

CLI_MANAGER = "kubectl-migrate"
"""By which the API server, and so the Migration, names who asked."""

Change = Mapping[str, str | None]
"""Of annotations, without the prefix; None removes one."""


PAGE = 500
"""Objects of one answer to a list, as kubectl asks for them."""


class _Page(msgspec.Struct):
    more: str = msgspec.field(name="continue", default="")


class _Items(msgspec.Struct):
    items: list[msgspec.Raw] | None = None
    metadata: _Page = msgspec.field(default_factory=_Page)


class _Allowed(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Allowed = msgspec.field(default_factory=_Allowed)


_ITEMS = msgspec.json.Decoder(_Items)
_REVIEW = msgspec.json.Decoder(_Review)
D = TypeVar("D")


Account = tuple[str, str]
"""A service account: namespace and name."""


class Api:
    """One namespace of one cluster. Every request has a deadline of 10 s and raises the ApiError family.

    With an ``account`` everything is asked as that service account, which one must be allowed to act as.
    """

    def __init__(self, place: Place, account: Account | None = None) -> None:
        self.place = place
        access = ClusterAccess(place.kubeconfig, place.context)
        as_user = "system:serviceaccount:{}:{}".format(*account) if account else ""
        self._transport = Transport(
            str(place), access, _Unmetered(), user_agent=CLI_MANAGER, as_user=as_user
        )
        self._places = Places(self._transport)

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
        await self._transport.close()

    def now(self) -> datetime:
        """Return the API server's time (UTC); this machine's before the first answer."""
        return self._transport.clock.now(monotonic()) or datetime.now(UTC)

    async def service(self, name: str) -> ServiceObject:
        """Read a Service. Raises Failure where there is none."""
        path = await self._places.path(Resource.SERVICES, self.place.namespace, name)
        try:
            answer = await self._transport.request("GET", Resource.SERVICES.value, path)
        except NotFound as error:
            raise Failure(
                f"there is no Service {name} in namespace {self.place.namespace} of {self.place}"
            ) from error
        return _service(answer)

    async def migration(self, name: str) -> Migration | None:
        """Read the Migration of a Service, None where there is none."""
        path = await self._places.path(Resource.MIGRATIONS, self.place.namespace, name)
        try:
            answer = await self._transport.request("GET", Resource.MIGRATIONS.value, path)
        except NotFound:
            return None
        return read_migration(_json(answer))

    async def migrations(self, *, everywhere: bool) -> tuple[tuple[Migration, ...], dict[str, Any]]:
        """List the Migrations, of the namespace or of all, by name; also as the list that came."""
        namespace = None if everywhere else self.place.namespace
        path = await self._places.path(Resource.MIGRATIONS, namespace)
        try:
            answer = await self._transport.request("GET", Resource.MIGRATIONS.value, path)
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
        path = await self._places.path(resource, namespace)
        answer = await self._transport.request("GET", resource.value, path)
        found = (DECODERS[resource](raw) for raw in _ITEMS.decode(answer).items or ())
        key, provider = Key(namespace, name), PROVIDER_OF[resource]
        return [s for s in found if isinstance(s, SplitObject) and key in provider.services_of(s)]

    async def items(self, resource: Resource, namespace: str | None) -> list[msgspec.Raw]:
        """List a resource whole, page by page, in one namespace or (None) in all. Raises NotServed too."""
        path = await self._places.path(resource, namespace)
        found: list[msgspec.Raw] = []
        query = {"limit": str(PAGE)}
        while True:
            answer = await self._transport.request("GET", resource.value, path, query=query)
            page = _decoded(_ITEMS, answer)
            found += page.items or ()
            if not page.metadata.more:
                return found
            query = {"limit": str(PAGE), "continue": page.metadata.more}

    async def rehearse(
        self,
        resource: Resource,
        namespace: str,
        name: str | None,
        body: Mapping[str, Any],
    ) -> None:
        """Have the server do everything for a write but store it: a merge patch, or (no name) a creation.

        Admission, quotas, schema and the right to do it are all asked. Raises as a write would.
        """
        if name is None:
            body = await self._places.typed(resource, body)
        await self._transport.request(
            "POST" if name is None else "PATCH",
            resource.value,
            await self._places.path(resource, namespace, name or ""),
            query={"fieldManager": FIELD_MANAGER, "dryRun": "All"},
            body=msgspec.json.encode(body),
            content_type="application/json" if name is None else "application/merge-patch+json",
        )

    async def allowed(self, asked: Mapping[str, str], account: Account | None) -> bool:
        """Ask whether something may be done (``resourceAttributes`` of an access review), by whoever asks or
        by a service account (namespace, name). Raises where that cannot be asked."""
        spec: dict[str, Any] = {"resourceAttributes": asked}
        kind = "SelfSubjectAccessReview"
        if account is not None:
            kind = "SubjectAccessReview"
            namespace, name = account
            spec["user"] = f"system:serviceaccount:{namespace}:{name}"
            spec["groups"] = [
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ]
        answer = await self._transport.request(
            "POST",
            "accessreviews",
            f"/apis/authorization.k8s.io/v1/{kind.lower()}s",
            body=msgspec.json.encode(
                {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
            ),
        )
        return _decoded(_REVIEW, answer).status.allowed

    async def has_account(self, namespace: str, name: str) -> bool:
        """Return whether there is such a service account. Raises Refused where that may not be read."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        try:
            await self._transport.request("GET", "serviceaccounts", path)
        except NotFound:
            return False
        return True

    async def put_split(
        self, resource: Resource, body: Mapping[str, Any], write: WriteSplit
    ) -> None:
        """Make a split, or merge into the one that was read. Raises Conflict where it changed since."""
        make = write.resource_version is None
        path = await self._places.path(resource, write.key.namespace, "" if make else write.name)
        if make:
            body = await self._places.typed(resource, body)
        await self._transport.request(
            "POST" if make else "PATCH",
            resource.value,
            path,
            query={"fieldManager": CLI_MANAGER},
            body=msgspec.json.encode(body),
            content_type="application/json" if make else "application/merge-patch+json",
        )

    async def delete(self, resource: Resource, meta: Metadata) -> None:
        """Delete an object as it was read, if it is still there. Raises Conflict where it changed since."""
        path = await self._places.path(resource, meta.namespace, meta.name)
        same = {"resourceVersion": meta.resource_version, "uid": meta.uid}
        try:
            await self._transport.request(
                "DELETE",
                resource.value,
                path,
                body=msgspec.json.encode({"preconditions": same}),
            )
        except NotFound:
            return

    async def annotate(self, service: ServiceObject, change: Change) -> None:
        """Write annotations under our prefix. Raises Conflict where the Service changed since it was read."""
        meta = service.metadata
        body = {
            "metadata": {
                "resourceVersion": meta.resource_version,
                "annotations": {PREFIX + key: value for key, value in change.items()},
            }
        }
        path = await self._places.path(Resource.SERVICES, meta.namespace, meta.name)
        await self._transport.request(
            "PATCH",
            Resource.SERVICES.value,
            path,
            query={"fieldManager": CLI_MANAGER},
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
        )


class _Unmetered:
    """Nothing is counted in a command that lives for a moment."""

    def api_call(self, cluster: str, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count nothing."""

    def watch_heard(self, cluster: str, resource: str) -> None:
        """Note nothing."""

    def watch_broke(self, cluster: str, resource: str) -> None:
        """Count nothing."""


def _service(answer: bytes) -> ServiceObject:
    found = DECODERS[Resource.SERVICES](answer)
    if isinstance(found, Undecodable):
        raise Unavailable(f"a malformed answer: {found.message}")
    assert isinstance(found, ServiceObject)  # noqa: S101 - DECODERS says so by its key
    return found


def _decoded(decoder: msgspec.json.Decoder[D], answer: bytes) -> D:
    try:
        return decoder.decode(answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unavailable(f"a malformed answer: {error}") from error


def _json(answer: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Unavailable(f"a malformed answer: {error}") from error
