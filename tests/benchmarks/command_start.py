"""How long ``kubectl migrate status`` takes, of which most is starting.

    python -m tests.benchmarks command_start

An embedded API server with one Migration. The command is a process, timed from its start to its end, with what it
imports compiled before, as it is where it was installed; Python alone beside it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import yaml

from deploy.stand_ins.apiserver import EmbeddedApi
from tests.benchmarks.product import Progress
from tests.benchmarks.result import Line, Result, percentile, spread

RUNS = 20
LIMIT_S = 30.0
COMMAND = "import sys; from controller.cli import main; sys.exit(main(['status']))"
MIGRATION = {
    "apiVersion": "migrate.tradeshift/v1alpha1",
    "kind": "Migration",
    "metadata": {"name": "service-a"},
    "status": {"service": "service-a", "phase": "Progressing", "share": "10/10"},
}


async def measure(say: Progress) -> Result:
    """Time the command, and Python doing nothing."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedApi("legacy") as api:
            api.put(MIGRATION)
            kubeconfig = Path(folder, "kubeconfig")
            await asyncio.to_thread(kubeconfig.write_text, yaml.safe_dump(api.kubeconfig()))
            environ = {
                **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
                "KUBECONFIG": str(kubeconfig),
                "PYTHONPYCACHEPREFIX": folder,
            }
            await _timed(COMMAND, environ)
            say(f"status, {RUNS} times")
            before_s = _cpu_s()
            status = [await _timed(COMMAND, environ) for _ in range(RUNS)]
            cpu_s = (_cpu_s() - before_s) / RUNS
            python = [await _timed("pass", environ) for _ in range(RUNS)]
    alone_s = percentile(python, 50)
    how = f"the whole command; CPU {cpu_s:.2f} s, Python alone {alone_s:.2f} s"
    line = Line(
        "kubectl migrate status",
        RUNS,
        f"{percentile(status, 50):.2f} s",
        f"{max(status):.2f} s",
        "< 0.3 s",
        how,
    )
    return Result((line,), {"status_ms": spread(status)})


def _cpu_s() -> float:
    """Return what the commands have used so far, in seconds of a core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _timed(code: str, environ: dict[str, str]) -> float:
    started_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environ, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(LIMIT_S):
        if ended := await process.wait():
            raise RuntimeError(f"the command ended with {ended}")
    return time.monotonic() - started_s
