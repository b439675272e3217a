"""The Fleet board: all migrations at once."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.agreed import ASKED_BACK, SERVICE
from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    OURS,
    RED,
    bars,
    board,
    buckets,
    choice,
    heat_map,
    lines,
    listing,
    now,
    number,
    over_time,
    phased,
    rows,
)

ITS_BOARD = (
    "/d/migrate-service?${__url_time_range}&${datasource:queryparam}&${installation:queryparam}"
    "&var-namespace=${__data.fields.Namespace}&var-service=${__data.fields.Service}"
)
HERE = f'{OURS},migration_namespace=~"$namespace"'
INFO = "migrate_controller_migration_info"


def _count(labels: str = "") -> str:
    chosen = f"{HERE},{labels}" if labels else HERE
    return f"count(max by ({SERVICE}) ({INFO}{{{chosen}}}))"


def _of(metric: str) -> str:
    return f"max by ({SERVICE}) (migrate_controller_{metric}{{{HERE}}})"


UNFINISHED = f'max by ({SERVICE}) ({INFO}{{{HERE},phase=~"Progressing|Holding|Soaking|Reverting"}})'


def build() -> Dashboard:
    """Return the board."""
    found = board("migrate-fleet", "Migrations: fleet", "Where all migrations stand.")
    found.with_variable(
        choice(
            "namespace",
            "Namespace",
            f"label_values({INFO}{{{OURS}}}, migration_namespace)",
            many=True,
        )
    )
    _numbers(found)
    _shape(found)
    _each(found)
    _home(found)
    return found


def _numbers(found: Dashboard) -> None:
    completed = _count('phase="Completed"')
    found.with_panel(
        number("Migrations", "How many Services are annotated.", now(f"{_count()} or vector(0)"))
    )
    found.with_panel(
        number(
            "At the target",
            "The part of all migrations that are completed.",
            now(f"({completed} or vector(0)) / {_count()}"),
            unit="percentunit",
            steps=((None, BLUE), (1.0, GREEN)),
        )
    )
    found.with_panel(
        number(
            "On their way",
            "Migrations with callers at the target, or at the sliver, that are not over.",
            now(f"count({UNFINISHED}) or vector(0)"),
        )
    )
    found.with_panel(
        number(
            "Ask for a person",
            "Migrations that only somebody can help: docs/reasons.md says how.",
            now(f"sum({_of('migration_needs_person')}) or vector(0)"),
            steps=((None, GREEN), (1.0, RED)),
        )
    )
    found.with_panel(
        number(
            "Went home in a day",
            "Services whose last attempt was reverted in the last 24 hours, other than because somebody asked.",
            now(
                f"count(max by ({SERVICE}) (migrate_controller_reverted_timestamp_seconds"
                f'{{{HERE},reason!~"{"|".join(ASKED_BACK)}"}}) > time() - 86400) or vector(0)'
            ),
            steps=((None, GREEN), (1.0, ORANGE)),
        )
    )
    found.with_panel(
        number(
            "All over, at the earliest",
            "When the last of those on their way may be completed, were nothing to hold any of them.",
            now(f"max({_of('end_foreseen_timestamp_seconds')}) * 1000"),
            unit="dateTimeFromNow",
        )
    )


def _shape(found: Dashboard) -> None:
    found.with_panel(
        phased(
            lines(
                "Phases",
                "How many migrations stand in each phase.",
                over_time(
                    f"count by (phase) (max by ({SERVICE}, phase) ({INFO}{{{HERE}}}))",
                    "{{phase}}",
                ),
                stacked=True,
                stepped=True,
            )
        )
    )
    found.with_panel(
        heat_map(
            "Shares",
            "How many Services stand at each share. Rows are the default steps, the soak (99.9) and the"
            " end; where a Service's clusters differ, the smaller share counts.",
            buckets(f"sum by (le) (migration_namespace:migrate_services_share:bucket{{{HERE}}})"),
            axis_unit="percent",
        )
    )


def _each(found: Dashboard) -> None:
    found.with_panel(
        listing(
            "Every migration",
            "Every migration: where it stands, and why it does not advance. A click opens its own board.",
            [
                rows(f"max by ({SERVICE}, target, phase, reason, blocked) ({INFO}{{{HERE}}})"),
                rows(f"min by ({SERVICE}) (migrate_controller_share_permille{{{HERE}}}) / 10"),
                rows(f"time() - {_of('attempt_started_timestamp_seconds')}"),
                rows(f"{_of('end_foreseen_timestamp_seconds')} * 1000"),
            ],
            [
                ("migration_namespace", "Namespace", "short"),
                ("migration_service", "Service", "short"),
                ("target", "Target", "short"),
                ("phase", "Phase", "short"),
                ("reason", "Reason", "short"),
                ("blocked", "Blocked", "short"),
                ("Value #B", "Share", "percent"),
                ("Value #C", "Since", "s"),
                ("Value #D", "Over at the earliest", "dateTimeFromNow"),
            ],
            by="Since",
            link=(
                "Service",
                "Its board",
                ITS_BOARD,
            ),
        )
    )
    found.with_panel(
        bars(
            "Slowest",
            "The ten attempts that are on their way for the longest time.",
            now(
                f"topk(10, time() - {_of('attempt_started_timestamp_seconds')}"
                f" and on ({SERVICE}) {UNFINISHED})",
                "{{migration_namespace}}/{{migration_service}}",
            ),
            unit="s",
        )
    )
    found.with_panel(
        bars(
            "Blocked, and why",
            "Migrations that something holds that does not end by itself, by reason: docs/reasons.md"
            " says what to do about each.",
            now(
                f"sort_desc(count by (reason) (max by ({SERVICE}, reason)"
                f' ({INFO}{{{HERE},blocked="yes"}})))',
                "{{reason}}",
            ),
            steps=((None, ORANGE),),
        )
    )
    found.with_panel(
        lines(
            "Slots",
            "Migrations that hold a slot, and those that wait for one (max_in_progress).",
            over_time(f"max(migrate_controller_slots_in_use{{{OURS}}})", "in use"),
            over_time(f"max(migrate_controller_slots_waiting{{{OURS}}})", "waiting"),
            width=8,
            stepped=True,
        )
    )


def _home(found: Dashboard) -> None:
    found.with_panel(
        lines(
            "Reverts",
            "Attempts that went home in each interval, by reason; over all namespaces.",
            over_time(
                f"sum by (reason) (increase(migrate_controller_reverts_total{{{OURS}}}[$__rate_interval])) > 0",
                "{{reason}}",
            ),
            stacked=True,
        )
    )
    home = f"sum by (le) (rate(migrate_controller_home_seconds_bucket{{{OURS}}}[$__rate_interval]))"
    found.with_panel(
        lines(
            "Time to home",
            "From the decision to revert until every caller was home; points are single reverts and link"
            " to their traces. What decides takes time too: docs/evidence.md.",
            over_time(f"histogram_quantile(0.5, {home})", "half of them", exemplars=True),
            over_time(f"histogram_quantile(0.99, {home})", "nearly all", exemplars=True),
            unit="s",
        )
    )
