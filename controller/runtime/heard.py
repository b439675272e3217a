"""What a prober says, made fit to be shown: words that are words, sentences that are short. No I/O and no clock.

A prober may be another version's, or somebody else's: its counts are judged (:mod:`controller.evidence`), its texts
end up in labels of metrics, in statuses and on terminals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from msgspec.structs import replace

from controller.domain.annotation_schema import shortened
from prober.contract import PROTOCOL_UNSERVED, FromProber, Hello, Refused, Report, Sample

MAX_WORDS = 32
"""Of one sample's answers; the contract's own kinds of error are fewer."""

OTHER = "other"

LONGEST_NAME, LONGEST_SENTENCE = 64, 300
"""In characters."""

_WORD = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]{0,31}")


def heard(message: FromProber) -> FromProber:
    """Return a message with its texts cut and cleaned."""
    if isinstance(message, Report):
        return replace(
            message,
            samples=tuple(map(_sample, message.samples)),
            discarded=shortened(message.discarded, LONGEST_NAME),
        )
    if isinstance(message, Refused):
        # A reason is a label, too: only what can be done something about is one.
        reason = message.reason if message.reason == PROTOCOL_UNSERVED else ""
        return replace(message, message=shortened(message.message, LONGEST_SENTENCE), reason=reason)
    return replace(message, prober=shortened(message.prober, LONGEST_NAME))


def is_cap(hello: Hello) -> bool:
    """Return whether the rate that a prober promises can be meant."""
    return 0 < hello.cap_per_s <= 1e6


def _sample(sample: Sample) -> Sample:
    found = sample.answers
    if len(found) <= MAX_WORDS and all(map(_WORD.fullmatch, found)):
        return sample
    return replace(sample, answers=_words(found))


def _words(answers: Mapping[str, int]) -> dict[str, int]:
    """Return the most frequent words, at most :data:`MAX_WORDS`; the rest is one of them."""
    known = Counter({word: n for word, n in answers.items() if _WORD.fullmatch(word)})
    kept = dict(known.most_common(MAX_WORDS - 1))
    kept[OTHER] = kept.get(OTHER, 0) + sum(answers.values()) - sum(kept.values())
    return kept
