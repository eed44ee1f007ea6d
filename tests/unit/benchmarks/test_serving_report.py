"""The report of `make bench`, including systems that failed."""

import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.serving.__main__ import SYSTEMS, write_reports
from benchmarks.serving.excerpt import write_excerpts
from benchmarks.serving.peers import PEERS, read_pins
from benchmarks.serving.report import write_report
from benchmarks.serving.results import Cell, Failure, Ledger, Plan, Results, SystemDescription
from benchmarks.serving.rounds import run
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.summary import CPU, FIGURES, P50, THROUGHPUT, Spread, Summary
from benchmarks.serving.systems import Program, Site, System, outputs_match
from benchmarks.serving.workload import Outputs, Workload
from shared.card import PIPELINE_FILE
from tests.stack import ROOT

NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}
IRIS, PENGUINS = SCENARIOS["iris"], SCENARIOS["penguins"]

# Responds to one request with 200, then exits.
DYING_SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).handle_request()
sys.exit("out of memory")
"""


def cell(system: str, number: int, requests: int, **changes: object) -> Cell:
    plain = Cell(system, number, 8, 1, requests, 2.0, 1.0, 2.0, 3.0, NO_ERRORS, 0.5, 100.0)
    return msgspec.structs.replace(plain, **changes)


def results(*cells: Cell, failures: list[Failure] | None = None) -> Results:
    systems = [SystemDescription(name, name.title(), {"library": "1.0"}, {}) for name in ("in_process", "sepal")]
    machine = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}
    return Results("abc", machine, Plan(3, 2, 1, [8], [1], "wrk 4"), systems, list(cells), failures or [])


def three_rounds() -> Results:
    base = [cell("in_process", number, requests) for number, requests in enumerate((1000, 2000, 4000))]
    own = [cell("sepal", number, requests) for number, requests in enumerate((5000, 4000, 12000))]
    return results(*base, *own)


def test_spread_is_median_and_extremes_of_the_rounds() -> None:
    assert Summary(three_rounds()).spread(THROUGHPUT, "sepal", 8, 1) == Spread(2500, 2000, 6000, 3)


def test_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    # 5, 2 and 3: the ratio of the medians would be 2.5.
    assert Summary(three_rounds()).ratio(THROUGHPUT, "sepal", 8, 1) == Spread(3, 2, 5, 3)


def test_round_that_only_one_system_finished_has_no_ratio() -> None:
    summary = Summary(results(cell("in_process", 0, 1000), cell("sepal", 1, 4000)))
    assert summary.ratio(THROUGHPUT, "sepal", 8, 1) is None
    assert summary.spread(THROUGHPUT, "sepal", 8, 1) == Spread(2000, 2000, 2000, 1)


def test_report_compares_sepal_with_the_targets() -> None:
    base = [cell("in_process", number, requests, connections=128) for number, requests in enumerate((100, 200, 400))]
    own = [cell("sepal", number, requests, connections=128) for number, requests in enumerate((6000, 8000, 28000))]
    page = write_report(results(*base, *own), PENGUINS)
    shown = "4,000 (3,000–14,000) | 100 (50–200) | ×60.0 (40.0–70.0) | ≥ 50 |"
    assert f"| Requests per second, at 128 connections | {shown}" in page
    assert "p50, ms, at 1 connection" not in page


def test_overview_shows_throughput_beside_its_cpu() -> None:
    page = write_report(three_rounds(), IRIS)
    assert "| system | requests/s at 8 | CPU s per 1,000 at 8 |" in page
    assert "| Sepal | 2,500 (2,000–6,000) ×3.00 | 0.100 (0.042–0.125) ×0.333 |" in page


def test_excerpt_has_the_measured_scenarios_and_penguins_first(tmp_path: Path) -> None:
    three_rounds().write(tmp_path / IRIS.json_file)
    assert "Penguins" not in write_excerpts(tmp_path)
    three_rounds().write(tmp_path / PENGUINS.json_file)
    text = write_excerpts(tmp_path)
    assert text.startswith("**Penguins**")
    assert text.count("3 interleaved rounds") == 2


def test_failed_requests_do_not_count_as_throughput() -> None:
    refused = cell("sepal", 0, 1000, errors={**NO_ERRORS, "status": 500})
    summary = Summary(results(refused))
    assert THROUGHPUT.of(refused) == 250
    assert CPU.of(refused) == pytest.approx(1.0)
    assert summary.errors("sepal", 8, 1) == (500, 1000)


def test_cell_without_successful_requests_has_no_latency_and_no_cost() -> None:
    refused = cell("sepal", 0, 10, errors={**NO_ERRORS, "status": 10})
    assert [figure.of(refused) for figure in (P50, CPU)] == [None, None]
    assert "| **Sepal** | – |" in write_report(results(refused), IRIS)


def test_system_that_did_not_start_is_in_every_table() -> None:
    failed = Failure("sepal", 0, started=False, where="start", reason="it ended\nsepal.log:\nImportError: no | such")
    page = write_report(results(cell("in_process", 0, 1000), failures=[failed]), IRIS)
    assert page.count("| **Sepal** | did not start: it ended: ImportError: no \\| such |") == len(FIGURES) + 1
    assert "**sepal** did not start in round 1, at start:\n\n```\nit ended\nsepal.log:\n" in page


def test_system_that_failed_later_keeps_its_figures_and_is_listed_as_failed() -> None:
    failed = Failure("sepal", 1, started=True, where="512 connections and 1 rows", reason="no answer")
    page = write_report(results(cell("sepal", 0, 1000), failures=[failed]), IRIS)
    assert "did not start" not in page
    assert "**sepal** failed in round 2, at 512 connections and 1 rows" in page


def test_rows_that_did_not_become_final_or_were_never_accepted_count_as_lost() -> None:
    assert Ledger("sepal", 0, accepted=10, final=10, answered=9).lost == 0
    assert Ledger("sepal", 0, accepted=10, final=8, answered=8).lost == 2
    assert Ledger("sepal", 0, accepted=10, final=10, answered=11).lost == 1


def test_results_are_read_as_they_were_written_and_give_the_same_chart(tmp_path: Path) -> None:
    three_rounds().write(tmp_path / "serving.json")
    assert Results.read(tmp_path / "serving.json") == three_rounds()
    write_reports(tmp_path, IRIS)
    first = (tmp_path / "serving.svg").read_bytes()
    write_reports(tmp_path, IRIS)
    assert (tmp_path / "serving.svg").read_bytes() == first


def test_wrong_outputs_do_not_match() -> None:
    expected = Outputs([0], [[0.0, float("-inf")]])
    assert outputs_match(Outputs([0], [[0.0, float("-inf")]]), expected)
    assert not outputs_match(Outputs([1], [[0.0, float("-inf")]]), expected)
    assert not outputs_match(Outputs([0], [[0.0, -1e300]]), expected)
    assert not outputs_match(Outputs([0], [[0.0]]), expected)


def test_system_that_does_not_start_is_reported_with_its_log_and_the_run_continues(
    tmp_path: Path, iris_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def programs(site: Site) -> list[Program]:
        return [Program("broken", [sys.executable, "-c", "import sys; sys.exit('no such engine')"], site.folder)]

    workload = Workload.load(iris_dir)
    plan = Plan(2, 1, 1, [1], [1], "wrk")
    measured = run([System("broken", "Broken", programs)], plan, workload, tmp_path / "serving.json")
    assert [failure.started for failure in measured.failures] == [False, False]
    assert "no such engine" in measured.failures[0].reason
    assert Results.read(tmp_path / "serving.json") == measured
    assert "did not start: broken ended with exit code 1: no such engine" in write_report(measured, IRIS)
    assert "broken failed at start" in capsys.readouterr().out


def test_system_that_exits_is_reported_with_its_cell_and_restarted_for_the_next(tmp_path: Path, iris_dir: Path) -> None:
    def programs(site: Site) -> list[Program]:
        return [Program("dying", [sys.executable, "-c", DYING_SERVER, str(site.port)], site.folder)]

    system = System("dying", "Dying", programs, read=lambda _: None)
    plan = Plan(1, 1, 1, [1, 8], [16], "wrk")
    measured = run([system], plan, Workload.load(iris_dir), tmp_path / "serving.json")
    assert [failure.where for failure in measured.failures] == [
        "1 connections and 16 rows",
        "8 connections and 16 rows",
    ]
    assert all(failure.started and "out of memory" in failure.reason for failure in measured.failures)


def test_all_peers_pin_the_scikit_learn_version_of_sepal() -> None:
    wanted = read_pins(ROOT / "requirements" / "dev.txt")["scikit-learn"]
    for peer in PEERS:
        if peer.name != "constant":
            assert peer.versions()["scikit-learn"] == wanted
            assert peer.lock
            assert read_pins(peer.lock)["scikit-learn"] == wanted


def test_sixteen_rows_of_the_workload_have_all_classes(iris_dir: Path) -> None:
    workload = Workload.load(iris_dir)
    assert workload.model == iris_dir / PIPELINE_FILE
    assert set(workload.expected_outputs(16).prediction) == {0, 1, 2}


def test_scenarios_name_known_systems_in_the_order_of_the_table() -> None:
    for scenario in SCENARIOS.values():
        assert list(scenario.systems) == [name for name in SYSTEMS if name in scenario.systems]


def test_systems_are_in_the_order_of_the_table() -> None:
    expected = [
        "in_process",
        "in_process_cores",
        "celery_get",
        "mosec",
        "litserve",
        "bentoml",
        "mlserver",
        "sepal",
        "constant",
    ]
    assert list(SYSTEMS) == expected
