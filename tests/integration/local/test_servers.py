"""Other people's servers as children: however long they are to live, none outlives that."""

from __future__ import annotations

import pytest

from deploy.servers.processes import ServerFailed, Servers


async def _never() -> bool:
    return False


async def test_a_server_that_is_started_after_its_lifetime_ends_at_once() -> None:
    """A timer that ran out before the first child was there has still to end it."""
    servers = Servers("late", lifetime_s=0.0)
    servers.ended.wait()

    async def start() -> None:
        async with servers.starting(30.0):
            servers.start("sleep", ["sleep", "60"])
            await servers.until(_never)

    with pytest.raises(ServerFailed, match="late: sleep ended with -9"):
        await start()
