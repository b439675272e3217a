"""What the probes and real traffic say, and the time at a step."""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.gates.answers import (
    bad_probes,
    far_end,
    four_ways,
    hold,
    wait,
)
from controller.gates.footing import CLOCKS_DIFFER_S
from controller.gates.way_home import LINK_SILENCE_S
from controller.gates.wish import traffic_mode
from controller.model import (
    SLIVER,
    WHOLE,
    Answer,
    Observed,
    Refusal,
    Side,
    Verdict,
)
from controller.ports import port_to_probe, protocol_to_probe
from controller.question import rejection
from controller.standing import Standing
from prober.contract import WRONG_CLUSTER

SILENCE_ALERT_S = 30.0


def rejected(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Every way gives the same unexpected answer: it is the question that is wrong."""
    if st.above_home or st.wish is None:
        return None
    service = seen.clusters[st.target].service
    port = port_to_probe(service.ports, st.wish.probe) if service else None
    protocol = protocol_to_probe(port, st.wish.probe) if port else None
    answers = {found.usual_answer for _, found in four_ways(seen, st)}
    if protocol is None or len(answers) != 1:
        return None
    wrong = rejection(answers.pop(), st.wish.probe, protocol)
    return hold("ProbeRejected", wrong) if wrong else None


def wrong_cluster(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """At home already, a way is answered by another cluster than was asked (facts 4)."""
    if st.above_home or st.wish is None:
        return None
    for way, found in four_ways(seen, st):
        if found.usual_answer == WRONG_CLUSTER:
            end = far_end(st, way)
            why = (
                f"the gateway of {end} may not obey its pin, or"
                if end != way.callers
                else "its own pods were asked, so"
            )
            return hold(
                "WrongCluster",
                f"callers in {way.callers} who ask {end} get no answer that names {end} in the header"
                f" {st.wish.probe.cluster_header}: {why} the application names its cluster wrongly",
            )
    return None


def unprobed(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """A prober that cannot ask what it should: it says what to do about it."""
    for way, found in four_ways(seen, st):
        if found.refused:
            reason, message = found.refused
            return hold(
                reason or "ProbeRefused",
                f"the prober in {way.callers} does not probe {far_end(st, way)}: {message}",
                alert=st.above_home,
            )
    return None


def bad_at_home(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Nothing has moved yet, and a way is bad already."""
    if st.above_home:
        return None
    for way, found in four_ways(seen, st):
        if found.verdict is not Verdict.FAIL:
            continue
        if way.side is Side.TARGET:
            return hold("TargetBad", bad_probes(way.callers, st.target, found))
        good = found.success_share
        advice = ""
        if good is not None:
            advice = f"; the origin itself meets {good * 100:.4g} %: write a lower slo-success"
        return hold("OriginBad", bad_probes(way.callers, st.origin, found) + advice)
    return None


def blind(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Nobody knows how one of the ways is."""
    for way, found in four_ways(seen, st):
        if found.reason in ("Silent", "Void", "NoStream"):
            if found.heard_s == float("inf"):
                what = f"nothing was heard yet of the prober in {way.callers}"
            elif found.heard_s > LINK_SILENCE_S:
                what = f"the prober in {way.callers} is silent"
            elif found.reason == "Void":
                what = f"the prober in {way.callers} does not stand behind what it reports"
            else:
                what = f"no slice of callers in {way.callers} to {far_end(st, way)} comes"
            long = st.above_home and found.silent_s >= SILENCE_ALERT_S
            short = found.silent_s < 3.0 or not st.above_home
            return Refusal(Answer.HOLD, "Blind", what, waits=short, wake_s=1.0, alert=long)
    return None


def home_bad(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Above home, a way home that FAILed, or both ways of one cluster: nobody rises, nobody is thrown."""
    if not st.above_home:
        return None
    for way, found in four_ways(seen, st):
        if found.verdict is Verdict.FAIL:
            both = way.callers in st.away_from_home and way.side is Side.TARGET
            reason = "BothWaysBad" if both else "WayBad"
            return hold(reason, bad_probes(way.callers, far_end(st, way), found), alert=True)
    return None


def traffic_away(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Where real traffic is required, a Prometheus that does not tell holds; too few requests do not."""
    if traffic_mode(seen, st.wish) != "required":
        return None
    for name in seen.fleet.clusters:
        found = seen.traffic.get(name)
        if found is None:
            return wait("TrafficUnknown", f"the first answer of the Prometheus of {name}")
        if found.unknown:
            return hold(
                "TrafficUnknown",
                f"traffic is required, and the Prometheus of {name} does not tell: {found.unknown}",
            )
    return None


def dwell(seen: Observed, st: Standing, now: datetime) -> Refusal | None:
    """The least time at a step, or the soak."""
    if st.wish is None or st.since is None or not st.above_home:
        return None
    if st.lagging() or st.step >= WHOLE:
        return None  # the rest of a step that was allowed already
    least = st.wish.soak_s if st.step >= SLIVER else st.wish.dwell_s
    end = st.since + timedelta(seconds=least)
    left = (end - now).total_seconds()
    if left > least + CLOCKS_DIFFER_S:  # the step is of the future: the clock was set back
        left = least - seen.settled_s
    if left <= 0:
        return None
    what = "soak" if st.step >= SLIVER else "dwell"
    reason = "Soaking" if st.step >= SLIVER else "Dwelling"
    return wait(reason, f"the {what} at {st.step / 10:g} % ends in {left:.0f} s", left)


def collecting(seen: Observed, st: Standing, _now: datetime) -> Refusal | None:
    """Every raise needs PASS on all four ways."""
    short = [
        (way, found) for way, found in four_ways(seen, st) if found.verdict is not Verdict.PASS
    ]
    if not short:
        return None
    way, found = min(short, key=lambda pair: pair[1].clean / max(pair[1].needed, 1))
    reason = "Recovering" if found.reason == "Recovering" else "Collecting"
    return wait(
        reason,
        f"{found.clean} of {found.needed} clean probes of callers in {way.callers} to"
        f" {far_end(st, way)}",
    )
