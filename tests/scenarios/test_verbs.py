"""Every verb in every phase: what the command answers with 0 has happened, or does.

The command's own modules decide what is written, on what the API server of the local cluster has by then; the
shipped reconciler does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import pytest

from controller.cli import verbs
from controller.cli.arguments import Asked
from controller.cli.exit_codes import Failure
from controller.cli.migration import read_migration
from controller.domain import PREFIX, WHOLE, Phase
from controller.kube.objects import DECODERS, Resource, ServiceObject
from tests.scenarios.test_in_force import silence
from tests.scenarios.test_rollback import risen
from tests.scenarios.world import A, World

HOME = (0, 0)


def _holding(world: World) -> None:
    world.until_share(100)
    world.annotate(paused="true")
    world.until_phase(Phase.HOLDING)


def _unheard(world: World) -> None:
    world.until_share(999, limit_s=3000)
    silence(world, "legacy")
    world.until(lambda: world.recorded() == (WHOLE, WHOLE), limit_s=3000)
    world.run(10)


def _reverting(world: World) -> None:
    world.until_share(100)
    world.apis["eks"].away = True
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTING)


def _reverted(world: World) -> None:
    world.until_share(100)
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    world.heal()


PHASES: Mapping[str, Callable[[World], None]] = MappingProxyType(
    {
        "pending": lambda world: world.until(lambda: world.plan is not None),
        "progressing": lambda world: world.until_share(100),
        "holding": _holding,
        "soaking": lambda world: world.until_share(999, limit_s=3000),
        "completed, not in force": _unheard,
        "completed": lambda world: world.until_phase(Phase.COMPLETED, limit_s=5000),
        "reverting": _reverting,
        "reverted": _reverted,
    }
)
ENDED = {"reverting", "reverted"}
REFUSED = {
    "start": ENDED,
    "start back": ENDED,
    "pause": {"completed", *ENDED},
    "resume": {"completed", *ENDED},
    "abort": {"completed"},
    "retry": set(PHASES) - {"reverted"},
}
"""By verb, the phases in which it says no: there it could not come true."""


def asks(world: World, verb: str) -> str | None:
    """Do what ``kubectl migrate VERB`` does; return what it refuses with, None where it answers 0."""
    world.run(0.5)  # the status is written
    body = world.apis["legacy"].get(Resource.SERVICES, *A)
    service = DECODERS[Resource.SERVICES](msgspec.json.encode(body))
    assert isinstance(service, ServiceObject)
    told = world.apis["legacy"].get(Resource.MIGRATIONS, *A)
    found = verbs.Found(service, read_migration(told), world.record("legacy"), ("legacy", "eks"))
    back = verb == "start back"
    to = "legacy" if back else "eks"
    asked = Asked(verb=verb.partition(" ")[0], to=to, now=False, steps=None, dwell=None, soak=None)
    try:
        change = verbs.effective(found, verbs.VERBS[asked.verb](found, asked))
    except Failure as refused:
        return str(refused)
    world.apis["legacy"].patch(
        Resource.SERVICES,
        *A,
        {"metadata": {"annotations": {PREFIX + key: value for key, value in change.items()}}},
        manager="kubectl-migrate",
    )
    return None


def _is_back(world: World) -> bool:
    return world.shares() == HOME


def _stays(world: World) -> bool:
    before = world.recorded()
    world.run(120)
    return world.recorded() == before


def _arrives(world: World) -> bool:
    return world.recorded() == (WHOLE, WHOLE)


def _leaves(world: World) -> bool:
    return world.shares() == HOME


HAPPENS: dict[str, Callable[[World], bool]] = {
    "start": _arrives,
    "start back": _leaves,
    "pause": _stays,
    "resume": _arrives,
    "abort": _is_back,
    "retry": _arrives,
}
"""By verb, what its 0 promises."""


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("verb", HAPPENS)
def test_what_is_answered_0_happens(verb: str, phase: str) -> None:
    """In each phase a verb is refused, where it could not come true, or what it promises comes true."""
    world = risen(0) if phase == "pending" else risen(10)
    PHASES[phase](world)
    refused = asks(world, verb)
    assert (refused is not None) == (phase in REFUSED[verb]), refused
    if refused is not None:
        return
    world.run(5)
    if phase in ("completed, not in force", "reverting"):
        for cluster in world.clusters:
            world.apis[cluster].answering.catch_up()
            world.apis[cluster].away = False
    happens = HAPPENS[verb]
    if verb == "pause":
        assert happens(world), world.describe()
    else:
        world.until(lambda: happens(world), limit_s=6000)
