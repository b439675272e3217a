"""How metrics are made, and how those of a Service go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram

from controller.domain import Verdict
from prober.labelled import NAMESPACE, SERVICE

PREFIX = "migrate_controller_"

API_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Up to the deadline of a request, 10 s."""

V = TypeVar("V")
L = TypeVar("L", bound=tuple[str, ...])


class OfServices(Generic[V]):
    """A metric with series for each Service, or each Fleet: those not shown again are removed."""

    def __init__(self, metric: Gauge | Enum, put: Callable[[Any, V], None]) -> None:
        self._metric = metric
        self._put = put
        self._shown: dict[tuple[str, ...], frozenset[tuple[str, ...]]] = {}

    def show(self, key: tuple[str, ...], values: Mapping[L, V]) -> None:
        """Show these values, by the labels after the Service's own, and no others of this Service."""
        shown = self._shown.pop(key, frozenset())
        if values:
            self._shown[key] = frozenset(values)
        for gone in shown.difference(values):
            self._metric.remove(*key, *gone)
        for labels, value in values.items():
            self._put(self._metric.labels(*key, *labels), value)


class Maker:
    """Makes metrics, each by its name without the prefix, in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Make a counter; ``_total`` is added to its name."""
        return Counter(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Make a gauge that stays."""
        return Gauge(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        """Make a histogram."""
        return Histogram(f"{PREFIX}{name}", text, labels, buckets=buckets, registry=self.registry)

    def of_services(self, name: str, text: str, *labels: str) -> OfServices[float]:
        """Make a gauge whose series go with their Service; ``labels`` come after the Service's own."""
        return OfServices(self.gauge(name, text, NAMESPACE, SERVICE, *labels), Gauge.set)

    def of_fleets(self, name: str, text: str, *labels: str) -> OfServices[float]:
        """Make a gauge whose series go with their Fleet; ``labels`` come after the Fleet's own."""
        return OfServices(self.gauge(name, text, "fleet", *labels), Gauge.set)

    def verdicts(self, name: str, text: str, *labels: str) -> OfServices[str]:
        """Make a verdict whose series go with their Service."""
        verdict = Enum(
            f"{PREFIX}{name}",
            text,
            (NAMESPACE, SERVICE, *labels),
            states=[str(verdict) for verdict in Verdict],
            registry=self.registry,
        )
        return OfServices(verdict, Enum.state)
