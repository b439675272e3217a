"""What is shown of a registry: its series, each with the labels that say whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric

INSTALLATION = "installation"
NAMESPACE, SERVICE, CLUSTER = "migration_namespace", "migration_service", "migration_cluster"
"""Of whom a series tells. Not ``namespace``, ``service`` and ``cluster``: a scraper writes there where it scraped."""


class Labelled:
    """A registry as scrapers see it: ``labels`` stand on each of its series."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._registry = registry
        self._labels = dict(labels)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, **self._labels})
                for sample in metric.samples
            ]
            yield metric
