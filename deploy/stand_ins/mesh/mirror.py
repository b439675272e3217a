"""The service mirror: what the other cluster exports appears here as ``<name>-<cluster>``.

Follows Linkerd's service mirror: labels (without ``mirror.linkerd.io/*``) and annotations of the
remote Service are copied; Endpoints of the mirror's name lead to the other cluster's gateway, and an
EndpointSlice like the one that Kubernetes makes from such Endpoints. They are emptied when the remote
Service has no ready endpoint, and not ready while the gateway does not answer its probe. A mirror that was
made before its Service's endpoints were known stays empty until the next repair (29). The mirror of a port
has no appProtocol: Linkerd's service mirror drops it (24).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp

from deploy.stand_ins.mesh.addresses import wire
from deploy.stand_ins.mesh.config import (
    DOMAIN,
    EXPORTED,
    GATEWAY_IDENTITY,
    MIRRORED,
    REMOTE_NAME,
    SERVICE_NAME,
    Key,
    Object,
    key_of,
    profile_name,
)
from deploy.stand_ins.mesh.gateway import PORT, PROBE_PORT
from deploy.stand_ins.mesh.kube import ENDPOINTS, SERVICES, SLICES, ApiError, KubeClient, Resource
from deploy.stand_ins.mesh.objects import slice_name
from deploy.stand_ins.mesh.watch import Follow

CLUSTER_NAME: Final = "mirror.linkerd.io/cluster-name"
REMOTE_VERSION: Final = "mirror.linkerd.io/remote-resource-version"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
MIRRORING_CONTROLLER: Final = "endpointslicemirroring-controller.k8s.io"

_OWN: Final = "mirror.linkerd.io/"
_WRITERS: Final = 16
_TRIES: Final = 10
_RETRY_S: Final = (0.2, 5.0)

Reach = Literal["ready", "not ready", "empty"]
"""Whether the mirror leads somewhere."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteGateway:
    """The other cluster, by the name its Link gives it, its gateway, and the domain of its DNS."""

    cluster: str
    ip: str
    identity: str
    domain: str = DOMAIN


@dataclass(frozen=True, slots=True)
class Probing:
    """How the gateway is probed: seconds between probes, failures in a row that count, deadline.

    ``recovery_s``: for how long the probe goes on to fail when the gateway is back. Up to 28 s in a real
    pair (29), by the mirror's own proxy; 0 here, unless a story is about it.
    """

    period_s: float = 3.0
    failures: int = 3
    timeout_s: float = 30.0
    recovery_s: float = 0.0


PROBING: Final = Probing()
"""Not ready 6 to 9 s after the gateway began to refuse (29), after 90 s when it hangs: the Link's probeSpec."""

REPAIR_S: Final = 0.5
"""How often all mirrors are repaired: a minute in a real cluster (29), scaled down here."""


def mirror_service(remote: Object, cluster: str, domain: str = DOMAIN) -> dict[str, Any]:
    """Return the mirror of a Service of that cluster, whose DNS has this domain."""
    meta = remote["metadata"]
    namespace, name = key_of(remote)
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if not k.startswith(_OWN)}
    ports = [
        {k: port[k] for k in ("name", "port", "protocol") if k in port}
        for port in (remote.get("spec") or {}).get("ports") or ()
    ]
    return {
        "metadata": {
            "name": f"{name}-{cluster}",
            "namespace": namespace,
            "labels": {**labels, MIRRORED: "true", CLUSTER_NAME: cluster},
            "annotations": {
                **(meta.get("annotations") or {}),
                REMOTE_NAME: profile_name((namespace, name), domain),
                REMOTE_VERSION: meta.get("resourceVersion", ""),
            },
        },
        "spec": {"ports": ports},
    }


def mirror_endpoints(mirror: Object, gateway: RemoteGateway, reach: Reach) -> dict[str, Any]:
    """Return the Endpoints of a mirror."""
    field = "addresses" if reach == "ready" else "notReadyAddresses"
    subset = {field: [{"ip": gateway.ip}], "ports": _gateway_ports(mirror)}
    return {
        "metadata": {
            "name": mirror["metadata"]["name"],
            "namespace": mirror["metadata"]["namespace"],
            "labels": {MIRRORED: "true", CLUSTER_NAME: gateway.cluster},
            "annotations": _annotations(mirror, gateway),
        },
        "subsets": [] if reach == "empty" else [subset],
    }


def mirror_slice(mirror: Object, gateway: RemoteGateway, reach: Reach) -> dict[str, Any]:
    """Return the EndpointSlice that Kubernetes makes from the Endpoints of a mirror."""
    name = mirror["metadata"]["name"]
    ready = reach == "ready"
    endpoint = {"addresses": [gateway.ip], "conditions": {"ready": ready, "serving": ready}}
    return {
        "metadata": {
            "name": slice_name(name),
            "namespace": mirror["metadata"]["namespace"],
            "labels": {
                MIRRORED: "true",
                CLUSTER_NAME: gateway.cluster,
                SERVICE_NAME: name,
                MANAGED_BY: MIRRORING_CONTROLLER,
            },
            "annotations": _annotations(mirror, gateway),
        },
        "addressType": "IPv4",
        "endpoints": [] if reach == "empty" else [endpoint],
        "ports": [] if reach == "empty" else _gateway_ports(mirror),
    }


def _annotations(mirror: Object, gateway: RemoteGateway) -> dict[str, str]:
    remote_name = mirror["metadata"]["annotations"][REMOTE_NAME]
    return {GATEWAY_IDENTITY: gateway.identity, REMOTE_NAME: remote_name}


def _gateway_ports(mirror: Object) -> list[dict[str, Any]]:
    return [
        {
            **({"name": port["name"]} if "name" in port else {}),
            "port": PORT,
            "protocol": port.get("protocol", "TCP"),
        }
        for port in mirror["spec"]["ports"]
    ]


class ServiceMirror:
    """The mirroring of one cluster into another. Runs between :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        local: KubeClient,
        remote: KubeClient,
        gateway: RemoteGateway,
        *,
        rng: random.Random,
        probing: Probing = PROBING,
        repair_s: float = REPAIR_S,
    ) -> None:
        self._repair_s = repair_s
        self._unfilled: set[Key] = set()
        self._repaired = asyncio.Event()
        self._local = local
        self._gateway = gateway
        self._rng = rng
        self._probing = probing
        self._exported: dict[Key, Object] = {}
        self._ready: dict[Key, dict[Key, bool]] = {}
        self._slice_owner: dict[Key, Key] = {}
        self._written: dict[Key, dict[Resource, Object]] = {}
        self._stale: set[Key] = set()
        self._alive = True
        self._queue: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._busy: set[Key] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._services = Follow(
            remote, SERVICES, put=self._put_service, drop=self._drop_service, rng=rng
        )
        self._slices = Follow(remote, SLICES, put=self._put_slice, drop=self._drop_slice, rng=rng)

    async def start(self) -> None:
        """Begin. Mirrors of before are taken over, those of nothing are deleted."""
        self._run(self._services.run())
        self._run(self._slices.run())
        await self._services.listed.wait()
        await self._slices.listed.wait()
        present, _ = await self._local.list(SERVICES)
        ending = f"-{self._gateway.cluster}"
        for obj in present:
            if (obj["metadata"].get("labels") or {}).get(CLUSTER_NAME) == self._gateway.cluster:
                namespace, name = key_of(obj)
                origin = (namespace, name.removesuffix(ending))
                self._stale.add(origin)
                self._touch(origin)
        self._run(self._probe())
        self._run(self._repair())
        for _ in range(_WRITERS):
            self._run(self._write())

    async def stop(self) -> None:
        """End; what was written stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until everything told so far is written, by a repair where it takes one."""
        await self._queue.join()
        while any(self._has_ready(key) for key in self._unfilled):
            await self._repaired.wait()
            await self._queue.join()

    def repair(self) -> None:
        """Fill the mirrors that were made before their endpoints were known, as happens by itself in time."""
        unfilled, self._unfilled = self._unfilled, set()
        for key in unfilled:
            self._touch(key)
        self._repaired.set()
        self._repaired.clear()

    def _run(self, job: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(job))

    def _put_service(self, obj: Object) -> None:
        key = key_of(obj)
        if (obj["metadata"].get("labels") or {}).get(EXPORTED) == "true":
            self._exported[key] = obj
            self._touch(key)
        else:
            self._drop_service(key)

    def _drop_service(self, key: Key) -> None:
        if self._exported.pop(key, None) is not None:
            self._touch(key)

    def _put_slice(self, obj: Object) -> None:
        self._drop_slice(key_of(obj))
        owner = (obj["metadata"].get("labels") or {}).get(SERVICE_NAME)
        if not owner:
            return
        service = (key_of(obj)[0], owner)
        ready = any(
            (endpoint.get("conditions") or {}).get("ready") is not False
            for endpoint in obj.get("endpoints") or ()
        )
        self._slice_owner[key_of(obj)] = service
        self._ready.setdefault(service, {})[key_of(obj)] = ready
        self._touch(service)

    def _drop_slice(self, key: Key) -> None:
        service = self._slice_owner.pop(key, None)
        if service is not None:
            del self._ready[service][key]
            self._touch(service)

    def _touch(self, key: Key) -> None:
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait(key)

    async def _write(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                # One writer per mirror: two at once could end in either order.
                if key not in self._busy:
                    self._busy.add(key)
                    try:
                        await self._write_one(key)
                    finally:
                        self._busy.discard(key)
            finally:
                self._queue.task_done()

    async def _write_one(self, key: Key) -> None:
        pause, longest = _RETRY_S
        failures = 0
        while key in self._queued:
            self._queued.discard(key)
            try:
                await self._reconcile(key)
            except (ApiError, aiohttp.ClientError, OSError) as error:
                log.info("mirror of %s/%s not written: %r", *key, error)
                failures = 0 if key in self._queued else failures + 1
                if failures == _TRIES:
                    log.warning("mirror of %s/%s given up until it changes", *key)
                    return
                await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
                pause = min(longest, pause * 2)
                self._queued.add(key)

    async def _reconcile(self, key: Key) -> None:
        remote = self._exported.get(key)
        before = self._written.get(key, {})
        exists = bool(before) or key in self._stale
        if remote is None:
            self._unfilled.discard(key)
            if exists:
                await self._remove((key[0], f"{key[1]}-{self._gateway.cluster}"))
                self._written.pop(key, None)
                self._stale.discard(key)
            return
        if not exists and not self._has_ready(key):
            self._unfilled.add(key)
        mirror = mirror_service(remote, self._gateway.cluster, self._gateway.domain)
        reach = self._reach(key)
        wanted: dict[Resource, Object] = {
            SERVICES: mirror,
            ENDPOINTS: mirror_endpoints(mirror, self._gateway, reach),
            SLICES: mirror_slice(mirror, self._gateway, reach),
        }
        for resource, obj in wanted.items():
            if before.get(resource) != obj:
                await self._local.apply(resource, obj, exists=exists)
        self._written[key] = wanted
        self._stale.discard(key)

    async def _remove(self, mirror: Key) -> None:
        await self._local.delete(SERVICES, mirror)
        await self._local.delete(ENDPOINTS, mirror)
        await self._local.delete(SLICES, (mirror[0], slice_name(mirror[1])))

    def _reach(self, key: Key) -> Reach:
        if key in self._unfilled or not self._has_ready(key):
            return "empty"
        return "ready" if self._alive else "not ready"

    def _has_ready(self, key: Key) -> bool:
        return any(self._ready.get(key, {}).values())

    async def _repair(self) -> None:
        while True:
            await asyncio.sleep(self._repair_s)
            self.repair()

    async def _probe(self) -> None:
        failed = 0
        loop = asyncio.get_running_loop()
        failed_at = -self._probing.recovery_s
        while True:
            answered = await self._gateway_answers()
            failed = 0 if answered else failed + 1
            if not answered:
                failed_at = loop.time()
            recovered = self._alive or loop.time() - failed_at >= self._probing.recovery_s
            alive = (answered and recovered) or (self._alive and failed < self._probing.failures)
            if alive != self._alive:
                self._alive = alive
                log.info("gateway of %s is alive: %s", self._gateway.cluster, alive)
                for key in self._exported:
                    self._touch(key)
            jitter = self._rng.uniform(0.9, 1.1)
            await asyncio.sleep(self._probing.period_s * jitter)

    async def _gateway_answers(self) -> bool:
        writer = None
        try:
            async with asyncio.timeout(self._probing.timeout_s):
                reader, writer = await asyncio.open_connection(wire(self._gateway.ip), PROBE_PORT)
                writer.write(b"GET /ready HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
                line = await reader.readline()
        except OSError:
            return False
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        return line.startswith(b"HTTP/1.1 200")
