"""An API server's time, without this machine's wall clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

TOLERANCE_S = 2.0
"""How far an answer may be from what is known before what is known is thrown away."""


class ServerClock:
    """The server's time from the ``Date`` of its answers and a monotonic clock.

    ``Date`` is cut to the second and arrives late, so each answer gives a lower bound of (server time -
    monotonic time), and the highest one is the best. It gives an upper bound as well: the date plus one
    second, when the request was sent. Where what is known lies outside by more than
    :data:`TOLERANCE_S`, the server's clock was set, and the new answer counts alone.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def on_report(self, date: str | None, sent_s: float, received_s: float) -> None:
        """Take a ``Date`` header; ``sent_s`` and ``received_s`` are monotonic. Nonsense is ignored."""
        try:
            stated_s = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        lower, upper = stated_s - received_s, stated_s + 1.0 - sent_s
        known = self._offset_s
        if known is None or known > upper + TOLERANCE_S - 1.0:
            self._offset_s = lower
        else:
            self._offset_s = max(known, lower)

    def now(self, monotonic_s: float) -> datetime | None:
        """Return the server's time (UTC) at ``monotonic_s``, at most a second late; None before any answer."""
        if self._offset_s is None:
            return None
        return _EPOCH + timedelta(seconds=self._offset_s + monotonic_s)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
