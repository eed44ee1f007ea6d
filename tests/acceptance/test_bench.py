"""`make bench` and `make bench-growth`, each reduced to a part that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT, clean_environment
from tests.tools import tool


def test_bench_measures_two_systems_and_writes_three_files(tmp_path: Path) -> None:
    tool("wrk")
    options = ["--scenario=iris", "--only=constant,sepal", "--rounds=1", "--seconds=1", "--connections=1", "--rows=1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", *options, f"--output={tmp_path}"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "serving.json").read_text())
    assert results["failures"] == []
    assert {cell["system"] for cell in results["cells"]} == {"constant", "sepal"}
    for cell in results["cells"]:
        assert cell["requests"] > 0
        assert cell["cpu_seconds"] > 0
        assert cell["memory_mib"] > 0
        assert not any(cell["errors"].values())
    assert str(ROOT) not in (tmp_path / "serving.json").read_text()
    page = (tmp_path / "serving-results.md").read_text()
    assert "### CPU seconds per 1,000 predictions" in page
    assert "did not start" not in page
    assert (tmp_path / "serving.svg").read_text().rstrip().endswith("</svg>")


def test_bench_growth_measures_one_part_and_writes_two_files(tmp_path: Path) -> None:
    options = ["--only=batch", "--rounds=1", f"--output={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *options],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "growth.json").read_text())
    assert results["failures"] == []
    assert {figure["n_rows"] for figure in results["batch"]} == {1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192}
    assert all(figure["pipeline_ms"] > 0 and figure["predict_ms"] > 0 for figure in results["batch"])
    assert str(ROOT) not in (tmp_path / "growth.json").read_text()
    assert "| 1,024 |" in (tmp_path / "growth-results.md").read_text()
