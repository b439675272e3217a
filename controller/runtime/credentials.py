"""Looks every minute when the credentials for each cluster end, so that somebody is told before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from controller.kube.api.expiry import End

LOOK_S = 60.0


class Ending(Protocol):
    """What of a cluster is asked."""

    async def credentials_end(self) -> End | None:
        """Return when the credentials for it end."""


async def watch_ends(
    clusters: Mapping[str, Ending],
    tell: Callable[[str, datetime | None], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    look_s: float = LOOK_S,
) -> None:
    """Tell, by cluster, when somebody has to have renewed its credentials: None, where nobody has to. Ends when
    cancelled."""
    while True:
        for name, cluster in clusters.items():
            end = await cluster.credentials_end()
            tell(name, end.at if end and end.needs_person(now()) else None)
        await asyncio.sleep(look_s)
