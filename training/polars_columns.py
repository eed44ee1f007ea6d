"""Describes the columns of a polars data frame, and reads their values."""

from typing import Any, Final

import polars as pl

from shared.columns import FLOAT_TYPES, INTEGER_RANGES, UNIT_DIGITS, Categories, Column, Seen, Unit, Value, ValueType
from shared.errors import CannotServe
from training.summaries import summarize_numbers, summarize_values, widen_float32

_TYPES: Final = {
    "Float64": ValueType.FLOAT64,
    "Float32": ValueType.FLOAT32,
    "Boolean": ValueType.BOOL,
    "String": ValueType.STRING,
    "Categorical": ValueType.STRING,  # not a fixed set: values that the training data lacks are valid
    "Date": ValueType.DATE,
    "Datetime": ValueType.DATETIME,
    "Enum": ValueType.CATEGORY,
    **{each.value.replace("uint", "UInt").replace("int", "Int"): each for each in INTEGER_RANGES},
}
_CONVERSION_HINTS: Final = {
    "Duration": "Convert it to a number of seconds before the pipeline: .dt.total_seconds().",
    "Decimal": "Convert it before the pipeline: .cast(pl.Float64).",
    "List": "Give each nested value a column of its own before the pipeline.",
    "Array": "Give each nested value a column of its own before the pipeline.",
    "Struct": "Give each nested value a column of its own before the pipeline: .struct.unnest().",
}


def describe_column(name: str, series: Any) -> Column:
    """Describe a column.

    Raises:
        CannotServe: Sepal does not serve columns of its dtype.
    """
    base = str(series.dtype.base_type())
    if base == "Categorical" and series.dtype != pl.Categorical():
        raise CannotServe(
            f'the column "{name}" has categories with a name, {series.dtype.categories.name()}',
            f'Convert it before the pipeline is fitted: X.with_columns(pl.col("{name}").cast(pl.Categorical)).',
        )
    if base not in _TYPES:
        raise CannotServe(
            f'the column "{name}" has the dtype {series.dtype}, which Sepal does not serve',
            _CONVERSION_HINTS.get(base, "Convert it to numbers, strings, dates or datetimes before the pipeline."),
        )
    described = Column(
        name=name,
        type=_TYPES[base],
        dtype=base,
        nullable=bool(series.null_count()),
        missing="null" if series.null_count() else None,
        unit=Unit(series.dtype.time_unit) if base == "Datetime" else None,
        time_zone=series.dtype.time_zone if base == "Datetime" else None,
        categories=_describe_categories(series.dtype) if base == "Enum" else None,
    )
    column = _set_nan_marker(described, series) if described.type in FLOAT_TYPES else described
    return column.model_copy(update={"seen": _summarize(column, series)})


def read_values(column: Column, series: Any) -> list[Value | None]:
    """Return the values of a column as `shared.columns` describes them; None for a missing value."""
    if column.type is ValueType.DATETIME:
        moments = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if column.time_zone else series
        n_digits = UNIT_DIGITS[column.unit or Unit.MICROSECOND]
        texts = moments.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.{n_digits}f").to_list()
        return [text and text + ("Z" if column.time_zone else "") for text in texts]
    if column.type is ValueType.DATE:
        texts_of_days: list[Value | None] = series.dt.strftime("%Y-%m-%d").to_list()
        return texts_of_days
    if column.type in FLOAT_TYPES:
        numbers = widen_float32(series.to_numpy()).tolist()  # NaN for a missing value
        return [None if value != value else value for value in numbers]
    values: list[Value | None] = series.to_list()
    return values


def _set_nan_marker(column: Column, series: Any) -> Column:
    """Return the column with NaN as the marker of missing values if it contains any."""
    if not series.is_nan().any():
        return column
    if column.nullable:
        raise CannotServe(
            f'the column "{column.name}" marks missing values in two ways, NaN and null',
            f'Unify them, and fit the pipeline again: X.with_columns(pl.col("{column.name}").fill_nan(None)).',
        )
    return column.model_copy(update={"nullable": True, "missing": "nan"})


def _summarize(column: Column, series: Any) -> Seen:
    if column.type in FLOAT_TYPES or column.type in INTEGER_RANGES:
        present = (series.fill_nan(None) if column.type in FLOAT_TYPES else series).drop_nulls().to_numpy()
        return summarize_numbers(column.name, present, 1 - len(present) / len(series))
    is_ordered = column.type in {ValueType.DATE, ValueType.DATETIME}
    return summarize_values(column.name, read_values(column, series), is_ordered=is_ordered)


def _describe_categories(dtype: Any) -> Categories:
    return Categories(type=ValueType.STRING, dtype="String", values=tuple(dtype.categories.to_list()), ordered=True)
