"""``make bench``: measures what is promised, and prints it. Nothing is held against the time.

    python -m tests.benchmarks [NAME ...] [--idle-s SECONDS]

A table for people, and as the last line one JSON object. Progress and what could not be measured go to
stderr; a figure that could not be measured is null.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks import (
    annotation_to_patched,
    bad_to_home,
    calls,
    check_all,
    command_start,
    fleet,
    fleet_plan,
    herd,
    memory,
    prober_rate,
    starved_prober,
    traffic,
)
from tests.benchmarks.product import Progress
from tests.benchmarks.result import CannotMeasure, Line, Result, table

KEYS = {
    "annotation_to_patched": ("annotation_to_patched_ms", "annotation_to_patched_httproute_ms"),
    "bad_to_home": ("bad_to_home_ms",),
    "herd": ("herd_ms", "herd_gateway_ms"),
    "fleet": ("fleet_rollback_ms",),
    "fleet_plan": ("fleet_plan_ms",),
    "memory": ("rss_mb", "start_to_ready_s"),
    "calls": ("writes_per_step", "idle_calls_per_minute"),
    "prober_rate": ("probes_per_s", "cpu_ms_per_probe"),
    "starved_prober": ("starved_verdict_ms",),
    "check_all": ("check_s",),
    "command_start": ("status_ms",),
    "traffic": ("prometheus_queries_per_tick", "traffic_answers_ms", "traffic_evaluation_ms"),
}
"""Of the JSON object, by benchmark."""

IDLE_S = 60.0


def main() -> None:
    """Measure what was asked for, everything by default."""
    asked = _arguments()
    figures: dict[str, Any] = {}
    lines: list[Line] = []
    before, _, _ = os.getloadavg()
    for name in asked.names or KEYS:
        result = _run(name, asked.idle_s)
        figures |= result.figures
        lines += result.lines
    after, _, _ = os.getloadavg()
    machine = f"{os.cpu_count()} cores, load average {before:.1f} before and {after:.1f} after"
    sys.stdout.write(f"{table(lines)}\n\n{machine}\n{json.dumps(figures)}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures what is promised; each module here says what it measures.",
    )
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=", ".join(KEYS))
    parser.add_argument(
        "--idle-s",
        type=float,
        default=IDLE_S,
        metavar="SECONDS",
        help=f"how long the idle controller's calls are counted, default {IDLE_S:g}",
    )
    return parser.parse_args()


def _known(name: str) -> str:
    if name not in KEYS:
        raise argparse.ArgumentTypeError(f"{name} is no benchmark: write {', '.join(KEYS)}")
    return name


def _run(name: str, idle_s: float) -> Result:
    benchmarks: dict[str, Callable[[Progress], Awaitable[Result]]] = {
        "annotation_to_patched": annotation_to_patched.measure,
        "bad_to_home": bad_to_home.measure,
        "herd": herd.measure,
        "fleet": fleet.measure,
        "fleet_plan": fleet_plan.measure,
        "memory": memory.measure,
        "calls": lambda say: calls.measure(say, idle_s),
        "prober_rate": prober_rate.measure,
        "starved_prober": starved_prober.measure,
        "check_all": check_all.measure,
        "command_start": command_start.measure,
        "traffic": traffic.measure,
    }

    def say(what: str) -> None:
        sys.stderr.write(f"{name}: {what}\n")

    async def measured() -> Result:
        return await benchmarks[name](say)

    try:
        return asyncio.run(measured())
    except CannotMeasure as missing:
        say(f"not measured: {missing}")
        line = Line(f"{name}: not measured", 0, "", "", "", "see stderr")
        return Result((line,), dict.fromkeys(KEYS[name]))


if __name__ == "__main__":
    main()
