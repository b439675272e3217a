"""The policy controller's other half: it writes what it thinks of an HTTPRoute into the route's status (26).

What it thinks says nothing of whether anybody obeys: a route on an opaque port is Accepted all the same (24).
Its conditions have no ``observedGeneration``: Linkerd's source sets none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from deploy.stand_ins.mesh.config import (
    ClusterConfig,
    Key,
    Object,
    Topic,
    backends_of,
    is_headless,
    key_of,
    parents_of,
    service_parents,
)
from deploy.stand_ins.mesh.keyed import KeyedWork
from deploy.stand_ins.mesh.kube import ROUTES, KubeClient
from deploy.stand_ins.mesh.watch import Follow

CONTROLLER: Final = "linkerd.io/policy-controller"
STATUS_DELAY_S: Final = 0.1
"""How long the status of a new route is empty."""


def status_of(route: Object, config: ClusterConfig, now: str) -> dict[str, Any]:
    """Return the status of a route: what others said of it stays, and what was so before keeps its time."""
    before = (route.get("status") or {}).get("parents") or ()
    kept = [parent for parent in before if parent["controllerName"] == CONTROLLER]
    others = [parent for parent in before if parent not in kept]
    own = [_parent(route, ref, config, now) for ref in service_parents(route)]
    same = [*map(_meaning, kept)] == [*map(_meaning, own)]
    return {"parents": [*others, *(kept if same else own)]}


def _parent(route: Object, ref: Object, config: ClusterConfig, now: str) -> dict[str, Any]:
    findings = _findings(route, ref, config)
    return {
        "parentRef": dict(ref),
        "controllerName": CONTROLLER,
        "conditions": [_condition(kind, true, reason, now) for kind, true, reason in findings],
    }


def _findings(route: Object, ref: Object, config: ClusterConfig) -> Iterable[tuple[str, bool, str]]:
    parent = config.holds((key_of(route)[0], str(ref["name"])))
    if parent is None or is_headless(parent):
        yield "Accepted", False, "NoMatchingParent"
    else:
        yield "Accepted", True, "Accepted"
    if all(config.holds(backend) is not None for backend in backends_of(route)):
        yield "ResolvedRefs", True, "ResolvedRefs"
    else:
        yield "ResolvedRefs", False, "BackendNotFound"


def _condition(kind: str, true: bool, reason: str, now: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": "",
        "lastTransitionTime": now,
    }


def _meaning(parent: Object) -> object:
    said = [(c["type"], c["status"], c["reason"]) for c in parent.get("conditions") or ()]
    return parent.get("parentRef"), said


def _nothing() -> None:
    """Do nothing: there is no subscription to end."""


class PolicyController:
    """Writes the statuses of one cluster's routes. It can be stopped and started.

    Stopped, it leaves new routes without a status; what proxies obey is the cluster's config all the same.
    """

    def __init__(self, api: KubeClient, config: ClusterConfig, rng: random.Random) -> None:
        self._api = api
        self._config = config
        self._rng = rng
        self._routes: dict[Key, Object] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] = _nothing

    async def start(self) -> None:
        """Begin to write."""
        self._routes = {}
        self._work = KeyedWork(self._write, self._rng)
        follow = Follow(self._api, ROUTES, put=self._put, drop=self._drop, rng=self._rng)
        self._unsubscribe = self._config.subscribe(self._changed)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(follow.run()), loop.create_task(self._work.run())]
        await follow.listed.wait()

    async def stop(self) -> None:
        """Write no more. Does nothing when it does not run."""
        self._unsubscribe()
        self._unsubscribe = _nothing
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _put(self, route: Object) -> None:
        self._routes[key_of(route)] = route
        self._soon(key_of(route))

    def _drop(self, key: Key) -> None:
        self._routes.pop(key, None)

    def _changed(self, topic: Topic) -> None:
        about, service = topic
        if about == "endpoints":
            return
        for key, route in self._routes.items():
            if service in parents_of(route) or service in backends_of(route):
                self._soon(key)

    def _soon(self, key: Key) -> None:
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(STATUS_DELAY_S, self._due, key)

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self._work.touch(key)

    async def _write(self, key: Key) -> None:
        route = self._routes.get(key)
        if route is None:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = status_of(route, self._config, now)
        if status != route.get("status"):
            await self._api.write_status(ROUTES, key, status)
