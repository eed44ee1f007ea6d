"""Makes rows with missing values for columns that are nullable although X lacks none of their values."""

import copy
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.columns import Column, ModelInput
from training.outputs import compute_output, find_outputs

_MAX_ROWS: Final = 100


class MissingValues(NamedTuple):
    """The rows of a proof, and the columns whose values the pipeline needs."""

    X: Any
    """The rows, followed by rows in which a value is missing."""
    refused: dict[str, str]
    """Nullable columns for which the pipeline raises if the value is missing, with its message."""


def append_missing_values(
    pipeline: Any, model_input: ModelInput, X: Any, is_missing: NDArray[np.bool_], *, try_all: bool = True
) -> MissingValues:
    """Append rows in which values are missing, for each nullable column that lacks none in the training data.

    Args:
        pipeline: the fitted pipeline.
        model_input: the input of the model.
        X: the rows of the proof, in the form that the pipeline takes.
        is_missing: a mask of the missing values of the training data, shape (n_rows, n_columns).
        try_all: whether to find every column for which the pipeline raises; otherwise only some columns are tried.
    """
    columns = zip(model_input.columns, is_missing.T, strict=True)
    names = [column.name for column, missing in columns if column.nullable and not missing.any()]
    if not names or _find_exception(pipeline, _make_rows(model_input, X, [[]])) is not None:
        return MissingValues(X, {})  # nothing to prove, or the proof finds another fault
    rows = _make_rows(model_input, X, [names[index::_MAX_ROWS] for index in range(min(len(names), _MAX_ROWS))])
    refused = {}
    if _find_exception(pipeline, rows) is not None:
        tried = names if try_all else names[:_MAX_ROWS]  # an evaluation of a wide table is slow
        found = {name: _find_exception(pipeline, _make_rows(model_input, X, [[name]])) for name in tried}
        refused = {name: _first_line(exception) for name, exception in found.items() if exception is not None}
        accepted = [name for name in tried if name not in refused]
        if not accepted:
            return MissingValues(X, refused)
        rows = _make_rows(model_input, X, [[name] for name in accepted[:_MAX_ROWS]])
    return MissingValues(_concatenate(model_input, X, rows), refused)


def _first_line(exception: Exception) -> str:
    return next(iter(str(exception).strip().splitlines()), type(exception).__name__)


def _find_exception(pipeline: Any, rows: Any) -> Exception | None:
    try:
        compute_output(pipeline, find_outputs(pipeline)[0], copy.deepcopy(rows))  # a step may write into its input
    except Exception as error:  # a pipeline can raise any exception
        return error
    return None


def _make_rows(model_input: ModelInput, X: Any, missing: Sequence[Sequence[str]]) -> Any:
    """Return a copy of the first row for each group of columns, with the values of these missing."""
    columns = {column.name: index for index, column in enumerate(model_input.columns)}
    if model_input.library == "polars":
        return _make_polars_rows(X, missing)
    if model_input.library == "pandas":
        rows = X.iloc[[0] * len(missing)].reset_index(drop=True)
        for row, names in enumerate(missing):
            for name in names:
                rows.iloc[row, columns[name]] = _to_pandas_marker(model_input.columns[columns[name]])
        return rows
    matrix = np.repeat(np.asarray(X)[:1], len(missing), axis=0)
    for row, names in enumerate(missing):
        matrix[row, [columns[name] for name in names]] = np.nan
    return matrix


def _make_polars_rows(X: Any, missing: Sequence[Sequence[str]]) -> Any:
    import polars as pl

    def make_series(name: str) -> Any:
        values = [None if name in names else X[name][0] for names in missing]
        return pl.Series(name, values, dtype=X[name].dtype)

    return pl.DataFrame({name: make_series(name) for name in X.columns})


def _to_pandas_marker(column: Column) -> Any:
    import pandas as pd

    return {"na": pd.NA, "nat": pd.NaT}.get(column.missing or "", np.nan)


def _concatenate(model_input: ModelInput, X: Any, rows: Any) -> Any:
    if model_input.library == "pandas":
        import pandas as pd

        return pd.concat([X, rows], ignore_index=True)
    if model_input.library == "polars":
        import polars as pl

        return pl.concat([X, rows])
    return np.vstack([X, rows])
