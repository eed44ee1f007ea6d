"""Calls the transforms inside a ColumnTransformer or a nested pipeline without the overhead of these.

For a small table, a third of the time of `ColumnTransformer.transform` is spent before and after the transforms of its
columns: in joblib, checks of names, routing of metadata and the selection of columns by name. Here only the transforms'
own public methods are called, with the same columns, and their results are joined with the same calls. Where one of the
skipped checks could matter, the ColumnTransformer itself is called.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from worker.pool.pipeline_steps import has_exact_class, is_passed_through

Columns = str | list[str] | list[int]
"""The columns of a transform: one that it takes as a Series, names in a frame, or positions."""


def flatten_transform(transform: Any) -> Any:
    """Return an object whose `transform` returns the same as that of the given transform, faster if possible."""
    if has_exact_class(transform, "sklearn.pipeline.Pipeline"):
        return StepSequence([step for _, step in transform.steps if not is_passed_through(step)])
    if has_exact_class(transform, "sklearn.compose.ColumnTransformer"):
        return ColumnBranches.make(transform) or transform
    return transform


class StepSequence:
    """Does what a pipeline of transforms does."""

    def __init__(self, steps: Sequence[Any]) -> None:
        self._transforms = [flatten_transform(step) for step in steps]

    def transform(self, rows: Any) -> Any:
        """Transform rows with each step in turn."""
        for transform in self._transforms:
            rows = transform.transform(rows)
        return rows


class _Branch(NamedTuple):
    columns: Columns
    transform: Any


class ColumnBranches:
    """Does what a ColumnTransformer does whose result is an array or a sparse matrix."""

    def __init__(self, transformer: Any, branches: list[_Branch]) -> None:
        self._transformer = transformer
        self._branches = branches
        self._needs_own_method = False
        self._needed_names = {
            name
            for branch in branches
            for name in ([branch.columns] if isinstance(branch.columns, str) else branch.columns)
        }
        self._names: Any = None
        self._positions: list[Any] | None = None

    @classmethod
    def make(cls, transformer: Any) -> Self | None:
        """Return the branches of a fitted ColumnTransformer; None if it does more than join transforms of columns."""
        from sklearn.utils._set_output import _get_output_config  # it has no public name

        if _get_output_config("transform", transformer)["dense"] != "default" or transformer.transformer_weights:
            return None
        names = getattr(transformer, "feature_names_in_", None)
        branches = []
        for _, transform, selected in transformer.transformers_:
            if transform == "drop" or (hasattr(selected, "__len__") and not len(selected)):
                continue
            columns = _to_columns(selected, names)
            if columns is None or isinstance(transform, str):
                return None
            branches.append(_Branch(columns, flatten_transform(transform)))
        return cls(transformer, branches) if branches else None

    def transform(self, rows: Any) -> Any:
        """Transform the columns of each branch, and join the results."""
        selected = None if self._needs_own_method else self._select_columns(rows)
        if selected is None:
            return self._transformer.transform(rows)
        parts = [_isolate(branch.transform, columns) for branch, columns in zip(self._branches, selected, strict=True)]
        if not all(map(_can_join, parts)):
            result = self._transformer.transform(rows)
            self._needs_own_method = True  # it joined them, and will again
            return result
        if not self._transformer.sparse_output_:
            return np.hstack([part.toarray() if hasattr(part, "toarray") else part for part in parts])
        from scipy import sparse
        from sklearn.utils import check_array

        numeric = [check_array(part, accept_sparse=True, ensure_all_finite=False) for part in parts]
        return sparse.hstack(numeric).tocsr()

    def _select_columns(self, rows: Any) -> list[Any] | None:
        """Return the columns of each branch; None if the rows are not like those of `fit`."""
        if not hasattr(self._transformer, "feature_names_in_"):
            is_matrix = getattr(rows, "shape", ())[1:] == (self._transformer.n_features_in_,)
            if not is_matrix or hasattr(rows, "columns"):
                return None
            return [rows[:, branch.columns] for branch in self._branches]
        if not hasattr(rows, "columns"):
            return None
        if not hasattr(rows, "iloc"):  # polars
            has_all = self._needed_names <= set(rows.columns)
            return [rows[branch.columns] for branch in self._branches] if has_all else None
        if rows.columns is not self._names:  # `take` needs a quarter of the time of a selection by name
            self._positions = self._find_positions(rows.columns)
            self._names = rows.columns
        if self._positions is None:
            return None
        return [
            rows[branch.columns] if positions is None else rows.take(positions, axis=1)
            for branch, positions in zip(self._branches, self._positions, strict=True)
        ]

    def _find_positions(self, names: Any) -> list[Any] | None:
        """Find the columns of each branch in a pandas frame.

        Returns:
            For each branch its columns' positions, or None if it takes a single column as a Series. None instead of
            the list if the frame lacks a column, or has names that are not strings or not unique.
        """
        if not names.is_unique or not all(isinstance(name, str) for name in names):
            return None
        if not self._needed_names <= set(names):
            return None
        return [
            None if isinstance(branch.columns, str) else names.get_indexer(branch.columns) for branch in self._branches
        ]


def _isolate(transform: Any, rows: Any) -> Any:
    """Transform rows as a job of joblib does: it undoes changes of scikit-learn's configuration and warning filters."""
    from sklearn import config_context

    with config_context(), warnings.catch_warnings():
        return transform.transform(rows)


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


def _can_join(part: Any) -> bool:
    """Return whether a ColumnTransformer joins the result of a transform without a check that may fail."""
    if hasattr(part, "iloc"):  # it refuses NA in a frame of pandas
        return getattr(part, "ndim", 0) == 2 and all(isinstance(dtype, np.dtype) for dtype in part.dtypes)
    return getattr(part, "ndim", 0) == 2 or hasattr(part, "get_columns")  # a frame of polars has no `ndim`
