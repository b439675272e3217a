"""How long until everybody is back, when the targets of many shifted Services turn bad in one instant.

    python -m tests.benchmarks herd

20, 100 and 400 Services stand at 25 %, armed, with the default settings of the product, and ``slo-success`` 99.
After a quiet time, of which CPU and discarded samples are told, every target answers 500 from one moment on. Each
Service counts from there until a watch of the benchmark's own has seen both of its splits at their baseline. Then 400
stand there again, and the gateway of eks dies: the callers in legacy, whose path back needs none, count.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from deploy.stand_ins.apiserver import EmbeddedApi
from deploy.stand_ins.mesh import EKS, LEGACY
from tests.benchmarks.ground import CLUSTERS, Ground
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Product, Progress
from tests.benchmarks.result import Line, Result, spread, spread_line
from tests.benchmarks.stand_in import StandIn

SIZES = (20, 100, 400)
TARGETS_MS = {20: 1_000, 100: 1_000, 400: 2_000}
SPECS = {"slo-success": "99"}
QUIET_S = 10.0
SETTLE_S = 3.0
"""What the probers are given to forget that the stand-ins stood still, while their own garbage was collected."""

PASSED = 120
"""Probes of each path with which it has passed, and is only watched, as whoever soaks is most of the time."""

AT_ONCE = 10
"""How many are enrolled at a time."""

BACK_S = 120.0

GATEWAY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Herd:
    """One size. ``back_s`` is by Service; ``cpu`` is by program, in cores, over the quiet time."""

    back_s: tuple[float, ...]
    cpu: dict[str, float]
    discarded: float


async def measure(say: Progress) -> Result:
    """Measure each size, with servers of its own."""
    found = {size: await _herd(size, say) for size in SIZES}
    gateway = await _herd(SIZES[-1], say, gateway=True)
    how = "the gateway of eks answers nobody; callers in legacy"
    line = spread_line(
        f"gateway dead, {SIZES[-1]} → home", gateway.back_s, f"p99 < {GATEWAY_MS:,} ms", how
    )
    return Result(
        (*(line for size, herd in found.items() for line in _lines(size, herd)), line),
        {
            "herd_gateway_ms": spread(gateway.back_s),
            "herd_ms": {
                str(size): {**spread(herd.back_s), "cpu": herd.cpu, "discarded": herd.discarded}
                for size, herd in found.items()
            },
        },
    )


def _lines(size: int, herd: Herd) -> tuple[Line, ...]:
    how = "default settings, at 25 %, slo-success 99; from the outage of every target"
    cpu = ", ".join(f"{name} {cores:.2f}" for name, cores in herd.cpu.items())
    return (
        spread_line(f"herd of {size} → home", herd.back_s, f"p99 < {TARGETS_MS[size]:,} ms", how),
        Line(
            f"herd of {size} in quiet, cores",
            1,
            cpu,
            "",
            "controller < 0.5" if size == SIZES[-1] else "",
            f"over {QUIET_S:g} s; {herd.discarded:g} samples discarded",
        ),
    )


def _rest_collector() -> None:
    """Have no collector stop the stand-ins, all of them in this process, for a quarter of a second at a time."""
    gc.collect()
    gc.disable()


async def _herd(size: int, say: Progress, *, gateway: bool = False) -> Herd:
    names = [service_name(number) for number in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        apis = {name: EmbeddedApi(name) for name in CLUSTERS}
        async with (
            Ground(apis, Inventory(size, size)) as ground,
            StandIn() as stand_in,
            Product(Path(folder), ground.kubeconfigs(), stand_in.urls) as product,
        ):
            for first in range(0, size, AT_ONCE):
                say(f"{first} of {size} are armed")
                some = names[first : first + AT_ONCE]
                await asyncio.gather(*(ground.enrol(name, SPECS) for name in some))
                await asyncio.gather(*(ground.lift(name, SPECS) for name in some))
            say(f"{size} earn PASS")
            await asyncio.gather(*(stand_in.until_healthy(name, PASSED) for name in names))
            say(f"{QUIET_S:g} s of quiet with {size}")
            _rest_collector()
            await asyncio.sleep(SETTLE_S)
            before, discarded = product.cpu_s(), await product.void_slices()
            await asyncio.sleep(QUIET_S)
            after = product.cpu_s()
            discarded = await product.void_slices() - discarded
            say("the gateway of eks dies" if gateway else f"the targets of {size} fail")
            began_s = monotonic()
            if gateway:
                stand_in.dead_gateways.add(EKS)
            else:
                stand_in.failing.update(names)
            clusters = (LEGACY,) if gateway else CLUSTERS
            await ground.until(
                lambda: all(ground.home_s(name, clusters) is not None for name in names),
                f"not all of {size} were brought home",
                BACK_S,
            )
            home_s = [ground.home_s(name, clusters) for name in names]
    gc.enable()
    return Herd(
        tuple(at_s - began_s for at_s in home_s if at_s is not None),
        {name: round((after[name] - before[name]) / QUIET_S, 3) for name in after},
        discarded,
    )
