"""Converts arrays of numbers to other numeric types; a value that would change is doubtful."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.partial_conversion import (
    PartialConversion,
    keep_where_true,
    merge_doubtful_values,
    nullify_where_false,
)
from shared.columns import INTEGER_RANGES, ValueType

MAX_EXACT_INTEGER: Final = 2**53
"""Float64 represents every integer up to this one exactly."""


def to_float64(array: Any) -> PartialConversion:
    """Convert integers, floats and decimals to float64; NaN becomes null, and infinities are doubtful."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())  # the conversion from strings rounds correctly
    if pa.types.is_integer(array.type):
        return _integers_to_float64(array)
    return keep_where_true(array := nan_to_null(array.cast(pa.float64())), pc.is_finite(array))


def to_float32(array: Any) -> PartialConversion:
    """Convert like `to_float64`, then round to float32; numbers out of its range are doubtful."""
    if array.type == pa.float32():
        return keep_where_true(array := nan_to_null(array), pc.is_finite(array))
    wide = to_float64(array)
    narrow = wide.array.cast(pa.float32())
    return merge_doubtful_values(wide, keep_where_true(narrow, pc.is_finite(narrow)))


def to_integers(value_type: ValueType, array: Any) -> PartialConversion:
    """Convert integers, and floats and decimals without a fraction, to an integer type; NaN becomes null."""
    target = pa.type_for_alias(value_type.value)
    if pa.types.is_floating(array.type):
        array = nan_to_null(array.cast(pa.float64()))
        is_good = pc.and_(pc.equal(array, pc.trunc(array)), pc.less(pc.abs(array), float(MAX_EXACT_INTEGER)))
        whole = keep_where_true(array, is_good)
        return merge_doubtful_values(whole, _convert_in_range(value_type, whole.array.cast(pa.int64())))
    if pa.types.is_integer(array.type):
        return _convert_in_range(value_type, array)
    try:
        return PartialConversion(array.cast(target))
    except pa.ArrowInvalid:  # some decimal does not fit: all are doubtful
        return keep_where_true(pa.nulls(len(array), target), pc.is_null(array))


def nan_to_null(array: Any) -> Any:
    """Replace NaN by null."""
    is_number = pc.invert(pc.is_nan(array))
    return array if pc.all(is_number, min_count=0).as_py() else nullify_where_false(array, is_number)


def _integers_to_float64(array: Any) -> PartialConversion:
    try:
        return PartialConversion(array.cast(pa.float64()))
    except pa.ArrowInvalid:  # some are beyond `MAX_EXACT_INTEGER`
        is_good = pc.less_equal(array, MAX_EXACT_INTEGER)
        if not pa.types.is_unsigned_integer(array.type):
            is_good = pc.and_(is_good, pc.greater_equal(array, -MAX_EXACT_INTEGER))
        exact = keep_where_true(array, is_good)
        return PartialConversion(exact.array.cast(pa.float64()), exact.doubtful)


def _convert_in_range(value_type: ValueType, array: Any) -> PartialConversion:
    target = pa.type_for_alias(value_type.value)
    try:
        return PartialConversion(array.cast(target))
    except pa.ArrowInvalid:
        smallest, largest = INTEGER_RANGES[value_type]
        lowest, highest = INTEGER_RANGES[ValueType(str(array.type))]
        is_good = pc.and_(
            pc.greater_equal(array, pa.scalar(max(smallest, lowest), array.type)),
            pc.less_equal(array, pa.scalar(min(largest, highest), array.type)),
        )
        near = keep_where_true(array, is_good)
        return PartialConversion(near.array.cast(target), near.doubtful)
