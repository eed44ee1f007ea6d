"""Draws rows from the training data, and writes them as clients send them."""

from typing import Any, Final

import numpy as np

from shared.columns import ModelInput
from shared.rows import Row

_PROOF_ROWS: Final = 300
_EXAMPLE_ROWS: Final = 2


def rows_of(described: ModelInput, X: Any) -> list[Row]:
    """Return the rows of X as `shared.columns` describes them."""
    if described.kind == "text":
        return [str(text) for text in X]
    if described.kind == "matrix":
        rows = np.asarray(X).tolist()
        return [[None if value != value else value for value in row] for row in rows]
    if described.library == "pandas":
        from training.pandas_columns import read_values
    else:
        from training.polars_columns import read_values
    columns = [read_values(column, X[column.name]) for column in described.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def take(X: Any, indices: list[int]) -> Any:
    """Return some rows of X, in the form of X."""
    if isinstance(X, (list, tuple)):
        return [X[index] for index in indices]
    if hasattr(X, "iloc"):
        return X.iloc[indices].reset_index(drop=True)
    return X[indices]


def example_rows(rows: list[Row]) -> list[Row]:
    """Choose the rows that documentation shows: complete ones where there are any, far apart."""
    complete = [row for row in rows if isinstance(row, str) or None not in row] or rows
    return complete[:: max(1, len(complete) // _EXAMPLE_ROWS)][:_EXAMPLE_ROWS]


def proof_indices(rows: list[Row]) -> list[int]:
    """Choose the rows of the proof: evenly spread, and from each column one that is missing and one that is not."""
    spread = np.linspace(0, len(rows) - 1, min(len(rows), _PROOF_ROWS)).astype(int).tolist()
    chosen = set(spread)
    if not isinstance(rows[0], str):
        for column in zip(*rows, strict=True):
            missing = [value is None for value in column]
            chosen |= {missing.index(each) for each in set(missing)}
    return sorted(chosen)
