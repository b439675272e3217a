"""The SMI adaptor: what makes a TrafficSplit mean something (docs/mesh-facts.md, 32).

Proxies read ServiceProfiles. The adaptor writes a split's backends as overrides into the profile of its
Service, beside the Service, and takes them away when the split is deleted. While it does not run, a split
moves nobody, in either direction, and the overrides of one that was deleted stay (13). Of two splits for
one Service the one that it was told of last counts.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from deploy.stand_ins.mesh.config import DOMAIN, Key, Object, key_of, profile_name
from deploy.stand_ins.mesh.keyed import KeyedWork
from deploy.stand_ins.mesh.kube import PROFILES, KubeClient, Resource
from deploy.stand_ins.mesh.watch import Follow

SPLITS: Final = Resource("TrafficSplit", "split.smi-spec.io/v1alpha1", "trafficsplits")
"""The version that the adaptor asks for (its source), whichever people write."""

SKIP: Final = "smi.linkerd.io/skip"
"""The annotation of a ServiceProfile that the adaptor leaves alone."""

_Task = tuple[Key, str]
"""A TrafficSplit, and the Service that it was for when something happened to it."""


def with_overrides(split: Object, profile: Object | None, domain: str = DOMAIN) -> dict[str, Any]:
    """Return the ServiceProfile of a split's Service with the split's backends as overrides."""
    namespace, _ = key_of(split)
    service = str(split["spec"]["service"])
    overrides = [
        {
            # The name is taken as it stands: a backend as FQDN makes an authority that is nobody's (17).
            "authority": profile_name((namespace, str(backend["service"])), domain),
            "weight": str(backend.get("weight") or 0),
        }
        for backend in split["spec"].get("backends") or ()
    ]
    named = {"name": profile_name((namespace, service), domain), "namespace": namespace}
    before = profile or {"metadata": named, "spec": {}}
    return {**before, "spec": {**(before.get("spec") or {}), "dstOverrides": overrides}}


def without_overrides(profile: Object) -> dict[str, Any]:
    """Return the ServiceProfile with no overrides; the rest of it stays."""
    spec = {k: v for k, v in (profile.get("spec") or {}).items() if k != "dstOverrides"}
    return {**profile, "spec": spec}


class SmiAdaptor:
    """One cluster's adaptor; it can be stopped and started as often as one likes."""

    def __init__(self, api: KubeClient, rng: random.Random, domain: str = DOMAIN) -> None:
        self._api = api
        self._domain = domain
        self._rng = rng
        self._splits: dict[Key, Object] = {}
        self._work: KeyedWork[_Task]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def busy(self) -> bool:
        """Whether it has something to write still, of what it was told."""
        return self._work.busy

    async def start(self) -> None:
        """Write what all the splits say now, and follow them."""
        self._splits = {}
        self._work = KeyedWork(self._sync, self._rng)
        follow = Follow(self._api, SPLITS, put=self._put, drop=self._drop, rng=self._rng)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(follow.run()), loop.create_task(self._work.run())]
        await follow.listed.wait()

    async def stop(self) -> None:
        """Write no more; what was written stays. Does nothing when it does not run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _put(self, split: Object) -> None:
        self._splits[key_of(split)] = split
        self._work.touch((key_of(split), _service_of(split)))

    def _drop(self, key: Key) -> None:
        split = self._splits.pop(key, None)
        if split is not None:
            self._work.touch((key, _service_of(split)))

    async def _sync(self, task: _Task) -> None:
        (namespace, _), service = task
        split = self._splits.get(task[0])
        named = service if split is None else _service_of(split)
        profile = await self._api.get(
            PROFILES, (namespace, profile_name((namespace, named), self._domain))
        )
        if profile is not None and SKIP in (profile["metadata"].get("annotations") or {}):
            return
        if split is not None:
            wanted = with_overrides(split, profile, self._domain)
        elif profile is not None:
            wanted = without_overrides(profile)
        else:
            return
        if profile != wanted:
            await self._api.apply(PROFILES, wanted, exists=profile is not None)


def _service_of(split: Object) -> str:
    return str((split.get("spec") or {}).get("service"))
