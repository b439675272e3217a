"""What the probes and real traffic say, and the time at a step."""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.decide.gates.gate import bad_probes, far_end, four_paths, hold, wait
from controller.decide.gates.rollback import LINK_SILENCE_S
from controller.decide.gates.safety import CLOCKS_DIFFER_S
from controller.decide.gates.spec import traffic_mode
from controller.decide.resolve import MigrationState
from controller.domain import SOAK_SHARE, WHOLE, Answer, Observed, Ruling, Side, Verdict
from controller.domain.ports import port_to_probe, protocol_to_probe
from controller.domain.probe_checks import rejection
from prober.contract import WRONG_CLUSTER

SILENCE_ALERT_S = 30.0


def rejected(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Every way gives the same unexpected answer: it is the question that is wrong."""
    if state.shifted or state.spec is None:
        return None
    service = observed.clusters[state.target].service
    port = port_to_probe(service.ports, state.spec.probe) if service else None
    protocol = protocol_to_probe(port, state.spec.probe) if port else None
    answers = {found.usual_answer for _, found in four_paths(observed, state)}
    if protocol is None or len(answers) != 1:
        return None
    wrong = rejection(answers.pop(), state.spec.probe, protocol)
    return hold("ProbeRejected", wrong) if wrong else None


def wrong_cluster(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """At home already, a path is answered by another cluster than was asked (facts 4)."""
    if state.shifted or state.spec is None:
        return None
    for path, found in four_paths(observed, state):
        if found.usual_answer == WRONG_CLUSTER:
            end = far_end(state, path)
            why = (
                f"the gateway of {end} may not obey its pin, or"
                if end != path.callers
                else "its own pods were asked, so"
            )
            return hold(
                "WrongCluster",
                f"callers in {path.callers} who ask {end} get no answer that names {end} in the header"
                f" {state.spec.probe.cluster_header}: {why} the application names its cluster wrongly",
            )
    return None


def unprobed(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """A prober that cannot ask what it should: it says what to do about it."""
    for path, found in four_paths(observed, state):
        if found.refused:
            reason, message = found.refused
            return hold(
                reason or "ProbeRefused",
                f"the prober in {path.callers} does not probe {far_end(state, path)}: {message}",
                alert=state.shifted,
            )
    return None


def bad_at_baseline(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Nothing has moved yet, and a path is bad already."""
    if state.shifted:
        return None
    for path, found in four_paths(observed, state):
        if found.verdict is not Verdict.FAIL:
            continue
        if path.side is Side.TARGET:
            return hold("TargetBad", bad_probes(path.callers, state.target, found))
        good = found.success_share
        advice = ""
        if good is not None:
            advice = f"; the origin itself meets {good * 100:.4g} %: write a lower slo-success"
        return hold("OriginBad", bad_probes(path.callers, state.origin, found) + advice)
    return None


def blind(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Nobody knows how one of the paths is."""
    for path, found in four_paths(observed, state):
        if found.reason in ("Silent", "Void", "NoStream"):
            if found.heard_s == float("inf"):
                what = f"nothing was heard yet of the prober in {path.callers}"
            elif found.heard_s > LINK_SILENCE_S:
                what = f"the prober in {path.callers} is silent"
            elif found.reason == "Void":
                what = f"the prober in {path.callers} does not stand behind what it reports"
            else:
                what = f"no slice of callers in {path.callers} to {far_end(state, path)} comes"
            long = state.shifted and found.silent_s >= SILENCE_ALERT_S
            short = found.silent_s < 3.0 or not state.shifted
            return Ruling(Answer.HOLD, "Blind", what, waits=short, requeue_after_s=1.0, alert=long)
    return None


def origin_bad(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Above home, a path back that FAILed, or both paths of one cluster: nobody rises, nobody is thrown."""
    if not state.shifted:
        return None
    for path, found in four_paths(observed, state):
        if found.verdict is Verdict.FAIL:
            both = path.callers in state.shifted_clusters and path.side is Side.TARGET
            reason = "BothWaysBad" if both else "WayBad"
            return hold(reason, bad_probes(path.callers, far_end(state, path), found), alert=True)
    return None


def traffic_away(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Where real traffic is required, a Prometheus that does not tell holds; too few requests do not."""
    if traffic_mode(observed, state.spec) != "required":
        return None
    for name in observed.context.clusters:
        found = observed.traffic.get(name)
        if found is None:
            return wait("TrafficUnknown", f"the first answer of the Prometheus of {name}")
        if found.unknown:
            return hold(
                "TrafficUnknown",
                f"traffic is required, and the Prometheus of {name} does not tell: {found.unknown}",
            )
    return None


def dwell(observed: Observed, state: MigrationState, now: datetime) -> Ruling | None:
    """The least time at a step, or the soak."""
    if state.spec is None or state.since is None or not state.shifted:
        return None
    if state.lagging() or state.step >= WHOLE:
        return None  # the rest of a step that was allowed already
    least = state.spec.soak_s if state.step >= SOAK_SHARE else state.spec.step_pause_s
    end = state.since + timedelta(seconds=least)
    left = (end - now).total_seconds()
    if left > least + CLOCKS_DIFFER_S:  # the step is of the future: the clock was set back
        left = least - observed.settled_s
    if left <= 0:
        return None
    what = "soak" if state.step >= SOAK_SHARE else "dwell"
    reason = "Soaking" if state.step >= SOAK_SHARE else "Dwelling"
    return wait(reason, f"the {what} at {state.step / 10:g} % ends in {left:.0f} s", left)


def collecting(observed: Observed, state: MigrationState, _now: datetime) -> Ruling | None:
    """Every raise needs PASS on all four paths."""
    short = [
        (path, found)
        for path, found in four_paths(observed, state)
        if found.verdict is not Verdict.PASS
    ]
    if not short:
        return None
    path, found = min(short, key=lambda pair: pair[1].clean / max(pair[1].needed, 1))
    reason = "Recovering" if found.reason == "Recovering" else "Collecting"
    return wait(
        reason,
        f"{found.clean} of {found.needed} clean probes of callers in {path.callers} to"
        f" {far_end(state, path)}",
    )
