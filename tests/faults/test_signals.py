"""Real signals to real controller processes on real sockets; probers are fakes, and there is no mesh."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.signals import SAMPLES, Told, journey
from tests.parts import need_api_servers


def travel(name: str) -> Told:
    """Travel with a seed that is printed: a new one each time, the same on the build server."""
    seed = 1 if os.environ.get("CI_ALL") else random.randrange(1_000_000)
    print(f"python -m tests.faults.signals {name} {seed}")  # noqa: T201 - pytest shows it on failure
    return journey(name, seed, print)


@pytest.mark.story
@pytest.mark.timeout(900)
def test_thirty_kills_of_the_process_change_nothing_but_the_time() -> None:
    """A controller killed 30 times, before, amid and after writes, breaks no promise and ends as the clean run."""
    told = travel("kills")
    assert set(told.faults) == set(SAMPLES["kills"].faults)
    assert told.faults.total() >= 30


@pytest.mark.real
@pytest.mark.story
@pytest.mark.timeout(600)
def test_kills_on_real_api_servers_change_nothing_but_the_time() -> None:
    """Between a controller that is killed and kube-apiservers with HTTPRoutes the same promises hold."""
    need_api_servers()
    told = travel("kills-real")
    assert set(told.faults) == set(SAMPLES["kills-real"].faults)
    assert told.faults.total() >= 10


@pytest.mark.story
@pytest.mark.timeout(600)
def test_a_leader_that_was_stopped_past_its_lease_writes_nothing_any_more() -> None:
    """Each write to a split that a SIGSTOP holds until another leads is refused, and two leaders raise nothing."""
    told = travel("stops")
    assert set(told.faults) == set(SAMPLES["stops"].faults)
    assert told.faults.total() >= 3
    assert told.held == {409: told.faults.total()}


@pytest.mark.story
@pytest.mark.timeout(300)
def test_a_controller_whose_stderr_is_full_moves_and_rolls_back_as_ever() -> None:
    """Controllers that log to a full pipe, one of them started after a kill, go there, back and into a rollback."""
    told = travel("full-stderr")
    assert told.faults.total() == 1
