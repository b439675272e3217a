"""One decision: what it was made of, and what is planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from controller.decide import laws
from controller.decide.input import Input, input_of
from controller.decide.plan import planned
from controller.decide.resolve import MigrationState
from controller.domain import (
    Action,
    Key,
    Observed,
    Plan,
    Reason,
    Revert,
    Side,
    Verdict,
    WriteSplit,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that was decided for one migration at one time; nobody has to resolve its state again.

    ``broken`` names the laws that the plan broke as it was made: ``plan`` is then without what raises.
    """

    given: Input
    plan: Plan
    broken: tuple[str, ...] = ()

    @property
    def observed(self) -> Observed:
        """Return what was observed."""
        return self.given.observed

    @property
    def state(self) -> MigrationState:
        """Return where that puts the migration."""
        return self.given.state

    @property
    def now(self) -> datetime:
        """Return the time that it was decided for."""
        return self.given.now

    @property
    def key(self) -> Key:
        """Return the migration."""
        return self.given.observed.key

    @property
    def reason(self) -> str:
        """Return why it does not advance, "" where it does."""
        return self.plan.ruling.reason if self.plan.ruling else ""

    @property
    def rolls_back(self) -> bool:
        """Report whether its callers are to be served by the origin again."""
        return isinstance(self.plan.ruling, Revert)

    @property
    def brings_all_back(self) -> bool:
        """Report whether the plan's writes bring everybody who is shifted to the baseline: what is decided then is
        decided, whatever evidence would still come."""
        attempt = self.state.attempt
        if attempt is None:
            return False
        going = {
            write.cluster
            for write in self.plan.reverts
            if write.record.share_permille == attempt.baseline[write.cluster]
        }
        return going.issuperset(self.state.shifted_clusters)

    @property
    def pressing(self) -> tuple[WriteSplit, ...]:
        """Return the plan's reverts that wait for nobody else's: where a gateway is dead, of the callers whose way to
        the target does not lead through it those that FAIL, too. The others are served."""
        reverts, ruling = self.plan.reverts, self.plan.ruling
        if ruling is None or ruling.reason is not Reason.GATEWAY_DEAD:
            return reverts
        failing = {
            path.callers
            for path, found in self.observed.paths.items()
            if path.side is Side.TARGET and found.verdict is Verdict.FAIL
        }
        return tuple(write for write in reverts if write.cluster in failing)

    @property
    def held_up(self) -> bool:
        """Report whether something holds it that does not end by itself in the ordinary course."""
        return self.plan.ruling is not None and not self.plan.ruling.waits


def decide(observed: Observed, now: datetime) -> Decision:
    """Return what is decided on what was observed; ``now`` is the lease cluster's clock (UTC)."""
    given = input_of(observed, now)
    return lawful(Decision(given, planned(given)))


def lawful(decision: Decision) -> Decision:
    """Return the decision; where its plan breaks a law, without its writes but those that roll back.

    An error of ours must not raise anybody, and must not keep anybody from the way back either.
    """
    broken = laws.broken(decision.given, decision.plan)
    if not broken:
        return decision
    kept = tuple(a for a in decision.plan.actions if not _may_raise(a, decision.given))
    return replace(decision, plan=replace(decision.plan, actions=kept), broken=broken)


def _may_raise(action: Action, given: Input) -> bool:
    """Return whether a write is other than a rollback, or is called one and still raises the share."""
    if not isinstance(action, WriteSplit):
        return False
    return not action.revert or any(laws.raises(given, write) for write in action.each())
