"""What is built from the boards and rules: the committed files in ``dashboards/out``, and in the chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards import controller, fleet, prober, rules, service, waves

OUT = Path(__file__).parent / "out"
IN_CHART = Path(__file__).parent.parent / "deploy" / "chart" / "files" / "dashboards"
"""The same files once more: Helm reads nothing outside of its chart, and a link is lost in an sdist."""
MODULES = (fleet, waves, service, prober, controller)
MADE = "# Built by `make dashboards` from dashboards/rules.py.\n"


def boards() -> dict[str, str]:
    """Return the JSON of each board by file name, as Grafana imports it."""
    encode = JSONEncoder(sort_keys=True, indent=2).encode
    return {
        f"{module.__name__.rpartition('.')[2]}.json": encode(_numbered(module.build())) + "\n"
        for module in MODULES
    }


def _numbered(board: Dashboard) -> models.Dashboard:
    """Build a board whose panels have ids, as links to one of them name it."""
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return built


def files(told: rules.Told = rules.OURS) -> dict[str, str]:
    """Return every built file by name."""
    return {
        **boards(),
        "rules.yaml": MADE + _yaml(rules.groups(told)),
        "prometheusrule.yaml": MADE + _yaml(rules.manifest(told)),
        "alertmanager.yaml": MADE + _yaml(rules.inhibition()),
    }


def write(folder: Path, told: rules.Told = rules.OURS) -> list[Path]:
    """Write every built file; give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files(told).items():
        (folder / name).write_text(text)
        written.append(folder / name)
    return written


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)
