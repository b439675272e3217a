"""How long ``kubectl migrate check`` takes, for one Service and for all.

    python -m tests.benchmarks check_all

Two embedded API servers, each in a process of its own, with every Service in both clusters and nothing wrong:
so every one is enrolled in dry runs, two splits and two pins. The command is a process, timed from its start
to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.filled_api import filled
from tests.benchmarks.ground import CLUSTERS
from tests.benchmarks.inventory import Inventory, service_name
from tests.benchmarks.product import Progress
from tests.benchmarks.result import Line, Result, percentile

SERVICES = 1_000
RUNS = 3
LIMIT_S = 120.0
COMMAND = "import sys; from controller.cli import main; sys.exit(main())"


async def measure(say: Progress) -> Result:
    """Time one Service, and all."""
    inventory = Inventory(SERVICES, SERVICES)
    say(f"filling two embedded API servers: {inventory.told()}")
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CLUSTERS[0],
        }
        parts = [await stack.enter_async_context(filled(name, inventory)) for name in CLUSTERS]
        for part in ("clusters", "users", "contexts"):
            config[part] = [each for one in parts for each in one[part]]
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        one = [await _timed(kubeconfig, service_name(0)) for _ in range(RUNS)]
        say(f"checking {SERVICES:,} Services, {RUNS} times")
        every = [await _timed(kubeconfig, "--all") for _ in range(RUNS)]
    how = f"the whole command, {4 * SERVICES:,} dry runs among it; {inventory.told()}"
    lines = (
        _line("check SERVICE", one, "the same, with 4 dry runs"),
        _line(f"check --all, {SERVICES:,} Services", every, how),
    )
    found = {"1": one, str(SERVICES): every}
    return Result(
        lines, {"check_s": {n: round(percentile(times, 50), 2) for n, times in found.items()}}
    )


def _line(what: str, times: list[float], how: str) -> Line:
    return Line(what, len(times), f"{percentile(times, 50):.2f} s", f"{max(times):.2f} s", "", how)


async def _timed(kubeconfig: Path, *which: str) -> float:
    started_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "check", *which),
        *("--other-context", CLUSTERS[1], "--kubeconfig", str(kubeconfig), "-o", "json"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(LIMIT_S):
        if code := await process.wait():
            raise RuntimeError(f"check ended with {code}")
    return time.monotonic() - started_s
