"""Recording rules, alerts and dashboard, and their description in docs/operations.md."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack import ROOT
from tests.tools import tool

PAGE = ROOT / "docs" / "operations.md"
FOLDER = ROOT / "deploy"
PROMETHEUS = FOLDER / "prometheus"
DASHBOARD = FOLDER / "grafana" / "sepal.json"

# Variables that Grafana replaces.
GRAFANA_VARIABLES = {"$__rate_interval": "5m"}


@pytest.fixture(scope="module")
def promtool() -> str:
    return tool("promtool")


def test_prometheus_accepts_configuration_and_rules(promtool: str) -> None:
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    run(promtool, "check", "rules", PROMETHEUS / "recording.yml", PROMETHEUS / "alerts.yml")


def test_alerts_fire_as_their_unit_tests_say(promtool: str) -> None:
    run(promtool, "test", "rules", PROMETHEUS / "rules_test.yml")


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    checks = [check for test in load("rules_test.yml")["tests"] for check in test.get("alert_rule_test", [])]
    firing = {check["alertname"] for check in checks if check.get("exp_alerts")}
    not_firing = {check["alertname"] for check in checks if not check.get("exp_alerts")}
    names = {alert["alert"] for alert in alerts()}
    assert firing == names
    assert not_firing == names


def test_every_alert_has_severity_delay_summary_and_runbook() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert alert["for"], alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_page_has_one_section_per_alert_in_the_same_order() -> None:
    sections = re.findall(r"^### (Sepal\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]


def test_links_of_the_page_lead_to_existing_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target


def test_only_documented_metrics_are_queried() -> None:
    documented = set(re.findall(r"^\| `(sepal_[a-z_]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert documented
    for path in (*PROMETHEUS.glob("*.yml"), DASHBOARD, FOLDER / "kubernetes" / "keda.yaml"):
        # The name of a recording rule contains its metric's name, next to a colon.
        queried = {
            re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"(?<!:)\bsepal_[a-z_]+", path.read_text())
        }
        assert queried <= documented, path


def test_queries_of_the_dashboard_are_valid(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(dashboard_queries())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def test_dashboard_queries_only_existing_recording_rules() -> None:
    defined = {rule["record"] for group in load("recording.yml")["groups"] for rule in group["rules"]}
    queried = set(re.findall(r"\b[a-z]+:[a-z_]+:[a-z0-9_]+", "\n".join(dashboard_queries())))
    assert queried
    assert queried <= defined


def test_every_panel_uses_the_selected_data_source() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        position = panel["gridPos"]
        cells = {(x, y) for x in _range(position, "x", "w") for y in _range(position, "y", "h")}
        assert not cells & taken, panel["title"]
        taken |= cells


def alerts() -> list[dict[str, Any]]:
    return [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]


def load(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def dashboard_queries() -> Iterator[str]:
    for panel in panels():
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in GRAFANA_VARIABLES.items():
                query = query.replace(name, value)
            yield query


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _range(position: dict[str, int], start: str, length: str) -> range:
    return range(position[start], position[start] + position[length])
