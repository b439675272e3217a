"""HTTP/2 in clear text, with prior knowledge: what a mesh's proxies and gRPC's servers speak."""

from __future__ import annotations

from collections.abc import Callable

from prober.outcome import Answer
from prober.protocols.exchange import exchange
from prober.protocols.names import Names
from prober.target import Ask


async def answer(ask: Ask, names: Names, clock: Callable[[], float]) -> Answer:
    """Ask once; the status says when it was answered, as with HTTP/1.1."""
    got = await exchange(ask, await names.address(ask.url), clock)
    word, bad = ask.expect.judge(got.status, got.values, bytes(got.body))
    return Answer(word, bad, got.answered_s)
