"""How long from the first bad probe of an outage until both splits are home.

    python -m tests.benchmarks bad_to_home

The outage: from one moment on the target answers 500 to every request, at 10 probes a second on each way.
Begins when the first of them was answered, and ends when a watch of the benchmark's own has seen both
splits at their home weights. Each repetition is a Service, and an attempt, of its own.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from deploy.local.apiserver import EmbeddedApi
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Result, spread, spread_line
from tests.benchmarks.stand_in import StandIn

OBJECTIVES = ("99.9", "99")
REPETITIONS = 40
"""For each objective."""

TOGETHER = 5
"""How many stand above home, and are probed, at a time."""

SEED = 1


async def measure(say: Progress) -> Result:
    """Measure each objective with Services of its own."""
    took_s: dict[str, list[float]] = {}
    inventory = Inventory(len(OBJECTIVES) * REPETITIONS, len(OBJECTIVES) * REPETITIONS)
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Ground({name: EmbeddedApi(name) for name in CLUSTERS}, inventory) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls),
        ):
            for at, objective in enumerate(OBJECTIVES):
                took_s[objective] = []
                wishes = {"slo-success": objective}
                first = at * REPETITIONS
                for start in range(first, first + REPETITIONS, TOGETHER):
                    names = [service_name(n) for n in range(start, start + TOGETHER)]
                    say(f"slo-success {objective}: outage {start - first + 1} of {REPETITIONS}")
                    await asyncio.gather(*(ground.enrol(name, wishes) for name in names))
                    await asyncio.gather(*(ground.lift(name, wishes) for name in names))
                    took_s[objective] += [
                        await _outage(ground, stand_in, name, rng) for name in names
                    ]
    how = (
        f"embedded API servers, {TOGETHER} Services at 25 % and probed at 10/s until it is their"
        " turn, each repetition another Service"
    )
    lines = [
        spread_line(f"outage -> both splits home, slo-success {objective}", found, "", how)
        for objective, found in took_s.items()
    ]
    pooled = [seconds for found in took_s.values() for seconds in found]
    lines.append(spread_line("outage -> both splits home, both", pooled, "p99 < 1,000 ms", how))
    return Result(tuple(lines), {"bad_to_home_ms": spread(pooled)})


async def _outage(ground: Ground, stand_in: StandIn, service: str, rng: random.Random) -> float:
    """Let one Service's target fail; give the seconds from its first bad probe until home."""
    await stand_in.until_healthy(service)
    await asyncio.sleep(rng.uniform(0.0, 0.2))  # another phase against slices and schedules
    stand_in.failing.add(service)
    home_s = await ground.until_home(service)
    await ground.until_reverted(service)
    return home_s - stand_in.first_bad_s[service]
