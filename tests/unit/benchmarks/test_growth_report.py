"""The report of `make bench-growth`, including parts that failed or were not measured."""

from pathlib import Path

from benchmarks.growth.report import write_report
from benchmarks.growth.results import ArtifactFigures, BatchFigures, GrowthResults, WaitingFigures
from benchmarks.serving.results import Cell, Plan, Results, SystemDescription
from tests.stack import ROOT

MACHINE = {"cores": "2", "processor": "P", "memory": "1 GiB", "kernel": "Linux 6", "python": "3.11"}
NO_ERRORS = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}


def growth(**parts: list[BatchFigures] | list[WaitingFigures] | list[ArtifactFigures] | Results) -> GrowthResults:
    made = GrowthResults("abc", MACHINE, {"celery": "5"}, {}, dict.fromkeys(parts, 3))
    for name, figures in parts.items():
        setattr(made, name, figures)
    return made


def test_batch_table_has_medians_and_the_cheapest_size_is_named() -> None:
    one = [BatchFigures(number, 1, 0.5, ms) for number, ms in enumerate((1.0, 3.0, 2.0))]
    many = [BatchFigures(number, 1024, 1.0, ms) for number, ms in enumerate((4.096, 8.0, 2.048))]
    page = write_report(growth(batch=[*one, *many]))
    assert "| 1,024 | 1.00 (1.00–1.00) | 4.10 (2.05–8.00) | 4.00 (2.00–7.81) |" in page
    assert "A batch of 1,024 takes 2.05 times as long as a batch of 1; the pipeline alone takes 2.00 times" in page
    assert "A row takes least time in batches of 1,024: 4.00 µs, compared with 2,000 µs in batches of 1." in page


def test_submitting_and_polling_are_compared_between_few_and_many_queued_predictions() -> None:
    figures = [WaitingFigures(0, 10, 5, 1.0, 2.0, 1.0, 1e6), WaitingFigures(0, 100_000, 2000, 1.5, 2.0, 90.0, 900.0)]
    page = write_report(growth(waiting=figures))
    assert "| 100,000 | 1.50 (1.50–1.50) | 2.00 (2.00–2.00) | 90.0 (90.0–90.0) | 900 (900–900) |" in page
    assert "submitting takes 1.50 times as long as with 10, and polling 1.00 times" in page


def test_gateway_processes_are_compared_with_one_process_within_each_round() -> None:
    plan = Plan(2, 3, 1, [128, 512], [1], "wrk 4")
    systems = [SystemDescription(f"sepal-{n}", f"Sepal, {n}", {}, {}) for n in (1, 2)]
    counts = {"sepal-1": (3000, 6000), "sepal-2": (9000, 6000)}
    cells = [
        Cell(system, number, 512, 1, requests, 3.0, 1.0, 2.0, 3.0, NO_ERRORS, requests / 1000, 100.0)
        for system, rounds in counts.items()
        for number, requests in enumerate(rounds)
    ]
    page = write_report(growth(gateways=Results("abc", MACHINE, plan, systems, cells)))
    assert "Sepal, 2: 2.00 times the requests/s, 1.00 times the CPU per request." in page
    assert "| 128 | Sepal, 1 | – | – | – | – | – |" in page
    assert "| 512 | Sepal, 1 | 1,500 (1,000–2,000) |" in page


def test_memory_is_reported_per_byte_of_the_artifact() -> None:
    figures = [
        ArtifactFigures(0, "tree", 1_000, 2.0, 50.0, 100.0, 0.2),
        ArtifactFigures(0, "forest", 2**29 + 1_000, 5.0, 51.0, 1124.0, 9.0),
    ]
    page = write_report(growth(artifact=figures))
    assert "| forest, 537 MB | 5.00 (5.00–5.00) | 51.0 (51.0–51.0) | 1,124 (1,124–1,124) |" in page
    assert "a start takes 3.00 s more, the pool process needs 2.00 bytes of memory per byte of the artifact" in page


def test_failures_are_reported_without_paths_and_unmeasured_parts_are_named() -> None:
    results = growth(batch=[])
    results.record_failure("waiting", 1, "10 waiting", OSError(f"{ROOT}/x is gone"))
    page = write_report(results)
    assert "**waiting, 10 waiting**, in round 2:\n\n```\n./x is gone\n```" in page
    assert page.count("Not measured in this run.") == 4


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = growth(batch=[BatchFigures(0, 1, 0.5, 1.0)], waiting=[WaitingFigures(0, 10, 5, 1.0, 2.0, 1.0, 1e6)])
    results.write(tmp_path / "growth.json")
    assert GrowthResults.read(tmp_path / "growth.json") == results
