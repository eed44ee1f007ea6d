"""Describes the columns of a pandas data frame, and reads their values."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Categories, Column, Seen, Unit, Value, Values, ValueType
from shared.errors import CannotServe
from training.summaries import summarize_numbers, summarize_values, widen_float32

_OBJECT_TYPES: Final[dict[type, ValueType]] = {
    str: ValueType.STRING,
    bool: ValueType.BOOL,
    int: ValueType.INT64,
    float: ValueType.FLOAT64,
    date: ValueType.DATE,
}
_ARROW_TYPES: Final = {
    "double": ValueType.FLOAT64,
    "float": ValueType.FLOAT32,
    "bool": ValueType.BOOL,
    "string": ValueType.STRING,
    "large_string": ValueType.STRING,
    "date32[day]": ValueType.DATE,
    **{each.value: each for each in INTEGER_RANGES},
}
_MARKER_NAMES: Final = {"nan": "NaN", "none": "None", "na": "NA", "nat": "NaT"}
_ORDERED_TYPES: Final = frozenset({ValueType.DATE, ValueType.DATETIME})


def describe_column(name: str, series: Any) -> Column:
    """Describe a column.

    Raises:
        CannotServe: Sepal does not serve columns of its dtype.
    """
    values = _describe_values(name, series)
    categories = _describe_categories(name, series.dtype) if isinstance(series.dtype, pd.CategoricalDtype) else None
    is_missing = series.isna()
    column = Column(
        **values.model_dump(),
        name=name,
        nullable=bool(is_missing.any()),
        missing=_find_marker(name, series[is_missing]) if is_missing.any() else None,
        categories=categories,
    )
    return column.model_copy(update={"seen": _summarize(column, series, float(is_missing.mean()))})


def find_names_dtype(names: Any) -> str:
    """Return the dtype of an index of column names.

    Raises:
        CannotServe: the names are not strings.
    """
    if isinstance(names.dtype, pd.StringDtype):
        return _string_dtype_name(names.dtype)
    if names.dtype == object:
        return "object"
    raise CannotServe(
        f"the column names have the dtype {names.dtype}", "Rename them: X.columns = [str(name) for name in X.columns]."
    )


def read_values(column: Column, series: Any) -> list[Value | None]:
    """Return the values of a column as `shared.columns` describes them; None for a missing value."""
    if column.categories is not None:
        known = column.categories.values
        return [None if code < 0 else known[code] for code in series.cat.codes]
    convert = _make_converter(column)
    return [
        None if missing else convert(value)
        for value, missing in zip(_to_python_values(column, series), series.isna(), strict=True)
    ]


def _to_python_values(column: Values, series: Any) -> Any:
    if column.type is ValueType.FLOAT32:
        return widen_float32(series.to_numpy(dtype=np.float32, na_value=np.nan)).tolist()
    if column.type is not ValueType.DATETIME:
        return series.tolist()
    unit = (column.unit or Unit.NANOSECOND).value
    moments = series.dt.tz_convert("UTC").dt.tz_localize(None) if column.time_zone else series
    texts: Any = np.datetime_as_string(moments.to_numpy(dtype=f"datetime64[{unit}]"))  # with all digits of the unit
    return texts.tolist()


def _make_converter(column: Values) -> Callable[[Any], Value]:
    if column.type in FLOAT_TYPES:
        return float
    if column.type in INTEGER_RANGES:
        return int
    if column.type is ValueType.BOOL:
        return bool
    if column.type is ValueType.DATE:
        return date.isoformat
    if column.type is ValueType.DATETIME and column.time_zone:
        return lambda text: f"{text}Z"
    return str


def _summarize(column: Column, series: Any, missing_share: float) -> Seen:
    if column.type not in FLOAT_TYPES and column.type not in INTEGER_RANGES:
        return summarize_values(column.name, read_values(column, series), is_ordered=column.type in _ORDERED_TYPES)
    try:
        numbers = series.dropna().to_numpy(dtype=column.type.value)
    except OverflowError:
        raise CannotServe(
            f'the column "{column.name}" holds an integer of more than 64 bits',
            f'Convert it before the pipeline is fitted: X["{column.name}"].astype("float64").',
        ) from None
    return summarize_numbers(column.name, numbers, missing_share)


def _describe_values(name: str, series: Any) -> Values:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Values(type=ValueType.CATEGORY, dtype="category")
    if isinstance(dtype, pd.DatetimeTZDtype):
        _check_time_zone(name, dtype)
        return Values(type=ValueType.DATETIME, dtype=str(dtype), unit=Unit(dtype.unit), time_zone=str(dtype.tz))
    if isinstance(dtype, pd.StringDtype):
        return Values(type=ValueType.STRING, dtype=_string_dtype_name(dtype))
    if isinstance(dtype, pd.ArrowDtype):
        return _describe_arrow_values(name, dtype)
    if dtype.kind == "O" and isinstance(dtype, np.dtype):
        return Values(type=_find_object_type(name, series), dtype="object")
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return Values(type=ValueType.DATETIME, dtype=str(dtype), unit=Unit(np.datetime_data(dtype)[0]))
    plain = str(dtype).lower().replace("boolean", "bool")  # Int64 is int64 with a mask of missing values
    if plain not in {each.value for each in (*FLOAT_TYPES, *INTEGER_RANGES, ValueType.BOOL)}:
        raise CannotServe(
            f'the column "{name}" has the dtype {dtype}, which Sepal does not serve', _conversion_hint(dtype)
        )
    return Values(type=ValueType(plain), dtype=str(dtype))


def _check_time_zone(name: str, dtype: Any) -> None:
    try:
        is_known = pd.DatetimeTZDtype(dtype.unit, str(dtype.tz)) == dtype
    except (KeyError, ValueError, TypeError):
        is_known = False
    if not is_known:
        raise CannotServe(
            f'the column "{name}" has a time zone without a name ({dtype.tz})',
            f'Convert it before the pipeline is fitted: X["{name}"].dt.tz_convert("Europe/Berlin"), or "UTC".',
        )


def _string_dtype_name(dtype: Any) -> str:
    return f"{'string' if dtype.na_value is pd.NA else 'str'}[{dtype.storage}]"


def _describe_arrow_values(name: str, dtype: Any) -> Values:
    arrow = dtype.pyarrow_dtype
    stored = f"arrow[{arrow}]"
    if str(arrow).startswith("timestamp["):
        return Values(type=ValueType.DATETIME, dtype=stored, unit=Unit(arrow.unit), time_zone=arrow.tz)
    if str(arrow) not in _ARROW_TYPES:
        raise CannotServe(
            f'the column "{name}" has the dtype {dtype}, which Sepal does not serve', _conversion_hint(dtype)
        )
    return Values(type=_ARROW_TYPES[str(arrow)], dtype=stored)


def _find_object_type(name: str, series: Any) -> ValueType:
    kinds = {type(value) for value in series[series.notna()]} or {str}
    found = kinds.pop()
    if kinds:
        names = ", ".join(sorted(kind.__name__ for kind in {found, *kinds}))
        raise CannotServe(
            f'the column "{name}" holds values of different types ({names})',
            f'Give it one type, for instance X["{name}"] = X["{name}"].astype(str), and fit the pipeline again.',
        )
    if found not in _OBJECT_TYPES:
        raise CannotServe(
            f'the column "{name}" holds Python objects of the type {found.__name__}',
            "Convert them to numbers, strings, dates or datetimes before the pipeline.",
        )
    return _OBJECT_TYPES[found]


def _describe_categories(name: str, dtype: Any) -> Categories:
    series = pd.Series(dtype.categories)
    inner = Column(**_describe_values(name, series).model_dump(), name=name)
    values = read_values(inner, series)
    return Categories(
        **inner.model_dump(include={"type", "dtype", "unit", "time_zone"}),
        values=tuple(value for value in values if value is not None),
        ordered=bool(dtype.ordered),
    )


def _find_marker(name: str, missing_values: Any) -> str:
    """Return the marker of the missing values of a column."""
    if missing_values.dtype != object:
        native = missing_values.iloc[0]
        return "na" if native is pd.NA else "nat" if native is pd.NaT else "nan"
    markers = {_find_value_marker(value) for value in missing_values}
    if len(markers) > 1:
        shown = ", ".join(sorted(_MARKER_NAMES[marker] for marker in markers))
        raise CannotServe(
            f'the column "{name}" marks missing values in several ways ({shown})',
            f'Unify them, and fit the pipeline again: X["{name}"] = X["{name}"].where(X["{name}"].notna(), None).',
        )
    return markers.pop()


def _find_value_marker(value: Any) -> str:
    if value is None:
        return "none"
    return "na" if value is pd.NA else "nat" if value is pd.NaT else "nan"


def _conversion_hint(dtype: Any) -> str:
    name = str(dtype)
    if name.startswith(("timedelta", "duration")):
        return "Convert it to a number of seconds before the pipeline: .dt.total_seconds()."
    if name.startswith(("period", "interval")):
        return "Convert it before the pipeline: .dt.to_timestamp() for periods, .mid for intervals."
    if name.startswith("Sparse"):
        return "Make it dense before the pipeline: .sparse.to_dense()."
    if name.startswith(("list", "struct", "map")):
        return "Give each nested value a column of its own before the pipeline."
    if name.startswith("dictionary"):
        return 'Convert it before the pipeline: .astype("category").'
    if name.startswith(("float16", "halffloat")):
        return 'Convert it before the pipeline: .astype("float32").'
    return "Convert it before the pipeline, for instance to float64."
