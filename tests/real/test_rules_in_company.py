"""The rules beside other people's: on pages of the controller that ships, labelled as their Prometheus labels them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from controller.domain import Phase
from dashboards import build
from dashboards.conventions import metrics_in
from dashboards.rules import ALERTS, RECORDINGS
from deploy.servers.prometheus import find_binary
from prober.labelled import INSTALLATION, Labelled
from prober.telemetry import new_metrics
from tests.real.alertmanager import Alertmanager
from tests.real.scraped import (
    SERVICE_MONITOR,
    Series,
    aged,
    input_series,
    many,
    page,
    scraped,
    spelled,
)
from tests.scenarios.world import World

EVERY_S, SCRAPES = 15, 40
"""Of one page: ten minutes. The first is well; five more follow."""

SERVICES = ["cart", "till", "user"]
EXPRESSIONS = [*(one.expr for one in RECORDINGS), *(one.expr for one in ALERTS)]
ASKED = {metric for expr in EXPRESSIONS for metric in metrics_in(expr)}


class Pages(NamedTuple):
    """What a controller shows of a shifted Service: with both probers, without the one in eks, and when all are rolled
    back; and what Prometheus has of one that is gone."""

    well: Series
    silent: Series
    reverted: Series
    gone: Series

    def of(self, installation: str, then: str = "well", services: int = 3) -> list[Series]:
        """Return an hour of as many Services of an installation, of which ten minutes go well."""
        later: Series = getattr(self, then)
        # What is well stays so; of what happened once only the time goes on.
        passing = 0 if then == "well" else SCRAPES * EVERY_S
        found = [self.well, *(aged(later, at * passing) for at in range(5))]
        return [many(_named(one, installation), SERVICES[:services]) for one in found]


def _named(of: Series, installation: str) -> Series:
    return {
        (name, frozenset({**dict(labels), INSTALLATION: installation}.items())): value
        for (name, labels), value in of.items()
        if name in ASKED
    }


@pytest.fixture(scope="module")
def pages() -> Pages:
    """The pages of the reconciler that ships, in virtual time; what its streams and its lease tell is told to it."""
    world = World()
    world.begin_on_legacy()
    world.ask(dwell="1m")
    world.until_share(250)
    world.run(5)
    metrics = world.replica.metrics
    metrics.process.leads(True, 1)
    for cluster in world.clusters:
        metrics.process.prober_streams(cluster, 2)
    well = page(metrics.shown, world.now.timestamp())
    world.mute("eks")
    world.run(60)
    metrics.process.prober_streams("eks", 0)
    silent = page(metrics.shown, world.now.timestamp())
    metrics.process.prober_streams("eks", 2)
    world.heal()
    world.run(5)
    world.fault("legacy", "target")
    world.until_phase(Phase.REVERTED)
    reverted = page(metrics.shown, world.now.timestamp())
    world.end()
    return Pages(well, silent, reverted, {})


def together(*found: Sequence[Series]) -> list[Series]:
    """Return the pages of several targets as one Prometheus has them."""
    return [dict(chain.from_iterable(map(dict.items, pages))) for pages in zip(*found, strict=True)]


def seen_by(found: Sequence[Series], target: Mapping[str, str], **external: str) -> list[Series]:
    """Return these pages as they are scraped."""
    return [scraped(one, target, **external) for one in found]


def promtool(
    pages: Sequence[Series],
    firing: Mapping[str, Sequence[Mapping[str, str]]],
    folder: Path,
) -> None:
    """Have promtool hold: at these times exactly these alerts fire, by their labels."""
    checks = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": at,
            "exp_samples": [
                {"labels": spelled("ALERTS", {"alertstate": "firing", **labels}), "value": 1}
                for labels in alerts
            ],
        }
        for at, alerts in firing.items()
    ]
    test = {
        "interval": f"{EVERY_S}s",
        "input_series": list(input_series(pages, SCRAPES, EVERY_S)),
        "promql_expr_test": checks,
    }
    cases = {
        "rule_files": [str(build.OUT / "rules.yaml")],
        "evaluation_interval": "30s",
        "tests": [test],
    }
    path = folder / "cases.yaml"
    path.write_text(json.dumps(cases))  # which is YAML, too
    binary = find_binary("promtool")
    assert binary is not None
    told = subprocess.run(
        [binary, "test", "rules", path], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, (told.stdout + told.stderr)[:4000]


def alert(name: str, severity: str, **labels: str) -> dict[str, str]:
    """Return the labels of an alert of the installation blue."""
    return {"alertname": name, "severity": severity, INSTALLATION: "blue", **labels}


ANOTHER = {**SERVICE_MONITOR, "instance": "10.0.0.9:9990"}
"""The target of another installation."""

SILENT = alert("MigrateProberSilent", "page", migration_cluster="eks")


def firing(services: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Return by time what fires where the prober in eks is silent from the tenth minute on."""
    each = [{"migration_namespace": "default", "migration_service": one} for one in services]
    asks = [alert("MigrateAsksForPerson", "page", reason="Blind", **one) for one in each]
    stuck = [alert("MigrateStuck", "ticket", **one) for one in each]
    # The silence is told before those that wait for it.
    return {
        "10m": [],
        "11m": [SILENT],
        "15m": [SILENT, *asks],
        "55m": [SILENT, *asks, *stuck],
    }


@pytest.mark.parametrize("company", ["service-monitor", "two-installations", "thanos"])
def test_a_silent_prober_is_told_of_whom_it_concerns(
    company: str, pages: Pages, real_prometheus: None, tmp_path: Path
) -> None:
    """Whoever scrapes, the silent cluster is named, and each of the Services that wait for it, once."""
    seen = seen_by(pages.of("blue", "silent"), SERVICE_MONITOR)
    if company == "two-installations":
        seen = together(seen, seen_by(pages.of("green"), ANOTHER))
    elif company == "thanos":
        seen = together(*(seen_by(seen, {}, prometheus_replica=replica) for replica in "ab"))
    promtool(seen, firing(SERVICES), tmp_path)


def test_a_rollback_is_told_of_its_service(
    pages: Pages, real_prometheus: None, tmp_path: Path
) -> None:
    """Of two installations with Services of one name, what was rolled back is told of the one, for an hour."""
    green = seen_by(pages.of("green", services=1), ANOTHER)
    seen = together(seen_by(pages.of("blue", "reverted", 1), SERVICE_MONITOR), green)
    service = {"migration_namespace": "default", "migration_service": SERVICES[0]}
    told = alert("MigrateReverted", "ticket", reason="TargetBad", **service)
    promtool(seen, {"9m": [], "11m": [told], "55m": [told]}, tmp_path)


def test_a_controller_that_is_gone_is_missed(
    pages: Pages, real_prometheus: None, tmp_path: Path
) -> None:
    """Where one of two installations has no controller any more, that one is named."""
    green = seen_by(pages.of("green", services=1), ANOTHER)
    seen = together(seen_by(pages.of("blue", "gone", 1), SERVICE_MONITOR), green)
    promtool(seen, {"10m": [], "15m": [alert("MigrateNoLeader", "page")]}, tmp_path)


def test_a_prometheus_that_has_only_a_prober_is_quiet(
    real_prometheus: None, tmp_path: Path
) -> None:
    """Where only probers are scraped, nobody is missed and nothing fires."""
    shown: Labelled = new_metrics("eks", "blue").shown
    target = {**SERVICE_MONITOR, "service": "prober", "job": "prober"}
    seen = seen_by([page(shown, 0.0)] * 6, target)
    promtool(seen, {"10m": [], "45m": []}, tmp_path)


async def test_one_silent_prober_is_one_page(real_prometheus: None) -> None:
    """Of 61 pages and 60 tickets one page is told; another installation's, and another reason's, are too."""
    fired = firing([f"service-{number}" for number in range(60)])["55m"]
    blind = next(labels for labels in fired if labels.get("reason") == "Blind")
    green = {**blind, INSTALLATION: "green"}
    other = {**blind, "reason": "GatewayDead"}
    inhibits = yaml.safe_load((build.OUT / "alertmanager.yaml").read_text())
    async with Alertmanager(inhibits) as alertmanager:
        told = await alertmanager.told([*fired, green, other])
    assert sorted(told, key=str) == sorted([SILENT, green, other], key=str)
