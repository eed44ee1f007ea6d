"""Computes the outputs of a model with its own methods, for the rows for which each is wanted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.names import METHODS, Output
from shared.store.records import Member

OutputValues = NDArray[Any] | list[NDArray[Any]]
"""One item for each row: shape (n_rows, …). A list has the arrays of several targets, whose classes may differ."""
WantedRows = Mapping[Output, NDArray[np.intp] | None]
"""The indices of the rows for which each output is wanted; None for all rows."""


def compute_output(model: Any, output: Output, rows: Any) -> OutputValues:
    """Compute an output with the model's own method."""
    if output is not Output.LOG_PROBA:
        return _to_arrays(model, getattr(model, METHODS[output])(rows))
    if hasattr(model, "predict_log_proba"):
        return _to_arrays(model, model.predict_log_proba(rows))
    proba = _to_arrays(model, model.predict_proba(rows))
    return [np.log(each) for each in proba] if isinstance(proba, list) else np.log(proba)


def count_rows(rows: Any) -> int:
    """Return the number of rows of a matrix, which may be sparse, of a data frame or of a list."""
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def select_rows(rows: Any, indices: NDArray[np.intp] | None) -> Any:
    """Return some rows of a matrix, data frame or list; all of them if `indices` is None."""
    if indices is None:
        return rows
    from sklearn.utils import _safe_indexing  # imported here: only pool processes import scikit-learn

    return _safe_indexing(rows, indices)


def find_wanted_rows(members: Sequence[Member], default_outputs: Sequence[Output]) -> WantedRows:
    """Find the rows for which each output is wanted.

    Args:
        members: in the order of their rows.
        default_outputs: the outputs of a member that requests none.
    """
    if not any(member.outputs for member in members):
        return dict.fromkeys(default_outputs)
    asked_for = [member.outputs or default_outputs for member in members]
    row_counts = [member.n_rows for member in members]
    wanted: dict[Output, NDArray[np.intp] | None] = {}
    for output in dict.fromkeys(output for outputs in asked_for for output in outputs):
        is_wanted = np.repeat([output in outputs for outputs in asked_for], row_counts)
        wanted[output] = None if is_wanted.all() else np.flatnonzero(is_wanted)
    return wanted


def _to_arrays(model: Any, output: Any) -> OutputValues:
    if isinstance(output, list) and isinstance(getattr(model, "classes_", None), list):
        return [np.asarray(each) for each in output]
    return output.toarray() if hasattr(output, "toarray") else np.asarray(output)
