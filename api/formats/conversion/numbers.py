"""Converts arrays of numbers to other numeric types; a value that would change is doubtful."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.partial import PartialConversion, keep_where, merge_doubtful, null_unless
from shared.columns import INTEGER_RANGES, ValueType

EXACT: Final = 2**53
"""Float64 represents every integer up to this one exactly."""


def to_float64(array: Any) -> PartialConversion:
    """Convert integers, floats and decimals to float64; NaN becomes null, and infinities are doubtful."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())  # the conversion from strings rounds correctly
    if pa.types.is_integer(array.type):
        return _integers_to_float64(array)
    return keep_where(array := nan_to_null(array.cast(pa.float64())), pc.is_finite(array))


def to_float32(array: Any) -> PartialConversion:
    """Convert like `to_float64`, then round to float32; numbers out of its range are doubtful."""
    if array.type == pa.float32():
        return keep_where(array := nan_to_null(array), pc.is_finite(array))
    wide = to_float64(array)
    narrow = wide.array.cast(pa.float32())
    return merge_doubtful(wide, keep_where(narrow, pc.is_finite(narrow)))


def to_integers(value_type: ValueType, array: Any) -> PartialConversion:
    """Convert integers, and floats and decimals without a fraction, to an integer type; NaN becomes null."""
    target = pa.type_for_alias(value_type.value)
    if pa.types.is_floating(array.type):
        array = nan_to_null(array.cast(pa.float64()))
        is_good = pc.and_(pc.equal(array, pc.trunc(array)), pc.less(pc.abs(array), float(EXACT)))
        whole = keep_where(array, is_good)
        return merge_doubtful(whole, _convert_in_range(value_type, whole.array.cast(pa.int64())))
    if pa.types.is_integer(array.type):
        return _convert_in_range(value_type, array)
    try:
        return PartialConversion(array.cast(target))
    except pa.ArrowInvalid:  # some decimal does not fit: all are doubtful
        return keep_where(pa.nulls(len(array), target), pc.is_null(array))


def nan_to_null(array: Any) -> Any:
    """Replace NaN by null."""
    is_number = pc.invert(pc.is_nan(array))
    return array if pc.all(is_number, min_count=0).as_py() else null_unless(array, is_number)


def _integers_to_float64(array: Any) -> PartialConversion:
    try:
        return PartialConversion(array.cast(pa.float64()))
    except pa.ArrowInvalid:  # some are beyond `EXACT`
        is_good = pc.less_equal(array, EXACT)
        if not pa.types.is_unsigned_integer(array.type):
            is_good = pc.and_(is_good, pc.greater_equal(array, -EXACT))
        exact = keep_where(array, is_good)
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
        near = keep_where(array, is_good)
        return PartialConversion(near.array.cast(target), near.doubtful)
