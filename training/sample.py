"""Selects rows of the training data, and converts them to the form in which clients send them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.columns import FLOAT_TYPES, ModelInput
from shared.rows import Row
from training.summaries import widen_float32

_PROOF_ROWS: Final = 300  # negligible beside the two processes that a proof starts
_SPREAD_ROWS: Final = 200
_EXAMPLE_ROWS: Final = 2


def to_client_rows(model_input: ModelInput, X: Any) -> list[Row]:
    """Return the rows of X as clients send them, which `shared.columns` describes."""
    if model_input.kind == "text":
        return [str(text) for text in X]
    if model_input.kind == "matrix":
        rows = widen_float32(np.asarray(X)).tolist()
        return [[None if value != value else value for value in row] for row in rows]
    if model_input.library == "pandas":
        from training.pandas_columns import read_values
    else:
        from training.polars_columns import read_values
    columns = [read_values(column, X[column.name]) for column in model_input.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def take_rows(X: Any, indices: list[int]) -> Any:
    """Return the rows of X at these indices, in the form of X."""
    if isinstance(X, (list, tuple)):
        return [X[index] for index in indices]
    if hasattr(X, "iloc"):
        return X.iloc[indices].reset_index(drop=True)
    return X[indices]


def find_missing_values(model_input: ModelInput, X: Any) -> NDArray[np.bool_]:
    """Return a mask of the missing values of X, shape (n_rows, n_columns)."""
    if model_input.kind == "text":
        return np.zeros((len(X), 1), dtype=bool)
    if model_input.kind == "matrix":
        return np.asarray(np.isnan(X), dtype=bool)
    if model_input.library == "pandas":
        return np.asarray(X.isna(), dtype=bool)
    return np.column_stack(
        [
            (X[column.name].is_null() | (X[column.name].is_nan() if column.type in FLOAT_TYPES else False)).to_numpy()
            for column in model_input.columns
        ]
    )


def choose_example_indices(is_missing: NDArray[np.bool_]) -> list[int]:
    """Choose the indices of the card's example rows: far apart, and without missing values if there are such rows."""
    complete = np.flatnonzero(~is_missing.any(axis=1)).tolist() or list(range(len(is_missing)))
    return complete[:: max(1, len(complete) // _EXAMPLE_ROWS)][:_EXAMPLE_ROWS]


def choose_proof_indices(is_missing: NDArray[np.bool_]) -> list[int]:
    """Choose the indices of the rows of the proof.

    They are evenly spread, with a missing and a present value of each column if there are such values.
    """
    chosen = set(np.linspace(0, len(is_missing) - 1, min(len(is_missing), _SPREAD_ROWS)).astype(int).tolist())
    for is_wanted in (*is_missing.T, *~is_missing.T):
        if len(chosen) < _PROOF_ROWS and is_wanted.any() and not is_wanted[list(chosen)].any():
            chosen.add(int(is_wanted.argmax()))
    return sorted(chosen)
