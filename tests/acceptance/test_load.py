"""The load test against a running Sepal: its report, files, thresholds and exit code."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load.settings import LoadSettings
from benchmarks.load.thresholds import RunFigures, are_all_met, check_thresholds
from tests.stack import ROOT, Gateway, clean_environment, free_port

Done = subprocess.CompletedProcess[str]

KINDS = ("waiting", "polling", "bulk")

GOOD = RunFigures(requests=100, failures=0, crashes=0, requests_per_second=50.0, p50_ms=4, p99_ms=20)


def run_locust(port: int, *options: str, seconds: int = 5, **settings: object) -> Done:
    always = ["--headless", "--users=20", "--spawn-rate=20", f"--run-time={seconds}s", "--only-summary"]
    return subprocess.run(
        [sys.executable, "-m", "locust", *always, *options],
        cwd=ROOT,
        env=clean_environment(load_host=f"http://127.0.0.1:{port}", **settings),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def load(iris: Gateway, kept: Path) -> Done:
    """A run that is long enough for all kinds of users, of which two poll after a second at the earliest."""
    files = [f"--csv={kept}/people", "--csv-full-history", f"--html={kept}/people.html"]
    for seconds in (10, 40, 160):  # locust ends on time, however slow the machine is
        done = run_locust(iris.port, *files, seconds=seconds)
        if all(f"submission to result, {kind}" in (kept / "people_stats.csv").read_text() for kind in KINDS):
            break
    return done


def read_rows(kept: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((kept / "people_stats.csv").read_text().splitlines()))


def test_load_meets_its_thresholds_and_prints_them(load: Done) -> None:
    assert load.returncode == 0, load.stderr
    assert "met     share of failed requests: 0" in load.stderr
    assert "MISSED" not in load.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["submission to result", "in the queue", "in the model"])
def test_report_has_rows_with_percentiles_for_every_kind_of_user(load: Done, kept: Path, name: str, kind: str) -> None:
    assert load.returncode == 0
    (row,) = (row for row in read_rows(kept) if row["Name"] == f"{name}, {kind}")
    assert row["Type"] == "SEPAL"
    assert int(row["Request Count"]) > 0
    assert 0 <= int(row["50%"]) <= int(row["99%"]) <= int(row["100%"])
    if name == "submission to result" and kind != "waiting":
        assert int(row["50%"]) >= 1000  # `Retry-After` is at least a second


def test_only_http_requests_are_aggregated(load: Done, kept: Path) -> None:
    assert load.returncode == 0
    rows = read_rows(kept)
    http = [int(row["Request Count"]) for row in rows if row["Type"] in {"GET", "POST"}]
    assert [int(row["Request Count"]) for row in rows if row["Name"] == "Aggregated"] == [sum(http)]


def test_history_and_report_are_written_and_the_chart_is_drawn(load: Done, kept: Path) -> None:
    assert f"report: {kept}/people.html" in load.stderr
    assert "submission to result, bulk" in (kept / "people.html").read_text()
    history, chart = kept / "people_stats_history.csv", kept / "people.svg"
    subprocess.run([sys.executable, "-m", "benchmarks.load.chart", history, chart], cwd=ROOT, check=True)
    assert chart.read_text().rstrip().endswith("</svg>")


def test_missed_threshold_is_printed_once_and_sets_the_exit_code_with_several_processes(iris: Gateway) -> None:
    done = run_locust(iris.port, "SyncCaller", "--processes=2", load_max_median_ms=0.001)
    assert done.returncode == 1
    assert done.stderr.count("MISSED  median from submission to result: ") == 1
    assert "met     share of failed requests: 0" in done.stderr


def test_refused_upload_is_reported_with_its_code(iris: Gateway) -> None:
    done = run_locust(iris.port, "BulkCaller", load_bulk_rows=10_001)
    assert done.returncode == 1
    assert "POST /predict (bulk): 422 invalid-rows" in done.stderr
    assert "MISSED  share of failed requests: 1 (at most 0)" in done.stderr


def test_load_without_a_gateway_exits_at_once() -> None:
    port = free_port()
    done = run_locust(port, seconds=600)
    assert done.returncode == 1
    assert f"no model card at http://127.0.0.1:{port}/model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        (GOOD, []),
        (GOOD._replace(requests=0, p50_ms=None, p99_ms=None), ["requests", "median", "99th"]),
        (GOOD._replace(crashes=1), ["exceptions in the load test"]),
        (GOOD._replace(failures=2), ["share of failed requests"]),
        (GOOD._replace(requests_per_second=49.9), ["requests/s"]),
        (GOOD._replace(p50_ms=11), ["median"]),
        (GOOD._replace(p99_ms=101), ["99th"]),
    ],
)
def test_each_threshold_can_be_missed_alone(measured: RunFigures, missed: list[str]) -> None:
    settings = LoadSettings(load_max_failures=0.01, load_min_rps=50, load_max_median_ms=10, load_max_tail_ms=100)
    thresholds = check_thresholds(measured, settings)
    names = [threshold.name for threshold in thresholds if not threshold.is_met]
    assert [name.startswith(start) for name, start in zip(names, missed, strict=True)] == [True] * len(missed)
    assert are_all_met(thresholds) == (not missed)


def test_tutorial_shape_is_a_thousand_users_that_wait() -> None:
    command = subprocess.run(
        ["make", "--dry-run", "load", "SHAPE=tutorial"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "locust SyncCaller " in command
    assert "--users 1000 --spawn-rate 100 --reset-stats" in command
