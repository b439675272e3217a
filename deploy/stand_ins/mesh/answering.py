"""The SMI adaptor and the policy controller alone, for API servers that no mesh stands behind.

Without them a split means nothing (docs/mesh-facts.md, 26 and 32), so whoever tests the product on bare API servers
needs them. :class:`AtOnce` works on the store of an embedded one within the write itself, as virtual time needs
it; :class:`Answering` follows any API server, also a real one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from deploy.stand_ins.apiserver import Event, Store
from deploy.stand_ins.apiserver.writes import Target, Writes
from deploy.stand_ins.mesh.adaptor import SKIP, SmiAdaptor, with_overrides, without_overrides
from deploy.stand_ins.mesh.config import (
    DOMAIN,
    ClusterConfig,
    Key,
    Object,
    key_of,
    parents_of,
    profile_name,
)
from deploy.stand_ins.mesh.kube import SERVICES, KubeClient
from deploy.stand_ins.mesh.policy import PolicyController, status_of
from deploy.stand_ins.mesh.watch import Follow

LISTED_WITHIN_S = 10.0
ADAPTOR = "smi-adaptor"
"""The field manager of what the adaptor writes."""


class AtOnce:
    """Obeys the splits in one store. ``acts``: while it is false nobody writes anything; ``routes``: this Linkerd
    knows HTTPRoutes; ``domain``: that of the cluster's DNS."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self.acts = True
        self.routes = True
        self.domain = DOMAIN
        self._store = store
        self._clock = clock
        self._writes = Writes(store, clock)
        self._config = ClusterConfig()
        for stored in store.objects("services"):
            self._config.put("Service", stored.body)
        store.listen(self._changed)

    def catch_up(self) -> None:
        """Act again, on all that stands there."""
        self.acts = True
        for plural in ("trafficsplits", "httproutes"):
            for stored in self._store.objects(plural) if plural in self._store.resources else ():
                self._obey(plural, stored.body)

    def _changed(self, event: Event) -> None:
        body, plural = event.stored.body, event.stored.resource.plural
        if plural == "services":
            if event.type == "DELETED":
                self._config.drop("Service", key_of(body))
            else:
                self._config.put("Service", body)
            self._decide_again(key_of(body))
        elif self.acts and event.type != "DELETED":
            self._obey(plural, body)
        elif self.acts and plural == "trafficsplits":
            self._let_go(body)

    def _obey(self, plural: str, body: Object) -> None:
        if plural == "trafficsplits" and (body.get("spec") or {}).get("service"):
            profile = self._profile(body)
            self._put(profile, with_overrides(body, profile, self.domain))
        elif plural == "httproutes" and self.routes:
            now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            status = status_of(body, self._config, now)
            if status != body.get("status"):
                self._update("httproutes", {**body, "status": status}, "status")

    def _decide_again(self, service: Key) -> None:
        """Say anew of the routes for a Service whether they are accepted."""
        served = self.acts and "httproutes" in self._store.resources
        for stored in self._store.objects("httproutes") if served else ():
            if service in parents_of(stored.body):
                self._obey("httproutes", stored.body)

    def _let_go(self, split: Object) -> None:
        """Take the overrides of a split that was deleted away."""
        profile = self._profile(split)
        if profile is not None:
            self._put(profile, without_overrides(profile))

    def _profile(self, split: Object) -> Object | None:
        namespace = split["metadata"]["namespace"]
        name = profile_name((namespace, str(split["spec"]["service"])), self.domain)
        found = self._store.get("serviceprofiles", namespace, name)
        return found.body if found else None

    def _put(self, before: Object | None, wanted: Object) -> None:
        if before == wanted or SKIP in (
            (before or {}).get("metadata", {}).get("annotations") or {}
        ):
            return
        if before is not None:
            self._update("serviceprofiles", wanted)
            return
        target = self._target("serviceprofiles", wanted["metadata"]["namespace"])
        self._writes.create(target, self._typed(target, wanted), ADAPTOR)

    def _update(self, plural: str, body: Object, subresource: str = "") -> None:
        metadata = body["metadata"]
        found = self._store.get(plural, metadata["namespace"], metadata["name"])
        if found is None:
            return
        target = self._target(plural, metadata["namespace"], metadata["name"], subresource)
        at = {**metadata, "resourceVersion": str(found.version)}
        self._writes.update(target, self._typed(target, {**body, "metadata": at}), ADAPTOR)

    def _target(self, plural: str, namespace: str, name: str = "", subresource: str = "") -> Target:
        resource = self._store.resources[plural]
        return Target(resource, resource.versions[0], namespace, name, subresource)

    @staticmethod
    def _typed(target: Target, body: Object) -> dict[str, Any]:
        kind = target.resource
        return {**body, "apiVersion": kind.api_version(target.version), "kind": kind.kind}


class Answering:
    """Obeys the splits of one API server, until it is stopped."""

    def __init__(self, api: KubeClient, rng: random.Random, *, routes: bool = True) -> None:
        self._config = ClusterConfig()
        self._services = Follow(
            api,
            SERVICES,
            put=lambda found: self._config.put("Service", found),
            drop=lambda key: self._config.drop("Service", key),
            rng=rng,
        )
        self._routes = routes
        self.adaptor = SmiAdaptor(api, rng)
        self.policy_controller = PolicyController(api, self._config, rng)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """List what stands there, and follow it. Raises TimeoutError."""
        self._following = asyncio.create_task(self._services.run())
        async with asyncio.timeout(LISTED_WITHIN_S):
            await self._services.listed.wait()
            await self.adaptor.start()
            if self._routes:
                await self.policy_controller.start()

    async def stop(self) -> None:
        """Write no more."""
        await self.adaptor.stop()
        await self.policy_controller.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
