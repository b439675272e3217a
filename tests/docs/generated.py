"""The tables of the docs that the code has already, made from it.

    python -m tests.docs.generated

writes each between its marks, ``<!-- generated: NAME -->`` and ``<!-- end -->``; test_generated.py compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from controller.domain import MigrationSpec
from controller.domain.annotation_schema import Row, rows
from controller.domain.notices import NOTICES
from controller.domain.reasons import CATALOGUE
from controller.report.metrics import Metrics
from prober.telemetry import new_metrics

DOCS = Path(__file__).resolve().parents[2] / "docs"


def reasons() -> Iterator[str]:
    """Yield the table of reasons, by their names."""
    yield from _head("reason", "level", "what it means", "what to do")
    for reason, meaning in sorted(CATALOGUE.items()):
        yield _row(f"`{reason}`", meaning.level, meaning.means, meaning.do)


def notices() -> Iterator[str]:
    """Yield the table of what others are notified of, in the order of the catalogue."""
    yield from _head("kind", "what happened")
    for kind, told in NOTICES.items():
        yield _row(f"`{kind}`", f"Fleet: {told.means}" if told.of_fleet else told.means)


def keys() -> Iterator[str]:
    """Yield the table of annotations by their keys, in the order of the schema."""
    yield from _head("key", "value", "default", "example", "what happens")
    for row in rows(("legacy", "eks")):
        value = re.sub(r'"([^"]+)"', r"`\1`", row.write)
        yield _row(f"`{row.key}`", value, _default(row), f"`{row.example}`", row.does)


def _default(row: Row) -> str:
    spec = MigrationSpec()
    value = getattr(spec.probe if row.of_probe else spec, row.field)
    fixed = row.absent == "none" and value not in (None, "")
    return f"`{row.show(value)}`" if fixed else row.absent


def metrics(registry: CollectorRegistry) -> Iterator[str]:
    """Yield the table of the metrics of a registry, in the order in which they were made."""
    yield from _head("metric", "type", "labels", "meaning")
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            kind = str(collector._type)
            name = collector._name + {"counter": "_total", "info": "_info"}.get(kind, "")
            yield _row(f"`{name}`", kind, _labels(collector) or "-", collector._documentation)


def _labels(collector: MetricWrapperBase) -> str:
    own = {"stateset": [collector._name], "info": ["version", "python"]}
    return ", ".join([*collector._labelnames, *own.get(str(collector._type), [])])


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|---" * len(cells) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES: Mapping[str, tuple[str, Callable[[], Iterable[str]]]] = MappingProxyType(
    {
        "reasons": ("reasons.md", reasons),
        "notices": ("notifications.md", notices),
        "annotations": ("annotations.md", keys),
        "metrics": ("metrics.md", lambda: metrics(Metrics("1").registry)),
        "prober-metrics": ("metrics.md", lambda: metrics(new_metrics("eks").registry)),
    }
)
"""By name: the page that has the table, and what makes it."""


def between(name: str) -> re.Pattern[str]:
    """Return the pattern of what stands between the marks of a table."""
    return re.compile(rf"(?<=<!-- generated: {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table(name: str) -> str:
    """Return a table as the docs should have it."""
    _, make = TABLES[name]
    return "".join(f"{line}\n" for line in make())


def main() -> None:
    """Write every table anew."""
    for name, (page, _) in TABLES.items():
        path = DOCS / page
        before, after = between(name).split(path.read_text())
        path.write_text(f"{before}{table(name)}{after}")


if __name__ == "__main__":
    main()
