"""How a Prometheus is reached: what its files say, one bounded request at a time, and errors that give nothing away.

Files are read anew for each round, so that they may be rotated. What a server says comes from a stranger: it is
made text of one line and bounded, and what was sent in confidence is taken out of it, before anybody is told.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from controller.runtime.settings import PrometheusSettings

ROUND_S = 8.0
"""All questions of one tick together, bodies read to their end."""

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer: a hundred times what 400 migrations were seen to need."""

MOST_TOLD = 200
"""Characters of what a server says of its error."""

TENANT = "X-Scope-OrgID"
"""The header by which Mimir and Cortex know whose series are asked for."""

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")


class PrometheusError(Exception):
    """An answer that cannot be used; the text says why, as the end of "Prometheus does not tell: ..."."""


class RefusedError(PrometheusError):
    """An answer whose status says that there is none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is sent with each request, and which parts of it nobody may read in a message."""

    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()

    def told(self, text: str) -> str:
        """Return what a server said as it may be told: without secrets, in one line, bounded."""
        for secret in sorted(self._spelled(), key=len, reverse=True):
            text = text.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= MOST_TOLD else f"{line[:MOST_TOLD]} ..."

    def _spelled(self) -> set[str]:
        """Return each secret as a server may write it: plain, in JSON, in a URL, in HTML, in ``repr``."""
        ways: tuple[Callable[[str], str], ...] = (
            str,
            lambda text: json.dumps(text)[1:-1],
            quote,
            html.escape,
            lambda text: repr(text)[1:-1],
        )
        return {way(secret) for secret in self.secrets for way in ways}


def credentials(settings: PrometheusSettings) -> Credentials:
    """Read the files that say what to send. Raises PrometheusError, whose text quotes none of them."""
    headers: dict[str, str] = {}
    secrets: set[str] = set()
    for name, value, confidential in _headers(settings):
        if name.lower() in {known.lower() for known in headers}:
            raise PrometheusError(f"the header {name} would be sent twice: write it in one place")
        headers[name] = value
        secrets.update(confidential)
    return Credentials(headers, frozenset(secrets))


def _headers(settings: PrometheusSettings) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    """Yield each header, and what of it is confidential."""
    if settings.tenant is not None:
        yield TENANT, settings.tenant, ()
    if settings.token_file is not None:
        token = _line(settings.token_file, "token").strip()
        yield "Authorization", f"Bearer {token}", (token,)
    if settings.username_file is not None and settings.password_file is not None:
        user = _line(settings.username_file, "user")
        password = _line(settings.password_file, "password", ascii_only=False)
        both = base64.b64encode(f"{user}:{password}".encode()).decode()
        yield "Authorization", f"Basic {both}", (password, both)
    if settings.headers_file is not None:
        yield from _of_file(settings.headers_file)


def _of_file(path: str) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    """Yield the headers of a file of lines such as ``THANOS-TENANT: legacy``."""
    for number, line in enumerate(_text(path, "headers").splitlines(), start=1):
        if not line.strip():
            continue
        found = _HEADER.fullmatch(line.strip())
        if found is None or not (found[2] and found[2].isascii() and found[2].isprintable()):
            raise PrometheusError(
                f"line {number} of its headers file {path} is no header: write NAME: VALUE"
            )
        yield found[1], found[2], (found[2],)


def _line(path: str, what: str, *, ascii_only: bool = True) -> str:
    """Return the one line of a file."""
    line = _text(path, what).rstrip("\r\n")
    if not line or not line.isprintable() or (ascii_only and not line.isascii()):
        which = "ASCII " if ascii_only else ""
        raise PrometheusError(f"its {what} cannot be used: write one line of {which}text to {path}")
    return line


def _text(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PrometheusError(f"its {what} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise PrometheusError(f"its {what} cannot be read: {path} is no UTF-8 text") from error


class Session(requests.Session):
    """A session that puts the query into the body, as its length needs, bounds what it reads, follows no
    redirect, and makes an error of whatever is no answer.

    The timeout of requests is from byte to byte: a server that drips would hold the thread for ever.
    """

    def __init__(self, settings: PrometheusSettings, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.trust_env = False
        self.deadline_s = math.inf
        self.known = Credentials()
        if settings.ca_file is not None:
            self.verify = settings.ca_file
        if settings.cert_file is not None and settings.key_file is not None:
            self.cert = (settings.cert_file, settings.key_file)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nowhere: what is sent in confidence goes where the settings say, and nowhere else."""

    def request(self, method: Any, url: Any, **asked: Any) -> requests.Response:  # type: ignore[override]  # requests lists 15 arguments, of which the library uses these
        """Send one request and read all of the answer. Raises PrometheusError where it is none."""
        if self._clock() >= self.deadline_s:
            raise PrometheusError(f"it has not answered all questions within {ROUND_S:g} s")
        asked["data"] = asked.pop("params", None)
        response = super().request(method, url, stream=True, **asked)
        with response:
            body = bytearray()
            while part := response.raw.read1(65536, decode_content=True):
                body += part
                if len(body) > MOST_BYTES:
                    raise PrometheusError(f"its answer has more than {MOST_BYTES} bytes")
                if self._clock() >= self.deadline_s:
                    raise PrometheusError(f"its answer was not complete within {ROUND_S:g} s")
        if response.status_code != 200:
            raise RefusedError(self._refusal(response, bytes(body)))
        response.raw = io.BytesIO(bytes(body))
        return response

    def _refusal(self, response: requests.Response, body: bytes) -> str:
        """Return why there is no answer."""
        status = response.status_code
        if response.is_redirect:
            there = _place(response.url, response.headers["Location"])
            where = self.known.told(f" to {there}") if there else ""
            return (
                f"it redirects{' ' if where else ''}{where} (HTTP {status}), which is not followed: write in"
                " prometheus.url where its API is"
            )
        said = self.known.told(_error_of(body))
        return f"it answers HTTP {status}{': ' if said else ''}{said}"


def _place(url: str, location: str) -> str:
    """Return scheme, host and port of a redirect to another host: the rest of it may be meant for nobody else."""
    try:
        parts = urlsplit(urljoin(url, location))
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    elsewhere = host is not None and host != urlsplit(url).hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}" if elsewhere else ""


def _error_of(body: bytes) -> str:
    """Return what a body says of an error: of Prometheus's own JSON the sentence in it."""
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return text
