"""Whether a process had no CPU is read from what it counts: no clock runs here."""

from __future__ import annotations

import pytest

from deploy.local.starvation import (
    Account,
    NotReached,
    Patience,
    Starvation,
    account_of,
    starved_between,
)

PROBER = """\
# HELP migrate_prober_slices_total Slices told.
migrate_prober_slices_total{installation="migrate",migration_cluster="eks"} 40.0
migrate_prober_slices_void_total{installation="migrate",migration_cluster="eks",reason="lag"} 6.0
migrate_prober_slices_void_total{installation="migrate",migration_cluster="eks",reason="late"} 2.0
migrate_prober_slices_void_total{installation="migrate",migration_cluster="eks",reason="draining"} 9.0
migrate_prober_loop_lag_seconds_bucket{installation="migrate",le="0.001",migration_cluster="eks"} 100.0
migrate_prober_loop_lag_seconds_bucket{installation="migrate",le="0.01",migration_cluster="eks"} 110.0
migrate_prober_loop_lag_seconds_bucket{installation="migrate",le="0.05",migration_cluster="eks"} 112.0
migrate_prober_loop_lag_seconds_bucket{installation="migrate",le="0.1",migration_cluster="eks"} 112.0
migrate_prober_loop_lag_seconds_bucket{installation="migrate",le="+Inf",migration_cluster="eks"} 113.0
migrate_prober_loop_lag_seconds_count 113.0
migrate_prober_loop_lag_seconds_sum 3.3
process_cpu_seconds_total{installation="migrate"} 1.25
"""
CONTROLLER = PROBER.replace("migrate_prober_loop", "migrate_controller_loop")


def test_a_page_of_metrics_is_read() -> None:
    """Only lag above 50 ms counts as late, and only slices discarded for want of CPU as discarded."""
    told = account_of(PROBER, 7.0)
    assert (told.at_s, told.cpu_s, told.slices, told.discarded) == (7.0, 1.25, 40.0, 8.0)
    assert told.late_s == pytest.approx(3.3 - 100 * 0.001 - 10 * 0.01 - 2 * 0.05)
    assert account_of(CONTROLLER, 7.0) == told
    assert account_of("", 7.0) == Account(7.0, cpu_s=0.0, late_s=0.0)


@pytest.mark.parametrize(
    ("after", "starved_s"),
    [
        (Account(20.0, cpu_s=2.0, late_s=0.5, slices=200.0), 0.0),
        (Account(20.0, cpu_s=2.0, late_s=3.5, slices=200.0), 3.0),
        (Account(20.0, cpu_s=2.0, late_s=0.5, slices=200.0, discarded=50.0), 5.0),
        (Account(20.0, cpu_s=2.0, late_s=3.5, slices=200.0, discarded=50.0), 5.0),
        (Account(20.0, cpu_s=9.0, late_s=7.5, slices=200.0), 2.0),
        (Account(20.0, cpu_s=12.0, late_s=7.5, slices=200.0), 0.0),
        (Account(20.0, cpu_s=0.1, late_s=7.5), 0.0),
    ],
    ids=[
        "punctual",
        "late",
        "discarded",
        "late and discarded",
        "late, and computing most of the time",
        "late, and computing all the time",
        "begun anew",
    ],
)
def test_starved_is_who_was_late_and_did_not_compute(after: Account, starved_s: float) -> None:
    """What a process discards or is late by is want of CPU, as far as it did not use the CPU itself."""
    before = Account(10.0, cpu_s=1.0, late_s=0.5, slices=100.0)
    assert starved_between(before, after) == pytest.approx(starved_s)


def account(at_s: float, late_s: float) -> Account:
    """Return an account of somebody who did nothing but be late."""
    return Account(at_s, cpu_s=0.0, late_s=late_s)


def test_time_without_cpu_counts_once() -> None:
    """Both probers and the controller stand still for the same 14 s: a story lost 14 s, not 40."""
    starvation = Starvation()
    who = [("probers", "a"), ("probers", "b"), ("controller", "c")]
    starvation.take({one: account(0.0, 0.0) for one in who})
    assert (starvation.total_s, starvation.sentence()) == (0.0, "")
    late_s = dict(zip(who, (14.0, 13.0, 12.0), strict=True))
    starvation.take({one: account(20.0, late_s[one]) for one in who})
    assert starvation.total_s == 14.0
    assert (
        starvation.sentence() == "the probers were starved of CPU for 14 s, the controller for 12 s"
    )


def test_who_did_not_answer_is_counted_when_it_does() -> None:
    """A process that stands still answers no question; what it lost is told once it goes on."""
    starvation = Starvation()
    prober = ("probers", "a")
    starvation.take({prober: account(0.0, 0.0)})
    starvation.take({})
    assert starvation.total_s == 0.0
    starvation.take({prober: account(9.0, 8.0)})
    assert starvation.total_s == 8.0


def test_one_who_was_starved_is_told_in_the_singular() -> None:
    """Of the controller alone the sentence says "was"."""
    starvation = Starvation()
    for at_s in (0.0, 3.0):
        starvation.take({("controller", "c"): account(at_s, at_s)})
    assert starvation.sentence() == "the controller was starved of CPU for 3 s"


class Busy:
    """A machine on which each question finds another so many seconds without CPU."""

    def __init__(self, found_s: float) -> None:
        self.starvation = Starvation()
        self._found_s = found_s

    async def ask(self) -> None:
        """Find them."""
        self.starvation.total_s += self._found_s


@pytest.mark.parametrize(
    ("found_s", "waited_s", "starved"),
    [
        (0.0, 10.0, False),
        (0.5, 10.5, False),
        (2.0, 12.0, True),
        (30.0, 20.0, True),
    ],
    ids=["fed", "hardly starved", "starved", "starved beyond measure"],
)
async def test_patience_lends_what_was_starved(
    found_s: float, waited_s: float, starved: bool
) -> None:
    """A wait lasts longer by the seconds without CPU, twice as long at most, and then says whose fault it was."""
    now = 0.0
    machine = Busy(found_s)
    patience = Patience(machine, 10.0, lambda: now)
    await machine.ask()
    now = waited_s - 0.1
    await patience.check()
    machine._found_s = 0.0
    now = waited_s
    with pytest.raises(NotReached) as missed:
        await patience.check()
    assert missed.value.starved is starved


async def test_patience_asks_once_more_before_it_ends() -> None:
    """Who stood still until the end has not told of it: it is asked before the product is blamed."""
    now = 0.0
    patience = Patience(Busy(4.0), 10.0, lambda: now)
    now = 13.9
    await patience.check()
