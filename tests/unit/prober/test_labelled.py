"""Whose series are whose, on the pages that scrapers read."""

from __future__ import annotations

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.domain import Key
from controller.report.metrics import Metrics
from prober.labelled import Labelled
from prober.telemetry import new_metrics

TARGET_LABELS = frozenset(
    [
        "namespace",
        "service",
        "pod",
        "container",
        "endpoint",
        "job",
        "instance",
        "node",
        "cluster",
        "prometheus",
        "replica",
    ]
)
"""What the Prometheus Operator, agents and Thanos write onto every series of a target."""


def controller() -> Labelled:
    """A controller's page, with a Service and a Fleet."""
    metrics = Metrics("1", installation="blue")
    key = Key("shop", "cart")
    metrics.fleets.show("to-eks", {"waves": ()}, {key: "one"}, {})
    metrics.clusters.wrote("eks", "trafficsplit", "done")
    metrics.process.prober_streams("eks", 2)
    return metrics.shown


def prober() -> Labelled:
    """A prober's page."""
    metrics = new_metrics("eks", "blue")
    metrics.paths.begin(("shop", "cart", "mirror"))
    metrics.paths.observe(("shop", "cart", "mirror"), 0.1)
    return metrics.shown


def page(shown: Labelled) -> list[Metric]:
    """What a scraper reads of it."""
    return list(text_string_to_metric_families(generate_latest(shown).decode()))


@pytest.mark.parametrize(
    ("shown", "labels"),
    [
        (controller(), {"installation": "blue"}),
        (prober(), {"installation": "blue", "migration_cluster": "eks"}),
    ],
    ids=["controller", "prober"],
)
def test_every_series_says_whose_it_is(shown: Labelled, labels: dict[str, str]) -> None:
    """Each series, the process's too, has its installation, a prober's its cluster, and none a label of a target."""
    samples = [sample for metric in page(shown) for sample in metric.samples]
    assert {"process_cpu_seconds_total"} <= {sample.name for sample in samples}
    for sample in samples:
        assert labels.items() <= sample.labels.items()
        assert not TARGET_LABELS & sample.labels.keys()
