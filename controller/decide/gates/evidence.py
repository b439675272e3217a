"""What the probes and real traffic say, and the time at a step: HOLD."""

from __future__ import annotations

from datetime import timedelta

from controller.decide.gates.gate import (
    Gate,
    bad_probes,
    dead_gateway,
    far_end,
    four_paths,
    hold,
    wait,
)
from controller.decide.gates.rollback import LINK_SILENCE_S
from controller.decide.gates.safety import CLOCKS_DIFFER_S
from controller.decide.gates.spec import traffic_mode
from controller.decide.input import Input
from controller.decide.resolve import MigrationState
from controller.domain import (
    SOAK_SHARE,
    WHOLE,
    CallPath,
    Hold,
    PathEvidence,
    Reason,
    Side,
    Verdict,
)
from controller.domain.ports import port_to_probe, protocol_to_probe
from controller.domain.probe_checks import rejection
from prober.contract import WRONG_CLUSTER

LONG_DWELL_S = 1800.0
"""A dwell of this length holds no slot, as who is held up for so long does not."""

SILENCE_ALERT_S = 30.0

SILENCE_S = 3.0
"""A shorter one is not yet worth a word."""

LOWEST_OBJECTIVE = 0.5
"""The lowest that slo-success can be: who meets less has no lower objective to write, but a fault."""

NO_DATA = frozenset({Reason.SILENT, Reason.VOID, Reason.NO_STREAM})
"""Why nobody knows how a path is."""


def probe_refused(given: Input) -> Hold | None:
    """A prober that cannot ask what it should: it says what to do about it."""
    state = given.state
    for path, found in four_paths(given):
        if found.refused:
            reason, message = found.refused
            return hold(
                Reason(reason) if reason else Reason.PROBE_REFUSED,
                f"the prober in {path.callers} does not probe {far_end(state, path)}: {message}",
                alert=state.shifted,
            )
    return None


def probe_rejected(given: Input) -> Hold | None:
    """Every path gives the same unexpected answer: it is the question that is wrong."""
    state = given.state
    if state.shifted or state.spec is None:
        return None
    service = given.observed.clusters[state.target].service
    port = port_to_probe(service.ports, state.spec.probe) if service else None
    protocol = protocol_to_probe(port, state.spec.probe) if port else None
    answers = {found.usual_answer for _, found in four_paths(given)}
    if protocol is None or len(answers) != 1:
        return None
    wrong = rejection(answers.pop(), state.spec.probe, protocol)
    return hold(Reason.PROBE_REJECTED, wrong) if wrong else None


def wrong_cluster(given: Input) -> Hold | None:
    """At the baseline already, a path is answered by another cluster than was asked (facts 4)."""
    state = given.state
    if state.shifted or state.spec is None:
        return None
    for path, found in four_paths(given):
        if found.usual_answer == WRONG_CLUSTER:
            end = far_end(state, path)
            why = (
                f"the gateway of {end} may not obey its pin, or"
                if end != path.callers
                else "its own pods were asked, so"
            )
            return hold(
                Reason.WRONG_CLUSTER,
                f"callers in {path.callers} who ask {end} get no answer that names {end} in the header"
                f" {state.spec.probe.cluster_header}: {why} the application names its cluster wrongly",
            )
    return None


def _failed(given: Input, *sides: Side) -> tuple[CallPath, PathEvidence] | None:
    """Return the first path to one of these sides that FAILed, None where none did."""
    for path, found in four_paths(given):
        if path.side in sides and found.verdict is Verdict.FAIL:
            return path, found
    return None


def gateway_dead(given: Input) -> Hold | None:
    """A gateway that answers nobody is the cause, whatever else its paths look like."""
    for path, found in four_paths(given):
        if found.reason is Reason.GATEWAY_DEAD:
            message = dead_gateway(path.callers, far_end(given.state, path))
            return hold(Reason.GATEWAY_DEAD, message, alert=given.state.shifted)
    return None


def target_bad(given: Input) -> Hold | None:
    """Nothing has moved yet, and a path to the target is bad already."""
    failed = None if given.state.shifted else _failed(given, Side.TARGET)
    if failed is None:
        return None
    path, found = failed
    return hold(Reason.TARGET_BAD, bad_probes(path.callers, given.state.target, found))


def origin_bad(given: Input) -> Hold | None:
    """Nothing has moved yet, and a path to the origin is bad already."""
    failed = None if given.state.shifted else _failed(given, Side.ORIGIN)
    if failed is None:
        return None
    path, found = failed
    good, advice = found.success_share, ""
    if good is not None and good >= LOWEST_OBJECTIVE:
        advice = f"; the origin itself meets {good * 100:.4g} %: write a lower slo-success"
    elif good is not None:
        advice = "; the origin itself does not work: repair it, or probe what does"
    return hold(Reason.ORIGIN_BAD, bad_probes(path.callers, given.state.origin, found) + advice)


def blind(given: Input) -> Hold | None:
    """Nobody knows how one of the paths is."""
    shifted = given.state.shifted
    for path, found in four_paths(given):
        if found.reason in NO_DATA:
            return Hold(
                Reason.BLIND,
                _why_blind(given.state, path, found),
                waits=found.silent_s < SILENCE_S or not shifted,
                requeue_after_s=1.0,
                alert=shifted and found.silent_s >= SILENCE_ALERT_S,
            )
    return None


def _why_blind(state: MigrationState, path: CallPath, found: PathEvidence) -> str:
    if found.heard_s == float("inf"):
        return f"nothing was heard yet of the prober in {path.callers}"
    if found.heard_s > LINK_SILENCE_S:
        return f"the prober in {path.callers} is silent"
    if found.reason is Reason.VOID:
        return f"the prober in {path.callers} does not stand behind what it reports"
    return f"no slice of callers in {path.callers} to {far_end(state, path)} comes"


def both_ways_bad(given: Input) -> Hold | None:
    """Shifted callers whose path to the target FAILed stay: their path back is no better."""
    state = given.state
    for path, found in four_paths(given):
        out = path.callers in state.shifted_clusters and path.side is Side.TARGET
        if out and found.verdict is Verdict.FAIL:
            message = bad_probes(path.callers, state.target, found)
            return hold(Reason.BOTH_WAYS_BAD, message)
    return None


def way_bad(given: Input) -> Hold | None:
    """While anybody is shifted, another path FAILed: nobody rises, and nobody is thrown."""
    failed = _failed(given, Side.TARGET, Side.ORIGIN) if given.state.shifted else None
    if failed is None:
        return None
    path, found = failed
    return hold(Reason.WAY_BAD, bad_probes(path.callers, far_end(given.state, path), found))


def traffic_unknown(given: Input) -> Hold | None:
    """Where real traffic is required, a Prometheus that does not tell holds; too few requests do not."""
    observed = given.observed
    if traffic_mode(observed, given.state.spec) != "required":
        return None
    for name in observed.context.clusters:
        found = observed.traffic.get(name)
        if found is None:
            return wait(Reason.TRAFFIC_UNKNOWN, f"the first answer of the Prometheus of {name}")
        if found.unknown:
            return hold(
                Reason.TRAFFIC_UNKNOWN,
                f"traffic is required, and the Prometheus of {name} does not tell: {found.unknown}",
            )
    return None


def dwelling(given: Input) -> Hold | None:
    """The least time at a step."""
    spec, step = given.state.spec, given.state.step
    if spec is None or step >= SOAK_SHARE:
        return None
    left = _left_s(given, spec.step_pause_s)
    if left <= 0:
        return None
    message = f"the dwell at {step / 10:g} % ends in {left:.0f} s"
    return hold(Reason.DWELLING, message, requeue_after_s=left)


def rests(given: Input) -> bool:
    """Return whether a dwell so long is under way that no slot is held meanwhile: others rise in that time."""
    spec = given.state.spec
    return spec is not None and spec.step_pause_s >= LONG_DWELL_S and dwelling(given) is not None


def soaking(given: Input) -> Hold | None:
    """The least time with a rest of the callers at the origin."""
    spec, step = given.state.spec, given.state.step
    if spec is None or not SOAK_SHARE <= step < WHOLE:
        return None
    left = _left_s(given, spec.soak_s)
    if left <= 0:
        return None
    message = f"the soak at {step / 10:g} % ends in {left:.0f} s"
    return hold(Reason.SOAKING, message, requeue_after_s=left)


def _left_s(given: Input, least_s: float) -> float:
    """Return how much of the least time at a step is left; the rest of a half-made step waits for nothing."""
    state = given.state
    if state.since is None or not state.shifted or state.lagging():
        return 0.0
    end = state.since + timedelta(seconds=least_s)
    left = (end - given.now).total_seconds()
    if left > least_s + CLOCKS_DIFFER_S:  # the step is of the future: the clock was set back
        return least_s - min(given.observed.settled_s, given.observed.started_s)
    return left


def collecting(given: Input) -> Hold | None:
    """Every raise needs PASS on all four paths; of those that lack it the furthest from it is told."""
    short = [pair for pair in four_paths(given) if pair[1].verdict is not Verdict.PASS]
    if not short:
        return None
    path, found = min(short, key=lambda pair: pair[1].clean / max(pair[1].needed, 1))
    recovering = found.reason is Reason.RECOVERING
    return hold(
        Reason.RECOVERING if recovering else Reason.COLLECTING,
        f"{found.clean} of {found.needed} clean probes of callers in {path.callers} to"
        f" {far_end(given.state, path)}",
    )


GATES: tuple[Gate, ...] = (
    probe_refused,
    probe_rejected,
    wrong_cluster,
    gateway_dead,
    target_bad,
    origin_bad,
    blind,
    both_ways_bad,
    way_bad,
    traffic_unknown,
    dwelling,
    soaking,
    collecting,
)
