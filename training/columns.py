"""Selects the columns of a data frame that a pipeline takes."""

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from shared.errors import CannotServe
from training.outputs import call, outputs_of

_TRIED_ROWS: Final = 5


class Selection(NamedTuple):
    """Rows as the pipeline takes them."""

    X: Any
    names: list[str] | None
    """Of a matrix's columns."""
    origin: str
    """Where the columns come from, in words."""


def select(pipeline: Any, frame: Any, what: str, columns: Sequence[str], columns_from: str) -> Selection:
    """Return of a frame what the pipeline was fitted on.

    Args:
        pipeline: the fitted pipeline, which often names its columns, or their number.
        frame: a pandas frame, which may have further columns.
        what: the frame, in words.
        columns: the columns of a pipeline that does not name them; all if empty.
        columns_from: what names `columns`, in words.

    Raises:
        CannotServe: the frame lacks columns, or has another number of them than the pipeline takes.
    """
    named = getattr(pipeline, "feature_names_in_", None)
    wanted = list(columns if named is None else named)
    if absent := [str(name) for name in wanted if name not in frame.columns]:
        raise CannotServe(f"the data has no column {', '.join(absent)}", "Give rows with all columns of the pipeline.")
    if named is not None:
        return Selection(frame[wanted], None, "as the pipeline names them")
    if wanted:
        return _fitting(pipeline, frame[wanted], f"as {columns_from} names them")
    return _fitting(
        pipeline, frame, f"all of {what}, because the pipeline names none; to take fewer, name them with --columns a,b"
    )


def _fitting(pipeline: Any, frame: Any, origin: str) -> Selection:
    """Return the rows in the first form that the pipeline takes: as a matrix or as texts, else as a frame."""
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
        is_frame = not _takes(pipeline, matrix) and _takes(pipeline, frame)
        return of_frame if is_frame else Selection(matrix, names, origin)
    if len(names) > 1:
        return of_frame
    texts = frame.iloc[:, 0].tolist()
    return Selection(texts, None, origin) if _takes(pipeline, texts) or not _takes(pipeline, frame) else of_frame


def _takes(pipeline: Any, rows: Any) -> bool:
    """Whether the pipeline answers for the first rows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(pipeline, outputs_of(pipeline)[0], rows[:_TRIED_ROWS])
    except Exception:  # a pipeline raises anything
        return False
    return True
