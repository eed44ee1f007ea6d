"""Converts the values of a column to its canonical form, and reports a reason for each invalid value.

A vectorized conversion comes first. The values that it cannot decide are converted one by one by the rules of
`api.http.values`, which alone decide which values are invalid.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion import cells as csv_cells
from api.formats.conversion import datetimes, numbers
from api.formats.conversion.partial_conversion import PartialConversion, keep_where_true, merge_doubtful_values
from api.http.strict_json import to_short_json
from api.http.values import column_reader, expected_values, refusal_message
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, Unit, Values, ValueType

_MAX_SUGGESTIONS: Final = 5  # each takes up to 2 ms
_TEXT_TYPE_CHECKS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BINARY_TYPE_CHECKS: Final = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_NUMBER_TYPE_CHECKS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


class WrongType(Exception):
    """The type of a column cannot be converted; the message is the rest of a sentence about the column."""


class ConvertedColumn(NamedTuple):
    """A column in its canonical form."""

    array: Any
    """The values; null for a missing or bad value."""
    bad: dict[int, str]
    """The reason for each bad value, by index: the rest of a sentence about the column."""


def canonical_type(column: Column) -> Any:
    """Return the Arrow type of a column in the canonical rows."""
    return _canonical_value_type(column.categories or column)


class ColumnConverter:
    """Converts arrays of one type to the canonical form of a column."""

    def __init__(self, column: Column, source_type: Any, max_text_bytes: int, *, has_cells: bool = False) -> None:
        """Plan the conversion.

        Args:
            column: the column of the model card.
            source_type: the type of the arrays.
            max_text_bytes: the maximum size of a string.
            has_cells: whether the arrays contain CSV cells.

        Raises:
            WrongType: values of this type cannot be converted to the type of the column.
        """
        self.type = canonical_type(column)
        self._column = column
        self._values = column.categories or column
        self._has_cells = has_cells
        self._max_text_bytes = max_text_bytes
        self._read = column_reader(column.model_copy(update={"nullable": False}), max_text_bytes)
        self._known = None if column.categories is None else pa.array(column.categories.values, self.type)
        self._convert_array = self._choose_conversion(source_type)
        self._n_suggestions = 0
        self.missing = f"must not be missing: send {expected_values(column)}."
        """The reason for a missing value of a column that is not nullable."""

    def __call__(self, array: Any) -> ConvertedColumn:
        """Convert an array."""
        readable = _to_strings(array)
        attempt = self._convert_vectorized(readable)
        converted = attempt.array
        bad: dict[int, str] = {}
        if attempt.doubtful is not None:
            converted, bad = self._read_doubtful_values(readable, attempt)
        if not self._column.nullable and converted.null_count:
            nulls = pc.indices_nonzero(pc.is_null(converted)).to_pylist()
            bad = dict.fromkeys(nulls, self.missing) | bad
        return ConvertedColumn(converted, bad)

    def _convert_vectorized(self, array: Any) -> PartialConversion:
        if any(is_binary(array.type) for is_binary in _BINARY_TYPE_CHECKS):  # some value is not UTF-8
            return PartialConversion(pa.nulls(len(array), self.type), pc.is_valid(array))
        attempt = self._convert_array(array)
        if self._known is None:
            return attempt
        is_known = pc.if_else(pc.is_valid(attempt.array), pc.is_in(attempt.array, value_set=self._known), None)
        return merge_doubtful_values(attempt, keep_where_true(attempt.array, is_known))

    def _read_doubtful_values(self, array: Any, conversion: PartialConversion) -> tuple[Any, dict[int, str]]:
        indices = pc.indices_nonzero(conversion.doubtful).to_pylist()
        values = array.filter(conversion.doubtful).to_pylist()
        known: dict[Any, Any] = {}
        reasons: dict[Any, str] = {}
        for value in dict.fromkeys(values):
            try:
                known[value] = self._read_value(value)
            except ValueError as error:
                reasons[value] = self._refusal_reason(value, error)
        found = pa.array([known.get(value) for value in values], self.type)
        bad = {index: reasons[value] for index, value in zip(indices, values, strict=True) if value in reasons}
        return pc.replace_with_mask(conversion.array, conversion.doubtful, found), bad

    def _read_value(self, value: Any) -> Any:
        if self._has_cells and type(value) is str:
            value = csv_cells.parse_cell(self._values, value)
        elif type(value) is bytes:
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise ValueError("must be a string in UTF-8.") from None
        elif type(value) is Decimal:
            value = int(value) if value == value.to_integral_value() else float(value)
        elif type(value) is int and self._values.type in FLOAT_TYPES and abs(value) > numbers.MAX_EXACT_INTEGER:
            raise ValueError(f"must be a number; {value} is beyond 2^53, where not every integer is one.")
        return self._read(value)

    def _refusal_reason(self, value: Any, error: ValueError) -> str:
        self._n_suggestions += 1
        is_text = isinstance(value, str)
        text = refusal_message(
            self._column, value if is_text else 0, error, has_suggestion=self._n_suggestions <= _MAX_SUGGESTIONS
        ).removeprefix(f"{to_short_json(self._column.name)} ")
        if self._has_cells and is_text:
            cell = f"an empty cell without quotes{value and f', or send ?null={value}'}"
            text = text.replace(" A missing value is null.", f" A missing value is {cell}.")
        return text

    def _choose_conversion(self, source_type: Any) -> Callable[[Any], PartialConversion]:
        if pa.types.is_null(source_type):
            return lambda array: PartialConversion(array.cast(self.type))
        if self._has_cells and source_type == pa.string() and self._has_numbers_or_booleans():
            return self._cell_conversion()
        for kinds, plan in (
            (_NUMBER_TYPE_CHECKS, self._number_conversion),
            ((*_TEXT_TYPE_CHECKS, *_BINARY_TYPE_CHECKS), self._string_conversion),
            ((pa.types.is_boolean,), self._boolean_conversion),
            ((pa.types.is_date, pa.types.is_timestamp), self._datetime_conversion),
        ):
            if any(is_kind(source_type) for is_kind in kinds) and (found := plan(source_type)) is not None:
                return found
        raise WrongType(
            f"has the type {source_type}, and must be {expected_values(self._column)}{self._wrong_type_hint()}."
        )

    def _has_numbers_or_booleans(self) -> bool:
        return (
            self._values.type in FLOAT_TYPES
            or self._values.type in INTEGER_RANGES
            or self._values.type is ValueType.BOOL
        )

    def _cell_conversion(self) -> Callable[[Any], PartialConversion]:
        if self._values.type is ValueType.BOOL:
            return csv_cells.to_booleans
        if self._values.type is ValueType.FLOAT32:
            return _with_float32_rounding(partial(csv_cells.to_numbers, self._values))
        return partial(csv_cells.to_numbers, self._values)

    def _number_conversion(self, _source_type: Any) -> Callable[[Any], PartialConversion] | None:
        if self._values.type in INTEGER_RANGES:
            return partial(numbers.to_integers, self._values.type)
        if self._values.type is ValueType.FLOAT32:
            return numbers.to_float32
        return numbers.to_float64 if self._values.type is ValueType.FLOAT64 else None

    def _string_conversion(self, _source_type: Any) -> Callable[[Any], PartialConversion] | None:
        kind = self._values.type
        if kind is ValueType.STRING:
            return partial(_check_lengths, self._max_text_bytes)
        if kind is ValueType.DATE:
            return datetimes.check_dates
        return self._convert_datetimes if kind is ValueType.DATETIME else None

    def _boolean_conversion(self, _source_type: Any) -> Callable[[Any], PartialConversion] | None:
        return PartialConversion if self._values.type is ValueType.BOOL else None

    def _datetime_conversion(self, source_type: Any) -> Callable[[Any], PartialConversion] | None:
        kind = self._values.type
        if pa.types.is_date(source_type) and kind in (ValueType.DATE, ValueType.DATETIME):
            return datetimes.check_dates if kind is ValueType.DATE else self._convert_datetimes
        return self._convert_datetimes if pa.types.is_timestamp(source_type) and kind is ValueType.DATETIME else None

    def _convert_datetimes(self, texts: Any) -> PartialConversion:
        unit = self._values.unit or Unit.NANOSECOND
        return datetimes.convert_datetimes(texts, unit, is_zoned=self._values.time_zone is not None)

    def _wrong_type_hint(self) -> str:
        return ": convert the column, or send it as strings" if self._values.type in (ValueType.STRING,) else ""


def _to_strings(array: Any) -> Any:
    """Convert dates, datetimes and every kind of string to the type string; return other arrays unchanged."""
    if pa.types.is_timestamp(array.type):
        return datetimes.format_timestamps(array)
    if pa.types.is_date(array.type):
        return datetimes.format_dates(array)
    if any(is_text(array.type) for is_text in (*_TEXT_TYPE_CHECKS, *_BINARY_TYPE_CHECKS)):
        try:
            return array.cast(pa.string())
        except pa.ArrowInvalid:  # some value is not UTF-8
            pass
    return array


def _canonical_value_type(values: Values) -> Any:
    if values.type in (ValueType.STRING, ValueType.DATE, ValueType.DATETIME):
        return pa.string()
    return pa.bool_() if values.type is ValueType.BOOL else pa.type_for_alias(values.type.value)


def _check_lengths(max_bytes: int, texts: Any) -> PartialConversion:
    if texts.nbytes <= max_bytes:
        return PartialConversion(texts)
    return keep_where_true(texts, pc.less_equal(pc.binary_length(texts), max_bytes))


def _with_float32_rounding(convert: Callable[[Any], PartialConversion]) -> Callable[[Any], PartialConversion]:
    def converted(array: Any) -> PartialConversion:
        first = convert(array)
        return merge_doubtful_values(first, numbers.to_float32(first.array))

    return converted


def decoded_type(column: Column) -> Any:
    """Return the type to which a parser decodes the values of a column, for its `ColumnConverter`."""
    values = column.categories or column
    if values.type in FLOAT_TYPES:
        return pa.float64()
    if values.type in INTEGER_RANGES:
        return pa.type_for_alias(values.type.value)
    return pa.bool_() if values.type is ValueType.BOOL else pa.string()
