"""How many probes a second one prober process sends on time.

    python -m tests.benchmarks prober_rate

A trivial server, in a process of its own, stands for the sidecar and every target behind it. The
rate, of 40 paths of which half have five pods, is held for 5 s each time with 98 % sent at least, and rises until a
start is 50 ms late (99th percentile) or a slice is void. Prints a table, and as
its last line JSON: the highest rate held, its lateness, and its CPU per probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from prober import contract
from tests.benchmarks.product import Progress
from tests.benchmarks.result import Line, Result

RATES_PER_S = (200, 400, 600, 800, 1_000, 1_200, 1_400, 1_600, 2_000, 2_500, 3_000, 4_000)
WAYS = 40
WARM_S = 1.5
MEASURE_S = 5.0
LATEST_S = 0.05

TARGET = """
import asyncio
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n")
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One rate, tried for :data:`MEASURE_S`."""

    wanted_per_s: float
    sent_per_s: float
    lateness_p99_s: float
    cpu_s_per_probe: float
    void: float

    @property
    def held(self) -> bool:
        """Whether the prober sent on time what it was asked to."""
        on_time = self.lateness_p99_s < LATEST_S
        return on_time and self.void == 0 and self.sent_per_s > 0.98 * self.wanted_per_s


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python with these arguments; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


async def line_of(stream: asyncio.StreamReader | None) -> str:
    """Return the next line that a process writes."""
    assert stream is not None
    async with asyncio.timeout(10):
        return (await stream.readline()).decode()


async def started(prober: asyncio.subprocess.Process) -> str:
    """Return the address that a prober listens on, once it does."""
    while True:
        said = json.loads(await line_of(prober.stderr))
        if said["event"] == "listening":
            return str(said["address"])


async def _metrics(session: aiohttp.ClientSession, base: str) -> dict[str, float]:
    async with session.get(f"{base}/metrics") as response:
        lines = (await response.text()).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _p99(before: dict[str, float], after: dict[str, float]) -> float:
    """The 99th percentile by linear interpolation inside its bucket; seconds."""
    name = re.compile(r'migrate_prober_probe_lateness_seconds_bucket\{.*\ble="(.+?)".*\}')
    buckets = sorted(
        (float(found[1]), after[line] - before.get(line, 0.0))
        for line in after
        if (found := name.fullmatch(line))
    )
    rank = 0.99 * buckets[-1][1]
    low_s, below = 0.0, 0.0
    for high_s, count in buckets:
        if count >= rank:
            return low_s + (high_s - low_s) * (rank - below) / max(count - below, 1.0)
        low_s, below = high_s, count
    return float("inf")


def _sum(numbers: dict[str, float], prefix: str) -> float:
    return sum(value for name, value in numbers.items() if name.startswith(prefix))


async def _try(session: aiohttp.ClientSession, base: str, token: str, rate: float) -> Measured:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.ws_connect(f"{base}{contract.PATH}", headers=headers) as stream:
        for number in range(WAYS):
            pods = number % 2 == 0
            assign = contract.Assign(
                id=number,
                key=f"way-{number}",
                namespace="bench",
                service=f"service-{number}",
                route="pods" if pods else "mirror",
                mirror_of="" if pods else "eks",
                addresses=tuple(f"10.0.{number}.{pod}:8080" for pod in range(5)) if pods else (),
                port=80,
                rate_per_s=rate / WAYS,
                expect=((200, 399),),
                latency_limit_s=0.3,
            )
            await stream.send_str(contract.encode(assign).decode())

        async def read() -> None:
            async for frame in stream:
                contract.decode_from_prober(frame.data)

        reading = asyncio.create_task(read())
        await asyncio.sleep(WARM_S)
        before = await _metrics(session, base)
        await asyncio.sleep(MEASURE_S)
        after = await _metrics(session, base)
        reading.cancel()
    changes = {name: value - before.get(name, 0.0) for name, value in after.items()}
    sent = _sum(changes, "migrate_prober_probes_sent_total")
    return Measured(
        wanted_per_s=rate,
        sent_per_s=sent / MEASURE_S,
        lateness_p99_s=_p99(before, after),
        cpu_s_per_probe=_sum(changes, "process_cpu_seconds_total") / max(sent, 1.0),
        void=_sum(changes, "migrate_prober_slices_void_total"),
    )


async def _measure(folder: Path, say: Progress) -> list[Measured]:
    tokens, config = folder / "tokens", folder / "prober.yaml"
    tokens.write_text("a-token-of-the-benchmark\n")
    measured: list[Measured] = []
    async with contextlib.AsyncExitStack() as stack:
        target = await stack.enter_async_context(process("-c", TARGET))
        port = int(await line_of(target.stdout))
        config.write_text(
            f"cluster: bench\ntoken_file: {tokens}\nlisten: 127.0.0.1:0\ncap_per_s: 10000\n"
            f"proxy_url: http://127.0.0.1:{port}\n"
        )
        prober = await stack.enter_async_context(process("-m", "prober", "--config", str(config)))
        base = await started(prober)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        say(" wanted/s   sent/s  p99 late ms  cpu ms/probe   void")
        for rate in RATES_PER_S:
            one = await _try(session, base, "a-token-of-the-benchmark", rate)
            say(
                f"{one.wanted_per_s:9.0f}{one.sent_per_s:9.0f}{1000 * one.lateness_p99_s:13.1f}"
                f"{1000 * one.cpu_s_per_probe:14.3f}{one.void:7.0f}"
            )
            measured.append(one)
            if not one.held:
                break
    return measured


async def measure(say: Progress) -> Result:
    """Measure for the table of all benchmarks."""
    with tempfile.TemporaryDirectory() as folder:
        measured = await _measure(Path(folder), say)
    best = _best(measured)
    tried = measured[-1]
    how = (
        f"start lateness p99 {1000 * best.lateness_p99_s:.1f} ms over {MEASURE_S:g} s, {WAYS} ways"
    )
    if not tried.held:
        how += (
            f"; not held: {tried.wanted_per_s:.0f}/s (p99 {1000 * tried.lateness_p99_s:.1f} ms,"
            f" {tried.void:.0f} void slices)"
        )
    sent = round(best.sent_per_s * MEASURE_S)
    rate, cpu_ms = _figures(measured)
    return Result(
        (
            Line("probes per second of one prober", sent, f"{rate}/s", "", ">= 800/s", how),
            Line("CPU per probe", sent, f"{cpu_ms} ms", "", "", f"at {rate} probes/s"),
        ),
        {"probes_per_s": rate, "cpu_ms_per_probe": cpu_ms},
    )


def _best(measured: list[Measured]) -> Measured:
    held = [one for one in measured if one.held]
    return held[-1] if held else measured[0]


def _figures(measured: list[Measured]) -> tuple[int, float]:
    """Return the highest rate held (0: none) and the CPU in ms of a probe at that rate."""
    best = _best(measured)
    return round(best.sent_per_s) if best.held else 0, round(1000 * best.cpu_s_per_probe, 3)


def main() -> None:
    """Measure, and print."""

    def say(line: str) -> None:
        print(line)  # noqa: T201  a benchmark prints

    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(_measure(Path(folder), say))
    rate, cpu_ms = _figures(measured)
    answer = {
        "probes_per_s": rate,
        "p99_start_lateness_ms": round(1000 * _best(measured).lateness_p99_s, 1),
        "cpu_ms_per_probe": cpu_ms,
    }
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()
