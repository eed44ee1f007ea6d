"""A vectorized conversion of an array, which leaves the values that it cannot decide to be converted one by one."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc


class PartialConversion(NamedTuple):
    """The result of a vectorized conversion; both arrays have the length of the input."""

    array: Any
    """The converted values; null for a missing or doubtful value."""
    doubtful: Any = None
    """A mask without nulls of the values that must be converted one by one; None if there are none."""


def keep_where(array: Any, is_good: Any) -> PartialConversion:
    """Keep the values for which a mask is true; mark those for which it is false as doubtful.

    Args:
        array: the converted values.
        is_good: the mask; null for a missing value.
    """
    if pc.all(is_good, min_count=0).as_py():  # nulls are skipped
        return PartialConversion(array)
    doubtful = pc.fill_null(pc.invert(is_good), False)
    return PartialConversion(pc.if_else(doubtful, pa.scalar(None, array.type), array), doubtful)


def null_unless(array: Any, is_good: Any) -> Any:
    """Replace each value for which a mask is false by null; the mask may be null for a missing value."""
    return pc.if_else(pc.fill_null(is_good, True), array, pa.scalar(None, array.type))


def merge_doubtful(first: PartialConversion, second: PartialConversion) -> PartialConversion:
    """Return `second`, a conversion of the values of `first`, with the doubtful values of both."""
    if first.doubtful is None or second.doubtful is None:
        return PartialConversion(second.array, first.doubtful if second.doubtful is None else second.doubtful)
    return PartialConversion(second.array, pc.or_(first.doubtful, second.doubtful))
