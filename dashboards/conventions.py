"""What every board and rule must keep to. Each function gives what is wrong, in sentences.

Of boards these are the rules of Grafana's dashboard-linter and more, but for its four that ask for variables and
matchers ``job`` and ``instance``: our series are known by their installation, whatever a scraper calls the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dashboards import build, rules
from dashboards.asking import Board, queries_of

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"
WIDTH = 24

LINKERD = frozenset({"response_total", "outbound_http_route_backend_response_statuses_total"})
"""Metrics that are not ours (docs/mesh-facts.md, 20)."""

PROCESS = frozenset({"process_cpu_seconds_total", "process_resident_memory_bytes"})
"""Metrics of every Python program that prometheus_client serves."""

SHOWS_NAMES = ("timeseries", "state-timeline", "bargauge")
"""Kinds of panels that tell series apart by their names in the legend."""

REFRESHED = 2
"""A variable's values are asked for whenever the time range changes, as Grafana numbers it."""

BUILT_IN = {"__rate_interval", "__range", "__interval"}


def stale(folder: Path) -> list[str]:
    """Return which committed files are not what the code builds."""
    built = build.files()
    there = {path.name: path.read_text() for path in folder.glob("*") if path.is_file()}
    names = sorted(built.keys() | there.keys())
    return [
        f"{folder.name}/{name} is not what the code builds: run make dashboards"
        for name in names
        if built.get(name) != there.get(name)
    ]


def breaches(name: str, board: Board) -> Iterator[str]:
    """Return what of a board breaks the conventions."""
    variables = {variable["name"] for variable in board["templating"]["list"]}
    if "datasource" not in variables:
        yield f"{name} has no variable datasource"
    if board["editable"]:
        yield f"{name} can be edited in Grafana, where nobody keeps it"
    for variable in board["templating"]["list"]:
        if variable["type"] == "query" and variable["refresh"] != REFRESHED:
            yield f"{name}, ${variable['name']}: ask for its values anew with each time range"
    titles = [panel["title"] for panel in board["panels"]]
    yield from (
        f"{name}: two panels are called {title}" for title in titles if titles.count(title) > 1
    )
    ids = [panel.get("id") for panel in board["panels"]]
    if None in ids or len(set(ids)) < len(ids):
        yield f"{name}: each panel has an id of its own, for links to it"
    for panel in board["panels"]:
        yield from (f"{name}, {panel['title']}: {what}" for what in _panel(panel))
    for query in queries_of(name, board):
        unknown = set(re.findall(r"\$\{?(\w+)", query.expr)) - variables - BUILT_IN
        yield from (f"{query}: ${variable} is not defined" for variable in sorted(unknown))
        if re.search(r"\brate\([^()]*\[\d", _bare(query.expr)):
            yield f"{query}: take rates over $__rate_interval"
        if query.panel != "$installation":
            yield from (f"{query}: {what}" for what in _query(query.expr))
    yield from (f"{name}: {what}" for what in (*_overlaps(board), *_links(board)))


def _panel(panel: Mapping[str, Any]) -> Iterator[str]:
    if not str(panel.get("description", "")).endswith("."):
        yield "a description is a sentence, with its full stop"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "it has no unit"
    if panel["datasource"]["uid"] != "${datasource}":
        yield "it does not ask $datasource"
    if not panel["targets"]:
        yield "it asks nothing"
    for target in panel["targets"]:
        if target["datasource"]["uid"] != "${datasource}":
            yield f"{target['refId']} does not ask $datasource"
    yield from _legend(panel)


def _query(expr: str) -> Iterator[str]:
    """What is wrong with a query of our own metrics."""
    for metric in re.findall(
        r"\b(?:migrate_[a-z]|migration_\w+:|process_)\w*(?!\w)", _selected(expr)
    ):
        yield f"{metric} of which installation?"
    for before, counter in re.findall(r"(\w*\(?)\b(\w+_total)\{", expr):
        if before not in ("rate(", "increase(", "max_over_time("):
            yield f"{counter} only ever rises: take its rate, or where the count is meant max_over_time"


def _selected(expr: str) -> str:
    """A query without those metrics that are asked for with their installation, and without labels."""
    rest = re.sub(r'[\w:]+\{installation="\$installation"', "{", expr)
    return re.sub(r"\{[^}]*\}|\([^()]*\)(?=\s*[({])", "", _bare(rest))


def _legend(panel: Mapping[str, Any]) -> Iterator[str]:
    """In a legend each name and each colour is of one thing."""
    colours = [
        entry["value"]["fixedColor"]
        for override in panel["fieldConfig"].get("overrides", ())
        for entry in override["properties"]
        if entry["id"] == "color"
    ]
    yield from (f"{one} is two things" for one in sorted(set(colours)) if colours.count(one) > 1)
    if panel["type"] not in SHOWS_NAMES:
        return
    legends = [target["legendFormat"] for target in panel["targets"]]
    yield from (f"two series are called {one}" for one in legends if legends.count(one) > 1)
    for target in panel["targets"]:
        told = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        if missing := sorted(_labels_of(target["expr"]) - told):
            yield f"{target['refId']}: series differ in {', '.join(missing)}, and their names do not"


def _labels_of(expr: str) -> set[str]:
    """The labels by which the outermost aggregation of a query tells series apart."""
    found = re.search(r"\b(?:sum|min|max|avg|count)\s*(?:by \(([^)]*)\))?\s*\(", expr)
    if found is None:
        return set() if expr.startswith("vector(") else {"every label"}
    return set((found[1] or "").split(", ")) - {"", "le"}


def _links(board: Board) -> Iterator[str]:
    """Links to other boards keep the time range and the installation."""
    for link in board["links"]:
        if link["type"] == "dashboards" and not (link["keepTime"] and link["includeVars"]):
            yield f"the link {link['title']} loses the time range or the variables"
    for panel in board["panels"]:
        for override in panel["fieldConfig"].get("overrides", ()):
            for entry in override["properties"]:
                for link in entry["value"] if entry["id"] == "links" else ():
                    if not {"${__url_time_range}", "${installation:queryparam}"} <= set(
                        re.findall(r"\$\{[\w:]+\}", link["url"])
                    ):
                        yield f"the link {link['title']} loses the time range or the installation"


def _overlaps(board: Board) -> Iterator[str]:
    cells: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > WIDTH:
            yield f"{panel['title']} is outside of the grid"
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if other := cells.get((x, y)):
                    yield f"{panel['title']} lies upon {other}"
                    return
                cells[x, y] = panel["title"]


# --- metrics --------------------------------------------------------------------------------------


def documented_series() -> frozenset[str]:
    """Return the names of all series that ``docs/metrics.md`` documents."""
    row = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.MULTILINE)
    names: set[str] = set()
    for name, kind in row.findall(DOCUMENT.read_text()):
        names.add(name)
        if kind == "histogram":
            names |= {f"{name}_{part}" for part in ("bucket", "count", "sum", "created")}
        if kind == "counter":
            names.add(f"{name.removesuffix('_total')}_created")
    return frozenset(names)


def unknown_metrics(boards: Mapping[str, Board], groups: Mapping[str, Any]) -> Iterator[str]:
    """Return which queries ask for what nobody emits."""
    recorded = {r["record"] for g in groups["groups"] for r in g["rules"] if "record" in r}
    known = documented_series() | recorded | LINKERD | PROCESS
    asked = [(str(q), q.expr) for name, board in boards.items() for q in queries_of(name, board)]
    asked += [
        (r.get("alert") or r["record"], r["expr"]) for g in groups["groups"] for r in g["rules"]
    ]
    for where, expr in asked:
        for metric in sorted(metrics_in(expr) - known):
            yield f"{where}: nobody emits {metric}"


def metrics_in(expr: str) -> set[str]:
    """Return the metrics that a query names."""
    bare = re.sub(r"\b(by|on|ignoring|group_left|group_right|without)\s*\([^)]*\)", "", _bare(expr))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    return {
        word
        for word in re.findall(r"[A-Za-z_][\w:]*(?!\w*\s*\()", bare)
        if ("_" in word or ":" in word) and not word.startswith("__")
    } - {"count_values", "histogram_quantile", "sort_desc", "label_replace", "label_join"}


def _bare(expr: str) -> str:
    return re.sub(r'"[^"]*"', '""', expr)


# --- alerts ---------------------------------------------------------------------------------------


def alerts_tested(cases: Path) -> tuple[set[str], list[str]]:
    """Return the alerts that promtool's file both fires and quiets, and what is missing for the others."""
    tests = yaml.safe_load(cases.read_text())["tests"]
    checks = [check for test in tests for check in test.get("alert_rule_test", ())]
    fired = {check["alertname"] for check in checks if check.get("exp_alerts")}
    quiet = {check["alertname"] for check in checks if not check.get("exp_alerts")}
    names = {alert.name for alert in rules.ALERTS}
    missing = [f"{name}: no case in which it fires" for name in sorted(names - fired)]
    missing += [f"{name}: no case in which it is quiet" for name in sorted(names - quiet)]
    return fired & quiet & names, missing


def runbooks_missing() -> list[str]:
    """Return which alerts have no runbook, and which runbooks no alert."""
    wanted = {alert.runbook for alert in rules.ALERTS}
    there = {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}
    return [f"docs/runbooks/{name} is missing" for name in sorted(wanted - there)] + [
        f"docs/runbooks/{name} is of no alert" for name in sorted(there - wanted)
    ]
