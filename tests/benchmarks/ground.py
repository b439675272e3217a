"""Two API servers with Services in them, seen by watches of the benchmark's own.

Migrations are lifted above the baseline without waiting for PASS: the controller enrols the Service, then the
benchmark writes weights and record as the controller would, and ``paused`` keeps them there, armed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from controller.decide.resolve import away_for, stored
from controller.domain import PREFIX, Attempt, Key, MigrationSpec, Record, SplitKind, WriteSplit
from controller.domain.annotations import read
from controller.mesh.splits import mirror_name
from controller.mesh.splits.kinds import PROVIDERS
from deploy.local.observed import FLEETS, MIGRATIONS, weights_of
from deploy.local.pair import EVENTS
from deploy.servers.kube_apiserver import RealApi
from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY, ApiAccess
from deploy.stand_ins.mesh.answering import Answering, AtOnce
from deploy.stand_ins.mesh.gateway import NAMESPACE as GATEWAYS
from deploy.stand_ins.mesh.kube import PROFILES, ROUTES, SERVICES, SPLITS, KubeClient
from deploy.stand_ins.mesh.watch import Follow
from tests.benchmarks.inventory import NAMESPACE, PODS, Inventory

CLUSTERS: Final = (LEGACY, EKS)
OBJECTS: Final = {SplitKind.TRAFFICSPLIT: SPLITS, SplitKind.HTTPROUTE: ROUTES}
SHARE_PERMILLE: Final = 250
PORT: Final = 80
WRITERS: Final = 16
WAIT_S: Final = 60.0
LOOK_S: Final = 0.02
"""How long what changed waits before it is asked whether something holds: hundreds of Services change at once."""


class Ground:
    """Both clusters between ``__aenter__`` and ``__aexit__``; the API servers are started and stopped."""

    def __init__(self, apis: Mapping[str, EmbeddedApi | RealApi], inventory: Inventory) -> None:
        self.inventory = inventory
        self.apis = apis
        self._events: list[Mapping[str, Any]] = []
        self._clients: dict[str, KubeClient] = {}
        self._away: dict[tuple[str, str], tuple[int, float]] = {}
        self._pins: set[tuple[str, str]] = set()
        self._status: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()
        self._following: list[asyncio.Task[None]] = []
        self._answering: list[Answering] = []

    async def __aenter__(self) -> Ground:
        """Start the servers, fill them, and watch what the controller writes."""
        try:
            for cluster, api in self.apis.items():
                await api.start()
                self._clients[cluster] = KubeClient(_access(api))
            await asyncio.gather(*(self._fill(cluster) for cluster in CLUSTERS))
            await asyncio.gather(*(self._answer(cluster) for cluster in CLUSTERS))
            await asyncio.gather(*(self._follow(cluster) for cluster in CLUSTERS))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the watches and the servers."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await asyncio.gather(*(answering.stop() for answering in self._answering))
        await asyncio.gather(*(client.close() for client in self._clients.values()))
        await asyncio.gather(*(api.stop() for api in self.apis.values()))

    def kubeconfigs(self) -> dict[str, dict[str, Any]]:
        """Return the kubeconfig of each cluster."""
        return {cluster: api.kubeconfig() for cluster, api in self.apis.items()}

    # --- what its users do --------------------------------------------------------------------------

    async def annotate(self, service: str, specs: Mapping[str, str]) -> None:
        """Annotate the Service in legacy, as kubectl does."""
        body = {"metadata": {"annotations": {PREFIX + k: v for k, v in specs.items()}}}
        client = self._clients[LEGACY]
        await client.merge(SERVICES, (NAMESPACE, service), body, "kubectl-annotate")

    async def fleet(self, name: str, spec: Mapping[str, Any], **asked: str) -> None:
        """Apply a Fleet in legacy, with what people ask by hand."""
        said = {PREFIX + key: value for key, value in asked.items()}
        meta = {"name": name, "namespace": "", "annotations": said}
        await self._clients[LEGACY].apply(FLEETS, {"metadata": meta, "spec": spec})

    async def ask_fleet(self, name: str, **asked: str) -> None:
        """Annotate a Fleet, as kubectl does."""
        body = {"metadata": {"annotations": {PREFIX + k: v for k, v in asked.items()}}}
        await self._clients[LEGACY].merge(FLEETS, ("", name), body, "kubectl-annotate")

    async def enrol(
        self, service: str, specs: Mapping[str, str], kind: SplitKind = SplitKind.TRAFFICSPLIT
    ) -> None:
        """Ask for eks, paused, with splits that stand already, and wait until both pins were seen."""
        await self.stand(service, kind)
        await self.annotate(service, {**specs, "target": EKS, "paused": "true"})
        await self.until_pinned(service)

    async def stand(self, service: str, kind: SplitKind = SplitKind.TRAFFICSPLIT) -> None:
        """Make somebody's splits of a Service: legacy serves the callers of both clusters."""
        for cluster in CLUSTERS:
            away = 0 if cluster == LEGACY else 1000
            await self._split(cluster, service, away, Record(kind), kind)

    async def until_pinned(self, service: str) -> None:
        """Wait until both pins of a Service were seen."""
        await self.until(
            lambda: all((cluster, service) in self._pins for cluster in CLUSTERS),
            f"{service} was not enrolled",
        )

    async def lift(
        self, service: str, specs: Mapping[str, str], kind: SplitKind = SplitKind.TRAFFICSPLIT
    ) -> None:
        """Put an enrolled Service at 25 %, with the record that the controller would have written."""
        record = shifted_record(specs, kind)
        for cluster in CLUSTERS:
            away = away_for(SHARE_PERMILLE, is_target=cluster == EKS)
            await self._split(cluster, service, away, record, kind)
        await self.until(
            lambda: self.phase(service) == "Holding", f"{service} was not taken up at 25 %"
        )

    # --- what is seen ---------------------------------------------------------------------------------

    def phase(self, service: str) -> str:
        """Return the phase that the Migration of a Service shows, "" without one."""
        return str(self._status.get(service, {}).get("phase", ""))

    def told(self, service: str, text: str) -> bool:
        """Return whether an Event on a Service says this."""
        return any(
            event["involvedObject"]["name"] == service and text in event["message"]
            for event in self._events
        )

    def home_s(self, service: str, clusters: Sequence[str] = CLUSTERS) -> float | None:
        """Return the time at which the last split of these clusters was seen home; None while one is not."""
        found = [self._away[cluster, service] for cluster in clusters]
        home = [0 if cluster == LEGACY else 1000 for cluster in clusters]
        return max(at_s for _, at_s in found) if [away for away, _ in found] == home else None

    async def until_home(self, service: str) -> float:
        """Wait until both splits are home; give when that was seen, monotonic."""
        await self.until(
            lambda: self.home_s(service) is not None, f"{service} was not brought home"
        )
        found = self.home_s(service)
        assert found is not None
        return found

    async def until_reverted(self, service: str) -> None:
        """Wait until the last thing that the controller writes of a revert was seen: its Event."""
        await self.until(
            lambda: self.told(service, "Reverted:"), f"{service} was not told to be Reverted"
        )

    async def until(
        self, holds: Callable[[], bool], otherwise: str, limit_s: float = WAIT_S
    ) -> None:
        """Wait until something that is watched makes this true. Raises TimeoutError."""
        try:
            async with asyncio.timeout(limit_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise TimeoutError(f"{otherwise} within {limit_s:g} s") from None

    # --- how it is done -------------------------------------------------------------------------------

    async def _fill(self, cluster: str) -> None:
        client = self._clients[cluster]
        remaining = self.inventory.objects(cluster)

        async def write() -> None:
            for resource, body in remaining:
                await client.apply(resource, body)

        await asyncio.gather(*(write() for _ in range(WRITERS)))

    async def _answer(self, cluster: str) -> None:
        """Have the splits obeyed: without the SMI adaptor and the policy controller nobody is back."""
        api = self.apis[cluster]
        if isinstance(api, EmbeddedApi):
            AtOnce(api.store, lambda: datetime.now(UTC))
            return
        answering = Answering(self._clients[cluster], random.Random(1))
        self._answering.append(answering)
        await answering.start()

    async def _follow(self, cluster: str) -> None:
        for resource, put in (
            (SPLITS, self._put_split),
            (ROUTES, self._put_split),
            (PROFILES, self._put_pin),
            (MIGRATIONS, self._put_migration),
            (EVENTS, self._put_event),
        ):
            follow = Follow(
                self._clients[cluster],
                resource,
                put=_told(put, cluster, self._changed),
                drop=lambda _: None,
                rng=random.Random(1),
            )
            self._following.append(asyncio.create_task(follow.run()))
            await follow.listed.wait()

    def _put_split(self, cluster: str, found: Mapping[str, Any]) -> None:
        now_s = monotonic()
        name = found["metadata"]["name"]
        away = int(weights_of(found["spec"])[mirror_name(name, _far(cluster))])
        known = self._away.get((cluster, name))
        if known is None or known[0] != away:
            self._away[cluster, name] = (away, now_s)

    def _put_pin(self, cluster: str, found: Mapping[str, Any]) -> None:
        if found["metadata"]["namespace"] == GATEWAYS:
            self._pins.add((cluster, found["metadata"]["name"].partition(".")[0]))

    def _put_migration(self, _cluster: str, found: Mapping[str, Any]) -> None:
        self._status[found["metadata"]["name"]] = found.get("status") or {}

    def _put_event(self, _cluster: str, found: Mapping[str, Any]) -> None:
        self._events.append(found)

    async def _split(
        self, cluster: str, service: str, away: int, record: Record, kind: SplitKind
    ) -> None:
        """Somebody's split, where the record is bare, else one as the controller would have written it."""
        body = written_split(cluster, service, away, record)
        client = self._clients[cluster]
        if record.attempt is None:
            del body["metadata"]["annotations"]
            await client.apply(OBJECTS[kind], body)
        else:
            await client.merge(OBJECTS[kind], (NAMESPACE, service), body, "migrate-controller")


def shifted_record(specs: Mapping[str, str], kind: SplitKind) -> Record:
    """Return the record that the controller would have written at 25 % of an attempt to eks."""
    texts = {PREFIX + key: text for key, text in specs.items()} | {PREFIX + "target": EKS}
    spec = read({LEGACY: texts}, CLUSTERS)
    assert isinstance(spec, MigrationSpec), spec
    now = datetime.now(UTC)
    attempt = Attempt(1, LEGACY, EKS, dict.fromkeys(CLUSTERS, 0), PODS, stored(spec), now)
    return Record(kind, fencing_token=1, attempt=attempt, share_permille=SHARE_PERMILLE, since=now)


def written_split(cluster: str, service: str, away: int, record: Record) -> dict[str, Any]:
    """Return what the controller would have written for a split of a cluster, of the record's kind."""
    write = WriteSplit(
        cluster=cluster,
        key=Key(NAMESPACE, service),
        kind=record.kind,
        away_permille=away,
        record=record,
        resource_version=None,
        name=service,
        port=PORT,
    )
    return PROVIDERS[record.kind].body(write, mirror_name(service, _far(cluster)))


def _told(
    put: Callable[[str, Mapping[str, Any]], None], cluster: str, changed: asyncio.Event
) -> Callable[[Mapping[str, Any]], None]:
    def tell(found: Mapping[str, Any]) -> None:
        put(cluster, found)
        changed.set()

    return tell


def _far(cluster: str) -> str:
    return EKS if cluster == LEGACY else LEGACY


def _access(api: EmbeddedApi | RealApi) -> ApiAccess:
    if isinstance(api, RealApi):
        return ApiAccess(api.url, api.tokens[0], api.ca_pem().decode())
    return ApiAccess(api.url)
