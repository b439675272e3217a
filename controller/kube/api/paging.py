"""A collection read page by page: all of it, of one and the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec

from controller.kube.api.errors import Unavailable


class _PageMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _PageMeta = msgspec.field(default_factory=_PageMeta)
    items: list[msgspec.Raw] | None = None


_PAGE = msgspec.json.Decoder(_Page)


class Collection(NamedTuple):
    """All objects, as they came, and the version of the list itself."""

    items: list[msgspec.Raw]
    version: str


async def whole(
    ask: Callable[[Mapping[str, str]], Awaitable[bytes]],
    query: Mapping[str, str],
    *,
    heard: Callable[[], None] = lambda: None,
) -> Collection:
    """Read every page of a list; ``ask`` sends a query, and ``heard`` is told of each answer. Without a resource
    version in the query each is read from a quorum. Raises Unavailable where an answer is no list."""
    found: list[msgspec.Raw] = []
    asked = dict(query)
    while True:
        answer = await ask(asked)
        try:
            page = _PAGE.decode(answer)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"a list that is none: {error}") from error
        found += page.items or ()
        heard()
        if not page.metadata.continue_:
            return Collection(found, page.metadata.resource_version)
        asked["continue"] = page.metadata.continue_
