"""One Service, looked at by ``check``: an error of ours in it is a finding about it, and ends nothing else."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from controller.cli.dry_run import Write, writes_of
from controller.cli.pair import Pair
from controller.decide.preflight import Finding, findings
from controller.domain import Key, Observed
from controller.domain.reasons import Level, Reason


@dataclass(frozen=True, slots=True)
class Look:
    """What is observed of a Service and would be written; ``broken`` is what ended the look instead."""

    observed: Observed | None
    writes: tuple[Write, ...] = ()
    broken: Finding | None = None

    @property
    def target(self) -> str:
        """The cluster that it would go to, "" where that is not known."""
        spec = self.observed.spec if self.observed else None
        return (spec.target if spec else None) or ""

    def findings(self, pair: Pair, refused: tuple[str, ...], now: datetime) -> tuple[Finding, ...]:
        """Return all that is found; ``refused`` are sentences about writes that would fail."""
        if self.observed is None:
            return (self.broken,) if self.broken else ()
        try:
            found = findings(self.observed, pair.facts(self.observed, refused), now)
        except Exception as error:  # noqa: BLE001 - it is told, and the other Services still are
            return (_broken(error),)
        return (self.broken, *found) if self.broken else found


def look(pair: Pair, key: Key, target: str | None, now: datetime) -> Look:
    """Return what is seen of one Service. What goes wrong in it is a finding, never an exception."""
    observed: Observed | None = None
    try:
        observed = pair.observed(key, target, now)
        return Look(observed, tuple(writes_of(observed, pair, now)))
    except Exception as error:  # noqa: BLE001 - as above
        return Look(observed, broken=_broken(error))


def _broken(error: Exception) -> Finding:
    """Return an error as a sentence that can be reported: what, and where in the code."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    where = f"{Path(last.filename).name}:{last.lineno}"
    return Finding(Level.BLOCK, Reason.NOT_CHECKED, f"could not be checked: {what} ({where})")
