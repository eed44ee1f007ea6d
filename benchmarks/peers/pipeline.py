"""The pipeline as the peers use it: converts rows to its input, and its outputs to values that JSON can represent."""

import json
import os
from collections.abc import Sequence
from itertools import chain
from math import inf
from typing import Any

import joblib
import numpy as np

Row = Sequence[Any]


class Pipeline:
    """The fitted pipeline at BENCH_MODEL.

    BENCH_DTYPES has the pandas dtypes of its columns by name, or null if it takes a matrix of float64.
    """

    def __init__(self) -> None:
        self._pipeline = joblib.load(os.environ["BENCH_MODEL"])
        self.dtypes: dict[str, str] | None = json.loads(os.environ["BENCH_DTYPES"])
        self.n_columns: int = self._pipeline.n_features_in_

    def input(self, rows: Sequence[Row]) -> Any:
        """Return rows as the matrix or data frame that the pipeline takes.

        Raises:
            ValueError: the rows do not have the columns, or a value does not have its column's type.
        """
        if self.dtypes is None:
            return np.asarray(rows, dtype=np.float64)
        return build_frame(dict(zip(self.dtypes, zip(*rows, strict=True), strict=True)), self.dtypes)

    def outputs(self, data: Any) -> tuple[Any, Any]:
        """Return arrays: classes, shape (n_rows,), and natural-log probabilities, shape (n_rows, n_classes)."""
        with np.errstate(divide="ignore"):  # the log of a zero probability
            return self._pipeline.predict(data), self._pipeline.predict_log_proba(data)

    def predict(self, data: Any) -> tuple[list[Any], list[list[Any]]]:
        """Return `outputs` as lists, with "-Infinity" for the log of a zero probability."""
        prediction, log_proba = self.outputs(data)
        return prediction.tolist(), [
            ["-Infinity" if value == -inf else value for value in row] for row in log_proba.tolist()
        ]

    def predict_each(self, requests: Sequence[Sequence[Row]]) -> list[dict[str, list[Any]]]:
        """Score the rows of many requests in one call, and return the outputs of each request.

        Raises:
            ValueError: as `input`.
        """
        prediction, log_proba = self.predict(self.input(list(chain.from_iterable(requests))))
        ends = np.cumsum([len(request) for request in requests]).tolist()
        return [
            {"prediction": prediction[begin:end], "log_proba": log_proba[begin:end]}
            for begin, end in zip([0, *ends], ends, strict=False)
        ]


def build_frame(columns: dict[str, Sequence[Any]], dtypes: dict[str, str]) -> Any:
    """Return a data frame from columns of values; None is a missing value.

    An array for each column takes a quarter of the time of `DataFrame(rows).astype(dtypes)`.
    """
    import pandas as pd  # not installed for a peer that serves only a matrix

    return pd.DataFrame(
        {
            name: pd.array(values, dtype="str") if dtypes[name] == "str" else np.array(values, dtype=dtypes[name])
            for name, values in columns.items()
        }
    )
