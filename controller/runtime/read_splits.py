"""The splits of one cluster as they were read: each once for as long as it and what answers it stand."""

from __future__ import annotations

from typing import Any

from controller.domain import Key, Split
from controller.kube.objects import Resource, ServiceProfileObject
from controller.mesh.splits import mirror_name
from controller.mesh.splits.kinds import PROVIDER_OF

Named = tuple[str, Resource]
"""A split of a Service, by its own name and its kind."""


class ReadSplits:
    """By Service and split. ``far`` is the other cluster. No clock and no I/O."""

    def __init__(self, far: str) -> None:
        self._far = far
        self._known: dict[
            tuple[Key, Named], tuple[object, ServiceProfileObject | None, Split | None]
        ] = {}

    def read(
        self, key: Key, named: Named, found: Any, profile: ServiceProfileObject | None
    ) -> Split | None:
        """Read a split and the Service's ``profile``, which answers it; None where it is about another Service."""
        known = self._known.get((key, named))
        if known is None or known[0] is not found or known[1] is not profile:
            mirror = mirror_name(key.service, self._far)
            known = found, profile, PROVIDER_OF[named[1]].read(found, key, mirror, profile)
            self._known[key, named] = known
        return known[2]

    def forget(self, key: Key, named: Named) -> None:
        """Let go of a split that is gone, or stands otherwise."""
        self._known.pop((key, named), None)
