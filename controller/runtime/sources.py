"""The sources of evidence beside the probes and real traffic: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from controller.domain import Key
from controller.evidence.source import Source
from controller.runtime.settings import Settings


class RunningSource(Source, Protocol):
    """A source that finds out by itself what it is ordered to."""

    async def run(self, requeue: Callable[[Iterable[Key]], None]) -> None:
        """Watch until cancelled, and pass on the migrations to reconcile because of what came."""


def further(settings: Settings) -> tuple[RunningSource, ...]:
    """Return the sources that the settings ask for."""
    del settings
    return ()
