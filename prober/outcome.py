"""What became of one probe, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prober.contract import GRPC_STATUSES, WRONG_BODY, WRONG_CLUSTER, WRONG_HEADER

Values = Callable[[str], Iterable[str]]
"""The values of a header, by its name in lower case."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, in a word, whether that is bad, and when it came, on the engine's clock."""

    word: str
    bad: bool
    answered_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one probe; times in seconds on the engine's clock.

    Exactly one of three: it was answered (``answer`` at ``answered_s``), it failed (``answer`` is the kind
    of failure: ``timeout``, ``refused``, ``reset``, ...; ``answered_s`` is None), or the prober itself could
    not send it (``unsent`` says why: ``late``, ``unsent`` or ``forbidden``).
    """

    due_s: float
    started_s: float
    ended_s: float
    answer: str = ""
    bad: bool = False
    answered_s: float | None = None
    unsent: str = ""

    def is_slow(self, latency_limit_s: float | None) -> bool:
        """Not answered within the limit, counted from the due time.

        No answer at all is slow, however fast it failed; a quick wrong answer is not.
        """
        if latency_limit_s is None:
            return False
        return self.answered_s is None or self.answered_s - self.due_s > latency_limit_s


@dataclass(frozen=True, slots=True)
class Expect:
    """What a good answer is: inclusive ranges of statuses, of HTTP or of gRPC by number; a header with this
    value; bytes that the body contains; the header that names the cluster, with this value."""

    statuses: tuple[tuple[int, int], ...]
    header: tuple[str, str] | None = None
    body: bytes = b""
    cluster: tuple[str, str] | None = None

    def judge(self, status: int, values: Values, body: bytes) -> tuple[str, bool]:
        """Return the answer in a word, and whether it is bad: the status first, then who answered."""
        word = GRPC_STATUSES[status] if status < len(GRPC_STATUSES) else str(status)
        if not any(low <= status <= high for low, high in self.statuses):
            return word, True
        if self.cluster and list(values(self.cluster[0])) != [self.cluster[1]]:
            return WRONG_CLUSTER, True
        if self.header and self.header[1] not in values(self.header[0]):
            return WRONG_HEADER, True
        if self.body not in body:
            return WRONG_BODY, True
        return word, False
