"""How long until everybody of a Fleet is back, from the one annotation that asks for it.

    python -m tests.benchmarks fleet

A Fleet names 100 Services, which say nothing themselves; all of them stand at 25 %, armed, with the default settings
of the product. Each counts from the moment in which ``rollback: all`` is sent until a watch of the benchmark's own has
seen both of its splits at their baseline.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import monotonic

from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import NAMESPACE, Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Result, spread, spread_line
from tests.benchmarks.stand_in import StandIn

SIZE = 100
SPECS = {"slo-success": "99"}
FLEET = "to-eks"
ROUNDS = 3
BACK_S = 60.0
AT_ONCE = 10
TARGET_MS = 2_000


async def measure(say: Progress) -> Result:
    """Measure each round with servers of its own."""
    found = [back for number in range(ROUNDS) for back in await _round(number, say)]
    how = f"{ROUNDS} rounds; from one annotation on the Fleet until both splits of each are home"
    line = spread_line(f"Fleet of {SIZE} -> home", found, f"p99 < {TARGET_MS:,} ms", how)
    return Result((line,), {"fleet_rollback_ms": spread(found)})


def fleet_spec(names: list[str]) -> dict[str, object]:
    """Return a Fleet of one wave that names these Services."""
    wave = {"name": "all-of-them", "services": [{"namespace": NAMESPACE, "names": names}]}
    return {"target": EKS, "defaults": SPECS, "maxInProgress": SIZE, "waves": [wave]}


async def _round(number: int, say: Progress) -> list[float]:
    names = [service_name(each) for each in range(SIZE)]
    with tempfile.TemporaryDirectory() as folder:
        apis = {name: EmbeddedApi(name) for name in CLUSTERS}
        async with (
            Ground(apis, Inventory(SIZE, SIZE)) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls),
        ):
            say(f"round {number + 1} of {ROUNDS}: {SIZE} are armed")
            await asyncio.gather(*(ground.stand(name) for name in names))
            await ground.fleet(FLEET, fleet_spec(names), paused="true")
            await asyncio.gather(*(ground.until_pinned(name) for name in names))
            for first in range(0, SIZE, AT_ONCE):
                some = names[first : first + AT_ONCE]
                await asyncio.gather(*(ground.lift(name, SPECS) for name in some))
            await asyncio.gather(*(stand_in.until_healthy(name) for name in names))
            say("rollback: all")
            began_s = monotonic()
            await ground.ask_fleet(FLEET, rollback="all")
            await ground.until(
                lambda: all(ground.home_s(name) is not None for name in names),
                f"not all of {SIZE} were brought home",
                BACK_S,
            )
            home_s = [ground.home_s(name) for name in names]
    return [at_s - began_s for at_s in home_s if at_s is not None]
