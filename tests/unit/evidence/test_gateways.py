"""The paths of the gateways themselves: when they speak for every Service, and when not."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import CallPath, Key, Plan, ProbeOrder, ProbeSpec, Reason, Side, Verdict
from controller.evidence import origin_is_worse
from controller.evidence.gateways import PROBERS, ControlService, Gateways
from controller.evidence.probes import ProberReport
from prober.contract import CONTROL_PATH, LAG, UNTIMED, Counts, Report, Sample

A, B = Key("default", "service-a"), Key("default", "service-b")
GOOD, UNANSWERED, BOUNCE, ILL = "200", "timeout", "508", "500"


def mirror(key: Key, callers: str = "legacy", gateway: str = "eks") -> ProbeOrder:
    """The path of a Service's callers through a gateway."""
    side = Side.TARGET if callers == "legacy" else Side.ORIGIN
    return ProbeOrder(
        path=CallPath(callers, side),
        key=key,
        route="mirror",
        mirror_of=gateway,
        port=80,
        addresses=(),
        protocol="http",
        probe=ProbeSpec(),
        success_percent=Decimal(99),
        latency=None,
        judges=1,
        shifted=True,
        generation=0,
        identity=(key,),
    )


def plan(*orders: ProbeOrder) -> Plan:
    """A plan that has these paths probed."""
    return cast("Plan", SimpleNamespace(probes=orders))


def sample(order: ProbeOrder, answer: str, age_s: float, **more: Any) -> tuple[ProbeOrder, Sample]:
    """One probe's answer."""
    bad = int(answer != GOOD)
    return order, Sample(1, 0, age_s, Counts(1, bad, bad), answers={answer: 1}, **more)


@dataclass
class Told:
    """Gateways that Services A and B go through, and the control path that they ask for."""

    gateways: Gateways
    now_s: float = 100.0

    def control(self, callers: str = "legacy") -> ProbeOrder:
        """The order of the control path of these callers."""
        found = self.gateways._order
        return found(next(at for at in self.gateways._gateways if at.callers == callers))

    def tick(
        self,
        *answers: tuple[ProbeOrder, str],
        ill: bool = False,
        void: str = "",
        age_s: float = 0.1,
    ) -> set[Key]:
        """Let 100 ms pass in which this was answered; return the migrations to look at."""
        self.now_s += 0.1
        self.gateways.on_report(
            ProberReport(
                cluster="legacy",
                stream=0,
                report=Report(number=0, control=Counts(1, int(ill), 0), discarded=void),
                samples=tuple(sample(order, answer, age_s) for order, answer in answers),
                now_s=self.now_s,
            )
        )
        return self.gateways.fold(self.now_s)

    def dead(self, key: Key = A) -> bool:
        """Whether a Service is told that its gateway is dead."""
        found = self.gateways.evidence(key, self.now_s).paths
        return bool(found) and all(e.reason is Reason.GATEWAY_DEAD for e in found.values())


def watched(*, known: bool = True) -> Told:
    """Gateways with two Services through that of eks, whose control path was answered once where it is known."""
    told = Told(Gateways(PROBERS))
    for key in (A, B):
        told.gateways.order(key, plan(mirror(key)), 100.0)
    if known:
        told.tick((told.control(), GOOD))
    return told


def until_dead(told: Told, *answers: tuple[ProbeOrder, str], ticks: int = 20) -> int:
    """Tick until A is told of a dead gateway; return the number of ticks, 0 where that never came."""
    return next((n for n in range(1, ticks + 1) if told.tick(*answers) or told.dead()), 0)


def test_a_dead_gateway_speaks_for_every_service_in_four_ticks() -> None:
    """The control path and one Service unanswered: both Services FAIL after 0.4 s, and are looked at once."""
    told = watched()
    lost = ((told.control(), UNANSWERED), (mirror(B), UNANSWERED))
    looks = [told.tick(*lost) for _ in range(5)]
    assert looks == [set(), set(), set(), {A, B}, set()]
    for key in (A, B):
        (found,) = told.gateways.evidence(key, told.now_s).paths.values()
        assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.GATEWAY_DEAD)
        assert found.points >= found.threshold > 0
    assert told.gateways.dead() == {("legacy", "eks"): True}


def test_a_path_back_through_it_is_worse_than_any_other() -> None:
    """The evidence counts for the guard of rollbacks as a path that fails entirely, and freshly."""
    told = watched()
    assert until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    (back,) = told.gateways.evidence(A, told.now_s).paths.values()
    assert origin_is_worse(back, back)


@pytest.mark.parametrize("answer", [GOOD, BOUNCE, ILL, "404"])
def test_any_answer_to_any_service_contradicts_it(answer: str) -> None:
    """The other prober restarts: what a gateway or an application answers, good or bad, shows that it lives."""
    told = watched()
    assert not until_dead(
        told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED), (mirror(B), answer)
    )


@pytest.mark.parametrize("answer", ["502", "503", "504", "timeout", "refused", "reset"])
def test_what_proxies_say_for_nobody_is_no_answer(answer: str) -> None:
    """An error of the callers' own proxy, or none at all, is how a dead gateway looks."""
    told = watched()
    assert until_dead(told, (told.control(), answer), (mirror(A), answer)) == 4


def test_without_a_service_that_is_unanswered_too_it_is_silent() -> None:
    """A control path that fails alone may be the prober: Services that were not asked since prove nothing."""
    told = watched()
    assert not until_dead(told, (told.control(), UNANSWERED))
    told.tick((told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    assert not told.dead()
    told.tick((told.control(), UNANSWERED), (mirror(A), UNANSWERED), (mirror(B), UNANSWERED))
    assert told.dead()


def test_services_alone_do_not_make_it_speak() -> None:
    """Two Services without an answer are two dead Services while the control path is answered."""
    told = watched()
    assert not until_dead(
        told, (told.control(), GOOD), (mirror(A), UNANSWERED), (mirror(B), UNANSWERED)
    )


def test_a_path_that_never_worked_says_nothing() -> None:
    """Not exported or not mirrored: each Service has its own verdict, as it has without."""
    told = watched(known=False)
    lost = ((told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    assert not until_dead(told, *lost)
    told.tick((told.control(), GOOD))
    assert until_dead(told, *lost)


def test_an_answer_ends_it() -> None:
    """The first answer through the gateway takes back what it said, and everybody is looked at again."""
    told = watched()
    until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    assert told.tick((mirror(B), GOOD)) == {A, B}
    assert not told.dead()
    assert told.gateways.dead() == {("legacy", "eks"): False}


def test_what_was_answered_just_before_its_death_does_not_contradict() -> None:
    """A good answer of the sample in which the first control probe failed may be from before."""
    told = watched()
    lost = ((told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    told.tick(*lost, (mirror(B), GOOD))
    assert until_dead(told, *lost)


def test_an_old_failure_that_comes_after_a_newer_answer_is_nothing() -> None:
    """A timeout is reported a second late: by then the gateway has answered what was sent later."""
    told = watched()
    for _ in range(9):
        told.tick((told.control(), GOOD), (mirror(B), GOOD))
    for _ in range(9):
        told.tick((told.control(), UNANSWERED), (mirror(A), UNANSWERED), age_s=1.1)
    assert not told.dead()


@pytest.mark.parametrize("told_so", [{"ill": True}, {"void": "late"}, {"void": LAG}])
def test_a_prober_that_is_ill_kills_no_gateway(told_so: dict[str, Any]) -> None:
    """Failures of a report that its prober doubts, or whose own control probes fail, count for nothing."""
    told = watched()
    for _ in range(20):
        told.tick((told.control(), UNANSWERED), (mirror(A), UNANSWERED), **told_so)
    assert not told.dead()


def test_a_prober_that_hiccups_sees_a_gateway_die_all_the_same() -> None:
    """A loop that came round late makes an answer slow, and misses none: it speaks after as many ticks as without."""
    well, late = watched(), watched()
    for _ in range(20):
        for told, void in ((well, ""), (late, UNTIMED)):
            told.tick((told.control(), UNANSWERED), (mirror(A), UNANSWERED), void=void)
        assert well.dead() == late.dead()
    assert late.dead()


def test_of_a_dead_gateway_the_paths_through_it_lead_nowhere() -> None:
    """They are those of the migrations that go through it, and of a gateway that lives nobody's do."""
    told = watched()
    assert told.gateways.leading_nowhere(A) == frozenset()
    until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    assert told.gateways.leading_nowhere(A) == {mirror(A).path}
    assert told.gateways.leading_nowhere(Key("default", "nobody")) == frozenset()


def test_an_answer_to_an_ill_prober_is_an_answer() -> None:
    """No illness makes answers up: what it got through the gateway shows that this lives."""
    told = watched()
    lost = ((told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    until_dead(told, *lost)
    told.tick((mirror(B), GOOD), ill=True)
    assert not told.dead()


def test_a_prober_that_went_silent_keeps_no_gateway_dead() -> None:
    """After 3 s without a word nobody knows."""
    told = watched()
    until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    for _ in range(29):
        told.tick()
    assert told.dead()
    for _ in range(2):
        told.tick()
    assert not told.dead()


def test_a_gateway_is_asked_once_while_anybody_goes_through_it() -> None:
    """Two Services and two callers' clusters: two control paths, until the last has gone."""
    gateways = Gateways(ControlService(Key("tools", "checks"), 9000))
    a, b = mirror(A), mirror(B)
    back = mirror(A, "eks", "legacy")
    assert gateways.beside(A, ()) == {A: ()}
    gateways.order(A, plan(a, back), 100.0)
    asked = gateways.beside(A, (a, back))
    gateways.order(B, plan(b), 100.0)
    assert gateways.beside(B, (b,)) == {B: (b,)}
    first, second = asked[Key("tools", "checks")]
    assert asked[A] == (a, back)
    assert [(o.path.callers, o.mirror_of) for o in (first, second)] == [
        ("eks", "legacy"),
        ("legacy", "eks"),
    ]
    assert (first.port, first.probe.path, first.path.side) == (9000, CONTROL_PATH, Side.GATEWAY)
    gateways.forget(A)
    assert gateways.beside(A, ()) == {A: (), Key("tools", "checks"): (second,)}
    gateways.order(B, plan(), 100.0)
    assert gateways.beside(B, ()) == {B: (), Key("tools", "checks"): ()}
    assert gateways.dead() == {}


def test_probers_that_are_themselves_a_migration_keep_its_paths() -> None:
    """Where the probers' own Service is migrated, its paths and those of the gateways are asked together."""
    gateways = Gateways(PROBERS)
    own = mirror(PROBERS.key)
    gateways.order(PROBERS.key, plan(own), 100.0)
    asked = gateways.beside(PROBERS.key, (own,))[PROBERS.key]
    assert asked[0] == own
    assert [order.path.side for order in asked[1:]] == [Side.GATEWAY]
    assert gateways.beside(PROBERS.key, (own,)) == {}


def test_who_comes_to_a_gateway_that_was_let_go_hears_nothing_old() -> None:
    """A gateway that nobody goes through is forgotten, dead or not."""
    told = watched()
    until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    for key in (A, B):
        told.gateways.forget(key)
    told.gateways.order(A, plan(mirror(A)), told.now_s)
    assert not told.dead()


def test_what_proves_nothing_of_a_gateway_is_left_out() -> None:
    """A control sample in which nothing was sent, one that its prober voids, and a path through no gateway that is
    watched neither kill it nor bring it back."""
    told = watched()
    elsewhere = mirror(A, "eks", "legacy")
    lost = sample(told.control(), UNANSWERED, 0.1, discarded="reference")
    for _ in range(20):
        told.now_s += 0.1
        told.gateways.on_report(
            ProberReport(
                "legacy",
                0,
                Report(0),
                (
                    (told.control(), Sample(1, 0, 0.1)),
                    lost,
                    sample(elsewhere, UNANSWERED, 0.1),
                    sample(mirror(A), UNANSWERED, 0.1),
                ),
                told.now_s,
            )
        )
        assert told.gateways.fold(told.now_s) == set()
    until_dead(told, (told.control(), UNANSWERED), (mirror(A), UNANSWERED))
    assert told.dead()
    told.tick((elsewhere, GOOD))
    assert told.dead()


TICKS = st.lists(
    st.tuples(
        st.sampled_from([GOOD, UNANSWERED, "503", None]),
        st.sampled_from([GOOD, UNANSWERED, "503", ILL, None]),
        st.sampled_from([GOOD, UNANSWERED, BOUNCE, None]),
    ),
    max_size=40,
)


@given(TICKS)
def test_it_never_speaks_against_an_answer(ticks: list[tuple[str | None, ...]]) -> None:
    """Whatever comes: who is told of a dead gateway has the last four control samples unanswered, and no answer to
    anybody in the last two ticks: of the two before, one may have been sent just before it died."""
    told = watched()
    orders = (told.control(), mirror(A), mirror(B))
    for number, tick in enumerate(ticks, 1):
        told.tick(*((o, a) for o, a in zip(orders, tick, strict=True) if a is not None))
        if told.dead():
            control = [t[0] for t in ticks[:number] if t[0] is not None][-4:]
            assert len(control) == 4
            assert GOOD not in control
            lately = {a for t in ticks[max(0, number - 2) : number] for a in t}
            assert not lately & {GOOD, ILL, BOUNCE}
