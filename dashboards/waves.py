"""The Waves board: one Fleet, wave by wave, and when it may be done."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.agreed import CHOSEN, SERVICE
from dashboards.fleet import ITS_BOARD
from dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    OURS,
    PURPLE,
    RED,
    YELLOW,
    bars,
    board,
    choice,
    coloured,
    lines,
    listing,
    mapped,
    now,
    number,
    over_time,
    rows,
    span,
    states,
    to_now,
)

SEEN = "14d"
"""What is looked back on; the board shows as much of what is to come."""

STATES = {
    "completed": GREEN,
    "underWay": BLUE,
    "reverted": RED,
    "blocked": ORANGE,
    "waiting": GREY,
}
"""The colour of each state of a wave's Services."""

FLEET = f'{OURS},fleet="$fleet"'
WAVES = f'{FLEET},wave=~"$wave"'
MEMBER = "migrate_controller_fleet_member"
INFO = "migrate_controller_migration_info"
NAMED = f'max by ({SERVICE}, wave) ({MEMBER}{{{WAVES},migration_namespace=~"$namespace"}})'
"""The Services that are meant, 1 for each, with their wave."""


def _info(labels: str) -> str:
    return f'max by ({SERVICE}) ({INFO}{{{OURS},migration_namespace=~"$namespace",{labels}}})'


def _with(labels: str) -> str:
    """The Services that are meant whose migration has these labels."""
    return f"{NAMED} and on ({SERVICE}) {_info(labels)}"


def _of_fleet(metric: str) -> str:
    return f"max(migrate_controller_fleet_{metric}{{{FLEET}}})"


COMPLETED = _with('phase="Completed"')
LEFT = f"(count({NAMED}) - (count({COMPLETED}) or vector(0)))"
REVERTED = 'phase="Reverted"'
BLOCKED = (
    'phase=~"Pending|Progressing|Holding|Soaking",blocked="yes",reason!~"' + "|".join(CHOSEN) + '"'
)
NEED = f"({_info(REVERTED)} or {_info(BLOCKED)})"
UNDER_WAY = (
    _with('phase=~"Progressing|Holding|Soaking|Reverting"') + f" unless on ({SERVICE}) {NEED}"
)
PAST = f"{LEFT}[$__range:$__interval]"


def build() -> Dashboard:
    """Return the board."""
    found = board(
        "migrate-waves",
        "Migrations: waves",
        "How far a Fleet is, wave by wave, and when it may be done.",
        since=f"now-{SEEN}",
        until=f"now+{SEEN}",
    )
    found.with_variable(choice("fleet", "Fleet", f"label_values({MEMBER}{{{OURS}}}, fleet)"))
    found.with_variable(
        choice("wave", "Wave", f"label_values({MEMBER}{{{FLEET}}}, wave)", many=True)
    )
    found.with_variable(
        choice(
            "namespace",
            "Namespace",
            f"label_values({MEMBER}{{{WAVES}}}, migration_namespace)",
            many=True,
        )
    )
    _marks(found)
    _numbers(found)
    _pace(found)
    _waves(found)
    _people(found)
    return found


def _marks(found: Dashboard) -> None:
    found.annotation(
        span(
            "Closed windows",
            f"{_of_fleet('window_closed')} == 1",
            YELLOW,
            "closed",
            "The Fleet's windows let nothing rise.",
        )
    )
    found.annotation(
        span(
            "Stopped line",
            f"{_of_fleet('line_stopped')} == 1",
            RED,
            "stopped",
            "Reverts had stopped the Fleet's line.",
        )
    )


def _numbers(found: Dashboard) -> None:
    keeps = f"{_of_fleet('window_closed')} + 2 * {_of_fleet('line_stopped')}"
    for panel in (
        number(
            "Moved",
            "The part of the chosen waves' Services that is completed.",
            now(f"1 - {LEFT} / count({NAMED})"),
            unit="percentunit",
            steps=((None, BLUE), (1.0, GREEN)),
        ),
        number(
            "Left to move",
            "Services of the chosen waves that are not completed.",
            now(LEFT),
        ),
        number(
            "Under way now",
            "Services of the chosen waves that are between origin and target, and need nobody.",
            now(f"count({UNDER_WAY}) or vector(0)"),
        ),
        number(
            "Need a person",
            "Services of the chosen waves that were rolled back, or are held by what neither passes nor was chosen.",
            now(f"count({NAMED} and on ({SERVICE}) {NEED}) or vector(0)"),
            steps=((None, GREEN), (1.0, RED)),
        ),
        number(
            "Windows and line",
            "Whether a window or the stopped line keeps all of the Fleet's Services from rising now.",
            now(keeps),
            mappings=(
                mapped(
                    (
                        ("0", "open", GREEN),
                        ("1", "closed", YELLOW),
                        ("2", "stopped", RED),
                        ("3", "stopped", RED),
                    )
                ),
            ),
        ),
        number(
            "Done, at this pace",
            "When nothing is left, if it goes on as in these two weeks, windows and pauses included.",
            now(f"(time() + {LEFT} / -(deriv({PAST}) < 0)) * 1000"),
            unit="dateTimeFromNow",
        ),
    ):
        found.with_panel(to_now(panel, SEEN))


def _pace(found: Dashboard) -> None:
    found.with_panel(
        coloured(
            lines(
                "Burn-down",
                "Services of the chosen waves that are not completed, and where the pace so far leads (dashed)."
                " Yellow: a window was closed; red: the line was stopped.",
                over_time(LEFT, "left to move"),
                over_time(f"clamp_min(predict_linear({PAST}, 0), 0)", "at this pace"),
                width=16,
                stepped=True,
            ),
            {"left to move": BLUE, "at this pace": ORANGE},
            dashed=("at this pace",),
        )
    )
    moved = f"sum by (wave) (max by (wave, state) (migrate_controller_fleet_services{{{WAVES}"
    found.with_panel(
        to_now(
            bars(
                "Moved, by wave",
                "The part of each wave that is completed, whatever its namespace.",
                now(f'{moved},state="completed"}})) / {moved}}}))', "{{wave}}"),
                unit="percentunit",
                steps=((None, BLUE), (1.0, GREEN)),
                ceiling=1.0,
            ),
            SEEN,
        )
    )


def _waves(found: Dashboard) -> None:
    kinds = (
        ("Waiting", GREY),
        ("Open", BLUE),
        ("Baking", PURPLE),
        ("Completed", GREEN),
    )
    state = "migrate_controller_fleet_wave_state"
    values = " or ".join(
        f'(max by (wave, state) ({state}{{{WAVES},state="{kind}"}}) == 1) * {value}'
        for value, (kind, _) in enumerate(kinds, start=1)
    )
    found.with_panel(
        to_now(
            states(
                "Waves",
                "The state of each wave.",
                over_time(f"max by (wave) ({values})", "{{wave}}"),
                [(str(value), kind, colour) for value, (kind, colour) in enumerate(kinds, start=1)],
            ),
            SEEN,
        )
    )
    found.with_panel(
        to_now(
            coloured(
                lines(
                    "Services",
                    "Services of the chosen waves by their state, whatever their namespace.",
                    over_time(
                        "sum by (state) (max by (wave, state)"
                        f" (migrate_controller_fleet_services{{{WAVES}}}))",
                        "{{state}}",
                    ),
                    stacked=True,
                    stepped=True,
                ),
                STATES,
            ),
            SEEN,
        )
    )


def _people(found: Dashboard) -> None:
    told = f"max by ({SERVICE}, phase, reason) ({INFO}"
    wave = f"on ({SERVICE}) group_left (wave) {NAMED}"
    found.with_panel(
        to_now(
            listing(
                "Who needs a person",
                "Services that were rolled back, or are held by what neither passes nor was chosen: docs/reasons.md"
                " says what to do. A click opens a Service's own board.",
                [rows(f"({told}{{{OURS},{REVERTED}}}) or {told}{{{OURS},{BLOCKED}}})) * {wave}")],
                [
                    ("wave", "Wave", "short"),
                    ("migration_namespace", "Namespace", "short"),
                    ("migration_service", "Service", "short"),
                    ("phase", "Phase", "short"),
                    ("reason", "Reason", "short"),
                ],
                width=16,
                height=8,
                link=("Service", "Its board", ITS_BOARD),
            ),
            SEEN,
        )
    )
    found.with_panel(
        to_now(
            bars(
                "Since the last progress",
                "How long ago a Service of each open wave was raised or completed.",
                now(
                    "time() - max by (wave)"
                    f" (migrate_controller_fleet_wave_last_progress_timestamp_seconds{{{WAVES}}})",
                    "{{wave}}",
                ),
                unit="s",
                steps=((None, BLUE), (21600.0, ORANGE)),
            ),
            SEEN,
        )
    )
