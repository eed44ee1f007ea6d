"""The models that a worker accepts, and those that it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import pipelines
from tests.models import fit_neighbours, fit_regressor, fit_svc, save_misbehaving, save_pipeline
from tests.preloaded import start as preloaded
from tests.stack import ROOT, Stack, clean_environment, free_port, pool_process, run_module, running_stack


def run_worker(model_dir: Path) -> subprocess.CompletedProcess[str]:
    """Start a worker that is expected to refuse its model, which needs no broker."""
    environment = clean_environment(model_dir=model_dir, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    return run_module("worker", environment=environment, python=preloaded.client())


@pytest.fixture
def malicious(tmp_path: Path) -> tuple[Path, Path]:
    """A model directory whose pipeline writes a file when it is unpickled, and that file."""
    written = tmp_path / "unpickled"
    return save_misbehaving(tmp_path, pipelines.WritesAFile(str(written))), written


def test_altered_artifact_stops_the_worker_before_it_unpickles(malicious: tuple[Path, Path]) -> None:
    model_dir, written = malicious
    with (model_dir / "pipeline.joblib").open("ab") as artifact:
        artifact.write(b"\0")
    refused = run_worker(model_dir)
    assert refused.returncode == 1
    assert "its card has sha256:" in refused.stderr
    assert "train the model again" in refused.stderr
    assert not written.exists()


def test_other_scikit_learn_version_stops_the_worker_before_it_unpickles(malicious: tuple[Path, Path]) -> None:
    model_dir, written = malicious
    card = json.loads((model_dir / "card.json").read_text())
    card["versions"]["scikit-learn"] = "1.2.2"
    (model_dir / "card.json").write_text(json.dumps(card))
    refused = run_worker(model_dir)
    assert refused.returncode == 1
    assert "was made with scikit-learn 1.2.2" in refused.stderr
    assert "install scikit-learn==1.2.2" in refused.stderr
    assert not written.exists()


def test_missing_distribution_stops_the_worker_before_it_unpickles(malicious: tuple[Path, Path]) -> None:
    model_dir, written = malicious
    card = json.loads((model_dir / "card.json").read_text())
    card["versions"] |= {"no-such-distribution": "4.6.0", "numpy": "1.26.4"}
    (model_dir / "card.json").write_text(json.dumps(card))
    refused = run_worker(model_dir)
    assert refused.returncode == 1
    assert "no-such-distribution 4.6.0, but none is installed" in refused.stderr
    assert "install numpy==1.26.4 no-such-distribution==4.6.0" in refused.stderr
    assert not written.exists()


@pytest.mark.parametrize("missing", ["card.json", "pipeline.joblib"])
def test_missing_file_stops_the_worker_with_a_remedy(malicious: tuple[Path, Path], missing: str) -> None:
    model_dir, _ = malicious
    (model_dir / missing).unlink()
    refused = run_worker(model_dir)
    assert refused.returncode == 1
    assert f"cannot serve {model_dir}: {missing} cannot be read" in refused.stderr
    assert "SEPAL_MODEL_DIR" in refused.stderr


def test_unpicklable_pipeline_stops_the_worker(stack: Stack, models_dir: Path) -> None:
    stack.start_broker()
    worker = stack.start_worker(model_dir=save_misbehaving(models_dir, pipelines.FailsToLoad()))
    worker.wait()
    assert "a library that this pipeline needs is not here" in worker.log.read_text()


def test_artifact_that_is_replaced_stops_the_worker_at_the_next_load(tmp_path: Path, iris_dir: Path) -> None:
    model_dir = tmp_path / "model"
    shutil.copytree(iris_dir, model_dir)
    with running_stack(tmp_path, model_dir) as (stack, _):
        worker = next(part for part in stack.parts if part.log.name == "worker.log")
        (model_dir / "pipeline.joblib").write_bytes(b"something else")
        pool_process(worker).kill()
        worker.wait()
        assert "artifact-altered" in worker.log.read_text()


def test_model_may_load_for_longer_than_celerys_default(tmp_path: Path, models_dir: Path) -> None:
    with running_stack(tmp_path, save_misbehaving(models_dir, pipelines.SlowToLoad())) as (stack, gateway):
        assert gateway.predict([[1, 0]]).json()["prediction"] == [1]
        assert (stack.folder / "worker.log").read_text().count("cannot load") == 0


@pytest.mark.parametrize("fit", [fit_svc, fit_regressor])
def test_pipeline_without_probabilities_has_only_predict(tmp_path: Path, models_dir: Path, fit: Any) -> None:
    pipeline, rows = fit()
    model_dir = save_pipeline(models_dir, fit.__name__.replace("_", "-"), pipeline, rows[:2], rows.shape[1])
    with running_stack(tmp_path, model_dir) as (_, gateway):
        assert "log_proba" not in gateway.client.get("/model").json()["outputs"]
        answer = gateway.predict(rows.tolist()).json()
        assert "log_proba" not in answer
        np.testing.assert_allclose(answer["prediction"], pipeline.predict(rows), rtol=1e-12)


def test_log_proba_is_computed_if_the_pipeline_has_only_predict_proba(tmp_path: Path, models_dir: Path) -> None:
    pipeline, rows = fit_neighbours()
    model_dir = save_pipeline(models_dir, "neighbours", pipeline, rows[:2], rows.shape[1])
    with running_stack(tmp_path, model_dir) as (_, gateway):
        answer = gateway.predict(rows.tolist()).json()
        assert answer["prediction"] == pipeline.predict(rows).tolist()
        assert gateway.client.get("/model").json()["classes"] == ["Infinity", "NaN", "virginica"]
        with np.errstate(divide="ignore"):
            expected = np.log(pipeline.predict_proba(rows))
        received = np.array([[float(value) for value in row] for row in answer["log_proba"]])
        assert received.tobytes() == expected.tobytes()


def test_loaded_predictor_uses_one_thread_of_numerical_libraries(iris_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from threadpoolctl import threadpool_info\n"
        "from worker.pool.predictor import Predictor\n"
        "Predictor.load(Path(sys.argv[1])).warm_up()\n"
        "print(sorted({library['num_threads'] for library in threadpool_info()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(iris_dir)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[1]"


def test_gateway_is_built_without_scikit_learn() -> None:
    program = (
        "import sys; from api.app import create_app; create_app()\n"
        "print(sorted({'sklearn', 'numpy', 'joblib', 'worker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
