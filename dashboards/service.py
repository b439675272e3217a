"""The Service board: one migration, what decides it, and what its callers get."""

from __future__ import annotations

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from dashboards.agreed import SERVICE
from dashboards.panels import (
    GREEN,
    GREY,
    OURS,
    PURPLE,
    RED,
    SUCCESS,
    YELLOW,
    bars,
    board,
    choice,
    coloured,
    limit,
    lines,
    mark,
    now,
    number,
    over_time,
    phases,
    rows,
    states,
)

ONE = f'{OURS},migration_namespace="$namespace",migration_service="$service"'
WAY = "callers, side"
INFO = "migrate_controller_migration_info"
RATE = "$__rate_interval"
CALLERS = 'cluster=~"$proxies",namespace!~"$apart"'
"""Gateways pass on the calls of the other cluster, and probers probe: what their proxies count are no callers."""


def build() -> Dashboard:
    """Return the board."""
    found = board(
        "migrate-service",
        "Migrations: one Service",
        "Where one migration stands, what decides its next step, and what its callers get.",
        since="now-3h",
    )
    _variables(found)
    _marks(found)
    _links(found)
    _standing(found)
    _shares(found)
    _judgement(found)
    _answers(found)
    _traffic(found)
    return found


def _variables(found: Dashboard) -> None:
    here = f"{INFO}{{{ONE}}}"
    found.with_variable(
        choice("namespace", "Namespace", f"label_values({INFO}{{{OURS}}}, migration_namespace)")
    )
    found.with_variable(
        choice(
            "service",
            "Service",
            f'label_values({INFO}{{{OURS},migration_namespace="$namespace"}}, migration_service)',
        )
    )
    for end in ("origin", "target"):
        found.with_variable(choice(end, end.capitalize(), f"label_values({here}, {end})"))
    found.with_variable(
        choice("proxies", "Clusters of proxies", "label_values(response_total, cluster)", many=True)
    )
    found.with_variable(
        dashboard.TextBoxVariable("apart")
        .label("Namespaces of no callers")
        .default_value("linkerd-multicluster|migrate")
    )
    for name, label, kind in (("traces", "Traces", "tempo"), ("logs", "Logs", "loki")):
        found.with_variable(dashboard.DatasourceVariable(name).label(label).type(kind))


def _marks(found: Dashboard) -> None:
    found.annotation(
        mark(
            "Steps",
            # What a rollback writes has the red mark.
            f"{_of('step_written_timestamp_seconds')} * 1000"
            f" unless on ({SERVICE}) {_of('reverted_timestamp_seconds')}",
            "blue",
            "step",
            "the share of {{migration_namespace}}/{{migration_service}} was written",
        )
    )
    found.annotation(
        mark(
            "Reverts",
            f"max by ({SERVICE}, reason)"
            f" (migrate_controller_reverted_timestamp_seconds{{{ONE}}}) * 1000",
            "red",
            "revert",
            "{{migration_namespace}}/{{migration_service}} went home: {{reason}}",
        )
    )


def _links(found: Dashboard) -> None:
    spans = '{ resource.service.name = "migrate-controller" && .migrate.service = "$service" }'
    found.link(
        _explore("Traces of its attempts", "traces", {"query": spans, "queryType": "traceql"})
    )
    found.link(_explore("Log of its decisions", "logs", {"expr": _decisions()}))


def _decisions() -> str:
    return '{app="migrate-controller"} | json | migration="$namespace/$service"'


def _explore(title: str, source: str, query: dict[str, str]) -> dashboard.DashboardLink:
    """Open Explore with this query; Grafana puts the variables into the address."""
    pane = {
        "datasource": f"${{{source}}}",
        "queries": [{"refId": "A", **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = quote(json.dumps({"one": pane}), safe="${}:_")
    return (
        dashboard.DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .url(f"/explore?schemaVersion=1&panes={panes}")
        .target_blank(True)
    )


def _of(metric: str) -> str:
    return f"max by ({SERVICE}) (migrate_controller_{metric}{{{ONE}}})"


def _standing(found: Dashboard) -> None:
    found.with_panel(
        number(
            "Phase",
            "Where the migration stands.",
            rows(f"max by (phase) ({INFO}{{{ONE}}})"),
            mappings=(phases(),),
            label="phase",
        )
    )
    found.with_panel(
        number(
            "Why it does not advance",
            "The reason that its status gives; docs/reasons.md says what each means.",
            rows(
                f'label_replace(max by (reason) ({INFO}{{{ONE}}}), "reason", "advancing", "reason", "^$")',
            ),
            label="reason",
        )
    )
    found.with_panel(
        number(
            "Next step due",
            "When the next share may be written at the earliest; in the past where something holds it.",
            now(f"{_of('step_due_timestamp_seconds')} * 1000"),
            unit="dateTimeFromNow",
        )
    )
    found.with_panel(
        number(
            "Over at the earliest",
            "When it may be completed, were nothing to hold it from now on.",
            now(f"{_of('end_foreseen_timestamp_seconds')} * 1000"),
            unit="dateTimeFromNow",
        )
    )
    found.with_panel(
        number(
            "Objective",
            "The part of good probes that its owner asks for (slo-success).",
            now(_of("objective_ratio")),
            unit="percentunit",
        )
    )
    found.with_panel(
        number(
            "Gateways pinned",
            "Of both clusters' gateways, those that are pinned to their own pods for this Service.",
            now(f"sum(min by ({SERVICE}, migration_cluster) (migrate_controller_pinned{{{ONE}}}))"),
            steps=((None, RED), (2.0, GREEN)),
        )
    )


def _shares(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "Share of the target",
            "How much of each cluster's calls the target serves. Blue marks are steps, red ones reverts.",
            over_time(
                f"max by (migration_cluster) (migrate_controller_share_permille{{{ONE}}}) / 10",
                "callers in {{migration_cluster}}",
            ),
            unit="percent",
            stepped=True,
            within=(0.0, 100.0),
        )
    )
    verdict = f"migrate_controller_way_verdict{{{ONE},migrate_controller_way_verdict="
    found.with_panel(
        states(
            "Verdicts",
            "What each way says: a step needs PASS of all four, FAIL of a way to the target brings"
            " everybody home, UNKNOWN holds. The apex is what callers get now and decides nothing.",
            over_time(
                f'max by ({WAY}) ({verdict}"PASS"}}) + 2 * max by ({WAY}) ({verdict}"FAIL"}})',
                "{{callers}} to {{side}}",
            ),
            (("0", "UNKNOWN", GREY), ("1", "PASS", GREEN), ("2", "FAIL", RED)),
        )
    )


def _judgement(found: Dashboard) -> None:
    def way(metric: str, labels: str = "") -> str:
        chosen = f"{ONE},{labels}" if labels else ONE
        return f"max by ({WAY}) (migrate_controller_way_{metric}{{{chosen}}})"

    judged = 'side!="apex"'
    points = lines(
        "Penalty points against the threshold",
        "Points of each way that is judged, and the most that they were: a revert is quicker than any"
        " scrape. At the dashed line a way FAILs; docs/evidence.md has the sum.",
        over_time(way("points", judged), "{{callers}} to {{side}}"),
        over_time(f"max({way('points_highest', judged)})", "highest"),
        over_time(f"max(migrate_controller_way_points_threshold{{{ONE}}})", "FAIL"),
        width=8,
    )
    found.with_panel(coloured(limit(points, "^FAIL$"), {"highest": PURPLE}))
    clean = lines(
        "Clean probes out of those needed",
        "What each way has earned since the step began; at the dashed line it PASSes.",
        over_time(way("clean_probes", judged), "{{callers}} to {{side}}"),
        over_time(f"max(migrate_controller_way_needed_probes{{{ONE}}})", "PASS"),
        width=8,
    )
    found.with_panel(coloured(clean, {"PASS": GREY}, dashed=("PASS",)))
    found.with_panel(
        bars(
            "Clean probes now",
            "Clean probes over those that PASS needs: each way has to be full before the next step.",
            now(
                f"{way('clean_probes', judged)} / {way('needed_probes', judged)}",
                "{{callers}} to {{side}}",
            ),
            unit="percentunit",
            ceiling=1.0,
            steps=((None, YELLOW), (1.0, GREEN)),
        )
    )


def _answers(found: Dashboard) -> None:
    probes = f"migrate_controller_way_probes_total{{{ONE}"
    control = {"control": GREY}
    found.with_panel(
        coloured(
            lines(
                "Success: target against origin against control",
                "Good probes of the base schedule, by where they were asked and of whom. The control is the"
                " probers' own reference: where it falls too, the prober is ill and its slices are void.",
                *(
                    over_time(
                        f'sum by (callers) (rate({probes},side="{side}",outcome="good"}}[{RATE}]))'
                        f' / sum by (callers) (rate({probes},side="{side}"}}[{RATE}]))',
                        f"{name}, asked in {{{{callers}}}}",
                    )
                    for side, name in (("target", "target"), ("home", "origin"))
                ),
                over_time(
                    f'sum(rate(migrate_prober_reference_probes_total{{{OURS},result="200"}}[{RATE}]))'
                    f" / sum(rate(migrate_prober_reference_probes_total{{{OURS}}}[{RATE}]))",
                    "control",
                ),
                unit="percentunit",
                width=8,
                within=SUCCESS,
            ),
            control,
        )
    )
    found.with_panel(
        coloured(
            lines(
                "Latency: target against origin against control",
                "Within which 99 % of the answers came, from the time at which the probe was due. Own pods by"
                " their address, the other cluster's through the link.",
                *(
                    over_time(_latency(cluster, route), f"{name}, asked in ${cluster}")
                    for name, cluster, route in (
                        ("target", "target", "pods"),
                        ("target", "origin", "mirror"),
                        ("origin", "origin", "pods"),
                        ("origin", "target", "mirror"),
                    )
                ),
                over_time(
                    "histogram_quantile(0.99, sum by (le)"
                    f' (rate(migrate_prober_probe_latency_seconds_bucket{{{OURS},route="reference"}}[{RATE}])))',
                    "control",
                ),
                unit="s",
                width=8,
            ),
            control,
        )
    )
    found.with_panel(
        lines(
            "Errors by kind",
            "Answers to probes that are neither 2xx nor 3xx, by way, counted since probing began: status codes, or"
            " what went wrong. A rate would miss those that come and end between two scrapes.",
            over_time(
                f"sum by ({WAY}, answer) (max_over_time(migrate_controller_way_answers_total"
                f'{{{ONE},answer!~"[23].."}}[{RATE}]))',
                "{{answer}}, {{callers}} to {{side}}",
            ),
            unit="short",
            width=8,
            stacked=True,
        )
    )


def _latency(cluster: str, route: str) -> str:
    here = f'{ONE},route="{route}",migration_cluster="${cluster}"'
    latencies = f"rate(migrate_prober_way_latency_seconds_bucket{{{here}}}[{RATE}])"
    return f"histogram_quantile(0.99, sum by (le) ({latencies}))"


def _traffic(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "What callers get now",
            "Probes of the Service as callers in each cluster ask for it: good ones of all.",
            over_time(
                "1 - sum by (callers) (rate(migrate_controller_way_probes_total"
                f'{{{ONE},side="apex",outcome="bad"}}[{RATE}]))'
                f" / sum by (callers) (rate(migrate_controller_way_probes_total"
                f'{{{ONE},side="apex"}}[{RATE}]))',
                "callers in {{callers}}",
            ),
            unit="percentunit",
            width=8,
            within=SUCCESS,
        )
    )
    found.with_panel(
        lines(
            "Real traffic by serving cluster",
            "Answers that Linkerd's proxies counted at the callers, by who gave them: all proxies but those"
            " of gateways and probers, whose namespaces $apart names."
            " Where no proxy is scraped, or nobody calls, there is nothing to see.",
            over_time(_served("$service", by=" by (cluster)"), "own pods in {{cluster}}"),
            *(
                over_time(_served(f"$service-${end}"), f"${end}, through the link")
                for end in ("target", "origin")
            ),
            unit="reqps",
            width=8,
            stacked=True,
        )
    )
    real = lines(
        "Real traffic against the threshold",
        "Penalty points of what real callers got from the target; at the dashed line it FAILs. Only with a"
        " Prometheus in the controller's settings.",
        over_time(
            f"max by (callers) (migrate_controller_traffic_points{{{ONE}}})",
            "callers in {{callers}}",
        ),
        over_time(f"max(migrate_controller_traffic_points_threshold{{{ONE}}})", "FAIL"),
        width=8,
    )
    found.with_panel(limit(real, "^FAIL$"))


def _served(backend: str, by: str = "") -> str:
    """Answers per second of a backend: of a TrafficSplit, or of an HTTPRoute (docs/mesh-facts.md, 20)."""
    asked = f'direction="outbound",dst_namespace="$namespace",dst_service="{backend}"'
    split = f"{asked},{CALLERS}"
    routed = f'parent_namespace="$namespace",parent_name="$service",backend_name="{backend}"'
    route = f"{routed},{CALLERS}"
    return (
        f"sum{by} (rate(response_total{{{split}}}[{RATE}]))"
        f" or sum{by} (rate(outbound_http_route_backend_response_statuses_total{{{route}}}[{RATE}]))"
    )
