"""When the credentials of a kubeconfig end, as far as that can be read in them."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

OVERDUE = 0.1
"""The last part of a life in which what is renewed by itself should have been: the kubelet renews a token when a
fifth is left (KEP-1205), we ask a plugin anew when a quarter is."""


@dataclass(frozen=True, slots=True)
class End:
    """When credentials end. ``since``: when they began, of those that are renewed by themselves; else None."""

    at: datetime
    since: datetime | None = None

    def needs_person(self, now: datetime) -> bool:
        """Report whether somebody has to know of it: of what is renewed by itself, only once that is overdue."""
        return self.since is None or now >= self.at - OVERDUE * (self.at - self.since)


class _Claims(msgspec.Struct):
    exp: float
    iat: float | None = None


def end_of_user(user: Mapping[str, Any], folder: Path) -> End | None:
    """Return the first end of what a kubeconfig's user is known by, without what a plugin gives; None where none can
    be read. ``folder`` is where the kubeconfig is. Raises OSError and ValueError."""
    return min(_ends(user, folder), key=lambda end: end.at, default=None)


def _ends(user: Mapping[str, Any], folder: Path) -> Iterator[End]:
    if token := user.get("token"):
        yield from end_of_token(str(token))
    elif path := user.get("tokenFile"):
        text = (folder / str(path)).read_text(encoding="utf-8")
        yield from end_of_token(text.strip(), renewed=True)
    if data := user.get("client-certificate-data"):
        yield from end_of_certificate(base64.b64decode(data).decode())
    elif path := user.get("client-certificate"):
        yield from end_of_certificate((folder / str(path)).read_text(encoding="utf-8"))


def end_of_token(token: str, *, renewed: bool = False) -> Iterator[End]:
    """Yield the end of a JWT; nothing of a token that is none, or that has no end."""
    parts = token.split(".")
    if len(parts) != 3:
        return
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
        begins = datetime.fromtimestamp(claims.iat, UTC) if renewed and claims.iat else None
        yield End(datetime.fromtimestamp(claims.exp, UTC), begins)
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError, binascii.Error):
        return


def end_of_certificate(pem: str) -> Iterator[End]:
    """Yield the end of the first certificate of a PEM; nothing where there is none."""
    first = pem[max(pem.find(ssl.PEM_HEADER), 0) :].partition(ssl.PEM_FOOTER)
    try:
        der = ssl.PEM_cert_to_DER_cert("".join(first[:2]))
        yield End(_not_after(der))
    except (ValueError, IndexError, OverflowError):
        return


def _not_after(der: bytes) -> datetime:
    """Return the notAfter of a certificate (RFC 5280, 4.1). Raises ValueError and IndexError where it is none."""
    certificate = _content(der, 0)[0]
    fields = _content(certificate, 0)[0]
    at = 0
    if fields[0] == VERSION:
        at = _content(fields, at)[1]
    for _ in ("serialNumber", "signature", "issuer"):
        at = _content(fields, at)[1]
    validity = _content(fields, at)[0]
    begins = _content(validity, 0)[1]
    text = _content(validity, begins)[0].decode("ascii")
    year = "%Y" if validity[begins] == GENERALIZED_TIME else "%y"
    return datetime.strptime(text, f"{year}%m%d%H%M%SZ").replace(tzinfo=UTC)


VERSION = 0xA0
GENERALIZED_TIME = 0x18


def _content(der: bytes, at: int) -> tuple[bytes, int]:
    """Return what is in the element that begins here, and where the next begins (X.690, 8.1)."""
    length = der[at + 1]
    begins = at + 2
    if length & 0x80:
        begins += length & 0x7F
        length = int.from_bytes(der[at + 2 : begins], "big")
    if begins + length > len(der):
        raise ValueError("the element is longer than what there is")
    return der[begins : begins + length], begins + length
