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


def keep_where_true(array: Any, mask: Any) -> PartialConversion:
    """Keep the values for which a mask is true; mark those for which it is false as doubtful.

    Args:
        array: the converted values.
        mask: the mask; null for a missing value.
    """
    if pc.all(mask, min_count=0).as_py():  # nulls are skipped
        return PartialConversion(array)
    doubtful = pc.fill_null(pc.invert(mask), False)
    return PartialConversion(pc.if_else(doubtful, pa.scalar(None, array.type), array), doubtful)


def nullify_where_false(array: Any, mask: Any) -> Any:
    """Replace each value for which a mask is false by null; the mask may be null for a missing value."""
    return pc.if_else(pc.fill_null(mask, True), array, pa.scalar(None, array.type))


def merge_doubtful_values(
    first_conversion: PartialConversion, second_conversion: PartialConversion
) -> PartialConversion:
    """Return the second conversion, of the values of the first one, with the doubtful values of both."""
    if first_conversion.doubtful is None or second_conversion.doubtful is None:
        return PartialConversion(
            second_conversion.array,
            first_conversion.doubtful if second_conversion.doubtful is None else second_conversion.doubtful,
        )
    return PartialConversion(second_conversion.array, pc.or_(first_conversion.doubtful, second_conversion.doubtful))
