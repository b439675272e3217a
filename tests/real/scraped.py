"""Pages of the product's own registries, as series of promtool: labelled as a Prometheus labels what it scrapes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from prober.labelled import Labelled

Labels = Mapping[str, str]
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""By a series' name and labels its value."""

SERVICE_MONITOR = {
    "namespace": "migrate",
    "service": "migrate-controller",
    "pod": "migrate-controller-7d5f9c6b4-x2x8p",
    "container": "controller",
    "endpoint": "metrics",
    "job": "migrate-controller",
    "instance": "10.0.0.7:9990",
    "cluster": "prod-eu-1",
}
"""What the Prometheus Operator writes onto a target of a ServiceMonitor, and an agent beside it."""


def page(shown: Labelled, now_s: float) -> Series:
    """Read what a registry shows; Unix times are told from ``now_s`` on, as promtool's clock begins at zero."""
    found: Series = {}
    for family in text_string_to_metric_families(generate_latest(shown).decode()):
        for name, labels, value, *_ in family.samples:
            found[name, frozenset(labels.items())] = value
    return aged(found, now_s)


def scraped(of: Series, target: Labels, **external: str) -> Series:
    """Label a page as Prometheus does without ``honor_labels``: a target's label wins, the series' own is exported."""
    found: Series = {}
    for (name, own), value in of.items():
        kept = {f"exported_{label}" if label in target else label: said for label, said in own}
        found[name, frozenset({**kept, **target, **external}.items())] = value
    return found


def many(of: Series, services: Sequence[str]) -> Series:
    """Return the page of as many Services, each of which fares as the one of the page does."""
    found: Series = {}
    for (name, labels), value in of.items():
        known = dict(labels)
        for service in services if "migration_service" in known else [""]:
            said = {**known, "migration_service": service} if service else known
            found[name, frozenset(said.items())] = value
    return found


def aged(of: Series, seconds: float) -> Series:
    """Return a page as it is later, when nothing has changed but the time."""
    return {key: value - seconds if _is_time(key) else value for key, value in of.items()}


def input_series(pages: Sequence[Series], scrapes: int, every_s: int) -> Iterator[dict[str, str]]:
    """Yield the series of one page after the other, each for so many scrapes; Unix times count from its first."""
    for key in sorted({key for one in pages for key in one}, key=str):
        values: list[str] = []
        for number, one in enumerate(pages):
            value, began_s = one.get(key), number * scrapes * every_s
            if value is not None:
                values.append(f"{value + began_s * _is_time(key):.3f}x{scrapes - 1}")
            else:
                values.append(f"stale _x{scrapes - 2}" if values else f"_x{scrapes - 1}")
        yield {"series": spelled(key[0], dict(key[1])), "values": " ".join(values)}


def _is_time(key: tuple[str, object]) -> bool:
    return key[0].endswith("_timestamp_seconds")


def spelled(name: str, labels: Labels) -> str:
    """Spell a series as PromQL does."""
    said = ",".join(f"{label}={json.dumps(value)}" for label, value in sorted(labels.items()))
    return f"{name}{{{said}}}"
