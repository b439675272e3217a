"""Whether what a prober says with a tenth of a core is true, and how much later it comes.

    python -m tests.benchmarks starved_prober

A prober process runs for 10 ms of every 100 (SIGSTOP, SIGCONT), as under a CPU quota of a tenth of a core. It asks
ten paths of a good target, one of a target that answers 500 and one of a target that never answers; the
controller's own monitors judge what it reports, at 99 %. Measured is the time to each verdict, and what was
discarded; then the same with all of its CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import aiohttp

from controller.domain import Verdict
from controller.evidence.doubt import is_void
from controller.evidence.path import PathMonitor, Tick
from prober import contract
from tests.benchmarks.prober_rate import TARGET, line_of, process, started
from tests.benchmarks.product import Progress
from tests.benchmarks.result import Line, Result

RUNS_S, STANDS_S = 0.01, 0.09
LIMIT_S = 90.0
GOOD_PATHS = 10
TOKEN = "a-token-of-the-benchmark"

KINDS = TARGET.replace(
    "self.transport.write(b",
    """first = data.partition(b"\\r\\n")[0]
        if b"/hangs" in first:
            return
        if b"/fails" in first:
            self.transport.write(b"HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n")
            return
        self.transport.write(b""",
)
PATHS = {
    **dict.fromkeys(range(GOOD_PATHS), "/good"),
    GOOD_PATHS: "/fails",
    GOOD_PATHS + 1: "/hangs",
}


@dataclass(slots=True)
class Judged:
    """What was made of the reports: verdicts by path, the seconds that each took, and how many samples had no probe
    (all were late) or were discarded."""

    monitors: dict[int, PathMonitor] = field(
        default_factory=lambda: {n: PathMonitor(Decimal(99), None, judges=1) for n in PATHS}
    )
    verdicts: dict[int, tuple[Verdict, float]] = field(default_factory=dict)
    samples: int = 0
    unasked: int = 0
    discarded: int = 0

    def take(self, report: contract.Report, now_s: float) -> None:
        """Judge one report, ``now_s`` after the beginning."""
        ticks: dict[int, Tick] = {}
        for sample in report.samples:
            void = is_void(sample.discarded) or is_void(report.discarded)
            asked = sample.base.sent + sample.burst.sent > 0
            self.samples += 1
            self.unasked += not asked
            self.discarded += void and asked
            if not void:
                tick = ticks.setdefault(sample.assignment, Tick())
                tick.add(sample, earns=True, control_clean=report.control.bad == 0)
        for number, tick in ticks.items():
            self.monitors[number].apply(tick, now_s)
            verdict = self.monitors[number].verdict(now_s)[0]
            if verdict is not Verdict.UNKNOWN:
                self.verdicts.setdefault(number, (verdict, now_s))

    def latest_s(self, path: str, verdict: Verdict) -> float | None:
        """Return when the last path of a kind had this verdict (None: not all of them had it first)."""
        found = [self.verdicts.get(number) for number, kind in PATHS.items() if kind == path]
        times = [one[1] for one in found if one and one[0] is verdict]
        return max(times) if len(times) == len(found) else None


@contextlib.asynccontextmanager
async def a_tenth_of_a_core(pid: int) -> AsyncIterator[None]:
    """Let a process run for a tenth of the time."""

    async def on_and_off() -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(STANDS_S)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(RUNS_S)

    task = asyncio.create_task(on_and_off())
    try:
        yield
    finally:
        task.cancel()
        os.kill(pid, signal.SIGCONT)


async def _judged(base: str, pid: int | None) -> Judged:
    judged = Judged()
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        stream = await stack.enter_async_context(
            session.ws_connect(f"{base}{contract.PATH}", headers=headers)
        )
        if pid is not None:
            await stack.enter_async_context(a_tenth_of_a_core(pid))
        for number, path in PATHS.items():
            assign = contract.Assign(
                id=number,
                key=f"way-{number}",
                namespace="bench",
                service=f"service-{number}",
                route="mirror",
                mirror_of="eks",
                port=80,
                path=path,
                rate_per_s=10.0,
                expect=((200, 399),),
            )
            await stream.send_str(contract.encode(assign).decode())
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                while len(judged.verdicts) < len(PATHS):
                    said = contract.decode_from_prober(await stream.receive_str())
                    if isinstance(said, contract.Report):
                        judged.take(said, time.monotonic() - began)
    return judged


async def _measure(folder: Path) -> dict[str, Judged]:
    tokens, config = folder / "tokens", folder / "prober.yaml"
    tokens.write_text(f"{TOKEN}\n")
    async with process("-c", KINDS) as target:
        port = int(await line_of(target.stdout))
        config.write_text(
            f"cluster: bench\ntoken_file: {tokens}\nlisten: 127.0.0.1:0\n"
            f"proxy_url: http://127.0.0.1:{port}\n"
        )
        async with process("-m", "prober", "--config", str(config)) as prober:
            base = await started(prober)
            return {
                "all of its CPU": await _judged(base, None),
                "a tenth of a core": await _judged(base, prober.pid),
            }


def _seconds(found: float | None) -> str:
    return "not true" if found is None else f"{found:.1f} s"


async def measure(say: Progress) -> Result:
    """Measure for the table of all benchmarks."""
    with tempfile.TemporaryDirectory() as folder:
        measured = await _measure(Path(folder))
    lines, figures = [], {}
    for cpu, judged in measured.items():
        times = {
            "500 to FAIL": judged.latest_s("/fails", Verdict.FAIL),
            "no answer to FAIL": judged.latest_s("/hangs", Verdict.FAIL),
            "good to PASS": judged.latest_s("/good", Verdict.PASS),
        }
        how = (
            f"of {judged.samples} samples {judged.unasked} not asked, {judged.discarded} discarded"
        )
        say(f"{cpu}: {how}, " + ", ".join(f"{k} {_seconds(s)}" for k, s in times.items()))
        lines += [
            Line(f"prober with {cpu}: {what}", 1, _seconds(found), "", "", how)
            for what, found in times.items()
        ]
        figures = times
    ms = {what: None if found is None else round(1000 * found) for what, found in figures.items()}
    return Result(tuple(lines), {"starved_verdict_ms": ms})
