"""The alerts on a real promtool: each fires where it should and is quiet where it should be."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dashboards import build
from deploy.servers.prometheus import find_binary

CASES = Path(__file__).parent.parent / "integration" / "dashboards" / "alerts.yaml"


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Call it."""
    binary = find_binary("promtool")
    assert binary is not None
    return subprocess.run([binary, *words], capture_output=True, text=True, timeout=60, check=False)


def test_the_rules_can_be_read(real_prometheus: None) -> None:
    """Prometheus accepts every rule, and its linter finds no two that are the same."""
    told = promtool("check", "rules", "--lint-fatal", build.OUT / "rules.yaml")
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_case_holds(real_prometheus: None) -> None:
    """Every alert fires with the words of its case, and is quiet in the others."""
    told = promtool("test", "rules", CASES)
    assert told.returncode == 0, told.stdout + told.stderr


def test_an_alert_that_does_not_fire_is_found(real_prometheus: None, tmp_path: Path) -> None:
    """The cases fail where an alert asks for something else than the story is about."""
    rules = (build.OUT / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(rules.replace("HandEdited|", "HandPicked|"))
    cases = CASES.read_text().replace("../../../dashboards/out/rules.yaml", "rules.yaml")
    (tmp_path / "alerts.yaml").write_text(cases)
    told = promtool("test", "rules", tmp_path / "alerts.yaml")
    assert told.returncode != 0
    assert "alertname: MigrateHandEdited" in told.stdout + told.stderr
