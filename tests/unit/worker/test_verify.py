"""`python -m worker.verify`: the check of a model directory when an image is built."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.preloaded import start as preloaded
from tests.stack import run_module


@pytest.fixture
def model_dir(tmp_path: Path, iris_dir: Path) -> Path:
    """A model that needs a distribution which is not installed."""
    model_dir = Path(shutil.copytree(iris_dir, tmp_path / "model"))
    card = json.loads((model_dir / "card.json").read_text())
    card["versions"]["no-such-distribution"] = "4.6.0"
    (model_dir / "card.json").write_text(json.dumps(card))
    return model_dir


def verify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_module("worker.verify", *arguments, python=preloaded.client())


def test_missing_distributions_are_printed_as_pip_takes_them(model_dir: Path) -> None:
    assert verify("--missing", model_dir).stdout == "no-such-distribution==4.6.0\n"


def test_model_that_a_worker_would_refuse_fails(model_dir: Path, iris_dir: Path) -> None:
    refused = verify(model_dir)
    assert refused.returncode == 1
    assert "no-such-distribution 4.6.0, but none is installed" in refused.stderr
    assert verify(iris_dir).returncode == 0
