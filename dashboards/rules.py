"""Recording and alerting rules: the one source of the PrometheusRule and of promtool's file.

An alert is for a person, and says so: ``page`` where callers may be hurt while nobody looks, ``ticket``
where something waits. Each has a page in ``docs/runbooks/``, named by its slug.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dashboards.agreed import ASKED_BACK, SERVICE, SHARE_BUCKETS, WINDOWS

RUNBOOKS = "https://github.com/tradeshift/mesh-migrate/blob/main/docs/runbooks"
"""Where the runbooks are, unless the rules are built for a web site that shows them."""

EACH = f"installation, {SERVICE}"
"""The labels that name a Service of one pair of clusters: another pair may have one of the same name."""

HOUR_S, DAY_S = 3600, 86_400
OVERDUE_S = 1800
"""As long as a migration may hold its slot while something holds it (docs/how-it-works.md)."""


RENEWED_H = 13
"""A credential that was renewed within this is taken to be renewed by itself: twice in a life of a day."""

STUCK_WAVE_S = 6 * HOUR_S
"""As long as nothing of an open wave may move, though no window, line, pause or soak says so."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an organisation words in its own way: the URL or folder of its runbooks, and its two severities."""

    runbooks: str = RUNBOOKS
    page: str = "page"
    ticket: str = "ticket"


OURS = Told()


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

    def rule(self, told: Told) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "labels": {"severity": told.page if self.severity == "page" else told.ticket},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{told.runbooks}/{self.runbook}",
            },
        }


# --- recording ------------------------------------------------------------------------------------


def _shares() -> Iterator[Recording]:
    """How many Services stand at or below each share, so that a heat map of all is one query."""
    share = f"min by ({EACH}) (migrate_controller_share_permille)"
    for percent in SHARE_BUCKETS:
        yield Recording(
            "migration_namespace:migrate_services_share:bucket",
            f"sum by (installation, migration_namespace) ({share} <= bool {float(percent) * 10:g})",
            (("le", percent),),
        )


def _burns() -> Iterator[Recording]:
    """How many times faster than allowed the callers' own way eats its error budget (1: just allowed)."""
    budget = f"(1 - max by ({EACH}) (migrate_controller_objective_ratio))"
    probes = "migrate_controller_way_probes_total"
    for window in WINDOWS:
        bad = f'sum by ({EACH}) (rate({probes}{{side="apex",outcome="bad"}}[{window}]))'
        all_ = f'sum by ({EACH}) (rate({probes}{{side="apex"}}[{window}]))'
        yield Recording(
            f"migration_service:migrate_error_budget_burn:rate{window}",
            f"{bad} / {all_} / on ({EACH}) {budget}",
        )


RECORDINGS = (*_shares(), *_burns())


# --- alerting -------------------------------------------------------------------------------------


def _info(labels: str) -> str:
    return f"max by ({EACH}) (migrate_controller_migration_info{{{labels}}})"


def _burn(factor: str, long: str, short: str) -> str:
    name = "migration_service:migrate_error_budget_burn:rate"
    return f"{name}{long} > {factor} and on ({EACH}) {name}{short} > {factor}"


_NOT_HOME = (
    _info('phase="Reverting"')
    + " or "
    + _info('reason=~"BothWaysBad|HomeWithoutEndpoints|LinkSuspect"')
)

_PEER = "installation, migration_cluster"
_ENDS = "migrate_controller_peer_credential_expiry_timestamp_seconds"

# A series that is born at one has not increased: it counts while it is younger than the window.
_LAWS = "migrate_controller_laws_broken_total"

_SERVICE = "{{ $labels.migration_namespace }}/{{ $labels.migration_service }}"
_EXPLAIN = (
    "kubectl migrate explain {{ $labels.migration_service }} -n {{ $labels.migration_namespace }}"
)

# One Service's finding is told of it alone, not of all that are rolled back together with it.
_NO_FINDING = "|".join((*ASKED_BACK, "TogetherReverted"))

# What keeps all of a Fleet keeps none of its Services in particular.
_WHOLE_FLEET = "FleetPaused|LineStopped|WaveWaits|WindowClosed"

_FLEET = "migrate_controller_fleet_"
_WAVE = "installation, fleet, wave"


def _lately(metric: str) -> str:
    """The Fleets of which this was true at any time in as long as a wave may stand."""
    return f"max by (installation, fleet) (max_over_time({_FLEET}{metric}[{STUCK_WAVE_S // HOUR_S}h])) == 1"


def _in_wave(of_services: str) -> str:
    """The waves that have a Service in this."""
    member = f"max by (fleet, wave, {EACH}) ({_FLEET}member)"
    return f"max by ({_WAVE}) ({member} and on ({EACH}) {of_services})"


_PAUSED = _info('reason="FleetPaused"')
_STUCK_WAVE = (
    f"time() - max by ({_WAVE}) ({_FLEET}wave_last_progress_timestamp_seconds) > {STUCK_WAVE_S}"
    f' and on ({_WAVE}) max by ({_WAVE}) ({_FLEET}wave_state{{state="Open"}}) == 1'
    f" unless on (installation, fleet) ({_lately('window_closed')})"
    f" unless on (installation, fleet) ({_lately('line_stopped')})"
    f" unless on ({_WAVE}) {_in_wave(_PAUSED)}"
    f" unless on ({_WAVE}) " + _in_wave("migrate_controller_step_due_timestamp_seconds > time()")
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
        f"time() - max by ({EACH}) (migrate_controller_step_due_timestamp_seconds)"
        f" > {OVERDUE_S} and on ({EACH}) "
        + _info(f'phase=~"Progressing|Holding|Soaking",reason!~"{_WHOLE_FLEET}"'),
        "5m",
        "ticket",
        f"{_SERVICE} has not risen although its next step is long due",
        "Its next step has been due for {{ $value | humanizeDuration }}. It stays armed where it is;"
        f" `{_EXPLAIN}` says what it waits for.",
    ),
    Alert(
        "MigrateReverted",
        f"max by ({EACH}, reason) "
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
        f"max by ({EACH}, reason) (migrate_controller_migration_info)"
        f" and on ({EACH}) max by ({EACH}) (migrate_controller_migration_needs_person) == 1"
        f" unless on ({EACH}) ({_NOT_HOME})",
        "90s",  # longer than MigrateProberSilent takes, which inhibits those that are Blind
        "page",
        f"{_SERVICE} is above home and something is missing that would bring it home safely",
        "Its status says alert, for {{ $labels.reason }}: a way is blind, a split is not in force, or the way home"
        " is bad."
        f" `{_EXPLAIN}` says which.",
    ),
    Alert(
        "MigrateProberSilent",
        "min by (installation, migration_cluster) (migrate_controller_prober_streams) == 0"
        " or max by (installation, migration_cluster) (migrate_controller_prober_report_age_seconds) > 30",
        "30s",
        "page",
        "No word comes from the probers in {{ $labels.migration_cluster }}",
        "Without probes nothing rises, and a target that turns bad is not left: this is the watch over"
        " every migration in progress.",
    ),
    Alert(
        "MigrateGatewayDead",
        "max by (installation, callers, gateway) (migrate_controller_gateway_dead) == 1",
        "30s",
        "page",
        "The gateway of {{ $labels.gateway }} answers nobody in {{ $labels.callers }}",
        "Whoever in {{ $labels.callers }} was sent through it is rolled back where the way home needs no gateway;"
        " where it does they stay, and may be failing now. Nothing rises.",
    ),
    Alert(
        "MigrateLineStopped",
        f"max by (installation, fleet) ({_FLEET}line_stopped) == 1",
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
        "min by (installation, migration_cluster, resource) (migrate_controller_watch_current) == 0",
        "1m",
        "ticket",
        "What is known of {{ $labels.resource }} in {{ $labels.migration_cluster }} is out of date",
        "Nothing rises until the controller can list and watch them again. Going home does not wait for it.",
    ),
    Alert(
        "MigratePeerCredentialEnds",
        f"min by ({_PEER}) ({_ENDS}) - time() < {DAY_S} unless on ({_PEER})"
        f" max by ({_PEER}) (max_over_time({_ENDS}[{RENEWED_H}h]))"
        f" > min by ({_PEER}) (min_over_time({_ENDS}[{RENEWED_H}h]))",
        "1h",
        "ticket",
        "The controller's credential for {{ $labels.migration_cluster }} ends within a day",
        "It ends in {{ $value | humanizeDuration }} and was not renewed lately. Ended, nothing rises, and callers in"
        " that cluster can no longer be brought home.",
    ),
    Alert(
        "MigrateNoLeader",
        # Whoever was scraped within a day: where only probers are scraped there is nobody to miss.
        'max by (installation) (present_over_time(migrate_controller_leader{installation!=""}[1d]))'
        " unless on (installation) max by (installation) (migrate_controller_leader) == 1",
        "1m",
        "page",
        "No controller of {{ $labels.installation }} holds the lease",
        "Nothing rises. While a controller runs it still brings callers home; where none is scraped at all,"
        " nobody does.",
    ),
    Alert(
        "MigrateLawBroken",
        f"sum by (installation, law) (increase({_LAWS}[15m]) > 0 or {_LAWS} > 0 unless {_LAWS} offset 15m)",
        "0s",
        "page",
        "The controller planned what it must never do: {{ $labels.law }}",
        "In the last fifteen minutes a plan broke a law of the controller's own. Nothing of it that raises was"
        " written, and callers are still brought home; the migration stays where it is until the error is"
        " found.",
    ),
    Alert(
        "MigrateGatewayNotPinned",
        f"min by ({EACH}, migration_cluster) (migrate_controller_pinned) == 0 or "
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
        f"sum by ({EACH}) (max by ({EACH}, callers, side) (increase(migrate_controller_way_loops_total[5m]))) > 0"
        f" or 1 + 0 * (max by ({EACH}) "
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
        f"max by ({EACH}, reason) "
        '(migrate_controller_migration_warning{reason="CallersDoNotFollow"})'
        f" or max by ({EACH}, reason) "
        '(migrate_controller_migration_warning{reason="CallersMayNotFollow"})'
        f" and on ({EACH}) " + _info('phase="Completed"'),
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


INHIBITED: tuple[dict[str, Any], ...] = (
    {
        "source_matchers": ["alertname = MigrateProberSilent"],
        "target_matchers": ["alertname = MigrateAsksForPerson", "reason = Blind"],
        "equal": ["installation"],
    },
    {
        "source_matchers": ["alertname =~ MigrateProberSilent|MigrateNoLeader|MigrateWatchStale"],
        "target_matchers": ["alertname =~ MigrateStuck|MigrateWaveStuck"],
        "equal": ["installation"],
    },
    {
        "source_matchers": ["alertname = MigrateErrorBudgetBurnsFast"],
        "target_matchers": ["alertname = MigrateErrorBudgetBurnsSlowly"],
        "equal": ["installation", "migration_namespace", "migration_service"],
    },
)
"""Of an alert and those that follow from it, Alertmanager tells the one."""


def groups(told: Told = OURS) -> dict[str, Any]:
    """Return all rules as Prometheus reads them."""
    return {
        "groups": [
            {"name": "mesh-migrate-recording", "rules": [one.rule() for one in RECORDINGS]},
            {"name": "mesh-migrate-alerts", "rules": [one.rule(told) for one in ALERTS]},
        ]
    }


def manifest(told: Told = OURS) -> dict[str, Any]:
    """Return all rules as the Prometheus Operator reads them."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "mesh-migrate", "labels": {"app.kubernetes.io/name": "mesh-migrate"}},
        "spec": groups(told),
    }


def inhibition() -> dict[str, Any]:
    """Return the part of Alertmanager's configuration that keeps one cause to one page."""
    return {"inhibit_rules": list(INHIBITED)}
