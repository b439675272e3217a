"""The controller's memory and start, by how many Services there are.

    python -m tests.benchmarks memory

Two embedded API servers, each in a process of its own, so that only the controller is measured. In eks there are an
eighth as many Services, and each cluster has the other's mirrors. The start is until ``/readyz`` answers 200, the
median of three. No Service is annotated and there are no probers; once a Fleet names 1,000. Memory is read after
every resource was listed twice, because a list holds the new beside the old, as in production every few minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

from tests.benchmarks.filled_api import filled
from tests.benchmarks.ground import CLUSTERS
from tests.benchmarks.inventory import Inventory
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Line, Result, percentile

SIZES = ((1_000, 150, False), (10_000, 300, False), (10_000, 300, True))
"""Services in legacy, the memory in MiB that the controller should stay under, and whether there is a Fleet."""

IN_EKS = 8
"""Of so many Services in legacy one stands in eks too (409 and 51 in the article)."""

STARTS = 3
RELIST_S = 8.0
SETTLE_S = 12.0
"""Longer than :data:`RELIST_S` with its jitter."""

FLEET_SETTLE_S = 75.0
"""Until each of a Fleet was decided on and told of."""


async def measure(say: Progress) -> Result:
    """Measure each size with servers and a controller of its own."""
    lines: list[Line] = []
    rss_mb: dict[str, float] = {}
    start_s = 0.0
    for size, limit_mb, fleet in SIZES:
        inventory = Inventory(size, size // IN_EKS, fleet)
        say(f"filling two embedded API servers: {inventory.told()}")
        starts_s, first_mb, found = await _controller_with(inventory)
        start_s = start_s if fleet else percentile(starts_s, 50)
        rss_mb[f"{size} in a Fleet" if fleet else str(size)] = round(found["VmRSS"], 1)
        lines += [
            Line(
                f"controller's memory, {size:,} Services",
                1,
                f"{found['VmRSS']:.0f} MiB",
                "",
                f"< {limit_mb} MiB",
                f"RSS after a second list of everything; {first_mb:.0f} when ready,"
                f" {found['VmHWM']:.0f} at most; {inventory.told()}",
            ),
            Line(
                f"start -> ready, {size:,} Services",
                STARTS,
                f"{start_s:.2f} s",
                f"{max(starts_s):.2f} s",
                "< 5 s" if inventory.legacy == 10_000 else "",
                "from the process's start until /readyz answers 200; the JSON has the median",
            ),
        ]
    return Result(tuple(lines), {"rss_mb": rss_mb, "start_to_ready_s": round(start_s, 2)})


async def _controller_with(inventory: Inventory) -> tuple[list[float], float, dict[str, float]]:
    """Return the seconds until ready of each start; of the last one the RSS then, and memory at the end."""
    starts_s: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configs = {
            name: await stack.enter_async_context(filled(name, inventory)) for name in CLUSTERS
        }
        for _ in range(STARTS - 1):
            product = Product(folder, configs)
            stack.push_async_exit(product)
            starts_s.append(await product.start())
            await product.stop()
        product = Product(folder, configs, relist_s=RELIST_S)
        stack.push_async_exit(product)
        starts_s.append(await product.start())
        first_mb = product.memory_mb()["VmRSS"]
        await asyncio.sleep(FLEET_SETTLE_S if inventory.fleet else SETTLE_S)
        return starts_s, first_mb, product.memory_mb()
