"""How long until FAIL: simulates the table of "mean (p99) seconds to FAIL" and prints it.

    python -m tests.benchmarks.verdict_simulation [--seed N] [--runs N]

Every cell starts at zero points with a target that is bad by the share of its column, at the default
threshold (99.9 %, one objective, real traffic on: 21.27). The probe's own timeout, which comes on top
where nothing answers, is not in the table.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from decimal import Decimal

from controller.evidence import (
    SAMPLES_IN_MIGRATION,
    Cusum,
    allowed_bad,
    alpha_share,
    fail_threshold,
)

RATES_PER_S = (1, 10, 100)
BAD_SHARES = (0.01, 0.05, 0.5, 1.0)
SLICES_PER_S = 10


def seconds_to_fail(rate_per_s: int, bad_share: float, chance: random.Random) -> float:
    """Return the seconds from the fault to FAIL of one run; slices without a probe are left out."""
    allowed = allowed_bad(Decimal("99.9"))
    points = Cusum(allowed)
    threshold = fail_threshold(SAMPLES_IN_MIGRATION, len(points.counters), alpha_share(2, 1))
    sent = max(1, rate_per_s // SLICES_PER_S)
    observations = 0
    while points.largest < threshold:
        points.observe(sent, sum(chance.random() < bad_share for _ in range(sent)))
        observations += 1
    return observations * sent / rate_per_s


def cell(rate_per_s: int, bad_share: float, runs: int, chance: random.Random) -> str:
    """Return "mean (p99)" of this many runs; one number where every run takes the same time."""
    seconds = sorted(seconds_to_fail(rate_per_s, bad_share, chance) for _ in range(runs))
    mean, p99 = statistics.fmean(seconds), seconds[int(0.99 * (runs - 1))]
    if seconds[0] == seconds[-1]:
        return f"{mean:.1f}"
    return f"{mean:,.2f} ({p99:,.1f})" if mean < 10 else f"{mean:,.1f} ({p99:,.0f})"


def main() -> None:
    """Print the seed and the table; the same seed gives the same table."""
    parser = argparse.ArgumentParser(description="Mean (p99) seconds to FAIL.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--runs", type=int, default=400, help="per cell")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    lines = [
        f"seed {asked.seed}, {asked.runs} runs per cell, mean (p99) seconds to FAIL\n",
        "| probes/s |" + "".join(f" {share:.0%} bad |" for share in BAD_SHARES),
        "|---|" + "---|" * len(BAD_SHARES),
    ]
    for rate in RATES_PER_S:
        cells = (cell(rate, share, asked.runs, chance) for share in BAD_SHARES)
        lines.append(f"| {rate} |" + "".join(f" {text} |" for text in cells))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
