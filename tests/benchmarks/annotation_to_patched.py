"""How long from ``abort`` until both splits are at their baseline, on two real API servers, for each kind of split.

    python -m tests.benchmarks annotation_to_patched

From the sending of the annotation's PATCH until a watch of the benchmark's own has seen both splits at
their baseline weights. The Services are rolled back one after the other, each after the one before is
Reverted; tens of TrafficSplits and of HTTPRoutes take turns, so that both meet the same machine. Each
server has 1,000 Services; ten at a time stand at 25 % and are probed at 10/s.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from itertools import product
from pathlib import Path
from time import monotonic

from controller.domain import SplitKind
from deploy.servers.kube_apiserver import MISSING, RealApi, find_binaries
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import CannotMeasure, Result, spread, spread_line
from tests.benchmarks.stand_in import StandIn

SERVICES = 1000
MEASURED = 100
TOGETHER = 10
"""How many stand above the baseline, and are probed, at a time."""

PAUSE_S = (0.1, 0.3)
"""Between the end of one and the next, so that each is measured by itself; random against all beats."""

SEED = 1
WISHES: dict[str, str] = {}


async def measure(say: Progress) -> Result:
    """Measure; raises CannotMeasure where there is no real API server."""
    if find_binaries() is None:
        raise CannotMeasure(MISSING)
    measured: dict[SplitKind, list[tuple[float, float]]] = {kind: [] for kind in SplitKind}
    rng = random.Random(SEED)
    inventory = Inventory(SERVICES, MEASURED * len(SplitKind))
    with tempfile.TemporaryDirectory() as folder:
        say(f"filling two real API servers: {inventory.told()}")
        async with (
            Ground({name: RealApi(name) for name in CLUSTERS}, inventory) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls),
        ):
            for turn, kind in product(range(0, MEASURED, TOGETHER), SplitKind):
                first = turn + MEASURED * (kind is SplitKind.HTTPROUTE)
                names = [service_name(n) for n in range(first, first + TOGETHER)]
                say(f"abort {turn + 1} to {turn + TOGETHER} of {MEASURED} with {kind.api_kind}s")
                await asyncio.gather(*(ground.enrol(name, WISHES, kind) for name in names))
                await asyncio.gather(*(ground.lift(name, WISHES, kind) for name in names))
                await asyncio.gather(*(stand_in.until_healthy(name) for name in names))
                measured[kind] += [await _abort(ground, name, rng) for name in names]
    how = (
        f"real kube-apiservers with {SERVICES:,} Services; {TOGETHER} at 25 % and probed at 10/s"
        " until it is their turn"
    )
    took_s, answered_s = ([pair[at] for pair in measured[SplitKind.TRAFFICSPLIT]] for at in (0, 1))
    routes_s = [pair[0] for pair in measured[SplitKind.HTTPROUTE]]
    lines = (
        spread_line("abort annotated -> both splits home", took_s, "p99 < 50 ms", how),
        spread_line("the same with HTTPRoutes", routes_s, "p99 < 50 ms", "in turns with the above"),
        spread_line(
            "of which the annotation's own PATCH",
            answered_s,
            "",
            "what one write takes on this machine now; the way home holds two, one after the other",
        ),
    )
    figures = {
        "annotation_to_patched_ms": spread(took_s),
        "annotation_to_patched_httproute_ms": spread(routes_s),
    }
    return Result(lines, figures)


async def _abort(ground: Ground, service: str, rng: random.Random) -> tuple[float, float]:
    """Abort one and wait for its end; give the seconds until both splits were home, and until the PATCH
    of the annotation was answered."""
    await asyncio.sleep(rng.uniform(*PAUSE_S))
    began_s = monotonic()
    await ground.annotate(service, {"abort": "true"})
    answered_s = monotonic()
    home_s = await ground.until_home(service)
    await ground.until_reverted(service)
    return home_s - began_s, answered_s - began_s
