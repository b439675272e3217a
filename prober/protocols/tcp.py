"""Connecting, and no more: is the connection taken and kept, and where it is said, does the server speak first.

In a mesh it is the client's own proxy that takes a connection, before it has reached anybody, and ends it when
it reaches nobody. So a connection must stay open for a while to count; only a server's first words prove that
somebody was reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prober.contract import OPEN, WRONG_BODY
from prober.outcome import Answer
from prober.protocols.broken import BrokenError
from prober.protocols.names import Names
from prober.target import Ask

KEPT_S = 0.2
"""How long a connection must stay open: a proxy that is refused by what it connects to says so within this."""

MAX_FIRST_BYTES = 4 << 10
"""How much of what a server says first is looked at."""


async def answer(ask: Ask, names: Names, clock: Callable[[], float]) -> Answer:
    """Connect once; nothing is sent. Answered when it stands, or when the expected first words have come."""
    reader, writer = await asyncio.open_connection(*await names.address(ask.url))
    answered_s = clock()
    try:
        if ask.expect.body:
            word = await _first_words(reader, ask.expect.body)
            return Answer(word, word != OPEN, clock())
        try:
            async with asyncio.timeout(KEPT_S):
                said = await reader.read(1)
        except TimeoutError:
            return Answer(OPEN, False, answered_s)
        if not said:
            raise BrokenError("closed")
        return Answer(OPEN, False, answered_s)
    finally:
        writer.transport.abort()


async def _first_words(reader: asyncio.StreamReader, expected: bytes) -> str:
    said = bytearray()
    while expected not in said:
        more = await reader.read(MAX_FIRST_BYTES - len(said))
        if not more:
            if said:
                return WRONG_BODY
            raise BrokenError("closed")
        said += more
    return OPEN
