"""What can come of a request besides success: a small family that callers tell apart, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

LONGEST_PAUSE_S = 120.0
"""A ``Retry-After`` above this is cut to it: a broken proxy must not stop the controller for a day."""


class ApiError(Exception):
    """A request that did not do what it was to do. ``status`` is the HTTP code, 0 without an answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Conflict(ApiError):  # noqa: N818 - named by the finding, as all of this family
    """The object changed since its resource version was read: read it again."""


class AlreadyExists(ApiError):  # noqa: N818 - as Conflict
    """Somebody made it first."""


class NotFound(ApiError):  # noqa: N818 - as Conflict
    """No such object, or no such kind."""


class NotServed(NotFound):
    """The cluster does not know this kind."""


class Expired(ApiError):  # noqa: N818 - as Conflict
    """The resource version or the continue token is too old (410): list anew."""


class Refused(ApiError):  # noqa: N818 - as Conflict
    """The server understood and said no (any other 4xx); the text is its own message."""


class Unavailable(ApiError):  # noqa: N818 - as Conflict
    """No usable answer: 5xx, 429, a timeout, a broken connection, or an answer that is no Kubernetes.

    ``retry_after_s`` is what the server asked for. ``outcome_unknown``: a write that may have been done.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class Status(msgspec.Struct, rename="camel"):
    """The API's own word for a failure (``kind: Status``), in an answer or an ERROR event."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(Status)


def read_status(raw: bytes | msgspec.Raw) -> Status:
    """Read a Status; what is none becomes one whose message is the beginning of the text."""
    try:
        return _STATUS.decode(raw)
    except (ValueError, RecursionError):
        text = bytes(raw)[:120].decode(errors="replace")
        return Status(message=" ".join(text.split()))


def pause_asked(header: str | None, status: Status) -> float | None:
    """Return the seconds to wait that the answer asks for, at most :data:`LONGEST_PAUSE_S`.

    Only the form in seconds is read: the API server never sends a date.
    """
    asked = status.details.retry_after_seconds if status.details else None
    if header is not None and header.strip().isdecimal():
        asked = float(header.strip())
    return None if asked is None else min(max(asked, 0.0), LONGEST_PAUSE_S)


def failure(code: int, headers: Mapping[str, str], body: bytes, *, write: bool) -> ApiError:
    """Return what an answer that is no success means. ``write`` marks requests that change something.

    HTML never comes from an API server, so an HTML 404 of a load balancer does not mean "not found".
    """
    status = read_status(body)
    message = f"{code} {status.message or status.reason or 'without a message'}"
    html = headers.get("Content-Type", "").startswith("text/html")
    if code == 429:  # turned away before anything was done
        return Unavailable(
            message,
            status=code,
            retry_after_s=pause_asked(headers.get("Retry-After"), status),
        )
    if code >= 500 or code == 408 or not 400 <= code < 500 or html:
        return Unavailable(
            message,
            status=code,
            retry_after_s=pause_asked(headers.get("Retry-After"), status),
            outcome_unknown=write,
        )
    kinds: dict[int, type[ApiError]] = {
        404: NotFound,
        409: AlreadyExists if status.reason == "AlreadyExists" else Conflict,
        410: Expired,
    }
    return kinds.get(code, Refused)(message, status=code)
