"""Recording and alerting rules: the one source of the PrometheusRule and of promtool's file.

An alert is for a person, and says so: ``page`` where callers may be hurt while nobody looks, ``ticket``
where something waits. Each has a page in ``docs/runbooks/``, named by its slug.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dashboards.agreed import ASKED_BACK, SHARE_BUCKETS, WINDOWS

RUNBOOKS = "docs/runbooks"
"""Where the runbooks are, unless the rules are built for a web site that shows them."""

HOUR_S = 3600
OVERDUE_S = 1800
"""As long as a migration may hold its slot while something holds it (docs/how-it-works.md)."""


STUCK_WAVE_S = 6 * HOUR_S
"""As long as nothing of an open wave may move, though no window, line, pause or soak says so."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A query whose result is kept under another name."""

    name: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()

    def rule(self) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        rule: dict[str, Any] = {"record": self.name, "expr": self.expr}
        return rule | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True)
class Alert:
    """A query whose every result is somebody's concern once it has stood for ``lasts``."""

    name: str
    expr: str
    lasts: str
    severity: Literal["page", "ticket"]
    summary: str
    description: str

    @property
    def runbook(self) -> str:
        """The name of its page."""
        words = self.name.removeprefix("Migrate")
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in words).lstrip("-") + ".md"

    def rule(self, runbooks: str) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{self.runbook}",
            },
        }


# --- recording ------------------------------------------------------------------------------------


def _shares() -> Iterator[Recording]:
    """How many Services stand at or below each share, so that a heat map of all is one query."""
    share = "min by (namespace, service) (migrate_controller_share_permille)"
    for percent in SHARE_BUCKETS:
        yield Recording(
            "namespace:migrate_services_share:bucket",
            f"sum by (namespace) ({share} <= bool {float(percent) * 10:g})",
            (("le", percent),),
        )


def _burns() -> Iterator[Recording]:
    """How many times faster than allowed the callers' own way eats its error budget (1: just allowed)."""
    budget = "(1 - max by (namespace, service) (migrate_controller_objective_ratio))"
    probes = "migrate_controller_way_probes_total"
    for window in WINDOWS:
        bad = f'sum by (namespace, service) (rate({probes}{{side="apex",outcome="bad"}}[{window}]))'
        all_ = f'sum by (namespace, service) (rate({probes}{{side="apex"}}[{window}]))'
        yield Recording(
            f"namespace_service:migrate_error_budget_burn:rate{window}",
            f"{bad} / {all_} / on (namespace, service) {budget}",
        )


RECORDINGS = (*_shares(), *_burns())


# --- alerting -------------------------------------------------------------------------------------


def _info(labels: str) -> str:
    return f"max by (namespace, service) (migrate_controller_migration_info{{{labels}}})"


def _burn(factor: str, long: str, short: str) -> str:
    name = "namespace_service:migrate_error_budget_burn:rate"
    return f"{name}{long} > {factor} and on (namespace, service) {name}{short} > {factor}"


_NOT_HOME = (
    _info('phase="Reverting"')
    + " or "
    + _info('reason=~"BothWaysBad|HomeWithoutEndpoints|LinkSuspect"')
)

# A series that is born at one has not increased: it counts while it is younger than the window.
_LAWS = "migrate_controller_laws_broken_total"

_SERVICE = "{{ $labels.namespace }}/{{ $labels.service }}"
_EXPLAIN = "kubectl migrate explain {{ $labels.service }} -n {{ $labels.namespace }}"

# One Service's finding is told of it alone, not of all that are rolled back together with it.
_NO_FINDING = "|".join((*ASKED_BACK, "TogetherReverted"))

# What keeps all of a Fleet keeps none of its Services in particular.
_WHOLE_FLEET = "FleetPaused|LineStopped|WaveWaits|WindowClosed"

_FLEET = "migrate_controller_fleet_"


def _lately(metric: str) -> str:
    """The Fleets of which this was true at any time in as long as a wave may stand."""
    return f"max by (fleet) (max_over_time({_FLEET}{metric}[{STUCK_WAVE_S // HOUR_S}h])) == 1"


def _in_wave(of_services: str) -> str:
    """The waves that have a Service in this."""
    member = f"max by (fleet, wave, namespace, service) ({_FLEET}member)"
    return f"max by (fleet, wave) ({member} and on (namespace, service) {of_services})"


_PAUSED = _info('reason="FleetPaused"')
_STUCK_WAVE = (
    f"time() - max by (fleet, wave) ({_FLEET}wave_last_progress_timestamp_seconds) > {STUCK_WAVE_S}"
    f' and on (fleet, wave) max by (fleet, wave) ({_FLEET}wave_state{{state="Open"}}) == 1'
    f" unless on (fleet) ({_lately('window_closed')})"
    f" unless on (fleet) ({_lately('line_stopped')})"
    f" unless on (fleet, wave) {_in_wave(_PAUSED)}"
    " unless on (fleet, wave) " + _in_wave("migrate_controller_step_due_timestamp_seconds > time()")
)

ALERTS = (
    Alert(
        "MigrateErrorBudgetBurnsFast",
        _burn("14.4", "1h", "5m"),
        "0s",
        "page",
        f"{_SERVICE} fails its callers fourteen times faster than its objective allows",
        "What callers get now, as probes see it, eats the error budget of the migration's objective at"
        " {{ $value | humanize }} times the rate that is allowed, over five minutes and over an hour.",
    ),
    Alert(
        "MigrateErrorBudgetBurnsSlowly",
        _burn("6", "6h", "30m"),
        "0s",
        "ticket",
        f"{_SERVICE} fails its callers six times faster than its objective allows",
        "What callers get now, as probes see it, eats the error budget of the migration's objective at"
        " {{ $value | humanize }} times the rate that is allowed, over half an hour and over six hours.",
    ),
    Alert(
        "MigrateStuck",
        "time() - max by (namespace, service) (migrate_controller_step_due_timestamp_seconds)"
        f" > {OVERDUE_S} and on (namespace, service) "
        + _info(f'phase=~"Progressing|Holding|Soaking",reason!~"{_WHOLE_FLEET}"'),
        "5m",
        "ticket",
        f"{_SERVICE} has not risen although its next step is long due",
        "Its next step has been due for {{ $value | humanizeDuration }}. It stays armed where it is;"
        f" `{_EXPLAIN}` says what it waits for.",
    ),
    Alert(
        "MigrateReverted",
        "max by (namespace, service, reason) "
        f'(migrate_controller_reverted_timestamp_seconds{{reason!~"{_NO_FINDING}"}})'
        f" > time() - {HOUR_S}",
        "0s",
        "ticket",
        f"{_SERVICE} went home: {{{{ $labels.reason }}}}",
        "The attempt was reverted in the last hour and every caller is, or is being, brought home. Nothing"
        f" moves before somebody retries; `{_EXPLAIN}` says what was seen.",
    ),
    Alert(
        "MigrateCannotGoHome",
        _NOT_HOME,
        "30s",
        "page",
        f"{_SERVICE} should go home and does not",
        "A revert has not been finished for 30 s, or would help nobody: home is bad, empty, or out of reach."
        f" Callers may be failing now; `{_EXPLAIN}` says who stays and why.",
    ),
    Alert(
        "MigrateAsksForPerson",
        "max by (namespace, service) (migrate_controller_migration_needs_person) == 1"
        f" unless on (namespace, service) ({_NOT_HOME})",
        "30s",
        "page",
        f"{_SERVICE} is above home and something is missing that would bring it home safely",
        "Its status says alert: a way is blind, a split is not in force, or the way home is bad."
        f" `{_EXPLAIN}` says which.",
    ),
    Alert(
        "MigrateProberSilent",
        "min by (cluster) (migrate_controller_prober_streams) == 0"
        " or max by (cluster) (migrate_controller_prober_report_age_seconds) > 30",
        "30s",
        "page",
        "No word comes from the probers in {{ $labels.cluster }}",
        "Without probes nothing rises, and a target that turns bad is not left: this is the watch over"
        " every migration in progress.",
    ),
    Alert(
        "MigrateLineStopped",
        f"max by (fleet) ({_FLEET}line_stopped) == 1",
        "1m",
        "page",
        "Reverts have stopped the line of Fleet {{ $labels.fleet }}",
        "As many attempts as its stopTheLine allows ended by evidence within its time. Nothing of the Fleet"
        " rises before a person resumes it; who is shifted stays, and is still rolled back where the target"
        " is bad. `kubectl migrate fleet status {{ $labels.fleet }}` says who was reverted and why.",
    ),
    Alert(
        "MigrateWaveStuck",
        _STUCK_WAVE,
        "10m",
        "ticket",
        "Wave {{ $labels.wave }} of Fleet {{ $labels.fleet }} stands still",
        "For {{ $value | humanizeDuration }} no Service of it was raised or completed, and no window, stopped"
        " line, pause, dwell or soak explains it. `kubectl migrate fleet status {{ $labels.fleet }}` says who"
        " needs a person.",
    ),
    Alert(
        "MigrateWatchStale",
        "min by (cluster, resource) (migrate_controller_watch_current) == 0",
        "1m",
        "ticket",
        "What is known of {{ $labels.resource }} in {{ $labels.cluster }} is out of date",
        "Nothing rises until the controller can list and watch them again. Going home does not wait for it.",
    ),
    Alert(
        "MigrateNoLeader",
        "sum(migrate_controller_leader) == 0 or absent(migrate_controller_leader)",
        "1m",
        "page",
        "No controller holds the lease",
        "Nothing rises. While a controller runs it still brings callers home; where none is scraped at all,"
        " nobody does.",
    ),
    Alert(
        "MigrateLawBroken",
        f"sum by (law) (increase({_LAWS}[15m]) > 0 or {_LAWS} > 0 unless {_LAWS} offset 15m)",
        "0s",
        "page",
        "The controller planned what it must never do: {{ $labels.law }}",
        "In the last fifteen minutes a plan broke a law of the controller's own. Nothing of it that raises was"
        " written, and callers are still brought home; the migration stays where it is until the error is"
        " found.",
    ),
    Alert(
        "MigrateGatewayNotPinned",
        "min by (namespace, service, cluster) (migrate_controller_pinned) == 0 or "
        + _info('reason=~"GatewayNotPinned|PinForeign"'),
        "1m",
        "page",
        f"A gateway is not pinned for {_SERVICE}",
        "A gateway that follows the splits of its own cluster sends requests back through the link: of the"
        " requests that both clusters send away, that share fails. The controller puts a missing pin back"
        " at once; this one does not stay, or does not pin.",
    ),
    Alert(
        "MigrateGatewayLoopSeen",
        "sum by (namespace, service) (increase(migrate_controller_way_loops_total[5m])) > 0"
        " or 1 + 0 * (max by (namespace, service) "
        '(migrate_controller_reverted_timestamp_seconds{reason="TrafficLoop"})'
        " > time() - 300)",
        "0s",
        "page",
        f"A request of {_SERVICE} bounced between the gateways",
        "Requests answered 508 in the last five minutes, as far as they are known one by one:"
        " {{ $value | humanize }}. A gateway did not obey its pin. While callers are"
        " shifted, this alone rolls all of them back.",
    ),
    Alert(
        "MigrateCallersDoNotFollow",
        "max by (namespace, service, reason) "
        '(migrate_controller_migration_warning{reason="CallersDoNotFollow"})'
        " or max by (namespace, service, reason) "
        '(migrate_controller_migration_warning{reason="CallersMayNotFollow"})'
        " and on (namespace, service) " + _info('phase="Completed"'),
        "10m",
        "ticket",
        f"Callers of {_SERVICE} do not follow its split, or may not",
        "CallersDoNotFollow: workloads were seen to call past the split, so the share is not theirs."
        " CallersMayNotFollow: the migration is completed, and whoever was busy when its split was made"
        " follows only after 5 s without a call. Do not scale the origin down before they did.",
    ),
    Alert(
        "MigrateHandEdited",
        _info('reason=~"HandEdited|RecordUnreadable"'),
        "1m",
        "ticket",
        f"Somebody wrote the split of {_SERVICE} during its migration",
        "The weights, or the controller's record beside them, are not those that the controller wrote. It"
        f" holds, stays armed, and does not write over them; `{_EXPLAIN}` says who wrote what.",
    ),
)


def groups(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Return all rules as Prometheus reads them; ``runbooks`` is the URL or folder of the runbooks."""
    return {
        "groups": [
            {"name": "mesh-migrate-recording", "rules": [one.rule() for one in RECORDINGS]},
            {"name": "mesh-migrate-alerts", "rules": [one.rule(runbooks) for one in ALERTS]},
        ]
    }


def manifest(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Return all rules as the Prometheus Operator reads them."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "mesh-migrate", "labels": {"app.kubernetes.io/name": "mesh-migrate"}},
        "spec": groups(runbooks),
    }
