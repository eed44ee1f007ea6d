"""Converts arrays of numbers to other types of numbers, where that is exact."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.attempt import Attempt, both, only_where, where
from shared.columns import INTEGERS, ValueType

EXACT: Final = 2**53
"""Every integer up to it is a float64."""


def to_float64(array: Any) -> Attempt:
    """Convert integers, floats and decimals to float64; NaN is missing, and infinities are doubtful."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string())  # and from there correctly rounded
    if pa.types.is_integer(array.type):
        return _from_integers(array)
    return where(array := without_nan(array.cast(pa.float64())), pc.is_finite(array))


def to_float32(array: Any) -> Attempt:
    """Convert likewise to float32, rounding; what is beyond its range is doubtful."""
    if array.type == pa.float32():
        return where(array := without_nan(array), pc.is_finite(array))
    wide = to_float64(array)
    narrow = wide.array.cast(pa.float32())
    return both(wide, where(narrow, pc.is_finite(narrow)))


def to_integers(value_type: ValueType, array: Any) -> Attempt:
    """Convert integers within the range, and floats and decimals that are integers; NaN is missing."""
    target = pa.type_for_alias(value_type.value)
    if pa.types.is_floating(array.type):
        array = without_nan(array.cast(pa.float64()))
        is_good = pc.and_(pc.equal(array, pc.trunc(array)), pc.less(pc.abs(array), float(EXACT)))
        whole = where(array, is_good)
        return both(whole, _within(value_type, whole.array.cast(pa.int64())))
    if pa.types.is_integer(array.type):
        return _within(value_type, array)
    try:
        return Attempt(array.cast(target))
    except pa.ArrowInvalid:  # some decimal does not fit: each is read alone
        return where(pa.nulls(len(array), target), pc.is_null(array))


def without_nan(array: Any) -> Any:
    """Replace NaN by null."""
    is_number = pc.invert(pc.is_nan(array))
    return array if pc.all(is_number, min_count=0).as_py() else only_where(array, is_number)


def _from_integers(array: Any) -> Attempt:
    try:
        return Attempt(array.cast(pa.float64()))
    except pa.ArrowInvalid:  # some are beyond `EXACT`
        is_good = pc.less_equal(array, EXACT)
        if not pa.types.is_unsigned_integer(array.type):
            is_good = pc.and_(is_good, pc.greater_equal(array, -EXACT))
        exact = where(array, is_good)
        return Attempt(exact.array.cast(pa.float64()), exact.doubtful)


def _within(value_type: ValueType, array: Any) -> Attempt:
    target = pa.type_for_alias(value_type.value)
    try:
        return Attempt(array.cast(target))
    except pa.ArrowInvalid:
        smallest, largest = INTEGERS[value_type]
        lowest, highest = INTEGERS[ValueType(str(array.type))]
        is_good = pc.and_(
            pc.greater_equal(array, pa.scalar(max(smallest, lowest), array.type)),
            pc.less_equal(array, pa.scalar(min(largest, highest), array.type)),
        )
        near = where(array, is_good)
        return Attempt(near.array.cast(target), near.doubtful)
