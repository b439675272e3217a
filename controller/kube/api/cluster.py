"""One cluster as the controller has it: what is known of it as a stream of changes, beside requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from controller.kube.api.access import ClusterAccess
from controller.kube.api.client import Client
from controller.kube.api.expiry import End
from controller.kube.api.reflector import Absorb, Reflector
from controller.kube.api.timings import Chance, Pace
from controller.kube.api.transport import DEADLINE_S, Meter
from controller.kube.objects import Resource


class Cluster(Client):
    """A cluster by its name in the Link, that is also watched."""

    def __init__(
        self,
        name: str,
        access: ClusterAccess,
        *,
        meter: Meter,
        log: Any,
        pace: Pace | None = None,
        chance: Chance | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._meter = meter
        self._log = log
        self._pace = pace or Pace()
        self._chance = chance or Chance()
        super().__init__(
            name, access, meter=meter, deadline_s=deadline_s, monotonic=self._chance.monotonic
        )

    async def credentials_end(self) -> End | None:
        """Return when the credentials for it end, None where that cannot be read, or is this Pod's own affair."""
        return await self.transport.credentials_end()

    async def run(self, apply: Absorb, watched: Iterable[Resource]) -> None:
        """Deliver what is seen of these to ``apply``, synchronously and in order per resource, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource in watched:
                reflector = Reflector(
                    self.name,
                    resource,
                    self.transport,
                    self._places,
                    apply,
                    meter=self._meter,
                    log=self._log,
                    pace=self._pace,
                    chance=self._chance,
                )
                group.create_task(reflector.run(), name=f"{self.name}/{resource.value}")
