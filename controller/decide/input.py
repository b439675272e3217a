"""What one decision is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controller.decide.parts import arranged
from controller.decide.resolve import MigrationState, resolve
from controller.domain import Observed


@dataclass(frozen=True, slots=True)
class Input:
    """What is observed, what that says of the attempt, and the lease cluster's time (UTC)."""

    observed: Observed
    state: MigrationState
    now: datetime


def input_of(observed: Observed, now: datetime) -> Input:
    """Return the input of a decision, arranged and resolved once."""
    observed = arranged(observed)
    return Input(observed, resolve(observed), now)
