"""Applies the transforms of a pipeline one by one, without the overhead of ColumnTransformer and of nested pipelines.

For a small table, a third of the time of `ColumnTransformer.transform` is spent before and after the transforms of its
columns: in joblib, checks of names, routing of metadata and the selection of columns by name. Here only the transforms'
own public methods are called, with the same columns, and their results are joined with the same calls.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from worker.pool.outputs import count_rows
from worker.pool.pipeline_steps import has_exact_class, is_passed_through

Columns = str | list[str] | list[int]
"""The columns of a transform: one that it takes as a Series, names in a frame, or positions in a matrix."""


class RowCountChanged(ValueError):
    """A step of the pipeline dropped or added rows, so the results cannot be assigned to the rows."""

    def __init__(self, step: str, n_returned: int, n_given: int) -> None:
        super().__init__(f"{step} returned {n_returned} rows for {n_given}")


def apply_transforms(transforms: Sequence[Any], rows: Any) -> Any:
    """Transform rows with each transform in turn.

    Raises:
        RowCountChanged: a transform returns more or fewer rows than it is given.
        Exception: any exception of a transform.
    """
    n_rows = count_rows(rows)
    for transform in transforms:
        rows = transform.transform(rows)
        if (n_returned := count_rows(rows)) != n_rows:
            raise RowCountChanged(f"the step {type(transform).__name__}", n_returned, n_rows)
    return rows


def flatten_transforms(transforms: Sequence[Any]) -> list[Any]:
    """Return transforms that together do the same as the given ones.

    Nested pipelines become their steps, and a ColumnTransformer becomes `ColumnBranches`.
    """
    flat: list[Any] = []
    for transform in transforms:
        if has_exact_class(transform, "sklearn.pipeline.Pipeline"):
            flat += flatten_transforms([step for _, step in transform.steps if not is_passed_through(step)])
        elif has_exact_class(transform, "sklearn.compose.ColumnTransformer"):
            flat.append(ColumnBranches.make(transform) or transform)
        else:
            flat.append(transform)
    return flat


class _Branch(NamedTuple):
    columns: Columns
    transforms: list[Any]


class ColumnBranches:
    """Does what a ColumnTransformer does whose output is an array or a sparse matrix."""

    def __init__(self, branches: list[_Branch], *, is_sparse: bool) -> None:
        self._branches = branches
        self._is_sparse = is_sparse
        self._names: Any = None
        self._positions: list[Any] = []

    @classmethod
    def make(cls, transformer: Any) -> Self | None:
        """Return the branches of a fitted ColumnTransformer; None if it selects columns or weights in another way."""
        names = getattr(transformer, "feature_names_in_", None)
        branches = []
        for _, transform, selected in transformer.transformers_:
            if transform == "drop" or (hasattr(selected, "__len__") and not len(selected)):
                continue
            columns = _to_columns(selected, names)
            if columns is None or isinstance(transform, str):
                return None
            branches.append(_Branch(columns, flatten_transforms([transform])))
        if not branches or transformer.transformer_weights is not None:
            return None
        return cls(branches, is_sparse=transformer.sparse_output_)

    def transform(self, rows: Any) -> Any:
        """Transform the columns of each branch, and join the results."""
        parts = [
            apply_transforms(branch.transforms, columns)
            for branch, columns in zip(self._branches, self._select_columns(rows), strict=True)
        ]
        if not self._is_sparse:
            return np.hstack([part.toarray() if hasattr(part, "toarray") else part for part in parts])
        from scipy import sparse
        from sklearn.utils import check_array

        numeric = [check_array(part, accept_sparse=True, ensure_all_finite=False) for part in parts]
        return sparse.hstack(numeric).tocsr()

    def _select_columns(self, rows: Any) -> list[Any]:
        """Return the columns of each branch, as a ColumnTransformer selects them."""
        if not hasattr(rows, "columns"):
            return [rows[:, branch.columns] for branch in self._branches]
        if not hasattr(rows, "iloc"):  # polars
            return [rows[branch.columns] for branch in self._branches]
        if rows.columns is not self._names:  # `take` needs a quarter of the time of a selection by name
            self._positions = [_find_positions(rows.columns, branch.columns) for branch in self._branches]
            self._names = rows.columns
        return [
            rows[branch.columns] if positions is None else rows.take(positions, axis=1)
            for branch, positions in zip(self._branches, self._positions, strict=True)
        ]


def _to_columns(selected: Any, names: Any) -> Columns | None:
    """Return the columns that a transform of a ColumnTransformer takes; None if they are given in a rare form."""
    if isinstance(selected, str):
        return selected
    if isinstance(selected, slice) or not hasattr(selected, "__len__"):
        return None
    columns = [each.item() if isinstance(each, np.generic) else each for each in selected]
    types = set(map(type, columns))
    if types == {str}:
        return columns
    if types != {int}:
        return None
    return columns if names is None else [str(names[column]) for column in columns]


def _find_positions(names: Any, columns: Columns) -> Any:
    """Return the positions of columns in a pandas frame; None for a single column, which is selected by name."""
    if isinstance(columns, str):
        return None
    positions = names.get_indexer(columns)
    if (positions < 0).any():
        raise KeyError(f"the rows lack a column of {columns}")
    return positions
