"""Return the same stories with each kind of split, and with one of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from controller.domain import SplitKind
from tests.scenarios.world import CLUSTERS, ONE_KIND, World

Pair = Mapping[str, SplitKind]
"""By cluster the kind of split that it has."""

SMI: Pair = ONE_KIND
ROUTES: Pair = dict.fromkeys(CLUSTERS, SplitKind.HTTPROUTE)
MIXED: Pair = {"legacy": SplitKind.HTTPROUTE, "eks": SplitKind.TRAFFICSPLIT}


def told_with(pairs: Sequence[Pair]) -> Any:
    """Return the fixture that lets every test of a module run with each of these; assign it to a name there."""

    @pytest.fixture(autouse=True, scope="module", params=pairs, ids=_name)
    def kinds(request: pytest.FixtureRequest) -> Iterator[None]:
        World.kinds = request.param
        yield
        World.kinds = ONE_KIND

    return kinds


def _name(pair: Pair) -> str:
    one, other = (pair[name].value for name in CLUSTERS)
    return one if one == other else f"{one}-and-{other}"
