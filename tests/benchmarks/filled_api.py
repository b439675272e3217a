"""An embedded API server in a process of its own, filled with Services.

    python -m tests.benchmarks.filled_api CLUSTER LEGACY EKS

LEGACY and EKS are how many Services stand there. Prints its URL once everything is there, and ends when
its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from deploy.local.apiserver import EmbeddedApi
from tests.benchmarks.inventory import Inventory


async def serve(cluster: str, inventory: Inventory) -> None:
    """Fill and serve until standard input ends."""
    async with EmbeddedApi(cluster) as api:
        for resource, body in inventory.objects(cluster):
            api.put({"apiVersion": resource.api, "kind": resource.kind, **body})
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Inventory(int(sys.argv[2]), int(sys.argv[3]))))
