"""One file per protocol. Each asks once and gives an :class:`Answer`, or raises what went wrong.

HTTP/2 needs the extra ``http2``: a prober without it serves the other protocols, and says so of this one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prober.aims import Aims
from prober.contract import Protocol
from prober.outcome import Answer
from prober.protocols import http1, tcp
from prober.protocols.names import Names
from prober.target import Ask

try:
    from prober.protocols import grpc, h2c
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "h2":
        raise
    HAS_HTTP2 = False
else:
    HAS_HTTP2 = True

Asking = Callable[[Ask], Awaitable[Answer]]


def askings(
    connections: http1.Connections, clock: Callable[[], float], aims: Aims
) -> Mapping[Protocol, Asking]:
    """Return how each protocol that can be probed is asked; through an HTTP proxy only ``http`` can."""
    names = Names(clock, aims)
    found: dict[Protocol, Asking] = {
        "http": lambda ask: http1.answer(ask, connections, names, clock)
    }
    if connections.proxy:
        return found
    found["tcp"] = lambda ask: tcp.answer(ask, names, clock)
    if HAS_HTTP2:
        found["h2c"] = lambda ask: h2c.answer(ask, names, clock)
        found["grpc"] = lambda ask: grpc.answer(ask, names, clock)
    return found


def advice(protocol: Protocol, *, proxied: bool) -> str:
    """Return what to do about a protocol that cannot be probed."""
    if proxied:
        return (
            f"this prober cannot probe {protocol}: the proxy of its settings speaks HTTP/1.1 only,"
            " leave proxy_url out"
        )
    return f"this prober cannot probe {protocol}: install mesh-migrate[http2] in its image"
