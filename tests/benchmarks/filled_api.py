"""An embedded API server in a process of its own, filled with Services.

    python -m tests.benchmarks.filled_api CLUSTER LEGACY EKS [fleet]

LEGACY and EKS are how many Services stand there; with a Fleet that names them. Prints its URL once everything is
there, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.apiserver.kubeconfig import kubeconfig
from tests.benchmarks.inventory import Inventory

FILLED_S = 120.0


async def serve(cluster: str, inventory: Inventory) -> None:
    """Fill and serve until standard input ends."""
    async with EmbeddedApi(cluster) as api:
        for resource, body in inventory.objects(cluster):
            api.put({"apiVersion": resource.api, "kind": resource.kind, **body})
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def filled(cluster: str, inventory: Inventory) -> AsyncIterator[dict[str, Any]]:
    """Run this module as a process of its own; give a kubeconfig of it once everything is there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.filled_api",
        cluster,
        str(inventory.legacy),
        str(inventory.eks),
        *(["fleet"] if inventory.fleet else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(FILLED_S):
            url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError(f"the API server of {cluster} ended at its start")
        yield kubeconfig(cluster, url, None, None)
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(
        serve(sys.argv[1], Inventory(int(sys.argv[2]), int(sys.argv[3]), "fleet" in sys.argv))
    )
