"""Ten existing artifacts become models, and a worker's results equal those of the original pipelines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from skops import io

from shared.card import read_card
from tests.own_code import fitted, write_code
from tests.preloaded import start as preloaded
from tests.stack import Gateway, Stack, run_module, wait_for

IRIS = load_iris()
FRAME = load_iris(as_frame=True).data
N_ROWS: Final = 20


class Made(NamedTuple):
    """An artifact, how a model is made of it, and the pipeline in it."""

    command: list[str]
    pipeline: Any
    rows: Any
    trusted_types: str = ""


def _fit(*steps: Any) -> Any:
    return make_pipeline(*steps).fit(IRIS.data, IRIS.target)


def _dumped(folder: Path, *steps: Any) -> Made:
    pipeline = _fit(*steps)
    joblib.dump(pipeline, folder / "model.joblib")
    return Made(["card", str(folder / "model.joblib")], pipeline, IRIS.data)


def make_joblib(folder: Path) -> Made:
    return _dumped(folder, StandardScaler(), LogisticRegression())


def make_lightgbm(folder: Path) -> Made:
    from lightgbm import LGBMClassifier  # here and below: every process of a test run imports this module

    return _dumped(folder, StandardScaler(), LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1))


def make_xgboost(folder: Path) -> Made:
    from xgboost import XGBClassifier

    return _dumped(folder, StandardScaler(), XGBClassifier(n_estimators=5, n_jobs=1))


def make_cloudpickle(folder: Path) -> Made:
    pipeline = _fit(StandardScaler(), FunctionTransformer(lambda rows: rows * 2), LogisticRegression())
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(pipeline))
    return Made(["card", str(folder / "model.pkl")], pipeline, IRIS.data)


def make_skops(folder: Path) -> Made:
    pipeline = _fit(StandardScaler(), SVC())
    io.dump(pipeline, folder / "model.skops")
    return Made(["card", str(folder / "model.skops")], pipeline, IRIS.data)


def make_skops_with_own_code(folder: Path) -> Made:
    code = write_code(folder / "src")
    with fitted(folder / "src") as pipeline:
        io.dump(pipeline, folder / "model.skops")
    trusted = "own_features.Scaler"
    command = ["card", str(folder / "model.skops"), "--code", *map(str, code), "--trust", trusted]
    return Made(command, pipeline, IRIS.data, trusted)


def make_own_code(folder: Path) -> Made:
    code = write_code(folder / "src")
    with fitted(folder / "src") as pipeline:
        joblib.dump(pipeline, folder / "model.joblib")
    return Made(["card", str(folder / "model.joblib"), "--code", *map(str, code)], pipeline, IRIS.data)


def make_category_encoders(folder: Path) -> Made:
    from category_encoders import TargetEncoder

    frame = FRAME.assign(bed=["a", "b", "c"] * 50)
    pipeline = make_pipeline(TargetEncoder(cols=["bed"]), LogisticRegression(max_iter=1000)).fit(frame, IRIS.target)
    joblib.dump(pipeline, folder / "model.joblib")
    frame.to_parquet(folder / "rows.parquet")
    return Made(["card", str(folder / "model.joblib"), "--data", str(folder / "rows.parquet")], pipeline, frame)


def _made_by_mlflow(model: Path, rows: Any) -> Made:
    pipeline = LogisticRegression(max_iter=1000).fit(rows, IRIS.target)
    return Made(["import-mlflow", str(model)], pipeline, rows)


def make_mlflow_with_signature(folder: Path) -> Made:
    return _made_by_mlflow(folder / "mlflow" / "signature", FRAME)


def make_mlflow_without_signature(folder: Path) -> Made:
    return _made_by_mlflow(folder / "mlflow" / "bare", IRIS.data)


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory, iris_dir: Path) -> Iterator[tuple[Stack, Gateway]]:
    """A broker and a gateway, for one worker after another."""
    stack = Stack(tmp_path_factory.mktemp("stack"), iris_dir)
    try:
        stack.start_broker()
        yield stack, stack.start_gateway()
    finally:
        stack.stop()


def is_served(gateway: Gateway, digest: str) -> bool:
    return gateway.is_ready() and gateway.client.get("/model").json()["digest"] == digest


@pytest.mark.parametrize(
    "make",
    [
        make_joblib,
        make_cloudpickle,
        make_mlflow_with_signature,
        make_mlflow_without_signature,
        make_skops,
        make_skops_with_own_code,
        make_lightgbm,
        make_xgboost,
        # It sets an option that pandas 3 has deprecated.
        pytest.param(make_category_encoders, marks=pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'")),
        make_own_code,
    ],
)
def test_artifact_is_served(
    shared_stack: tuple[Stack, Gateway], make: Callable[[Path], Made], mlflow_models: Path
) -> None:
    stack, gateway = shared_stack
    folder = stack.folder / make.__name__
    folder.mkdir()
    (folder / "mlflow").symlink_to(mlflow_models)
    made = make(folder)
    options = ["--name=any", "--version=1", f"--models-dir={folder / 'models'}"]
    done = run_module("training", *made.command, *options, python=preloaded.client())
    assert done.returncode == 0, done.stderr
    model_dir = folder / "models" / "any" / "1"
    worker = stack.start_worker(model_dir=model_dir, trusted_types=made.trusted_types)
    try:
        wait_for(lambda: is_served(gateway, read_card(model_dir).digest), f"the model; see {worker.log}")
        rows = made.rows[:: len(made.rows) // N_ROWS]
        sent = rows.to_numpy().tolist() if isinstance(rows, pd.DataFrame) else rows.tolist()
        answer = gateway.predict(sent).json()
        assert answer["prediction"] == made.pipeline.predict(rows).tolist()
        if "log_proba" in answer:
            with np.errstate(divide="ignore"):
                expected = np.log(made.pipeline.predict_proba(rows))
            np.testing.assert_allclose(np.array(answer["log_proba"], dtype=float), expected, rtol=1e-5)
    finally:
        worker.stop()
