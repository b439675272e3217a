"""The tables of ``docs/metrics.md``, as the document has them and as the code does."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"


def documented(prefix: str) -> list[str]:
    """The rows of the document for metrics of this prefix."""
    lines = DOCUMENT.read_text().splitlines()
    return [line for line in lines if line.startswith(f"| `{prefix}")]


def rows(registry: CollectorRegistry) -> list[str]:
    """The rows that the code's own metrics should have."""
    found = []
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            labels = ", ".join(collector._labelnames)
            if collector._type == "stateset":
                labels += f", {collector._name}"
            if collector._type == "info":
                labels = "version, python"
            kind = str(collector._type)
            name = collector._name + {"counter": "_total", "info": "_info"}.get(kind, "")
            found.append(f"| `{name}` | {kind} | {labels or '-'} | {collector._documentation} |")
    return found
