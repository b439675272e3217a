"""``python -m dashboards check``: everything that boards and rules promise, on a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from dashboards import build, conventions, rules
from dashboards.asking import Asking, Query, filled, queries_of
from dashboards.play import EDITED, FLEET, MOVES, REVERTS, Played, played
from deploy.servers.prometheus import MISSING, find_binary

ALERT_CASES = Path(__file__).parent.parent / "tests" / "integration" / "dashboards" / "alerts.yaml"
PROMTOOL_S = 60.0
SCRAPED_S = 1.0

COMMON = {
    "__rate_interval": "5s",
    "__range": "3m",
    "__interval": "1s",
    "installation": "migrate",
    "fleet": FLEET,
    "wave": ".*",
    "namespace": "default",
    "cluster": ".*",
    "instance": ".*",
    "origin": "legacy",
    "target": "eks",
    "proxies": ".*",
    "apart": "linkerd-multicluster|migrate",
}
SERVICES = (MOVES, REVERTS, EDITED)
"""The Service board is asked about each of these; data for one of them is enough."""

SEEN = ("MigrateReverted", "MigrateHandEdited", "MigrateLineStopped")
"""Alerts that this story makes: somebody's revert, which stops the line of its Fleet, and somebody's edit."""


@dataclass(slots=True)
class Report:
    """What was checked; ``empty`` counts the queries without data, ``wrong`` says what is not as it should be."""

    panels: int = 0
    queries: int = 0
    empty: int = 0
    rules: int = 0
    alerts_tested: int = 0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the one line of JSON that ends the check."""
        counts = asdict(self)
        del counts["wrong"]
        return json.dumps(counts)


def check(say: Callable[[str], None]) -> Report:
    """Check everything; nothing is left out."""
    report = Report()
    report.wrong += conventions.stale(build.OUT) + conventions.stale(build.IN_CHART)
    boards = {name: json.loads(text) for name, text in build.boards().items()}
    for name, board in boards.items():
        report.panels += len(board["panels"])
        report.wrong += conventions.breaches(name, board)
    report.wrong += conventions.unknown_metrics(boards, rules.groups())
    _promtool(report)
    say("static part done; now a story on the local clusters")
    asyncio.run(_story(report, boards, say))
    return report


def _promtool(report: Report) -> None:
    """Have promtool read the rules, and fire and quiet every alert."""
    promtool = find_binary("promtool")
    if promtool is None:
        report.wrong.append(MISSING)
        return
    for words in (("check", "rules", build.OUT / "rules.yaml"), ("test", "rules", ALERT_CASES)):
        told = subprocess.run(  # noqa: S603 - our own files, no one's input
            [promtool, *words], capture_output=True, text=True, timeout=PROMTOOL_S, check=False
        )
        if told.returncode:
            report.wrong.append(f"promtool {words[0]} rules:\n{told.stdout}{told.stderr}")
    tested, untested = conventions.alerts_tested(ALERT_CASES)
    report.alerts_tested = len(tested)
    report.wrong += untested


async def _story(
    report: Report, boards: Mapping[str, Mapping[str, Any]], say: Callable[[str], None]
) -> None:
    async with played(build.OUT / "rules.yaml", say) as story, aiohttp.ClientSession() as session:
        asking = Asking(session, story.prometheus, story.began_s, story.ended_s)
        for name, board in boards.items():
            for query in queries_of(name, board):
                await _ask(report, asking, query)
        await _rules(report, asking)
        await _metrics(report, asking)
        await _exemplars(report, asking, story, boards)


async def _ask(report: Report, asking: Asking, query: Query) -> None:
    report.queries += 1
    for service in SERVICES:
        expr = filled(query.expr, {**COMMON, "service": service})
        if await asking.ask(expr, instant=query.instant):
            return
    report.empty += 1
    report.wrong.append(f"no data: {query}")


async def _rules(report: Report, asking: Asking) -> None:
    """Every rule is healthy, every recording gives data, and what the story made is alerted."""
    found = (await asking.get("rules"))["groups"]
    alerting: dict[str, str] = {}
    for rule in (rule for group in found for rule in group["rules"]):
        report.rules += 1
        if rule["health"] != "ok":
            report.wrong.append(f"rule {rule['name']} is {rule['health']}: {rule.get('lastError')}")
        if rule["type"] == "recording" and not await asking.ask(rule["name"]):
            report.wrong.append(f"no data: recording {rule['name']}")
        if rule["type"] == "alerting":
            alerting[rule["name"]] = rule["state"]
    quiet = [name for name in SEEN if alerting[name] == "inactive"]
    report.wrong += [f"{name} is quiet, and the story made it" for name in quiet]
    loud = [n for n, state in alerting.items() if state == "firing" and n not in SEEN]
    report.wrong += [f"{name} fires, and the story gave no reason" for name in loud]


async def _metrics(report: Report, asking: Asking) -> None:
    """What is really scraped is documented, and every target was reached."""
    down = [s.labels["instance"] for s in await asking.ask("up == 0", instant=True)]
    report.wrong += [f"{instance} could not be scraped" for instance in down]
    names = await asking.get("label/__name__/values")
    ours = {name for name in names if name.startswith("migrate_")}
    report.wrong += [
        f"{name} is emitted and not in docs/metrics.md"
        for name in sorted(ours - conventions.documented_series())
    ]


async def _exemplars(
    report: Report,
    asking: Asking,
    story: Played,
    boards: Mapping[str, Mapping[str, Any]],
) -> None:
    """The exemplars of a revert lead to a trace that was really sent."""
    asks = [q for name, board in boards.items() for q in queries_of(name, board) if q.exemplars]
    found: set[str] = set()
    for query in asks:
        expr = filled(query.expr, {**COMMON, "service": REVERTS})
        exemplars = await asking.exemplars(expr)
        if query.panel == "Time to home" and not exemplars:
            report.wrong.append(f"no exemplar: {query}")
        found |= {exemplar["labels"]["trace_id"] for exemplar in exemplars}
    if not found <= story.traces:
        lost = sorted(found - story.traces)
        report.wrong.append(f"exemplars lead to traces that nobody was sent: {lost}")
