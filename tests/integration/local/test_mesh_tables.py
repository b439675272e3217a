"""The mesh model against the tables measured on a real pair (tests/data/mesh-facts.json)."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.local.mesh_pair import Pair, running_pair

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "mesh-facts.json").read_text()
)
MIRROR_URL = "http://web-eks.default.svc.cluster.local/"


def named(row: dict[str, Any]) -> str:
    """Return a test's id."""
    return f"p={row['p']},q={row['q']}"


def expected_shares(p: float, q: float, *, pinned: bool) -> dict[str, float]:
    """Where a client of a cluster goes that sends p away, the other one sending q (fact 1)."""
    if pinned:
        return {"home": 1 - p, "away": p, "508": 0.0}
    return {"home": 1 - p, "away": p * (1 - q), "508": p * q}


def assert_within(counts: Counter[str], measured: dict[str, int], law: dict[str, float]) -> None:
    """Each count within three binomial standard deviations of the law, as the measured ones are.

    Where the law says never or always there is no deviation at all.
    """
    for told in (dict(counts), measured):
        total = sum(told.values())
        for answer, share in law.items():
            allowed = 3 * math.sqrt(total * share * (1 - share))
            assert abs(told.get(answer, 0) - total * share) <= allowed, (answer, told, law)
    assert set(counts) <= set(law), counts


def write_splits(pair: Pair, row: dict[str, Any]) -> None:
    """Write both splits of a row."""
    pair.legacy.split(row["p"])
    pair.eks.split(row["q"])


async def both_clients(row: dict[str, Any], *, pinned: bool) -> None:
    """Hold the answers to a client in each cluster against a row."""
    async with running_pair(seed=11) as pair:
        write_splits(pair, row)
        if pinned:
            pair.legacy.pin()
            pair.eks.pin()
        for side, own, other in (
            (pair.legacy, row["p"], row["q"]),
            (pair.eks, row["q"], row["p"]),
        ):
            measured = row[f"{side.name}_client"]
            client = await side.client()
            counts = await client.count(sum(measured.values()))
            shares = expected_shares(own, other, pinned=pinned)
            law = {
                side.name: shares["home"],
                side.other: shares["away"],
                "508": shares["508"],
            }
            assert_within(counts, measured, law)


@pytest.mark.parametrize("row", FACTS["unpinned"], ids=named)
async def test_without_pins_a_share_of_p_times_q_is_lost(row: dict[str, Any]) -> None:
    """Clients of both clusters are answered as the measured ones were, p·q of them by 508."""
    await both_clients(row, pinned=False)


@pytest.mark.parametrize("row", FACTS["pinned_by_service_profile"], ids=named)
async def test_with_pins_shares_are_exactly_the_weights(row: dict[str, Any]) -> None:
    """With a ServiceProfile in both gateways' namespaces nothing bounces at any pair of weights."""
    await both_clients(row, pinned=True)


@pytest.mark.parametrize("row", FACTS["mirror_probe_unpinned"], ids=named)
async def test_a_probe_of_the_mirror_fails_with_the_other_sides_weight(row: dict[str, Any]) -> None:
    """Without a pin a request for web-eks meets the split of eks, and 508 with probability q."""
    async with running_pair(seed=12) as pair:
        write_splits(pair, row)
        client = await pair.legacy.client()
        measured = row["legacy_to_web_eks"]
        counts = await client.count(sum(measured.values()), MIRROR_URL)
        assert_within(counts, measured, {"eks": 1 - row["q"], "508": row["q"]})
