"""What would stop an event loop so long that it misses an answer: the interpreter's own doings, kept short."""

from __future__ import annotations

import gc
import sys

SWITCH_S = 0.0005
"""How long a thread that writes a page or a log line keeps the loop waiting, at each call that it makes: not Python's
5 ms, which add up to a tenth of a second."""

COLLECTED = 10_000, 3, 1_000
"""After how many new objects the youngest are looked at for garbage, and after how many such looks the older ones: to
look at all that hundreds of Services are made of takes 100 to 200 ms, in which nobody is probed or rolled back."""


def keep_pauses_short() -> None:
    """Leave what is there now to itself, as it stays, look at the rest seldom, and let no thread keep the loop."""
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    sys.setswitchinterval(SWITCH_S)
