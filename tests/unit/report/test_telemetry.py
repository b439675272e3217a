"""What the controller tells about itself: logs, metrics, traces, health."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.typing import FilteringBoundLogger

from controller.domain import (
    Attempt,
    CallPath,
    Key,
    MigrationSpec,
    PathEvidence,
    Phase,
    Reason,
    Reverted,
    Side,
    Verdict,
)
from controller.kube.api.transport import Meter
from controller.report.gauges import Gauges
from controller.report.health import Health, beat_with_loop, serve
from controller.report.logs import configure_logging
from controller.report.metrics import REVERTS, Metrics
from controller.report.tracing import Tracing, exemplar, root_of, tracing_to
from controller.report.ui import Feed, serve_board
from controller.runtime.probers import StreamMeter
from prober import listening
from prober.contract import Counts, Sample

ROOT = Path(__file__).parents[3]
KEY = Key("shop", "cart")
STARTED = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)
ATTEMPT = Attempt(
    number=2,
    origin="legacy",
    target="eks",
    baseline={"legacy": 0, "eks": 0},
    origin_ready=3,
    spec=MigrationSpec(target="eks"),
    started=STARTED,
)
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of one series, None where there is none."""
    return metrics.registry.get_sample_value(f"migrate_controller_{name}", labels)


def series_of(metrics: Metrics, key: Key) -> list[str]:
    """The names of the series of one Service."""
    return sorted(
        sample.name
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("migration_service") == key.service
    )


# --- logs -----------------------------------------------------------------------------------------


@contextmanager
def configured() -> Iterator[FilteringBoundLogger]:
    """The controller's logger at ``info``; leaves structlog and the root logger as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield configure_logging("info")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What stands on stderr, decoded; stdout must be empty."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """A line holds the event, the level, the time in UTC and what was bound."""
    with configured() as log:
        log.bind(cluster="eks").info("watch is current", resource="services")
    (line,) = lines(capsys)
    at = datetime.fromisoformat(str(line.pop("timestamp")))
    assert at.utcoffset() == timedelta(0)
    assert line == {
        "event": "watch is current",
        "level": "info",
        "cluster": "eks",
        "resource": "services",
    }


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """At ``info`` a ``debug`` line is dropped and a ``warning`` kept."""
    with configured() as log:
        log.debug("a")
        log.warning("b")
    assert [line["event"] for line in lines(capsys)] == ["b"]


def test_an_exception_is_logged_as_fields_without_locals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An exception's type, text and frames are structured; what variables held is left out."""

    def break_with(token: str) -> None:
        raise ValueError(f"no good: {len(token)}")

    with configured() as log:
        try:
            break_with("secret")
        except ValueError:
            log.exception("it broke")
    (line,) = lines(capsys)
    (told,) = line["exception"]
    assert (told["exc_type"], told["exc_value"]) == ("ValueError", "no good: 6")
    assert told["frames"][-1]["name"] == "break_with"
    assert "secret" not in json.dumps(line)


def test_libraries_log_json_too_from_warning_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's warning is a JSON line with its logger's name; its chatter is dropped."""
    with configured():
        logging.getLogger("aiohttp.client").info("chatter")
        logging.getLogger("aiohttp.client").warning("odd %s", "answer")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["level"]) == (
        "odd answer",
        "aiohttp.client",
        "warning",
    )


def test_a_line_written_inside_a_span_names_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Inside the span of an attempt a log line carries the attempt's trace id, outside none."""
    tracing, _ = traced()
    with configured() as log:
        with tracing.span(KEY, ATTEMPT, "write"):
            log.info("inside")
        log.info("outside")
    inside, outside = lines(capsys)
    assert inside["trace_id"] == trace.format_trace_id(root_of(KEY, ATTEMPT).trace_id)
    assert "trace_id" not in outside


# --- metrics --------------------------------------------------------------------------------------


def test_metrics_are_the_meters_of_the_shell() -> None:
    """The clusters and the probers' streams can be given the metrics as their meter."""
    metrics = Metrics("1")
    meter: Meter = metrics.clusters
    streams: StreamMeter = metrics.process
    meter.api_call("eks", "GET", "services", "200", 0.02)
    meter.watch_broke("eks", "services")
    streams.prober_streams("eks", 2)
    labels = {"migration_cluster": "eks", "verb": "GET", "resource": "services", "code": "200"}
    assert value(metrics, "api_request_seconds_count", **labels) == 1
    assert value(metrics, "api_request_seconds_bucket", le="0.025", **labels) == 1
    assert value(metrics, "api_request_seconds_bucket", le="0.01", **labels) == 0
    assert value(metrics, "watch_failures_total", migration_cluster="eks", resource="services") == 1
    assert value(metrics, "prober_streams", migration_cluster="eks") == 2


def test_two_metrics_share_nothing() -> None:
    """Metrics live in a registry of their own: what one is told, another does not show."""
    one, other = Metrics("1"), Metrics("1")
    one.decisions.queue_depth(3)
    assert value(one, "queue_depth") == 3
    assert value(other, "queue_depth") == 0


def test_a_watch_ages_until_it_is_heard_again() -> None:
    """The age of a resource is the time since it was last heard, at the time of the scrape."""
    now = [100.0]
    metrics = Metrics("1", clock=lambda: now[0])
    metrics.clusters.watch_heard("eks", "services")
    now[0] = 107.5
    assert value(metrics, "watch_age_seconds", migration_cluster="eks", resource="services") == 7.5
    metrics.clusters.watch_heard("eks", "services")
    assert value(metrics, "watch_age_seconds", migration_cluster="eks", resource="services") == 0
    metrics.clusters.watch_current("eks", "services", current=False)
    assert value(metrics, "watch_current", migration_cluster="eks", resource="services") == 0


def test_what_happened_is_counted() -> None:
    """Writes, decisions, transitions, reverts and slices are counted by their labels."""
    metrics = Metrics("1")
    metrics.clusters.wrote("eks", "trafficsplit", "conflict")
    metrics.decisions.planned(Phase.HOLDING, "Collecting")
    metrics.decisions.planned(Phase.PROGRESSING, "")
    metrics.decisions.moved(Phase.REVERTED, "TargetBad")
    metrics.decisions.reverted("TargetBad")
    metrics.process.prober_heard("eks", absorbed=5, void=1)
    metrics.process.prober_heard("eks", absorbed=2, void=0)
    metrics.decisions.reconciled(0.003)
    metrics.process.loop_lag(0.2)
    written = {"migration_cluster": "eks", "kind": "trafficsplit", "outcome": "conflict"}
    assert value(metrics, "writes_total", **written) == 1
    assert value(metrics, "plans_total", phase="Holding", reason="Collecting") == 1
    assert value(metrics, "plans_total", phase="Progressing", reason="") == 1
    assert value(metrics, "transitions_total", phase="Reverted", reason="TargetBad") == 1
    assert value(metrics, "reverts_total", reason="TargetBad") == 1
    assert value(metrics, "slices_total", migration_cluster="eks", outcome="absorbed") == 7
    assert value(metrics, "slices_total", migration_cluster="eks", outcome="void") == 1
    assert value(metrics, "reconcile_seconds_count") == 1
    assert value(metrics, "loop_lag_seconds_bucket", le="0.1") == 0
    assert value(metrics, "loop_lag_seconds_bucket", le="0.3") == 1


def test_how_things_stand_is_shown() -> None:
    """Leadership, slots and migrations by phase show the last that was told, and zero otherwise."""
    metrics = Metrics("1.2.3")
    metrics.process.leads(leads=True, fencing_token=7)
    metrics.process.slots(in_use=3, waiting=2)
    metrics.services.migrations({Phase.SOAKING: 4})
    metrics.services.migrations({Phase.COMPLETED: 1})
    assert (value(metrics, "leader"), value(metrics, "epoch")) == (1, 7)
    assert (value(metrics, "slots_in_use"), value(metrics, "slots_waiting")) == (3, 2)
    assert value(metrics, "migrations", phase="Soaking") == 0
    assert value(metrics, "migrations", phase="Completed") == 1
    infos = [f for f in metrics.registry.collect() if f.name == "migrate_controller_build"]
    assert infos[0].samples[0].labels["version"] == "1.2.3"


def test_evidence_is_shown_per_way() -> None:
    """A way shows its points and clean probes, what they are held against, and which verdict it has."""
    metrics = Metrics("1")
    observed = PathEvidence(
        Verdict.UNKNOWN, Reason.COLLECTING, points=5.0, threshold=20.0, clean=191, needed=764
    )
    metrics.paths.evidence(KEY, {CallPath("legacy", Side.TARGET): observed})
    path = {
        "migration_namespace": "shop",
        "migration_service": "cart",
        "callers": "legacy",
        "side": "target",
    }
    names = ("way_points", "way_points_threshold", "way_clean_probes", "way_needed_probes")
    assert [value(metrics, name, **path) for name in names] == [5, 20, 191, 764]
    verdicts = {
        verdict: value(metrics, "way_verdict", migrate_controller_way_verdict=verdict, **path)
        for verdict in ("PASS", "FAIL", "UNKNOWN")
    }
    assert verdicts == {"PASS": 0, "FAIL": 0, "UNKNOWN": 1}


TARGET_PATH = CallPath("legacy", Side.TARGET)
LABELS = {
    "migration_namespace": "shop",
    "migration_service": "cart",
    "callers": "legacy",
    "side": "target",
}
JUDGED = PathEvidence(Verdict.PASS, Reason.MET, threshold=20.0, clean=764, needed=764)
SAMPLE = Sample(
    1, 0, 0.0, base=Counts(5, 2), burst=Counts(9, 9), answers={"200": 3, "508": 11}, loops=11
)


def test_probes_are_counted_from_zero() -> None:
    """A path's counters stand at zero before its first probe, so that the first bad one is an increase."""
    metrics = Metrics("1")
    metrics.paths.evidence(KEY, {TARGET_PATH: JUDGED})
    assert value(metrics, "way_probes_total", outcome="bad", **LABELS) == 0
    assert value(metrics, "way_loops_total", **LABELS) == 0
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    assert value(metrics, "way_loops_total", **LABELS) == 11


def test_a_burst_does_not_colour_the_share_of_good_probes() -> None:
    """Good and bad probes are of the base schedule; answers are of all probes."""
    metrics = Metrics("1")
    metrics.paths.evidence(KEY, {TARGET_PATH: JUDGED})
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    assert value(metrics, "way_probes_total", outcome="bad", **LABELS) == 2
    assert value(metrics, "way_probes_total", outcome="good", **LABELS) == 3
    assert value(metrics, "way_answers_total", answer="508", **LABELS) == 11


def test_a_path_has_a_bounded_number_of_answers() -> None:
    """The first 31 answers of a path have series of their own, all later ones one together; another path has its
    own 31, and a Service that is probed anew begins anew."""
    now = [0.0]
    metrics = Metrics("1", clock=lambda: now[0])
    other = CallPath("legacy", Side.ORIGIN)
    paths = {TARGET_PATH: JUDGED, other: JUDGED}
    metrics.paths.evidence(KEY, paths)
    for number in range(1000):
        metrics.paths.probed(KEY, TARGET_PATH, Sample(1, 0, 0.0, answers={f"w{number}": 2}))
    metrics.paths.probed(KEY, other, Sample(1, 0, 0.0, answers={"w999": 2}))
    assert value(metrics, "way_answers_total", answer="w30", **LABELS) == 2
    assert value(metrics, "way_answers_total", answer="other", **LABELS) == 2 * (1000 - 31)
    assert (
        value(metrics, "way_answers_total", answer="w999", **{**LABELS, "side": str(other.side)})
        == 2
    )
    metrics.paths.evidence(KEY, {})
    now[0] = 900.0
    metrics.paths.evidence(KEY, {})
    metrics.paths.evidence(KEY, paths)
    metrics.paths.probed(KEY, TARGET_PATH, Sample(1, 0, 0.0, answers={"w999": 2}))
    assert value(metrics, "way_answers_total", answer="w999", **LABELS) == 2


def test_reasons_that_nobody_listed_are_one_label() -> None:
    """A record may hold any reason: in metrics of all migrations together it is ``other``."""
    metrics = Metrics("1")
    for number in range(50):
        metrics.decisions.planned(Phase.REVERTED, f"Made{number}")
        metrics.decisions.moved(Phase.REVERTED, f"Made{number}")
        metrics.decisions.reverted(f"Made{number}")
        metrics.decisions.rolled_back(f"Made{number}", 1.0)
    metrics.decisions.planned(Phase.PROGRESSING, "")
    assert value(metrics, "plans_total", phase="Reverted", reason="other") == 50
    assert value(metrics, "plans_total", phase="Progressing", reason="") == 1
    assert value(metrics, "reverts_total", reason="other") == 50
    assert b"Made" not in generate_latest(metrics.registry)


def test_probes_stay_counted_until_every_scrape_has_seen_them() -> None:
    """The counters of a Service go fifteen minutes after its probing ended, and late slices make none."""
    now = [0.0]
    metrics = Metrics("1", clock=lambda: now[0])
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    assert series_of(metrics, KEY) == []
    metrics.paths.evidence(KEY, {TARGET_PATH: JUDGED})
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    metrics.paths.evidence(KEY, {})
    now[0] = 899.0
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    metrics.paths.evidence(Key("shop", "till"), {})
    assert value(metrics, "way_probes_total", outcome="bad", **LABELS) == 4
    now[0] = 900.0
    metrics.paths.evidence(Key("shop", "till"), {})
    metrics.paths.probed(KEY, TARGET_PATH, SAMPLE)
    assert series_of(metrics, KEY) == []


def test_the_points_that_brought_it_home_are_still_there() -> None:
    """The most points of a path outlast its probing, and start anew when it is probed again."""
    metrics = Metrics("1")
    for points in (3.0, 21.5, 20.0):
        metrics.paths.evidence(KEY, {TARGET_PATH: replace(JUDGED, points=points)})
    metrics.paths.evidence(KEY, {})
    assert value(metrics, "way_points", **LABELS) is None
    assert value(metrics, "way_points_highest", **LABELS) == 21.5
    metrics.paths.evidence(KEY, {TARGET_PATH: replace(JUDGED, points=1.0)})
    assert value(metrics, "way_points_highest", **LABELS) == 1.0


HOLDING = Gauges(
    shares={},
    origin="legacy",
    target="eks",
    phase=Phase.HOLDING,
    reason="Blind",
    blocked=True,
    needs_person=True,
    warnings=frozenset({"CallersMayNotFollow"}),
    pinned={"legacy": True, "eks": False},
    objective=0.999,
    started=STARTED,
    since=STARTED,
    due=STARTED + timedelta(seconds=60),
    ends=None,
    reverted=None,
)


def test_where_a_migration_stands_is_one_series() -> None:
    """Phase and reason are labels of one series; telling them anew replaces it, telling nothing removes it."""
    metrics = Metrics("1")
    labels = {"migration_namespace": "shop", "migration_service": "cart"}
    ends = {"origin": "legacy", "target": "eks"}
    metrics.services.stands(KEY, HOLDING)
    assert value(metrics, "migration_needs_person", **labels) == 1
    assert value(metrics, "migration_warning", reason="CallersMayNotFollow", **labels) == 1
    assert value(metrics, "pinned", migration_cluster="eks", **labels) == 0
    assert value(metrics, "objective_ratio", **labels) == 0.999
    assert value(metrics, "step_due_timestamp_seconds", **labels) == STARTED.timestamp() + 60
    assert value(metrics, "end_foreseen_timestamp_seconds", **labels) is None

    latch = Reverted("TargetBad", "it is bad", STARTED)
    metrics.services.stands(
        KEY,
        replace(HOLDING, phase=Phase.REVERTED, reason="TargetBad", blocked=False, reverted=latch),
    )
    before = {"phase": "Holding", "reason": "Blind", "blocked": "yes"}
    after = {"phase": "Reverted", "reason": "TargetBad", "blocked": "no"}
    assert value(metrics, "migration_info", **before, **ends, **labels) is None
    assert value(metrics, "migration_info", **after, **ends, **labels) == 1
    at = value(metrics, "reverted_timestamp_seconds", reason="TargetBad", **labels)
    assert at == STARTED.timestamp()

    metrics.services.stands(KEY, None)
    assert series_of(metrics, KEY) == []


def test_a_revert_links_to_its_trace() -> None:
    """The time that a revert took carries the trace of the attempt as its exemplar."""
    tracing, _ = traced()
    metrics = Metrics("1")
    with tracing.span(KEY, ATTEMPT, "home"):
        metrics.decisions.rolled_back("TargetBad", 0.4)
    (found,) = [
        sample.exemplar.labels["trace_id"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.exemplar and family.name == "migrate_controller_home_seconds"
    ]
    assert found == trace.format_trace_id(root_of(KEY, ATTEMPT).trace_id)


def test_every_reason_to_revert_is_counted_from_zero() -> None:
    """Reverts start at zero for each reason that ``docs/reasons.md`` gives for rolling back."""
    metrics = Metrics("1")
    text = (ROOT / "docs" / "reasons.md").read_text()
    (ending,) = re.findall(r"^An attempt ends.*$", text, re.MULTILINE)
    reasons = re.findall(r"`([A-Z][A-Za-z]+)`", ending)
    assert sorted(reasons) == sorted(REVERTS)
    assert {value(metrics, "reverts_total", reason=reason) for reason in reasons} == {0}


def test_a_silent_prober_ages() -> None:
    """The age of a cluster's reports is the time since the last one, at the time of the scrape."""
    now = [100.0]
    metrics = Metrics("1", clock=lambda: now[0])
    metrics.process.prober_heard("eks", absorbed=0, void=0)
    now[0] = 104.0
    assert value(metrics, "prober_report_age_seconds", migration_cluster="eks") == 4


def test_a_service_that_is_over_leaves_no_series() -> None:
    """Ways and shares not told again are removed, and only those of that Service."""
    metrics = Metrics("1")
    other = Key("shop", "till")
    good = PathEvidence(Verdict.PASS, Reason.MET, threshold=20.0, clean=764, needed=764)
    quiet = replace(
        HOLDING, warnings=frozenset(), pinned={}, objective=None, started=None, since=None, due=None
    )
    baseline, target = CallPath("legacy", Side.ORIGIN), CallPath("legacy", Side.TARGET)
    for key in (KEY, other):
        metrics.paths.evidence(key, {baseline: good, target: good})
        metrics.services.stands(key, replace(quiet, shares={"legacy": 10, "eks": 1000}))
    whole = series_of(metrics, other)
    assert gauges(whole) == 2 * (5 + 3) + 2 + 2

    metrics.paths.evidence(KEY, {baseline: good})
    metrics.services.stands(KEY, replace(quiet, shares={"legacy": 0}))
    assert gauges(series_of(metrics, KEY)) == (4 + 3) + 1 + 2 + 2
    labels = {
        "migration_namespace": "shop",
        "migration_service": "cart",
        "migration_cluster": "legacy",
    }
    assert value(metrics, "share_permille", **labels) == 0

    metrics.paths.evidence(KEY, {})
    metrics.services.stands(KEY, None)
    assert gauges(series_of(metrics, KEY)) == 2
    assert series_of(metrics, other) == whole


def gauges(names: list[str]) -> int:
    """How many of these series are no counters, which stay a while as the highest points do."""
    return sum(not name.endswith(("_total", "_created")) for name in names)


# --- traces ---------------------------------------------------------------------------------------


def traced() -> tuple[Tracing, InMemorySpanExporter]:
    """Tracing whose spans can be looked at."""
    exporter = InMemorySpanExporter()
    return Tracing(SimpleSpanProcessor(exporter), "1"), exporter


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """Trace, span and parent."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id, span.parent.span_id if span.parent else None


FLEET = {
    "waves": [
        {"name": "tools", "state": "Completed", "completed": 2},
        {"name": "shop", "state": "Open", "completed": 1, "underWay": 2, "reverted": 1},
    ],
    "window": {"closed": True},
    "line": {"stopped": False, "reverts": 1},
}


def _of_fleets(metrics: Metrics) -> dict[str, float]:
    """Every series of Fleets that is not zero, by its name and labels."""
    told = generate_latest(metrics.registry).decode()
    found = re.findall(r"^migrate_controller_fleet_(\S+) (\S+)$", told, re.MULTILINE)
    return {name: float(value) for name, value in found if float(value)}


def test_a_fleet_is_shown_as_its_status_says() -> None:
    """Each wave has its Services by state and its own state; windows, line and members have a series each."""
    metrics = Metrics("1")
    metrics.fleets.show("to-eks", FLEET, {KEY: "shop"}, {"shop": STARTED})
    assert _of_fleets(metrics) == {
        'services{fleet="to-eks",state="completed",wave="tools"}': 2.0,
        'services{fleet="to-eks",state="completed",wave="shop"}': 1.0,
        'services{fleet="to-eks",state="underWay",wave="shop"}': 2.0,
        'services{fleet="to-eks",state="reverted",wave="shop"}': 1.0,
        'wave_state{fleet="to-eks",state="Completed",wave="tools"}': 1.0,
        'wave_state{fleet="to-eks",state="Open",wave="shop"}': 1.0,
        'wave_last_progress_timestamp_seconds{fleet="to-eks",wave="shop"}': STARTED.timestamp(),
        'window_closed{fleet="to-eks"}': 1.0,
        'reverts{fleet="to-eks"}': 1.0,
        'member{fleet="to-eks",migration_namespace="shop",migration_service="cart",wave="shop"}': 1.0,
    }


def test_a_fleet_that_is_no_more_leaves_no_series() -> None:
    """A wave that is renamed and a Service that is taken out lose their series, and all go with the Fleet."""
    metrics = Metrics("1")
    metrics.fleets.show("to-eks", FLEET, {KEY: "shop"}, {"shop": STARTED})
    metrics.fleets.show(
        "to-eks", {"waves": [{"name": "new", "state": "Open", "waiting": 1}]}, {}, {}
    )
    assert _of_fleets(metrics) == {
        'services{fleet="to-eks",state="waiting",wave="new"}': 1.0,
        'wave_state{fleet="to-eks",state="Open",wave="new"}': 1.0,
    }
    metrics.fleets.forget("to-eks")
    assert "migrate_controller_fleet_services{" not in generate_latest(metrics.registry).decode()
    assert 'fleet="to-eks"' not in generate_latest(metrics.registry).decode()


def test_a_restart_continues_the_trace() -> None:
    """Spans of two processes on one attempt are children of one root, which is sent at the end."""
    root = root_of(KEY, ATTEMPT)
    before, first = traced()
    with before.span(KEY, ATTEMPT, "step", share_permille=10):
        pass
    after, second = traced()
    with after.span(KEY, ATTEMPT, "step", share_permille=100):
        pass
    after.finish(KEY, ATTEMPT, Phase.COMPLETED, "", STARTED + timedelta(hours=2))

    spans = [*first.get_finished_spans(), *second.get_finished_spans()]
    assert {ids(span)[0] for span in spans} == {root.trace_id}
    assert [ids(span)[2] for span in spans] == [root.span_id, root.span_id, None]
    assert ids(spans[2])[1] == root.span_id
    assert ids(spans[0])[1] != ids(spans[1])[1]


def test_the_root_spans_the_whole_attempt() -> None:
    """The root starts when the attempt did, ends when it did, and says how it ended."""
    tracing, exporter = traced()
    ended = STARTED + timedelta(days=3, microseconds=1)
    tracing.finish(KEY, ATTEMPT, Phase.REVERTED, "TargetBad", ended)
    (span,) = exporter.get_finished_spans()
    assert span.name == "migrate shop/cart to eks"
    assert span.start_time == int(STARTED.timestamp()) * 10**9 + 890_123_000
    assert span.end_time == span.start_time + (3 * 86_400 * 10**9 + 1000)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["migrate.attempt"] == 2
    assert span.attributes["migrate.reason"] == "TargetBad"


def test_another_attempt_is_another_trace() -> None:
    """The trace is of (Service, target, number, start): each of them changes it, the zone does not."""
    zone = timezone(timedelta(hours=5))
    same = Attempt(**_fields(ATTEMPT) | {"started": STARTED.astimezone(zone)})  # type: ignore[arg-type]
    assert root_of(KEY, same) == root_of(KEY, ATTEMPT)
    others = [
        root_of(Key("shop", "till"), ATTEMPT),
        *(
            root_of(KEY, Attempt(**_fields(ATTEMPT) | change))  # type: ignore[arg-type]
            for change in (
                {"target": "legacy", "origin": "eks"},
                {"number": 3},
                {"started": STARTED + timedelta(microseconds=1)},
            )
        ),
    ]
    traces = {root.trace_id for root in [root_of(KEY, ATTEMPT), *others]}
    assert len(traces) == 5


def _fields(attempt: Attempt) -> dict[str, object]:
    return {name: getattr(attempt, name) for name in attempt.__struct_fields__}


def test_spans_nest() -> None:
    """A write inside a revert is the revert's child, in the same trace."""
    tracing, exporter = traced()
    with tracing.span(KEY, ATTEMPT, "revert"), tracing.span(KEY, ATTEMPT, "write", cluster="eks"):
        pass
    write, revert = exporter.get_finished_spans()
    assert ids(write)[2] == ids(revert)[1]
    assert ids(write)[0] == ids(revert)[0]


def test_an_exception_marks_its_span_and_goes_on() -> None:
    """What breaks inside a span is recorded on it and not swallowed."""
    tracing, exporter = traced()
    with pytest.raises(ValueError, match="no"), tracing.span(KEY, ATTEMPT, "write"):
        raise ValueError("no")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


def test_no_provider_is_global() -> None:
    """Tracing registers nothing: elsewhere the current span stays the empty one."""
    before = trace.get_tracer_provider()
    tracing, _ = traced()
    with tracing.span(KEY, ATTEMPT, "write") as span:
        assert trace.get_current_span() is span
    assert trace.get_tracer_provider() is before
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_without_an_endpoint_nothing_is_recorded() -> None:
    """Where no collector is set, spans record nothing and histograms carry no exemplars."""
    tracing = tracing_to(None, "1")
    with tracing.span(KEY, ATTEMPT, "write") as span:
        assert not span.is_recording()
        assert exemplar() is None
    assert tracing.shutdown()


class _Collector(HTTPServer):
    """Takes OTLP requests; while ``held`` is set it answers none."""

    paths: list[str]
    held: threading.Event


@pytest.fixture
def collector() -> Iterator[_Collector]:
    """A collector on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.paths.append(self.path)
            server.held.wait(20)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = _Collector(("127.0.0.1", 0), Handler)
    server.paths, server.held = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.held.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_spans_are_sent_to_the_collector(collector: _Collector, path: str) -> None:
    """Shutdown sends what waits, to /v1/traces of the endpoint however that is written."""
    collector.held.set()
    tracing = tracing_to(f"http://127.0.0.1:{collector.server_port}{path}", "1")
    with tracing.span(KEY, ATTEMPT, "write"):
        assert exemplar() is not None
    assert tracing.shutdown(deadline_s=10)
    assert collector.paths == ["/v1/traces"]


def test_a_collector_that_hangs_does_not_hold_the_end_up(collector: _Collector) -> None:
    """Shutdown gives up at its deadline, and says so."""
    tracing = tracing_to(f"http://127.0.0.1:{collector.server_port}", "1")
    with tracing.span(KEY, ATTEMPT, "write"):
        pass
    assert tracing.shutdown(deadline_s=0.05) is False


# --- health ---------------------------------------------------------------------------------------


@asynccontextmanager
async def served(metrics: Metrics, health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose requests go to the server."""
    runner = await serve(("127.0.0.1", 0), metrics, health)
    host, port = runner.addresses[0][:2]
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}", timeout=timeout) as session:
            yield session
    finally:
        await runner.cleanup()


async def test_healthz_follows_the_heart_beat() -> None:
    """/healthz is 200 while the beat is young, 503 when it is old, and 200 after the next."""
    now = [0.0]
    health = Health(dict, clock=lambda: now[0], limit_s=5.0)
    async with served(Metrics("1"), health) as session:
        statuses = []
        for now[0] in (5.0, 5.1):
            async with session.get("/healthz") as answer:
                statuses.append(answer.status)
        health.beat()
        async with session.get("/healthz") as answer:
            assert await answer.json() == {"alive": True, "silentSeconds": 0.0}
            statuses.append(answer.status)
    assert statuses == [200, 503, 200]


async def test_readyz_names_what_is_not_ready() -> None:
    """/readyz is 503 with each unready thing and why, and 200 as soon as there is none."""
    unready = {"legacy/services": "not listed yet", "eks/trafficsplits": "nothing heard for 31 s"}
    async with served(Metrics("1"), Health(lambda: unready)) as session:
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert await answer.json() == {"ready": False, "unready": unready}
        unready.clear()
        async with session.get("/readyz") as answer:
            assert answer.status == 200
            assert await answer.json() == {"ready": True, "unready": {}}


async def test_metrics_have_exemplars_in_openmetrics() -> None:
    """A call made inside a span leaves its trace id on the bucket that it fell into."""
    tracing, _ = traced()
    metrics = Metrics("1")
    with tracing.span(KEY, ATTEMPT, "write"):
        metrics.clusters.api_call("eks", "PATCH", "trafficsplits", "200", 0.03)
    async with served(metrics, Health(dict)) as session:
        async with session.get("/metrics", headers=OPENMETRICS) as answer:
            assert answer.content_type == "application/openmetrics-text"
            text = await answer.text()
            families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
        async with session.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert "trace_id" not in await answer.text()
    exemplars = [
        (sample.labels["le"], sample.exemplar.labels["trace_id"])
        for family in families
        for sample in family.samples
        if sample.exemplar
    ]
    assert exemplars == [("0.05", trace.format_trace_id(root_of(KEY, ATTEMPT).trace_id))]


async def test_the_loop_beats_and_measures_its_lag() -> None:
    """While the event loop goes round, the heart beats and each round's lag is counted."""
    metrics = Metrics("1")
    health = Health(dict)
    beaten = asyncio.Event()
    health.beat = beaten.set  # type: ignore[method-assign]
    beating = asyncio.create_task(beat_with_loop(health, metrics, period_s=0.001))
    await asyncio.wait_for(beaten.wait(), 10)
    beating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beating
    increases = value(metrics, "loop_lag_seconds_count")
    assert increases is not None
    assert increases >= 1


async def test_an_address_in_use_is_an_error_that_leaves_nothing_open() -> None:
    """Serving at an address that is taken raises OSError."""
    runner = await serve(("127.0.0.1", 0), Metrics("1"), Health(dict))
    try:
        with pytest.raises(OSError, match="address already in use"):
            await serve(runner.addresses[0][:2], Metrics("1"), Health(dict))
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("page", [False, True])
async def test_half_requests_do_not_keep_the_controllers_doors_shut(
    monkeypatch: pytest.MonkeyPatch, *, page: bool
) -> None:
    """Whoever begins requests and ends none keeps neither the kubelet and Prometheus out, nor a reader of the page."""
    monkeypatch.setattr(listening, "MAX_CONNECTIONS", 8)
    at = ("127.0.0.1", 0)
    runner = await (serve_board(at, Feed()) if page else serve(at, Metrics("1"), Health(dict)))
    port = runner.addresses[0][1]
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        writers.append(writer)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{'/' if page else '/healthz'}") as answer,
    ):
        assert answer.status == 200
    for writer in writers:
        writer.close()
    await runner.cleanup()
