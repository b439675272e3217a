"""One decision: what was observed, where that puts the migration, what is planned, and for when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from controller.decide import laws
from controller.decide.input import Input, input_of
from controller.decide.plan import planned
from controller.decide.resolve import MigrationState
from controller.domain import Action, Key, Observed, Plan, Revert, WriteSplit


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that was decided for one migration at one time; nobody has to resolve its state again.

    ``broken`` names the laws that the plan broke as it was made: ``plan`` is then without what raises.
    """

    observed: Observed
    state: MigrationState
    plan: Plan
    now: datetime
    broken: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The migration."""
        return self.observed.key

    @property
    def reason(self) -> str:
        """Why it does not advance, "" where it does."""
        return self.plan.ruling.reason if self.plan.ruling else ""

    @property
    def rolls_back(self) -> bool:
        """Whether its callers are to be served by the origin again."""
        return isinstance(self.plan.ruling, Revert)

    @property
    def held_up(self) -> bool:
        """Whether something holds it that does not end by itself in the ordinary course."""
        return self.plan.ruling is not None and not self.plan.ruling.waits


def decide(observed: Observed, now: datetime) -> Decision:
    """Return what is decided on what was observed; ``now`` is the lease cluster's clock (UTC)."""
    given = input_of(observed, now)
    return lawful(Decision(observed, given.state, planned(given), now))


def lawful(decision: Decision) -> Decision:
    """Return the decision; where its plan breaks a law, without its writes but those that roll back.

    An error of ours must not raise anybody, and must not keep anybody from the way back either.
    """
    given = Input(decision.observed, decision.state, decision.now)
    broken = laws.broken(given, decision.plan)
    if not broken:
        return decision
    kept = tuple(a for a in decision.plan.actions if not _may_raise(given, a))
    return replace(decision, plan=replace(decision.plan, actions=kept), broken=broken)


def _may_raise(given: Input, action: Action) -> bool:
    """Return whether a write is other than a rollback, or is called one and still raises the share."""
    if not isinstance(action, WriteSplit):
        return False
    return not action.revert or laws.raises(given, action)
