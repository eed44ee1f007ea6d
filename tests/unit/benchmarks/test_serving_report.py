"""What the side-by-side benchmark makes of its figures, and of systems that fail."""

import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.serving.__main__ import SYSTEMS, write_reports
from benchmarks.serving.peers import FOLDER, PEERS, pins
from benchmarks.serving.question import Answer, Question
from benchmarks.serving.report import write_report
from benchmarks.serving.results import Cell, Described, Failure, Ledger, Plan, Results
from benchmarks.serving.rounds import run
from benchmarks.serving.summary import FIGURES, Spread, Summary
from benchmarks.serving.systems import Program, Site, System, agree
from shared.card import PIPELINE_FILE
from tests.models import train_recipe
from tests.stack import ROOT

NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}
THROUGHPUT, P50, *_, CPU, MEMORY = FIGURES


# Answers one request with 200, and ends at the next.
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
    systems = [Described(name, name.title(), {"library": "1.0"}, {}) for name in ("in_process", "sepal")]
    machine = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}
    return Results("abc", machine, Plan(3, 2, 1, [8], [1], "wrk 4"), systems, list(cells), failures or [])


def three_rounds() -> Results:
    base = [cell("in_process", number, requests) for number, requests in enumerate((1000, 2000, 4000))]
    own = [cell("sepal", number, requests) for number, requests in enumerate((5000, 4000, 12000))]
    return results(*base, *own)


def test_median_and_extremes_over_rounds() -> None:
    assert Summary(three_rounds()).spread(THROUGHPUT, "sepal", 8, 1) == Spread(2500, 2000, 6000, 3)


def test_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # 5, 2 and 3: the ratio of the medians would be 2.5.
    assert Summary(three_rounds()).ratio(THROUGHPUT, "sepal", 8, 1) == 3


def test_round_that_only_one_of_two_systems_finished_has_no_ratio() -> None:
    summary = Summary(results(cell("in_process", 0, 1000), cell("sepal", 1, 4000)))
    assert summary.ratio(THROUGHPUT, "sepal", 8, 1) is None
    assert summary.spread(THROUGHPUT, "sepal", 8, 1) == Spread(2000, 2000, 2000, 1)


def test_refused_requests_are_no_throughput_and_use_no_cpu() -> None:
    refused = cell("sepal", 0, 1000, errors={**NO_ERRORS, "status": 500})
    summary = Summary(results(refused))
    assert THROUGHPUT.of(refused) == 250
    assert CPU.of(refused) == pytest.approx(1.0)
    assert summary.errors("sepal", 8, 1) == (500, 1000)


def test_cell_in_which_all_was_refused_has_no_latency_and_no_cost() -> None:
    refused = cell("sepal", 0, 10, errors={**NO_ERRORS, "status": 10})
    assert [figure.of(refused) for figure in (P50, CPU)] == [None, None]
    assert "| **Sepal** | – |" in write_report(results(refused), "picture.svg")


def test_system_that_never_started_stays_in_every_table() -> None:
    failed = Failure("sepal", 0, started=False, where="start", reason="it ended\nsepal.log:\nImportError: no | such")
    page = write_report(results(cell("in_process", 0, 1000), failures=[failed]), "picture.svg")
    assert page.count("| **Sepal** | did not start: it ended: ImportError: no \\| such |") == len(FIGURES) + 1
    assert "**sepal** did not start in round 1, at start:\n\n```\nit ended\nsepal.log:\n" in page


def test_system_that_failed_later_keeps_its_figures_and_is_named() -> None:
    failed = Failure("sepal", 1, started=True, where="512 connections and 1 rows", reason="no answer")
    page = write_report(results(cell("sepal", 0, 1000), failures=[failed]), "picture.svg")
    assert "did not start" not in page
    assert "**sepal** failed in round 2, at 512 connections and 1 rows" in page


def test_row_that_never_became_final_is_lost_and_so_is_one_that_was_never_accepted() -> None:
    assert Ledger("sepal", 0, accepted=10, final=10, answered=9).lost == 0
    assert Ledger("sepal", 0, accepted=10, final=8, answered=8).lost == 2
    assert Ledger("sepal", 0, accepted=10, final=10, answered=11).lost == 1


def test_results_survive_their_file_and_give_the_same_picture(tmp_path: Path) -> None:
    three_rounds().write(tmp_path / "serving.json")
    assert Results.read(tmp_path / "serving.json") == three_rounds()
    write_reports(tmp_path)
    first = (tmp_path / "serving.svg").read_bytes()
    write_reports(tmp_path)
    assert (tmp_path / "serving.svg").read_bytes() == first


def test_wrong_answers_are_told_from_right_ones() -> None:
    expected = Answer([0], [[0.0, float("-inf")]])
    assert agree(Answer([0], [[0.0, float("-inf")]]), expected)
    assert not agree(Answer([1], [[0.0, float("-inf")]]), expected)
    assert not agree(Answer([0], [[0.0, -1e300]]), expected)
    assert not agree(Answer([0], [[0.0]]), expected)


def test_system_whose_command_fails_is_reported_with_its_log_and_the_run_goes_on(
    tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def programs(site: Site) -> list[Program]:
        return [Program("broken", [sys.executable, "-c", "import sys; sys.exit('no such engine')"], site.folder)]

    question = Question.load(train_recipe(models_dir / "benchmark", "iris"))
    plan = Plan(2, 1, 1, [1], [1], "wrk")
    measured = run([System("broken", "Broken", programs)], plan, question, tmp_path / "serving.json")
    assert [failure.started for failure in measured.failures] == [False, False]
    assert "no such engine" in measured.failures[0].reason
    assert Results.read(tmp_path / "serving.json") == measured
    assert "did not start: broken ended with exit code 1: no such engine" in write_report(measured, "picture.svg")
    assert "broken failed at start" in capsys.readouterr().out


def test_system_that_dies_is_named_with_its_cell_and_started_again_for_the_next(tmp_path: Path, iris_dir: Path) -> None:
    def programs(site: Site) -> list[Program]:
        return [Program("dying", [sys.executable, "-c", DYING_SERVER, str(site.port)], site.folder)]

    system = System("dying", "Dying", programs, read=lambda _: None)
    plan = Plan(1, 1, 1, [1, 8], [16], "wrk")
    measured = run([system], plan, Question.load(iris_dir), tmp_path / "serving.json")
    assert [failure.where for failure in measured.failures] == [
        "1 connections and 16 rows",
        "8 connections and 16 rows",
    ]
    assert all(failure.started and "out of memory" in failure.reason for failure in measured.failures)


def test_all_peers_have_sepals_own_scikit_learn_in_pin_and_lock() -> None:
    wanted = pins(ROOT / "requirements" / "dev.txt")["scikit-learn"]
    for peer in PEERS:
        if peer.name != "constant":
            assert pins(FOLDER / peer.name / "requirements.in")["scikit-learn"] == wanted
            assert pins(FOLDER / peer.name / "requirements.txt")["scikit-learn"] == wanted


def test_question_has_all_classes_in_sixteen_rows(iris_dir: Path) -> None:
    question = Question.load(iris_dir)
    assert question.model == iris_dir / PIPELINE_FILE
    assert set(question.answer(16).prediction) == {0, 1, 2}


def test_systems_are_the_eight_of_the_table_in_its_order() -> None:
    expected = ["in_process", "celery_get", "mosec", "litserve", "bentoml", "mlserver", "sepal", "constant"]
    assert list(SYSTEMS) == expected
