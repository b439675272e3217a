"""How long from the first bad probe of an outage until both splits are at their baseline.

    python -m tests.benchmarks bad_to_home

The outage: from one moment on the target answers 500 to every request, at 10 probes a second on each path.
Begins when the first of them was answered, and ends when a watch of the benchmark's own has seen both
splits at their baseline weights. Each repetition is a Service, and an attempt, of its own: 30 at ``slo-success``
99.9 and 30 at 99.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.stand_ins.apiserver import EmbeddedApi
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Line, Result, spread, spread_line
from tests.benchmarks.stand_in import StandIn

OBJECTIVES = ("99.9", "99")
REPETITIONS = 30
"""For each objective."""

TOGETHER = 5
"""How many stand above the baseline, and are probed, at a time."""

SEED = 1


@dataclass(frozen=True, slots=True)
class Outage:
    """One repetition. ``starved``: a prober had to call slices void meanwhile, for want of CPU."""

    took_s: float
    starved: bool


async def measure(say: Progress) -> Result:
    """Measure each objective with Services of its own."""
    found: dict[str, list[Outage]] = {objective: [] for objective in OBJECTIVES}
    services = len(OBJECTIVES) * REPETITIONS
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        apis = {name: EmbeddedApi(name) for name in CLUSTERS}
        async with (
            Ground(apis, Inventory(services, services)) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls) as product,
        ):
            for start in range(0, services, TOGETHER):
                objective = OBJECTIVES[start // REPETITIONS]
                say(f"outage {start + 1} of {services}, slo-success {objective}")
                names = [service_name(n) for n in range(start, start + TOGETHER)]
                specs = {"slo-success": objective}
                await asyncio.gather(*(ground.enrol(name, specs) for name in names))
                await asyncio.gather(*(ground.lift(name, specs) for name in names))
                for name in names:
                    before = await product.void_slices()
                    took_s = await _outage(ground, stand_in, name, rng)
                    starved = await product.void_slices() > before
                    found[objective].append(Outage(took_s, starved))
    return _result(found)


def _result(found: dict[str, list[Outage]]) -> Result:
    how = (
        f"embedded API servers, {TOGETHER} Services at 25 % and probed at 10/s until it is their"
        " turn, each repetition another Service"
    )
    lines = [
        spread_line(
            f"outage -> both splits home, slo-success {objective}",
            [one.took_s for one in outages],
            "",
            how,
        )
        for objective, outages in found.items()
    ]
    pooled = [one for outages in found.values() for one in outages]
    all_s = [one.took_s for one in pooled]
    lines.append(spread_line("outage -> both splits home, both", all_s, "p99 < 1,000 ms", how))
    fed_s = [one.took_s for one in pooled if not one.starved]
    if len(fed_s) < len(all_s):
        what = f"the same without {len(all_s) - len(fed_s)} in which a prober was starved of CPU"
        lines.append(
            spread_line(what, fed_s, "", "its void slices are no evidence, so judging waits")
            if fed_s
            else Line(what, 0, "", "", "", "none is left: the machine is too busy")
        )
    return Result(tuple(lines), {"bad_to_home_ms": spread(all_s)})


async def _outage(ground: Ground, stand_in: StandIn, service: str, rng: random.Random) -> float:
    """Let one Service's target fail; give the seconds from its first bad probe until home."""
    await stand_in.until_healthy(service)
    await asyncio.sleep(rng.uniform(0.0, 0.2))  # another phase against slices and schedules
    stand_in.failing.add(service)
    home_s = await ground.until_home(service)
    await ground.until_reverted(service)
    return home_s - stand_in.first_bad_s[service]
