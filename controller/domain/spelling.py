"""Which known key was meant by one that is not known. Only where it is near in meaning: a slip of the hand.

Word by word, because meaning sits in words: ``probe-host`` is two letters from ``probe-port`` and asks for
something else, while ``probe-prot`` is one slip from it. Who means something else is better told what there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FAMILIES = ("probe", "slo")
"""First words that say what the rest is about anyway: ``latency`` is ``slo-latency``."""

IN_A_FILE = "file"
"""A last word that says where the rest is to be read: who writes ``password`` is told of ``password_file``."""

SHORT = 4
"""In a word of so few letters another letter makes another word (host, port, post): only a letter that is missing,
doubled or swapped with its neighbour is a slip there."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP = re.compile(r"[^a-z0-9]+")


def nearest(written: str, known: Iterable[str]) -> str | None:
    """Return the known key that ``written`` is a misspelling of, None where there is none or more than one."""
    near: dict[str, int] = {}
    for key in known:
        slips = _slips(_words(written), _words(key))
        if slips is not None:
            near[key] = slips
    best = [key for key, slips in near.items() if slips == min(near.values())]
    return best[0] if len(best) == 1 else None


def _words(key: str) -> list[str]:
    """Return the words of a key, written with dashes, underscores or humps."""
    return [word for word in _GAP.split(_HUMP.sub("-", key[:64]).lower()) if word]


def _slips(written: list[str], known: list[str]) -> int | None:
    """Return how many slips make one out of the other, None where it is more than slips."""
    if "".join(written) == "".join(known):
        return 0
    if len(written) == len(known):
        slips = [_slip(one, other) for one, other in zip(written, known, strict=True)]
        return None if None in slips else sum(slip or 0 for slip in slips)
    return 2 if _is_short_for(known, written) else _slip("".join(written), "".join(known))


def _is_short_for(known: list[str], written: list[str]) -> bool:
    """Return whether only that word is left out which says what the rest is about anyway."""
    if known[0] in FAMILIES and written == known[1:]:
        return True
    return known[-1] == IN_A_FILE and written == known[:-1]


def _slip(written: str, known: str) -> int | None:
    """Return 0 for the same word, 1 for one slip, None for more: a letter too many, too few, other, or two swapped."""
    if written == known:
        return 0
    at = _alike(written, known)
    rest, wanted = written[at:], known[at:]
    moved = (rest[1:] == wanted, rest == wanted[1:], _swapped(rest) == wanted)
    other = rest[1:] == wanted[1:] and len(known) > SHORT
    return 1 if any(moved) or other else None


def _alike(one: str, other: str) -> int:
    """Return how many letters two words begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _swapped(rest: str) -> str:
    return rest[1::-1] + rest[2:]
