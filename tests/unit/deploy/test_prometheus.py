"""What operators are given beside the code: rules, alarms, the dashboard, and the page that explains them."""

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
FOLDER = ROOT / "docs" / "operations"
PROMETHEUS = FOLDER / "prometheus"
DASHBOARD = FOLDER / "grafana" / "sepal.json"

# What Grafana fills in.
GRAFANA_VARIABLES = {"$__rate_interval": "5m"}


@pytest.fixture(scope="module")
def promtool() -> str:
    return tool("promtool")


def test_prometheus_takes_configuration_and_rules(promtool: str) -> None:
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    run(promtool, "check", "rules", PROMETHEUS / "recording.yml", PROMETHEUS / "alerts.yml")


def test_alarms_are_given_when_there_is_something_to_do(promtool: str) -> None:
    run(promtool, "test", "rules", PROMETHEUS / "rules_test.yml")


def test_every_alarm_is_seen_to_fire_and_not_to_fire() -> None:
    looks = [look for test in load("rules_test.yml")["tests"] for look in test.get("alert_rule_test", [])]
    fires = {look["alertname"] for look in looks if look.get("exp_alerts")}
    keeps_quiet = {look["alertname"] for look in looks if not look.get("exp_alerts")}
    names = {alert["alert"] for alert in alerts()}
    assert fires == names
    assert keeps_quiet == names


def test_every_alarm_says_whom_it_wakes_and_where_to_read_on() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert alert["for"], alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_page_has_a_section_for_each_alarm_and_for_nothing_else() -> None:
    sections = re.findall(r"^### (Sepal\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]


def test_page_leads_to_what_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target


def test_only_documented_metrics_are_asked_for() -> None:
    documented = set(re.findall(r"^\| `(sepal_[a-z_]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert documented
    for path in (*PROMETHEUS.glob("*.yml"), DASHBOARD, FOLDER / "kubernetes" / "keda.yaml"):
        # A record's name holds that of the metric it is made of, after or before a colon.
        asked = {
            re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"(?<!:)\bsepal_[a-z_]+", path.read_text())
        }
        assert asked <= documented, path


def test_dashboard_asks_what_prometheus_understands(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(dashboard_queries())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def test_dashboard_asks_only_for_records_that_are_made() -> None:
    made = {rule["record"] for group in load("recording.yml")["groups"] for rule in group["rules"]}
    asked = set(re.findall(r"\b[a-z]+:[a-z_]+:[a-z0-9_]+", "\n".join(dashboard_queries())))
    assert asked
    assert asked <= made


def test_dashboard_has_no_source_of_its_own() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]


def test_panels_have_names_and_places_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(x, y) for x in _range(place, "x", "w") for y in _range(place, "y", "h")}
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


def _range(place: dict[str, int], start: str, length: str) -> range:
    return range(place[start], place[start] + place[length])
