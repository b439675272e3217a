"""Who is notified: the receivers' file, which a Secret holds (docs/notifications.md).

No error and no ``repr`` quotes what is written in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from controller.domain.notices import Notice, NoticeKind
from controller.domain.spelling import nearest
from controller.report.notice_forms import Form
from controller.runtime.prometheus_session import Credentials
from controller.runtime.settings import SettingsError, parsed

LEAST_SECRET = 6
"""Parts of an address that are shorter are words of its service, as ``v1``."""


class Receiver(msgspec.Struct, frozen=True):
    """One address, and what it wants. Address and headers are secrets."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z",
            description="a name for logs and metrics: at most 63 of a-z, 0-9 and -",
        ),
    ]
    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://([^\s/?#@:\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?([/?][^\s#]*)?\Z",
            description="an https:// URL, or http:// where you trust the way there; a user and a password go"
            " into headers, as Authorization",
        ),
    ]
    form: Annotated[Form, Meta(description="cloudevents, slack or teams")] = "cloudevents"
    kinds: Annotated[
        tuple[NoticeKind, ...] | None,
        Meta(description=f"a list of {', '.join(NoticeKind)}; leave it out for all"),
    ] = None
    namespaces: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="a list of the Services' namespaces; leave it out for all, and for Fleets"
        ),
    ] = None
    headers: Annotated[
        dict[
            Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")],
            Annotated[str, Meta(pattern=r"^[ -~]+\Z")],
        ],
        Meta(description="a mapping of headers, NAME: VALUE, each of printable ASCII in quotes"),
    ] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """Return its name alone."""
        return f"Receiver({self.name})"

    def wants(self, notice: Notice) -> bool:
        """Report whether it is to be told; one with namespaces is told of no Fleet, which has none."""
        kind = self.kinds is None or notice.kind in self.kinds
        return kind and (self.namespaces is None or notice.namespace in self.namespaces)

    @property
    def credentials(self) -> Credentials:
        """Return what nobody may read in a message: the address, its parts, and what is in the headers."""
        where = urlsplit(self.url)
        words = [self.url, where.path, where.query, *self.headers.values()]
        parts = [part for word in words for part in re.split(r"[/?&=\s]+", word)]
        return Credentials(
            self.headers, frozenset(w for w in words + parts if len(w) >= LEAST_SECRET)
        )


_FIELDS = MappingProxyType(get_type_hints(Receiver, include_extras=True))


def read_receivers(path: Path) -> tuple[Receiver, ...]:
    """Return the receivers of a file. Raises :class:`SettingsError`, whose text begins with the place."""
    raw = parsed(path)
    if not isinstance(raw, Mapping) or list(raw) != ["receivers"]:
        raise SettingsError(f"{path}: write one key, receivers, with a list of them")
    entries = raw["receivers"]
    if not isinstance(entries, list):
        raise SettingsError(f"{path}: receivers: is no list; write each as - name: ...")
    found = tuple(_read(one, f"{path}: receivers[{n}]") for n, one in enumerate(entries))
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"{path}: two receivers are named {twice}; write another name")
    return found


def _read(raw: object, place: str) -> Receiver:
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{place}: is no mapping; write name, url and form")
    for key in raw:
        if key not in _FIELDS:
            meant = nearest(str(key), _FIELDS)
            hint = f"did you mean {meant}?" if meant else f"known are {', '.join(_FIELDS)}"
            raise SettingsError(f"{place}: has a key that is unknown; {hint}")
    for key in ("name", "url"):
        if key not in raw:
            raise SettingsError(f"{place}.{key}: is missing; write {_words(key)}")
    try:
        return msgspec.convert(raw, Receiver)
    except msgspec.ValidationError as error:
        at = re.search(r"\$\.(\w+)", str(error))
        key = at[1] if at else "name"
    # Not "from error": what msgspec says may quote a value.
    raise SettingsError(f"{place}.{key}: cannot be used; write {_words(key)}")


def _words(key: str) -> str:
    notes: tuple[Any, ...] = getattr(_FIELDS[key], "__metadata__", ())
    return str(next(note.description for note in notes if note.description))
