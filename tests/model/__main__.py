"""``make model-check``: every story within bounds, with the product's own ``plan`` deciding.

    python -m tests.model [--deep] [--limit MOMENTS]

One line per kind of story: what may happen in it, how many moments were looked at, and whether every promise
held. A promise that can be broken is told by the shortest story that breaks it, and the exit code is 1. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from functools import partial
from time import monotonic

from controller.decide import laws
from controller.decide.input import input_of
from controller.decide.plan import plan
from controller.domain import Observed, Plan
from tests.model import fleet
from tests.model.search import BrokenError, Found, search
from tests.model.world import Bounds, Decide, Scene, World, enrolled

ONE = (
    Scene(Bounds(faults=1)),
    Scene(Bounds(crashes=1)),
    Scene(Bounds(weathers=1)),
    Scene(Bounds(specs=1)),
    Scene(Bounds(hands=1)),
)
"""One trouble in each story: what the tests run."""

TWO = (
    Scene(Bounds(faults=2)),
    Scene(Bounds(faults=1, crashes=1)),
    Scene(Bounds(faults=1, hands=1)),
    Scene(Bounds(crashes=1, hands=1)),
    Scene(Bounds(takeovers=1), controllers=2),
)
"""Two troubles, and two controllers."""

DEEP = (
    Scene(Bounds(faults=1, weathers=1)),
    Scene(Bounds(faults=1, specs=1)),
    Scene(Bounds(crashes=1, weathers=1)),
    Scene(Bounds(crashes=1, specs=1)),
    Scene(Bounds(weathers=1, specs=1)),
    Scene(Bounds(weathers=2)),
    Scene(Bounds(faults=3)),
    Scene(Bounds(faults=1, crashes=1, weathers=1)),
    Scene(Bounds(takeovers=1, faults=1), controllers=2),
    Scene(Bounds(takeovers=1, weathers=1), controllers=2),
)
"""More, each up to the limit: some have millions of moments."""

FLEETS = (
    fleet.Bounds(bad=2),
    fleet.Bounds(hands=2),
    fleet.Bounds(restarts=1, hands=1),
    fleet.Bounds(bad=1, hands=1),
    fleet.Bounds(bad=2, restarts=1, hands=1),
)
"""What may trouble a Fleet of three Services in two waves."""

FLEET_LIMIT = 10_000
"""Moments of one search of a Fleet's: each decides on three Services."""

LIMIT = 250_000
"""Moments of one search: about 500 MB, and 3 minutes on an idle core."""


def lawful(observed: Observed, now: datetime) -> Plan:
    """Return the product's plan; one that breaks a law is a broken promise, as one that does harm is."""
    decided = plan(observed, now)
    if names := laws.broken(input_of(observed, now), decided):
        raise BrokenError(f"the plan breaks its law {' and '.join(names)}: {decided.actions}")
    return decided


def explore(scene: Scene, decide: Decide = lawful, *, limit: int | None = None) -> Found:
    """Look at every moment of a scene's stories."""
    world = World(decide)
    start = enrolled(scene.controllers)
    return search(start, tuple(scene.bounds), world.steps, world.check, limit=limit)


def main() -> None:
    """Explore, and print what was found."""
    asked = _arguments()
    states = steps = 0
    figures: dict[str, object] = {}
    broken = False
    scenes = (*ONE, *TWO, *(DEEP if asked.deep else ()))
    searches = [(scene.title, partial(explore, scene, limit=asked.limit)) for scene in scenes]
    limit = min(asked.limit, asked.limit if asked.deep else FLEET_LIMIT)
    searches += [(each.title, partial(fleet.explore, each, limit=limit)) for each in FLEETS]
    for title, searched in searches:
        began = monotonic()
        found = searched()
        states, steps = states + found.states, steps + found.steps
        verdict = "BROKEN" if found.broken else "holds" if found.complete else "not all seen"
        took_s = monotonic() - began
        sys.stdout.write(
            f"{title:52} {found.states:9,} moments {found.steps:11,} steps"
            f" {found.depth:3} deep {took_s:6.0f} s  {verdict}\n"
        )
        for line in [*found.story, found.broken] if found.broken else []:
            sys.stdout.write(f"    {line}\n")
        sys.stdout.flush()
        broken = broken or bool(found.broken)
        figures[title] = {"moments": found.states, "held": not found.broken}
    sys.stdout.write(f"{json.dumps({'moments': states, 'steps': steps, 'by_bounds': figures})}\n")
    sys.exit(int(broken))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description="Explores every story of a migration within bounds; docs/guarantees.md says more.",
    )
    parser.add_argument(
        "--deep", action="store_true", help="more troubles at once, up to the limit"
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT,
        metavar="MOMENTS",
        help=f"end each search after so many moments (default: {LIMIT:,})",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
