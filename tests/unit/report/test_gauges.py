"""The gauges of a migration: where it stands, what comes when, and what is wrong."""

from __future__ import annotations

from datetime import timedelta

from controller.decide.decision import Decision
from controller.decide.input import input_of
from controller.domain import Observed, Phase, Plan
from controller.report.gauges import Gauges, gauges
from tests.scenarios.world import World
from tests.scenarios.world_replica import Replica


class Gauged:
    """A world in which the gauges of every look are kept."""

    def __init__(self) -> None:
        self.world = World()
        self.world.begin_on_legacy()
        self.all: list[Gauges] = []
        self.world.on_look.append(self._look)

    def _look(self, _replica: Replica, observed: Observed, decided: Plan) -> None:
        self.all.append(gauges(Decision(input_of(observed, self.world.now), decided)))

    @property
    def last(self) -> Gauges:
        """Those of the last look."""
        return self.all[-1]


def risen(share: int = 250, *, dwell: str = "3s", probe_rate: str = "50") -> Gauged:
    """Callers of both clusters have risen to this share."""
    gauged = Gauged()
    gauged.world.ask(dwell=dwell, probe_rate=probe_rate)
    gauged.world.until_share(share)
    gauged.world.run(1.5)
    return gauged


def test_the_next_step_is_due_when_dwell_and_probes_allow() -> None:
    """The next step is due after the dwell, and after the clean probes that PASS needs, whichever is longer."""
    gauged = risen(dwell="60s")
    since, due = gauged.last.since, gauged.last.due
    assert since is not None
    assert due == since + timedelta(seconds=60)
    quick = risen(dwell="1s", probe_rate="10")
    assert quick.last.since is not None
    assert quick.last.due == quick.last.since + timedelta(seconds=10)  # 100 probes at 10/s


def test_a_step_that_something_holds_is_overdue() -> None:
    """What holds a migration moves its end but not the time at which its next step was due."""
    gauged = risen(dwell="3s")
    before = gauged.last
    gauged.world.edit("legacy", 400)
    gauged.world.run(20.0)
    held = gauged.last
    assert (held.reason, held.phase, held.blocked) == ("HandEdited", Phase.HOLDING, True)
    assert not before.blocked
    assert held.due == before.due
    assert held.due is not None
    assert held.due < gauged.world.now
    assert held.ends is not None
    assert before.ends is not None
    assert held.ends > before.ends


def test_who_stays_foresees_nothing() -> None:
    """A paused migration has no next step and no end, and says what it waits for."""
    gauged = risen()
    gauged.world.annotate(paused="true")
    gauged.world.run(1.0)
    assert (gauged.last.due, gauged.last.ends, gauged.last.reason) == (None, None, "Paused")


def test_a_missing_pin_is_told_by_its_cluster() -> None:
    """Every look tells of each cluster whether its gateway is pinned, and a pin that is gone shows."""
    gauged = risen()
    assert gauged.last.pinned == {"legacy": True, "eks": True}
    gauged.all.clear()
    gauged.world.delete_pin("eks")
    gauged.world.run(1.0)
    assert {"legacy": True, "eks": False} in [found.pinned for found in gauged.all]
    assert gauged.last.pinned == {"legacy": True, "eks": True}


def test_a_revert_is_told_with_its_time() -> None:
    """After a revert the gauges have its latch, and no step is due any more."""
    gauged = risen()
    gauged.world.fault("legacy", "target")
    gauged.world.until_phase(Phase.REVERTED)
    gauged.world.run(1.0)
    latch = gauged.last.reverted
    assert latch is not None
    assert latch.reason == "TargetBad"
    assert latch.at <= gauged.world.now
    assert (gauged.last.due, gauged.last.objective) == (None, 0.99)
    assert Phase.REVERTING in [found.phase for found in gauged.all]
