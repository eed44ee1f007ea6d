"""The commands and the program of client/README.md work as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.integration.client.commands import environment, sepal
from tests.stack import ROOT, Gateway

README = (ROOT / "client/README.md").read_text()
COLUMNS = "customer,sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file that the page scores."""
    (tmp_path / "flowers.csv").write_text(f"{COLUMNS}\nAnna,4.8,3,1.4,0.3\nBen,2,1,3.2,1.1\n")
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def scored(folder: Path) -> dict[str, list[object]]:
    table = parquet.read_table(folder / "scored.parquet")
    return {name: table[name].to_pylist() for name in ("customer", "prediction")}


def test_commands_predict_a_row_and_score_a_file(iris: Gateway, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    predict, score = (line for block in blocks("sh") for line in block.splitlines() if line.startswith("sepal "))
    assert sepal(iris, *shlex.split(predict)[1:]).stdout.strip() == "0"
    sepal(iris, *shlex.split(score)[1:])
    assert scored(folder) == {"customer": ["Anna", "Ben"], "prediction": [0, 1]}


def test_program_prints_results_and_writes_a_file(iris: Gateway, folder: Path) -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env=environment(iris),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[0, 1] [[0.0, -inf, -inf], [-inf, 0.0, -inf]]\n")
    assert "succeeded 2 " in done.stdout
    assert re.search(r"(?m)^Ben +1 ", done.stdout)
    assert scored(folder) == {"customer": ["Anna", "Ben"], "prediction": [0, 1]}
