"""A first try at all values of an array at once; only the doubtful ones are then read one by one."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc


class PartialConversion(NamedTuple):
    """What became of an array; both have its length."""

    array: Any
    """The converted values: null where a value is missing or doubtful."""
    doubtful: Any = None
    """A mask, without nulls, of the values that must be read one by one; None if there are none."""


def keep_where(array: Any, is_good: Any) -> PartialConversion:
    """Keep the values for which a mask is true; the others that are not null are doubtful.

    Args:
        array: the converted values.
        is_good: a mask, which may be null where the value is.
    """
    if pc.all(is_good, min_count=0).as_py():  # nulls are skipped
        return PartialConversion(array)
    doubtful = pc.fill_null(pc.invert(is_good), False)
    return PartialConversion(pc.if_else(doubtful, pa.scalar(None, array.type), array), doubtful)


def null_unless(array: Any, is_good: Any) -> Any:
    """Replace by null each value for which a mask, which may be null where the value is, is false."""
    return pc.if_else(pc.fill_null(is_good, True), array, pa.scalar(None, array.type))


def merge_doubtful(first: PartialConversion, second: PartialConversion) -> PartialConversion:
    """Return the second of two attempts, which was made on the first one's values, with the doubtful ones of both."""
    if first.doubtful is None or second.doubtful is None:
        return PartialConversion(second.array, first.doubtful if second.doubtful is None else second.doubtful)
    return PartialConversion(second.array, pc.or_(first.doubtful, second.doubtful))
