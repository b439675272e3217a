"""Metrics of the Fleets: how far each wave is, who is in which, and what keeps all of them.

What is shown is the Fleet's status, key by key; what is shown of one Fleet replaces all that was shown of it before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from controller.domain import Key
from controller.report.metrics.series import Maker
from prober.labelled import NAMESPACE, SERVICE

COUNTED = ("completed", "underWay", "reverted", "blocked", "waiting")
"""The states of a wave's Services: each that is named and fit is in one of them."""

WAVE_STATES = ("Waiting", "Open", "Baking", "Completed")


class FleetMetrics:
    """How Fleets stand now."""

    def __init__(self, make: Maker) -> None:
        self._services = make.of_fleets(
            "fleet_services",
            "Services of a wave by state: completed, underWay, reverted, blocked or waiting.",
            *("wave", "state"),
        )
        self._wave_state = make.of_fleets(
            "fleet_wave_state",
            "1 for the state that a wave is in (Waiting, Open, Baking or Completed), else 0.",
            *("wave", "state"),
        )
        self._progress = make.of_fleets(
            "fleet_wave_last_progress_timestamp_seconds",
            "When a Service of an open wave was last raised or completed, or the wave opened.",
            "wave",
        )
        self._closed = make.of_fleets(
            "fleet_window_closed", "1 while a Fleet's windows let nothing rise, else 0."
        )
        self._stopped = make.of_fleets(
            "fleet_line_stopped", "1 while reverts have stopped a Fleet's line, else 0."
        )
        self._reverts = make.of_fleets(
            "fleet_reverts", "Reverts that count towards stopping a Fleet's line."
        )
        self._members = make.of_fleets(
            "fleet_member",
            "1 for each Service that a Fleet names, with its wave.",
            *("wave", NAMESPACE, SERVICE),
        )
        self._named: dict[str, Mapping[Key, str]] = {}

    def show(
        self,
        name: str,
        status: Mapping[str, Any],
        members: Mapping[Key, str],
        progressed: Mapping[str, datetime],
    ) -> None:
        """Show a Fleet by its status as it is written, the wave of each of its Services, and when a Service of each
        open wave was last raised or completed."""
        fleet = (name,)
        waves = status.get("waves", ())
        self._services.show(fleet, dict(_counts(waves)))
        self._wave_state.show(fleet, dict(_states(waves)))
        self._progress.show(fleet, {(wave,): when.timestamp() for wave, when in progressed.items()})
        line = status.get("line", {})
        self._closed.show(fleet, {(): float(status.get("window", {}).get("closed", False))})
        self._stopped.show(fleet, {(): float(line.get("stopped", False))})
        self._reverts.show(fleet, {(): float(line.get("reverts", 0))})
        if self._named.get(name) != members:  # of thousands, which seldom change
            self._named[name] = members
            self._members.show(
                fleet, {(wave, key.namespace, key.service): 1.0 for key, wave in members.items()}
            )

    def forget(self, name: str) -> None:
        """Let go of a Fleet that is no more."""
        self._named.pop(name, None)
        for metric in (
            *(self._services, self._wave_state, self._progress, self._members),
            *(self._closed, self._stopped, self._reverts),
        ):
            metric.show((name,), {})


def _counts(waves: Any) -> Iterator[tuple[tuple[str, str], float]]:
    for wave in waves:
        yield from (((wave["name"], state), float(wave.get(state, 0))) for state in COUNTED)


def _states(waves: Any) -> Iterator[tuple[tuple[str, str], float]]:
    for wave in waves:
        yield from (((wave["name"], one), float(wave.get("state") == one)) for one in WAVE_STATES)
