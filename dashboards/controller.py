"""The Controller board: whether it sees, decides and writes as fast as it should."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.panels import (
    GREEN,
    OURS,
    RED,
    YELLOW,
    board,
    choice,
    limit,
    lines,
    now,
    number,
    over_time,
    rows,
    states,
)

RATE = "$__rate_interval"
HERE = f'{OURS},instance=~"$instance"'
WHERE = "{{instance}}"


def build() -> Dashboard:
    """Return the board."""
    found = board(
        "migrate-controller",
        "Migrations: controller",
        "Whether the controllers see, decide and write, and who leads.",
        since="now-3h",
    )
    found.with_variable(
        choice(
            "instance",
            "Replica",
            f"label_values(migrate_controller_leader{{{OURS}}}, instance)",
            many=True,
        )
    )
    _numbers(found)
    _decisions(found)
    _requests(found)
    _seeing(found)
    _process(found)
    return found


def _of(metric: str, labels: str = "") -> str:
    return f"migrate_controller_{metric}{{{HERE}{',' if labels else ''}{labels}}}"


def _each(metric: str) -> str:
    """Of each replica one series, however many Prometheuses watch it."""
    return f"max by (instance) ({_of(metric)})"


def _rate(metric: str, labels: str = "") -> str:
    return f"rate({_of(metric, labels)}[{RATE}])"


def _numbers(found: Dashboard) -> None:
    found.with_panel(
        number(
            "Leaders",
            "Replicas that hold the lease: one. Without one nothing rises; going home needs none.",
            now(f"sum(max by (instance) (migrate_controller_leader{{{OURS}}}))"),
            steps=((None, RED), (1.0, GREEN), (2.0, RED)),
        )
    )
    found.with_panel(
        number(
            "Epoch",
            "The term of the newest leader: it grows with each.",
            now(f"max(migrate_controller_epoch{{{OURS}}})"),
        )
    )
    found.with_panel(
        number(
            "Waiting to be looked at",
            "Migrations in the queue of each replica.",
            now(_each("queue_depth"), WHERE),
            steps=((None, GREEN), (100.0, YELLOW)),
        )
    )
    found.with_panel(
        number(
            "Stale watches",
            "Kinds of objects, by cluster, that are not known well enough to raise anybody.",
            now(
                f"sum(min by (migration_cluster, resource) (migrate_controller_watch_current{{{OURS}}}) == bool 0)"
                " or vector(0)"
            ),
            steps=((None, GREEN), (1.0, RED)),
        )
    )
    found.with_panel(
        number(
            "Conflicts in an hour",
            "Writes that met another's: ordinary in small numbers, each is looked at anew.",
            now(
                f'sum(increase(migrate_controller_writes_total{{{OURS},outcome="conflict"}}[1h])) or vector(0)'
            ),
            steps=((None, GREEN), (100.0, YELLOW)),
        )
    )
    found.with_panel(
        number(
            "Version",
            "What runs.",
            rows(f"max by (version) (migrate_controller_build_info{{{OURS}}})"),
            label="version",
        )
    )


def _decisions(found: Dashboard) -> None:
    looks = f"sum by (le) ({_rate('reconcile_seconds_bucket')})"
    found.with_panel(
        lines(
            "Time to look, plan and act",
            "Of one look at one migration: the reading and writing is done by others meanwhile.",
            over_time(f"histogram_quantile(0.5, {looks})", "half of them", exemplars=True),
            over_time(f"histogram_quantile(0.99, {looks})", "nearly all", exemplars=True),
            unit="s",
            width=8,
        )
    )
    found.with_panel(
        lines(
            "Decisions",
            "Looks per second, by the reason not to advance.",
            over_time(
                f"sum by (phase, reason) ({_rate('plans_total')}) > 0", "{{phase}} {{reason}}"
            ),
            unit="ops",
            width=8,
            stacked=True,
        )
    )
    found.with_panel(
        lines(
            "Queue",
            "Migrations that wait to be looked at.",
            over_time(_each("queue_depth"), WHERE),
            width=8,
        )
    )


def _requests(found: Dashboard) -> None:
    api = "api_request_seconds"
    failed = _rate(f"{api}_count", 'code!~"[123].."')
    writing = _rate(f"{api}_bucket", 'verb!="WATCH"')
    found.with_panel(
        lines(
            "API requests that failed",
            "Requests to the API servers by verb and code: a status from 400 on, or a kind of error. 409 is"
            " a conflict, 410 a watch that has to list again.",
            over_time(
                f"sum by (migration_cluster, verb, code) ({failed}) > 0",
                "{{verb}} {{code}} in {{migration_cluster}}",
            ),
            unit="reqps",
            width=8,
            stacked=True,
        )
    )
    found.with_panel(
        lines(
            "Writes by what became of them",
            "Writes of splits, pins and status. A conflict is looked at anew; of an unknown one the object"
            " is read.",
            over_time(f"sum by (kind, outcome) ({_rate('writes_total')})", "{{outcome}}, {{kind}}"),
            unit="ops",
            width=8,
        )
    )
    slow = f"sum by (migration_cluster, verb, le) ({writing})"
    found.with_panel(
        lines(
            "API latency",
            "Within which 99 % of the answers came, by verb; points link to the trace of the attempt.",
            over_time(
                f"histogram_quantile(0.99, {slow})",
                "{{verb}} in {{migration_cluster}}",
                exemplars=True,
            ),
            unit="s",
            width=8,
        )
    )


def _seeing(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "Age of what is known",
            "Time since anything was heard of each kind of object; bookmarks come at least every minute.",
            over_time(
                f"max by (migration_cluster, resource) ({_of('watch_age_seconds')})",
                "{{resource}} in {{migration_cluster}}",
            ),
            unit="s",
            width=8,
        )
    )
    found.with_panel(
        lines(
            "Lists and watches that failed",
            "Each is tried again with backoff; while it lasts, what is known grows old.",
            over_time(
                f"sum by (migration_cluster, resource) ({_rate('watch_failures_total')})",
                "{{resource}} in {{migration_cluster}}",
            ),
            unit="ops",
            width=8,
            stacked=True,
        )
    )
    found.with_panel(
        states(
            "Who leads",
            "Which replica holds the lease, over time.",
            over_time(_each("leader"), WHERE),
            (("0", "follows", "#808080"), ("1", "leads", GREEN)),
            width=8,
        )
    )


def _process(found: Dashboard) -> None:
    lag = lines(
        "Event loop lag",
        "How late the event loop came round, within which 99 % of the rounds lie. Beyond 0.3 s every way"
        " counts as silent.",
        over_time(
            f"histogram_quantile(0.99, sum by (instance, le) ({_rate('loop_lag_seconds_bucket')}))",
            WHERE,
        ),
        over_time("vector(0.3)", "blind"),
        unit="s",
        width=6,
    )
    found.with_panel(limit(lag, "^blind$"))
    # A prober's series name its cluster.
    process = f'{HERE},migration_cluster=""'
    found.with_panel(
        lines(
            "CPU",
            "Of one core.",
            over_time(
                f"max by (instance) (rate(process_cpu_seconds_total{{{process}}}[{RATE}]))", WHERE
            ),
            unit="percentunit",
            width=6,
        )
    )
    found.with_panel(
        lines(
            "Memory",
            "Resident.",
            over_time(f"max by (instance) (process_resident_memory_bytes{{{process}}})", WHERE),
            unit="bytes",
            width=6,
        )
    )
    slow = f"sum by (migration_cluster, outcome, le) ({_rate('prometheus_query_seconds_bucket')})"
    found.with_panel(
        lines(
            "Questions to Prometheus",
            "What asking for real traffic takes, within which 99 % of the questions lie, by what became of"
            " them. Where it is away, real traffic is UNKNOWN.",
            over_time(
                f"histogram_quantile(0.99, {slow})", "{{outcome}} from {{migration_cluster}}"
            ),
            unit="s",
            width=6,
        )
    )
