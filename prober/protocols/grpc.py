"""A unary gRPC call: the Check of ``grpc.health.v1``, or a method of the owner's with an empty request.

Of protocol buffers only two messages are needed, of one field each; a library would be a hundred times that.
"""

from __future__ import annotations

from collections.abc import Callable

from prober.contract import GRPC_STATUSES, LOOP
from prober.outcome import Answer
from prober.protocols.broken import BrokenError
from prober.protocols.exchange import Exchange, exchange
from prober.protocols.names import Names
from prober.target import HEALTH_PATH, Ask

HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
"""``HealthCheckResponse.ServingStatus``, each at the place of its number."""

_FRAME_HEAD = 5
"""Of a message on the wire: one byte says whether it is compressed, four how long it is."""

_STATUS_TAG = b"\x08"
"""Field 1, a varint: the only one of ``HealthCheckResponse``."""

_UNKNOWN = 2
_ABORTED = GRPC_STATUSES.index("ABORTED")


async def answer(ask: Ask, names: Names, clock: Callable[[], float]) -> Answer:
    """Call once. The status comes last, so that the call is answered when it has ended."""
    got = await exchange(ask, await names.address(ask.url), clock)
    answered_s = clock()
    if got.status != 200:
        # An HTTP status: no gRPC server answered, but a proxy or a web server.
        return Answer(str(got.status), True, answered_s)
    status = _status(got)
    if status == _ABORTED and _is_loop(got):
        return Answer(LOOP, True, answered_s)
    word, bad = ask.expect.judge(status, got.values, bytes(got.body))
    if status == 0 and not bad and ask.url.raw_path == HEALTH_PATH:
        health = _health(got.body)
        if health != "SERVING":
            return Answer(health, True, answered_s)
    return Answer(word, bad, answered_s)


def _status(got: Exchange) -> int:
    """Read the status from the trailers, which are the headers where there is no message."""
    text = next(iter(got.values("grpc-status")), None)
    if text is None:
        raise BrokenError("garbled")
    known = text.isascii() and text.isdecimal() and int(text) < len(GRPC_STATUSES)
    return int(text) if known else _UNKNOWN


def _is_loop(got: Exchange) -> bool:
    """Return whether it is a loop: Linkerd answers a gRPC request that bounced with ABORTED, where others get 508."""
    said = [*got.values("l5d-proxy-error"), *got.values("grpc-message")]
    return any("gateway" in text and "loop" in text for text in said)


def _health(body: bytearray) -> str:
    head, message = body[:_FRAME_HEAD], body[_FRAME_HEAD:]
    if len(head) < _FRAME_HEAD or head[0] or len(message) != int.from_bytes(head[1:]):
        raise BrokenError("garbled")
    if not message:
        return HEALTH[0]
    number = message[1] if message[:1] == _STATUS_TAG and len(message) > 1 else 0
    return HEALTH[number] if number < len(HEALTH) else HEALTH[0]
