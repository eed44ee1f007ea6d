"""Describes the input of a pipeline from its training data."""

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from shared.columns import INTEGER_RANGES, Column, ModelInput, Seen, ValueType
from shared.errors import CannotServe
from training.summaries import is_unicode, summarize_numbers, summarize_texts

TEXT_COLUMN: Final = "text"
_DTYPES_WITHOUT_MISSING: Final = frozenset({ValueType.BOOL.value, *(each.value for each in INTEGER_RANGES)})
"""numpy's dtypes that cannot store a missing value."""


def describe_input(
    pipeline: Any, X: Any, columns: Sequence[str] | None = None, nullable: bool | Collection[str] = False
) -> ModelInput:
    """Describe the input of a fitted pipeline.

    Args:
        pipeline: the fitted pipeline, which may know the names of its columns.
        X: the training data, or a part of it: a matrix, a pandas or polars frame, or a list or Series of texts.
        columns: the names of a matrix's columns.
        nullable: columns in which a value may be missing although none is missing in X; True: all columns that can
            store a missing value.

    Raises:
        CannotServe: Sepal cannot serve such rows; the message has the reason and a remedy.
    """
    library = _find_frame_library(X)
    if library == "polars" and not hasattr(X, "__len__"):
        raise CannotServe("the data is a lazy frame", "Give the frame that X.collect() returns.")
    if library is not None and hasattr(X, "columns"):
        if columns is not None:
            raise CannotServe("the columns of a data frame have names already", "Give columns only with a matrix.")
        _check_column_names(list(X.columns))
        model_input = _describe_table(library, X)
    elif _are_texts(X):
        texts = Column(
            name=TEXT_COLUMN,
            type=ValueType.STRING,
            dtype="list",
            seen=summarize_texts(TEXT_COLUMN, [str(text) for text in X]),
        )
        return ModelInput(kind="text", columns=(texts,))
    else:
        model_input = _describe_matrix(pipeline, X, columns)
    return _mark_nullable_columns(model_input, nullable)


def to_plain_frame(X: Any) -> Any:
    """Return a frame of a subclass, such as GeoPandas has, as the frame of the library that workers build."""
    library = _find_frame_library(X)
    if library is None or not hasattr(X, "columns"):
        return X
    frame_class = sys.modules[library].DataFrame
    return X if type(X) is frame_class else frame_class(X)


def remove_summaries(model_input: ModelInput) -> ModelInput:
    """Return the input without the summaries of the training data."""
    columns = tuple(column.model_copy(update={"seen": None}) for column in model_input.columns)
    return model_input.model_copy(update={"columns": columns})


def _find_frame_library(X: Any) -> Any:
    """Return the library of a frame or Series, "pandas" or "polars", without importing it; None for another X."""
    libraries = {each.__module__.partition(".")[0] for each in type(X).__mro__}
    return next((name for name in ("pandas", "polars") if name in libraries), None)


def _describe_table(library: Any, X: Any) -> ModelInput:
    if not len(X):
        raise CannotServe("the data has no rows", "Give the rows that the pipeline was fitted on, or some of them.")
    names_dtype = None
    if library == "pandas":
        from training.pandas_columns import describe_column, find_names_dtype  # imported here: a matrix needs no pandas

        names_dtype = find_names_dtype(X.columns)
    else:
        from training.polars_columns import describe_column
    columns = tuple(describe_column(name, X[name]) for name in X.columns)
    return ModelInput(kind="table", library=library, columns=columns, names_dtype=names_dtype)


def _check_column_names(names: list[Any]) -> None:
    if not names:
        raise CannotServe("the data has no columns")
    for name in names:
        if not isinstance(name, str):
            raise CannotServe(
                f"the column name {name!r} is not a string", "Rename it: X.columns = [str(name) for name in X.columns]."
            )
        if not is_unicode(name):
            raise CannotServe(
                f"the column name {name!r} contains a lone surrogate", "Rename it, and fit the pipeline again."
            )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CannotServe(f'two columns are called "{twice[0]}"', "Rename one of them, and fit the pipeline again.")


def _are_texts(X: Any) -> bool:
    if not isinstance(X, (list, tuple)) and _find_frame_library(X) is None and getattr(X, "ndim", None) != 1:
        return False
    kinds = {type(row) for row in X}
    if kinds <= {str, np.str_} and kinds:
        return True
    if kinds == {bytes}:
        raise CannotServe(
            "the texts are bytes", "Decode them, [text.decode() for text in X], and fit the pipeline again."
        )
    if str in kinds:
        raise CannotServe(
            f"the data contains texts and values of other types ({_format_type_names(kinds - {str, np.str_})})",
            'Replace missing texts by "", or give the pipeline a data frame.',
        )
    return False


def _describe_matrix(pipeline: Any, X: Any, columns: Sequence[str] | None) -> ModelInput:
    if hasattr(X, "toarray"):
        raise CannotServe(
            "the data is a sparse matrix", "Fit the pipeline on X.toarray(), or on the data that it was made from."
        )
    try:
        matrix = np.asarray(X)
    except ValueError as error:
        raise CannotServe(f"the data is not a matrix: {error}", "Give every row the same number of values.") from None
    if matrix.ndim != 2 or not matrix.size:
        raise CannotServe(
            f"the data is a {type(X).__name__} of the shape {matrix.shape}",
            "It must be a matrix or a data frame of at least one row, or a list of texts.",
        )
    if matrix.dtype.name not in {each.value for each in ValueType} or matrix.dtype.kind not in "biuf":
        raise CannotServe(
            f"the data is a matrix of {matrix.dtype}",
            "Fit the pipeline on a data frame, whose columns have types, or on numbers.",
        )
    if not matrix.dtype.isnative:
        raise CannotServe(
            f"the data is a matrix of {matrix.dtype.str}", "Convert it: X.astype(X.dtype.newbyteorder('='))."
        )
    names = _matrix_column_names(pipeline, matrix.shape[1], columns)
    return ModelInput(
        kind="matrix",
        library="numpy",
        columns=tuple(_describe_matrix_column(name, matrix[:, index]) for index, name in enumerate(names)),
    )


def _matrix_column_names(pipeline: Any, n_columns: int, columns: Sequence[str] | None) -> list[str]:
    names = columns if columns is not None else getattr(pipeline, "feature_names_in_", None)
    found = [f"x{index}" for index in range(n_columns)] if names is None else [str(name) for name in names]
    if len(found) != n_columns:
        raise CannotServe(
            f"the data has {n_columns} columns, and there are {len(found)} names", "Give each column a name."
        )
    _check_column_names(found)
    return found


def _describe_matrix_column(name: str, values: Any) -> Column:
    is_float = values.dtype.kind == "f"
    is_missing = np.isnan(values) if is_float else np.zeros(len(values), dtype=bool)
    return Column(
        name=name,
        type=ValueType(values.dtype.name),
        dtype=values.dtype.name,
        nullable=bool(is_missing.any()),
        missing="nan" if is_missing.any() else None,
        seen=Seen(missing=0.0)
        if values.dtype.kind == "b"
        else summarize_numbers(name, values[~is_missing], is_missing.mean()),
    )


def _mark_nullable_columns(model_input: ModelInput, nullable: bool | Collection[str]) -> ModelInput:
    names = {column.name for column in model_input.columns}
    nullable = [nullable] if isinstance(nullable, str) else nullable
    if not isinstance(nullable, bool) and (unknown := sorted(set(nullable) - names)):
        raise CannotServe(
            f'nullable names "{unknown[0]}", which is not a column of the data', "Name columns of the data."
        )
    return model_input.model_copy(
        update={
            "columns": tuple(
                _mark_nullable_column(column, nullable, model_input.library) for column in model_input.columns
            )
        }
    )


def _mark_nullable_column(column: Column, nullable: bool | Collection[str], library: str | None) -> Column:
    if column.nullable or nullable is False or (nullable is not True and column.name not in nullable):
        return column
    missing = _missing_marker(column, library)
    if missing is not None:
        return column.model_copy(update={"nullable": True, "missing": missing})
    if nullable is True:
        return column
    raise CannotServe(
        f'the column "{column.name}" is stored as {column.dtype}, which cannot store a missing value',
        f'Convert it before the pipeline is fitted: X["{column.name}"].astype("float64").',
    )


def _missing_marker(column: Column, library: str | None) -> str | None:
    """Return the marker of missing values for a column that has none yet; None if its dtype cannot store any."""
    if library == "polars":
        return "null"
    if column.dtype == "object" or column.type is ValueType.CATEGORY or column.dtype.startswith(("float", "str[")):
        return "nan"
    if column.dtype.startswith("datetime64"):
        return "nat"
    return None if column.dtype in _DTYPES_WITHOUT_MISSING else "na"


def _format_type_names(types: Collection[type]) -> str:
    return ", ".join(sorted(each.__name__ for each in types))
