"""One request, one :class:`Outcome`. Never raises, except that it can be cancelled.

The promises, each with its test, whatever the protocol (one file each in :mod:`prober.protocols`):

- one request is sent at most: no retry, no redirect, no second try;
- nothing is kept between probes but connections: no cookies, no credentials from the environment;
- at most 64 KiB of a body are read, and none of it is kept;
- the answer is due 1 s after the probe was *due*, not after it was sent;
- what is the prober's own fault (no socket, no answer from DNS) is ``unsent``, never bad;
- a name that leads where probes never go is not asked: ``forbidden``, and never bad.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

from prober.aims import CLOSED, Aims, ForbiddenError
from prober.contract import PROTOCOL_UNSERVED, Protocol
from prober.outcome import Outcome
from prober.protocols import advice, askings
from prober.protocols.broken import BrokenError
from prober.protocols.http1 import Connections
from prober.self_check import LAG_S
from prober.target import Ask, NotServedError

TIMEOUT_S = 1.0
"""From the due time to the end of the answer. The proxy's own fail-fast takes 3 s."""

MAX_TOLD = 100

Clock = Callable[[], float]

_OWN_FAULTS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,  # no local port left
        errno.EPERM,  # forbidden by our own packet filter
        socket.EAI_AGAIN,
        socket.EAI_SYSTEM,
        socket.EAI_MEMORY,
    }
)
_KINDS_BY_ERRNO: dict[int | None, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}
_KINDS_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "dns"),
    (TimeoutError, "timeout"),
    (ConnectionResetError, "reset"),
)


class Client:
    """Sends the probes of one stream; ``clock`` is what due times are counted on."""

    def __init__(self, connections: Connections, clock: Clock, aims: Aims = CLOSED) -> None:
        self.clock = clock
        self._proxied = connections.proxy is not None
        self._told: set[str] = set()
        self._askings = askings(connections, clock, aims)

    def check(self, protocol: Protocol) -> None:
        """Raise :class:`NotServedError` for a protocol that this prober does not speak."""
        if protocol not in self._askings:
            raise NotServedError(advice(protocol, proxied=self._proxied), PROTOCOL_UNSERVED)

    async def probe(self, ask: Ask, due_s: float) -> Outcome:
        """Send one probe and wait for its answer until ``due_s + TIMEOUT_S``."""
        started_s = self.clock()
        if started_s - due_s > LAG_S:
            # It would see another sample than its own, and make the next ones late.
            return Outcome(due_s, started_s, started_s, unsent="late")
        try:
            async with asyncio.timeout(due_s + TIMEOUT_S - started_s):
                answer = await self._askings[ask.protocol](ask)
        except (TimeoutError, BrokenError, OSError) as error:
            return self._failed(due_s, started_s, _kind_of(error))
        except ForbiddenError as error:
            self._tell(str(error))
            return Outcome(due_s, started_s, self.clock(), unsent="forbidden")
        except Exception:  # noqa: BLE001  an unknown error is the prober's own: discarded, not bad
            structlog.get_logger().exception("probe_broke", url=str(ask.url))
            return self._failed(due_s, started_s, "")
        return Outcome(
            due_s, started_s, self.clock(), answer.word, answer.bad, answered_s=answer.answered_s
        )

    def _tell(self, sentence: str) -> None:
        """Log where a name leads that is not asked, once a stream: every probe of it would say so."""
        if sentence not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(sentence)
            structlog.get_logger().warning("target_forbidden", message=sentence)

    def _failed(self, due_s: float, started_s: float, kind: str) -> Outcome:
        """Return the outcome of a probe without an answer; no kind means the fault is our own."""
        if kind:
            return Outcome(due_s, started_s, self.clock(), kind, bad=True)
        return Outcome(due_s, started_s, self.clock(), unsent="unsent")


def _kind_of(error: BaseException) -> str:
    """Return the kind of failure, as reports count them; nothing for the prober's own faults."""
    code = getattr(error, "errno", None)
    if code in _OWN_FAULTS:
        return ""
    if isinstance(error, BrokenError):
        return error.kind
    for kinds, kind in _KINDS_BY_TYPE:
        if isinstance(error, kinds):
            return kind
    return _KINDS_BY_ERRNO.get(code, "connection")
