"""What of a sample is no fault of its path: taken out, as if it had not been sent."""

from __future__ import annotations

from collections.abc import Iterable

from prober.contract import LOOP, Counts, Sample


def without_faults(part: Sample, addresses: Iterable[str]) -> Sample:
    """Take the faults of these pods out of a sample, as if their probes had not been sent."""
    base, burst = part.base, part.burst
    faults = dict(part.faults)
    for address in addresses:
        from_base, from_burst = faults.pop(address)
        base -= from_base
        burst -= from_burst
    answers = dict(part.answers) if len(faults) == len(part.faults) else {}
    return _recreated(
        part, base=base, burst=burst, answers=answers, loops=part.loops, faults=faults
    )


def without_loops(part: Sample) -> Sample:
    """Take the answers 508 out of a sample."""
    from_base = min(part.loops, part.base.bad)
    from_burst = min(part.loops - from_base, part.burst.bad)
    return _recreated(
        part,
        base=part.base - Counts(from_base, from_base),
        burst=part.burst - Counts(from_burst, from_burst),
        answers={a: n for a, n in part.answers.items() if a != LOOP},
        loops=0,
    )


def _recreated(
    part: Sample,
    *,
    base: Counts,
    burst: Counts,
    answers: dict[str, int],
    loops: int,
    faults: dict[str, tuple[Counts, Counts]] | None = None,
) -> Sample:
    return Sample(
        assignment=part.assignment,
        number=part.number,
        age_s=part.age_s,
        base=base,
        burst=burst,
        discarded=part.discarded,
        answers=answers,
        loops=loops,
        faults=part.faults if faults is None else faults,
    )
