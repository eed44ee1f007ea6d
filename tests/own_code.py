"""A pipeline with own code: a module, and a package with a data file, that exist only in its model directory."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

IRIS = load_iris()
ROWS: Any = IRIS.data[:5].tolist()

_FEATURES = """\
import numpy as np
from own_package import table
from sklearn.base import BaseEstimator, TransformerMixin


class Scaler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        import joblib  # a worker needs it when it predicts

        return np.asarray(X) * table.factor()
"""
_TABLE = """\
from pathlib import Path


def factor():
    return int(Path(__file__).with_name("factor.txt").read_text())
"""


def write_code(folder: Path) -> list[Path]:
    """Write the module and the package; returns their paths."""
    module, package = folder / "own_features.py", folder / "own_package"
    package.mkdir(parents=True)
    module.write_text(_FEATURES)
    (package / "__init__.py").touch()
    (package / "table.py").write_text(_TABLE)
    (package / "factor.txt").write_text("2")
    return [module, package]


@contextmanager
def fitted(folder: Path) -> Iterator[Any]:
    """Fit a pipeline with the code in a folder, which can be imported within the context only."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        features = importlib.import_module("own_features")
        yield make_pipeline(features.Scaler(), LogisticRegression(max_iter=1000)).fit(IRIS.data, IRIS.target)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in {"own_features", "own_package"}]:
            del sys.modules[name]
