"""`python -m tests.mlflow_models FOLDER`: writes models with MLflow, to folders and to a tracking store."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import mlflow.sklearn  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.models import Model, infer_signature  # noqa: E402
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder  # noqa: E402

from tests.own_code import fitted, write_code  # noqa: E402

LOGISTIC: Final = LogisticRegression(max_iter=1000)
_REQUIREMENTS: Final = {"pip_requirements": ["scikit-learn"]}


class AsArray(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Does not record the names of its columns."""

    def fit(self, rows: Any, target: Any = None) -> "AsArray":
        del rows, target
        return self

    def transform(self, rows: Any) -> Any:
        return rows.to_numpy()


def _save(folder: Path, name: str, pipeline: Any, kind: str, **options: Any) -> None:
    mlflow.sklearn.save_model(pipeline, str(folder / name), serialization_format=kind, **_REQUIREMENTS, **options)


def write_plain(folder: Path) -> None:
    """Write a model with a signature, fitted on a frame, and one without, fitted on an array."""
    X, target = load_iris(as_frame=True, return_X_y=True)
    _save(folder, "signature", LOGISTIC.fit(X, target), "skops", signature=infer_signature(X))
    _save(folder, "bare", LOGISTIC.fit(X.to_numpy(), target), "pickle")


def write_others(folder: Path) -> None:
    """Write one folder for each further kind of model, and a registered one in `mlruns`."""
    X, target = load_iris(as_frame=True, return_X_y=True)
    array = X.to_numpy()
    _save(folder, "tensor", LOGISTIC.fit(array, target), "pickle", signature=infer_signature(array))
    of_frame = LOGISTIC.fit(X, target)
    _save(folder, "example", of_frame, "cloudpickle", input_example=X.head(3), signature=infer_signature(X))
    _save(folder, "names", of_frame, "pickle")
    texts = pd.DataFrame({"island": ["Dream", None, "Biscoe"]})
    of_texts = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(texts, [0, 1, 1])
    _save(folder, "texts", of_texts, "pickle", signature=infer_signature(texts))
    _save(folder, "texts-example", of_texts, "pickle", input_example=texts.head(1), signature=infer_signature(texts))
    unnamed = make_pipeline(AsArray(), LOGISTIC).fit(X, target)
    _save(folder, "unnamed", unnamed, "cloudpickle", signature=infer_signature(X))
    code = write_code(folder / "src")
    with fitted(folder / "src") as pipeline:
        _save(folder, "code", pipeline, "pickle", code_paths=[str(path) for path in code], input_example=array[:3])
    other = Model()
    other.add_flavor("xgboost", model_data="model.ubj")
    (folder / "other").mkdir()
    other.save(str(folder / "other" / "MLmodel"))
    mlflow.set_tracking_uri((folder / "mlruns").as_uri())
    mlflow.set_experiment("tests")
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(
            LOGISTIC.fit(X, target), name="model", input_example=X.head(2), registered_model_name="churn"
        )
    (folder / "run").write_text(run.info.run_id)


if __name__ == "__main__":
    write_plain(Path(sys.argv[1]))
    write_others(Path(sys.argv[1]))
