"""The product's promise, as one function: what to do next for one migration.

    plan(observed, now) -> Plan(phase, ruling, actions, probes, requeue_after_s)

The laws, which :mod:`controller.decide.laws` states as functions:

1.  The way back is asked first. REVERT takes each cluster to its own baseline, and is latched in both records.
2.  A share rises only when every gate lets it pass, so only on PASS of all four paths, from splits that are in force,
    only by the lease's holder.
3.  Forward only raises: a cluster's share becomes max(its own, the step). A baseline never changes in an attempt.
4.  What exists is repaired whatever holds; what does not exist is made only for a spec that can be served.
5.  Planning again after the actions were applied is quiet.

Nothing here reads a clock, logs, awaits or raises on what a user wrote.
"""

from __future__ import annotations

from datetime import datetime

from controller.decide import doubts, gates, origin_calls, warnings
from controller.decide.advance import advance, begin, next_step, take_over
from controller.decide.input import Input, input_of
from controller.decide.orders import probe_rate, probes, traffic
from controller.decide.repair import ask, make, remember, repair
from controller.decide.resolve import MigrationState, asked_target
from controller.decide.roll_back import roll_back
from controller.domain import WHOLE, Action, Hold, Observed, Phase, Plan, Reason, Revert, Ruling


def plan(observed: Observed, now: datetime) -> Plan:
    """Return what to do next for one migration, what to probe, and when to decide again.

    ``now`` is the lease cluster's clock (UTC). The answer depends on nothing but the arguments.
    """
    return planned(input_of(observed, now))


def planned(given: Input) -> Plan:
    """Return the plan of an input that is resolved already."""
    observed, state = given.observed, given.state
    ruling = gates.first(gates.ALL, given)
    rolling_back = isinstance(ruling, Revert)
    actions, ruling = _act(given, ruling)
    phase = _phase(given, ruling, rolling_back=rolling_back)
    following = _next(state, phase)
    target = state.attempt.target if state.attempt else asked_target(observed)
    wants_slot = _wants_slot(given)
    return Plan(
        phase=phase,
        target=target,
        shares=state.shares if target else dict.fromkeys(state.shares),
        ruling=ruling,
        actions=(*actions, *doubts.reads(given)),
        probes=probes(given),
        traffic=traffic(given),
        wants_slot=wants_slot,
        rate_per_s=probe_rate(given, rises=wants_slot),
        number=state.number,
        next=following,
        waiting_for=ruling.message if ruling and following else "",
        warnings=warnings.found(observed, state),
        origin_calls=(
            origin_calls.measured(observed, state)[0] if phase is Phase.COMPLETED else ""
        ),
        requeue_after_s=_sooner(ruling.requeue_after_s if ruling else None, doubts.ends_s(given)),
    )


def _sooner(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _act(given: Input, ruling: Ruling | None) -> tuple[list[Action], Ruling | None]:
    """Return the actions that a ruling asks for, and the ruling that people should see."""
    if ruling is None:
        return advance(given), None
    if isinstance(ruling, Revert):
        return roll_back(given, ruling)
    actions = repair(given) or make(given) or _of_attempt(given, ruling)
    return [*actions, *remember(given)], ruling


def _of_attempt(given: Input, ruling: Hold) -> list[Action]:
    """Return the writes that the attempt itself waits for: a canary, its beginning, or its records brought up to
    date."""
    if ruling.reason is Reason.SPLIT_UNANSWERED:
        return [*ask(given)]
    if ruling.reason in (Reason.TAKING_OVER, Reason.RECORDING) or given.observed.other_lease:
        return take_over(given)
    return begin(given) if ruling.reason is Reason.BEGINNING else []


def _wants_slot(given: Input) -> bool:
    """A slot is held from the last gate before the first raise until the soak begins, or until rolled back, but for
    long dwells."""
    state = given.state
    if state.attempt is not None and (state.completed or state.reverted or state.soaking):
        return False
    if state.shifted:
        return not gates.rests(given)
    return gates.first(gates.BEFORE_SLOT, given) is None


def _phase(given: Input, ruling: Ruling | None, *, rolling_back: bool) -> Phase:
    state = given.state
    if rolling_back:
        return Phase.REVERTING
    if state.reverted or gates.pin_latched(given):
        return Phase.REVERTING if gates.unseen(given) else Phase.REVERTED
    flowing = ruling is None or ruling.waits
    if state.completed:
        return _phase_completed(given, flowing=flowing)
    return _phase_under_way(given, flowing=flowing)


def _phase_completed(given: Input, *, flowing: bool) -> Phase:
    """Return the phase of what is written to be complete: so it is once that is seen everywhere, and in force."""
    if not gates.unproven(given) and not gates.unseen(given):
        return Phase.COMPLETED
    return Phase.SOAKING if flowing else Phase.HOLDING


def _phase_under_way(given: Input, *, flowing: bool) -> Phase:
    """Return the phase of what is neither over nor rolled back: ``flowing`` as nothing holds it up."""
    state = given.state
    if state.shifted and state.soaking:
        return Phase.SOAKING
    if state.shifted:
        return Phase.PROGRESSING if flowing else Phase.HOLDING
    rising = state.unfinished and given.observed.has_slot and flowing
    return Phase.PROGRESSING if rising else Phase.PENDING


def _next(state: MigrationState, phase: Phase) -> str:
    if phase is Phase.REVERTING:
        return "roll back every caller"
    if phase in (Phase.COMPLETED, Phase.REVERTED) or state.spec is None:
        return ""
    if state.attempt is None:
        return f"begin attempt {state.number} to {state.target}"
    step = state.step if state.lagging() else next_step(state)
    return "complete: 100 %" if step >= WHOLE else f"raise to {step / 10:g} %"
