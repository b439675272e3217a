"""The boards, the rules and what is built from them, without a Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from controller.domain.reasons import CATALOGUE
from dashboards import build, conventions, rules
from dashboards.agreed import CHOSEN, SHARE_BUCKETS
from dashboards.asking import filled, queries_of
from dashboards.panels import PHASES

ROOT = Path(__file__).parents[3]
CASES = Path(__file__).parent / "alerts.yaml"
BOARDS: dict[str, Any] = {name: json.loads(text) for name, text in build.boards().items()}
RUNBOOK_PARTS = (
    "What it means",
    "What callers feel",
    "How to look",
    "What to do",
    "When to escalate",
)


def test_the_committed_files_are_what_the_code_builds() -> None:
    """``dashboards/out`` holds what the code builds, and nothing else, and the chart the same."""
    assert conventions.stale(build.OUT) == []
    assert conventions.stale(build.IN_CHART) == []


def test_a_file_that_was_edited_by_hand_is_found(tmp_path: Path) -> None:
    """A built file that was changed, one that is missing and one that is too many are each named."""
    build.write(tmp_path)
    assert conventions.stale(tmp_path) == []
    (tmp_path / "fleet.json").write_text("{}")
    (tmp_path / "rules.yaml").unlink()
    (tmp_path / "more.json").write_text("{}")
    named = [sentence.split()[0] for sentence in conventions.stale(tmp_path)]
    assert named == [
        f"{tmp_path.name}/{name}" for name in ("fleet.json", "more.json", "rules.yaml")
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_keeps_the_conventions(name: str) -> None:
    """Every panel has a title of its own, a description, a unit, a place, and asks $datasource for rates."""
    assert list(conventions.breaches(name, BOARDS[name])) == []


ASKS = {
    "datasource": {"uid": "${datasource}"},
    "refId": "A",
    "expr": "sum by (migration_cluster, reason) (vector(1))",
}
LEADS = {"properties": [{"id": "links", "value": [{"title": "Its board", "url": "/d/x?var-a=b"}]}]}


def paints(colour: str) -> dict[str, Any]:
    """An override that gives a series this colour."""
    return {"properties": [{"id": "color", "value": {"fixedColor": colour}}]}


BREACHES: dict[str, dict[str, Any]] = {
    "a description is a sentence": {"description": ""},
    "it has no unit": {"fieldConfig": {"defaults": {}}},
    "it does not ask $datasource": {"datasource": {"uid": "mine"}},
    "it asks nothing": {"targets": []},
    "is outside of the grid": {"gridPos": {"x": 20, "y": 100, "w": 8, "h": 4}},
    "each panel has an id of its own": {"id": 2},
    "two series are called none": {
        "type": "bargauge",
        "targets": [{**ASKS, "legendFormat": "none"}, {**ASKS, "legendFormat": "none"}],
    },
    "series differ in migration_cluster, and": {
        "type": "timeseries",
        "targets": [{**ASKS, "legendFormat": "{{reason}}"}],
    },
    "red is two things": {
        "fieldConfig": {"defaults": {"unit": "s"}, "overrides": [paints("red"), paints("red")]}
    },
    "the link Its board loses the time range or the installation": {
        "fieldConfig": {"defaults": {"unit": "s"}, "overrides": [LEADS]}
    },
    "lies upon": {"gridPos": {"x": 4, "y": 0, "w": 4, "h": 4}},
}


@pytest.mark.parametrize("sentence", BREACHES)
def test_a_breach_of_the_conventions_is_told(sentence: str) -> None:
    """A panel that lacks what every panel has is named with what it lacks."""
    board = json.loads(json.dumps(BOARDS["fleet.json"]))
    board["panels"][0].update(BREACHES[sentence])
    assert sentence in " ".join(conventions.breaches("fleet.json", board))


def test_a_board_that_would_not_follow_is_told() -> None:
    """A board that can be edited where nobody keeps it, and a variable that is asked for once only, are named."""
    board = json.loads(json.dumps(BOARDS["fleet.json"]))
    board["editable"] = True
    board["templating"]["list"][1]["refresh"] = 1
    board["links"][0]["keepTime"] = False
    told = " ".join(conventions.breaches("fleet.json", board))
    assert "can be edited in Grafana" in told
    assert "$installation: ask for its values anew" in told
    assert "loses the time range or the variables" in told


@pytest.mark.parametrize(
    ("expr", "sentence"),
    [
        ("rate(migrate_controller_plans_total[5m])", "take rates over $__rate_interval"),
        ('migrate_controller_leader{instance="$nobody"}', "$nobody is not defined"),
        ("sum(migrate_controller_leader)", "migrate_controller_leader of which installation?"),
        (
            'sum(migrate_controller_plans_total{installation="$installation"})',
            "migrate_controller_plans_total only ever rises",
        ),
    ],
)
def test_a_query_that_breaks_the_conventions_is_told(expr: str, sentence: str) -> None:
    """A fixed window, a variable that is not there, no installation, and a counter as it is, are each named."""
    board = json.loads(json.dumps(BOARDS["fleet.json"]))
    board["panels"][0]["targets"][0]["expr"] = expr
    assert sentence in " ".join(conventions.breaches("fleet.json", board))


def test_nobody_asks_for_a_metric_that_nobody_emits() -> None:
    """Every metric in a board or a rule is documented, recorded by a rule, Linkerd's or the process's."""
    assert list(conventions.unknown_metrics(BOARDS, rules.groups())) == []


def test_a_misspelt_metric_is_found() -> None:
    """A metric that is not documented is named with the query that asks for it."""
    board = json.loads(json.dumps(BOARDS["fleet.json"]))
    board["panels"][0]["targets"][0]["expr"] = 'sum by (a_b) (rate(migrate_leader{x="y_z"}[5m]))'
    (told,) = conventions.unknown_metrics({"fleet.json": board}, rules.groups())
    assert told.endswith("nobody emits migrate_leader")


def test_nobody_is_needed_for_what_was_chosen() -> None:
    """The board of the waves leaves out as chosen exactly those reasons that the catalogue calls so."""
    wrong = [str(r) for r, known in CATALOGUE.items() if known.chosen != (r in CHOSEN)]
    assert wrong == []


def test_a_board_that_shows_what_is_to_come_has_its_numbers_of_now() -> None:
    """On the board of the waves, which ends in the future, only the burn-down does: all else is asked up to now."""
    board = BOARDS["waves.json"]
    assert board["time"] == {"from": "now-14d", "to": "now+14d"}
    future = [panel["title"] for panel in board["panels"] if panel.get("timeFrom") != "14d"]
    assert future == ["Burn-down"]


def test_variables_are_filled_in() -> None:
    """A query is asked with its variables' values in the places of their names."""
    assert filled('a{b="$c"}[$__range]', {"c": "d", "__range": "3m"}) == 'a{b="d"}[3m]'


def test_every_board_asks_what_it_shows() -> None:
    """Panels, annotations and variables of a board are all among its queries."""
    asked = list(queries_of("service.json", BOARDS["service.json"]))
    panels = {query.panel for query in asked}
    assert {p["title"] for p in BOARDS["service.json"]["panels"]} <= panels
    assert {"Steps", "Reverts", "$service", "$origin"} <= panels


def test_the_service_board_leads_to_traces_and_logs() -> None:
    """The Service board links to the traces of its attempts and to the log of its decisions."""
    links = {link["title"]: link.get("url", "") for link in BOARDS["service.json"]["links"]}
    traces, log = links["Traces of its attempts"], links["Log of its decisions"]
    assert "${traces}" in traces
    assert "${logs}" in log
    assert "$service" in traces
    assert "$namespace/$service" in unquote(log)


def test_both_rule_files_hold_the_same_rules() -> None:
    """The PrometheusRule's groups are promtool's."""
    plain = yaml.safe_load((build.OUT / "rules.yaml").read_text())
    manifest = yaml.safe_load((build.OUT / "prometheusrule.yaml").read_text())
    assert manifest["spec"] == plain
    assert manifest["kind"] == "PrometheusRule"


def test_shares_are_counted_up_to_all_of_them() -> None:
    """The buckets of the share heat map rise, and end at 100 %."""
    assert sorted(SHARE_BUCKETS, key=float) == list(SHARE_BUCKETS)
    assert SHARE_BUCKETS[-1] == "100"


def test_every_alert_is_fired_and_quieted() -> None:
    """Promtool's cases make each alert fire, and keep it quiet where it should be."""
    tested, missing = conventions.alerts_tested(CASES)
    assert missing == []
    assert len(tested) == len(rules.ALERTS)


@pytest.mark.parametrize("alert", rules.ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_for_a_person(alert: rules.Alert) -> None:
    """An alert has a summary, a description of sentences, and a runbook with all its parts."""
    assert alert.summary
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    text = (conventions.RUNBOOKS / alert.runbook).read_text()
    assert text.startswith(f"# {alert.name}\n\n**{alert.severity.capitalize()}.**")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == RUNBOOK_PARTS


def test_every_runbook_is_of_an_alert() -> None:
    """There is one runbook for each alert, and the index lists them all with their severities."""
    assert conventions.runbooks_missing() == []
    index = (conventions.RUNBOOKS / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| \[(.*)\]", index, re.MULTILINE)
    assert sorted(rows) == sorted((a.name, a.severity, a.runbook) for a in rules.ALERTS)


def test_runbooks_name_reasons_that_exist() -> None:
    """What a runbook calls a reason stands in ``docs/reasons.md``, or is the name of an alert."""
    known = set(re.findall(r"`([A-Z]\w+)`", (ROOT / "docs" / "reasons.md").read_text()))
    known |= {alert.name for alert in rules.ALERTS}
    named = {
        (path.name, word)
        for path in conventions.RUNBOOKS.glob("*.md")
        for word in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", path.read_text())
    }
    assert {(name, word) for name, word in named if word not in known} == set()


@pytest.mark.parametrize(
    ("told", "url", "words"),
    [
        (rules.OURS, "https://", {"page", "ticket"}),
        (
            rules.Told("https://runbooks.example", page="critical", ticket="warning"),
            "https://runbooks.example/",
            {"critical", "warning"},
        ),
    ],
    ids=["ours", "another's"],
)
def test_runbooks_and_severities_are_as_they_are_told(
    told: rules.Told, url: str, words: set[str]
) -> None:
    """Every alert's runbook is an absolute address, and its severity one of two words, both of which can be chosen."""
    built = build.files(told)["rules.yaml"]
    urls = re.findall(r"runbook_url: (\S+)", built)
    assert len(urls) == len(rules.ALERTS)
    assert all(one.startswith(url) for one in urls)
    assert set(re.findall(r"severity: (\S+)", built)) == words


def panel(board: str, title: str) -> Any:
    """The panel of a board with this title."""
    return next(one for one in BOARDS[board]["panels"] if one["title"] == title)


@pytest.mark.parametrize(
    ("board", "title"),
    [
        ("service.json", "Success: target against origin against control"),
        ("service.json", "What callers get now"),
        ("prober.json", "The prober's own reference"),
    ],
)
def test_a_dip_of_a_twentieth_is_seen(board: str, title: str) -> None:
    """Where success is shown, a fall from 100 % to 95 % is half of the axis."""
    defaults = panel(board, title)["fieldConfig"]["defaults"]
    assert (defaults["custom"]["axisSoftMin"], defaults["max"]) == (0.9, 1.0)
    assert "min" not in defaults


def test_phases_have_their_colours() -> None:
    """The Service's phase and the tables' are mapped to the colours of phases."""
    mapped = [panel("service.json", "Phase")["fieldConfig"]["defaults"]["mappings"]]
    for board, title in (("fleet.json", "Every migration"), ("waves.json", "Who needs a person")):
        overrides = panel(board, title)["fieldConfig"]["overrides"]
        (phase,) = (one for one in overrides if one["matcher"]["options"] == "Phase")
        mapped.append({one["id"]: one["value"] for one in phase["properties"]}["mappings"])
    for (mapping,) in mapped:
        colours = {phase: one["color"] for phase, one in mapping["options"].items()}
        assert colours == PHASES


def test_what_a_rollback_writes_is_no_step() -> None:
    """A rollback has a red mark, and no blue one beside it."""
    steps, reverts = BOARDS["service.json"]["annotations"]["list"]
    assert (steps["iconColor"], reverts["iconColor"]) == ("blue", "red")
    assert "unless" in steps["expr"]
    assert "reverted_timestamp_seconds" in steps["expr"]
