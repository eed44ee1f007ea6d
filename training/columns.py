"""Selects the columns that a pipeline takes from a data frame."""

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from shared.errors import CannotServe
from training.outputs import compute_output, find_outputs

_N_TRIED_ROWS: Final = 5


class Selection(NamedTuple):
    """Rows in the form that the pipeline takes."""

    X: Any
    names: list[str] | None
    """The names of a matrix's columns, if they are known."""
    origin: str
    """A phrase for the source of the columns."""


def select_columns(
    pipeline: Any, frame: Any, frame_name: str, columns: Sequence[str], columns_source: str
) -> Selection:
    """Select the columns of a frame that the pipeline was fitted on.

    Args:
        pipeline: the fitted pipeline, which often has the names or the number of its columns.
        frame: a pandas frame, which may have further columns.
        frame_name: a phrase for the frame, for messages.
        columns: the columns of the pipeline, if it does not name them; all if empty.
        columns_source: a phrase for the source of `columns`, for messages.

    Raises:
        CannotServe: the frame lacks columns of the pipeline, or has a different number of columns.
    """
    named = getattr(pipeline, "feature_names_in_", None)
    wanted = list(columns if named is None else named)
    if absent := [str(name) for name in wanted if name not in frame.columns]:
        raise CannotServe(f"the data has no column {', '.join(absent)}", "Give rows with all columns of the pipeline.")
    if named is not None:
        return Selection(frame[wanted], None, "as the pipeline names them")
    if wanted:
        return _convert_to_accepted_form(pipeline, frame[wanted], f"as {columns_source} names them")
    return _convert_to_accepted_form(
        pipeline,
        frame,
        f"all of {frame_name}, because the pipeline names none; to take fewer, name them with --columns a,b",
    )


def _convert_to_accepted_form(pipeline: Any, frame: Any, origin: str) -> Selection:
    """Return the rows as a matrix or as texts if the pipeline accepts these, otherwise as a frame."""
    n_columns = getattr(pipeline, "n_features_in_", None)
    if n_columns is not None and n_columns != len(frame.columns):
        raise CannotServe(
            f"the pipeline takes {n_columns} columns without names, the data has {len(frame.columns)}",
            "Name the columns that it takes, in their order, with --columns a,b; or give a file with these only.",
        )
    names = [str(name) for name in frame.columns]
    of_frame = Selection(frame, None, origin)
    if n_columns is not None:
        matrix = frame.to_numpy()
        is_frame = not _can_evaluate(pipeline, matrix) and _can_evaluate(pipeline, frame)
        return of_frame if is_frame else Selection(matrix, names, origin)
    if len(names) > 1:
        return of_frame
    texts = frame.iloc[:, 0].tolist()
    return (
        Selection(texts, None, origin)
        if _can_evaluate(pipeline, texts) or not _can_evaluate(pipeline, frame)
        else of_frame
    )


def _can_evaluate(pipeline: Any, rows: Any) -> bool:
    """Return whether the pipeline evaluates the first rows without an exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compute_output(pipeline, find_outputs(pipeline)[0], rows[:_N_TRIED_ROWS])
    except Exception:  # a pipeline can raise any exception
        return False
    return True
