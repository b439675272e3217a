"""What is true of a sample although its prober lagged, and what is not (docs/evidence.md). Pure.

A lag can make an answer slow, or miss it; it makes no answer up. What it may have faked counts for neither side:
as good towards FAIL, as bad towards PASS. Taking it out instead would keep the good answers of a target that
lets every second request hang, or the quick errors of one that answers slowly.
"""

from __future__ import annotations

from controller.evidence.window import GATEWAY_ANSWERS, is_answer
from prober.contract import LAG, UNTIMED, Counts, Sample


def is_void(discarded: str) -> bool:
    """Return whether a prober's reason takes everything away: for a lag, what was answered stays true."""
    return discarded not in ("", UNTIMED, LAG)


def certain(sample: Sample) -> tuple[Counts, Counts]:
    """Return base and burst counts in which only what no lag can fake is bad or slow."""
    if not sample.discarded:
        return sample.base, sample.burst
    doubted = _unanswered(sample) if sample.discarded == LAG else 0
    from_base = min(doubted, sample.base.bad)
    return (
        Counts(sample.base.sent, sample.base.bad - from_base),
        Counts(sample.burst.sent, max(0, sample.burst.bad - doubted + from_base)),
    )


def _unanswered(sample: Sample) -> int:
    """Count what no application answered; all that is bad, where the answers were taken out with a pod's faults."""
    if not sample.answers:
        return sample.base.bad + sample.burst.bad
    return sum(
        count
        for word, count in sample.answers.items()
        if not is_answer(word) or word in GATEWAY_ANSWERS
    )
