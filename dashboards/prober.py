"""The Prober board: whether the evidence can be trusted, and whether there is enough of it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    OURS,
    RED,
    SUCCESS,
    board,
    choice,
    limit,
    lines,
    now,
    number,
    over_time,
)

RATE = "$__rate_interval"
HERE = f'{OURS},migration_cluster=~"$cluster"'
WHERE = "{{migration_cluster}}"


def build() -> Dashboard:
    """Return the board."""
    found = board(
        "migrate-prober",
        "Migrations: probers",
        "What the probers send, whether they keep up, and how much of it they stand behind.",
        known="migrate_prober_info",
        since="now-3h",
    )
    found.with_variable(
        choice(
            "cluster",
            "Cluster",
            f"label_values(migrate_prober_info{{{OURS}}}, migration_cluster)",
            many=True,
        )
    )
    _numbers(found)
    _probes(found)
    _trust(found)
    _load(found)
    return found


def _of(metric: str) -> str:
    return f"migrate_prober_{metric}{{{HERE}}}"


def _rate(metric: str) -> str:
    return f"rate({_of(metric)}[{RATE}])"


def _sum(expr: str, *by: str) -> str:
    """Sum what probers tell by the cluster that each is in."""
    return f"sum by ({', '.join(('migration_cluster', *by))}) ({expr})"


def _numbers(found: Dashboard) -> None:
    found.with_panel(
        number(
            "Streams",
            "Streams open in each cluster: two for each controller. The stream is the assignment, so"
            " without one nothing is probed.",
            now(_sum(_of("streams")), WHERE),
            steps=((None, RED), (1.0, GREEN)),
        )
    )
    found.with_panel(
        number(
            "Youngest stream",
            "How long the youngest stream is open: one that is young again and again breaks again and again.",
            now(
                f'min by (migration_cluster) (migrate_prober_stream_age_seconds{{{HERE},which="youngest"}})',
                WHERE,
            ),
            unit="s",
        )
    )
    found.with_panel(
        number(
            "Last report",
            "Time since the controller heard anything of a cluster's probers; they report every 100 ms.",
            now(
                "max by (migration_cluster)"
                f" (migrate_controller_prober_report_age_seconds{{{HERE}}})",
                WHERE,
            ),
            unit="s",
            steps=((None, GREEN), (3.0, ORANGE), (30.0, RED)),
        )
    )
    found.with_panel(
        number(
            "Ways probed",
            "Assignments of all streams: each stream has half of the schedule of each way.",
            now(_sum(_of("assignments")), WHERE),
        )
    )
    found.with_panel(
        number(
            "UNKNOWN",
            "Of all ways that decide, the part that says neither PASS nor FAIL: it holds whoever it is of.",
            now(
                f'avg(migrate_controller_way_verdict{{{OURS},migrate_controller_way_verdict="UNKNOWN"'
                ',callers=~"$cluster",side!="apex"})'
            ),
            unit="percentunit",
            steps=((None, BLUE), (0.5, ORANGE)),
        )
    )
    found.with_panel(
        number(
            "Refused",
            "Messages of the controller that a prober could not serve, in the last hour.",
            now(_sum(f"increase({_of('messages_refused_total')}[1h])"), WHERE),
            steps=((None, GREEN), (1.0, RED)),
        )
    )


def _probes(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "Probes planned and sent",
            "The schedule is open-loop: what is planned is due whatever becomes of it, so the two lines"
            " lie upon each other while a prober keeps up.",
            over_time(_sum(_rate("probes_planned_total")), "planned in {{migration_cluster}}"),
            over_time(_sum(_rate("probes_sent_total")), "sent in {{migration_cluster}}"),
            unit="reqps",
        )
    )
    found.with_panel(
        lines(
            "Probes late and dropped",
            "Probes that were not sent, by the prober's own fault: their slices are void, so they count for"
            " nothing and hide nothing.",
            over_time(_sum(_rate("probes_late_total")), "late in {{migration_cluster}}"),
            over_time(_sum(_rate("probes_unsent_total")), "dropped in {{migration_cluster}}"),
            unit="reqps",
            stacked=True,
        )
    )
    found.with_panel(
        lines(
            "In flight",
            "Probes under way. They end after 1 s at the latest, so more than a second's worth never are.",
            over_time(_sum(_of("probes_in_flight")), WHERE),
            width=8,
        )
    )
    found.with_panel(
        lines(
            "Bad probes",
            "Probes without an expected answer, by route: mirror is through the link, pods by address.",
            over_time(
                _sum(_rate("probes_bad_total"), "route"), "{{route}} in {{migration_cluster}}"
            ),
            unit="reqps",
            width=8,
            stacked=True,
        )
    )
    granted = lines(
        "Rate asked for and granted",
        "Probes per second that the assignments want, bursts included, and what the cap leaves of them."
        " Where less is granted, evidence comes more slowly and the status warns ProbesLowered.",
        over_time(_sum(_of("rate_wanted_per_second")), "asked in {{migration_cluster}}"),
        over_time(_sum(_of("rate_granted_per_second")), "granted in {{migration_cluster}}"),
        unit="reqps",
        width=8,
    )
    found.with_panel(granted)


def _trust(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "Slices that the prober does not stand behind",
            "The part of all slices that is void, by reason: the prober was late, its reference failed, its"
            " event loop lagged, or it is ending.",
            over_time(
                f"{_sum(_rate('slices_void_total'), 'reason')}"
                f" / on (migration_cluster) group_left () {_sum(_rate('slices_total'))}",
                "{{reason}} in {{migration_cluster}}",
            ),
            unit="percentunit",
            stacked=True,
        )
    )
    reference = "migrate_prober_reference_probes_total"
    good = f'rate({reference}{{{HERE},result="200"}}[{RATE}])'
    found.with_panel(
        lines(
            "The prober's own reference",
            "Probes of the prober itself through its own proxy: good ones of all.",
            over_time(
                f"{_sum(good)} / {_sum(_rate('reference_probes_total'))}",
                WHERE,
            ),
            unit="percentunit",
            within=SUCCESS,
        )
    )
    found.with_panel(
        lines(
            "Slices at the controller",
            "Slices that the controller took in, and those it did not because they are void.",
            over_time(
                "sum by (migration_cluster, outcome)"
                f" (rate(migrate_controller_slices_total{{{HERE}}}[{RATE}]))",
                "{{outcome}} from {{migration_cluster}}",
            ),
            unit="ops",
        )
    )
    found.with_panel(
        lines(
            "Latency by route",
            "Within which 99 % of the answers came, from the due time.",
            over_time(
                "histogram_quantile(0.99,"
                f" {_sum(_rate('probe_latency_seconds_bucket'), 'route', 'le')})",
                "{{route}} in {{migration_cluster}}",
            ),
            unit="s",
        )
    )


def _load(found: Dashboard) -> None:
    late = limit(
        lines(
            "How late probes start",
            "From the due time to the start, within which 99 % of them lie. Later than 50 ms is not sent.",
            over_time(
                f"histogram_quantile(0.99, {_sum(_rate('probe_lateness_seconds_bucket'), 'le')})",
                WHERE,
            ),
            over_time("vector(0.05)", "too late"),
            unit="s",
            width=8,
        ),
        "^too late$",
    )
    found.with_panel(late)
    found.with_panel(
        lines(
            "Event loop lag",
            "How late the event loop came round, within which 99 % of the rounds lie.",
            over_time(
                f"histogram_quantile(0.99, {_sum(_rate('loop_lag_seconds_bucket'), 'le')})",
                WHERE,
            ),
            unit="s",
            width=8,
        )
    )
    found.with_panel(
        lines(
            "CPU",
            "Of one core. A prober has one event loop: near 1 it is at its end.",
            over_time(_sum(f"rate(process_cpu_seconds_total{{{HERE}}}[{RATE}])"), WHERE),
            unit="percentunit",
            width=8,
        )
    )
