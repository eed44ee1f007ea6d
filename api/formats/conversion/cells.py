"""Converts CSV cells to numbers and booleans."""

import math
import re
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.numbers import to_float64, to_integers
from api.formats.conversion.partial_conversion import PartialConversion, keep_where_true, merge_doubtful_values
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Values, ValueType

TRUE_CELLS: Final = ("true", "True", "TRUE", "1")
"""Cells that mean true."""
FALSE_CELLS: Final = ("false", "False", "FALSE", "0")
"""Cells that mean false."""
_NUMBER: Final = re.compile(r"[ \t]*([+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?)[ \t]*", re.ASCII)
_BOOLEANS: Final = {**dict.fromkeys(TRUE_CELLS, True), **dict.fromkeys(FALSE_CELLS, False)}

# Cells that pyarrow converts exactly: numbers and integers well within the ranges of float64 and int64.
_PLAIN_NUMBER: Final = r"^[ \t]*[+-]?(?:[0-9]{1,100}(?:\.[0-9]{0,100})?|\.[0-9]{1,100})(?:[eE][+-]?[0-9]{1,2})?[ \t]*$"
_PLAIN_INTEGER: Final = r"^[ \t]*[+-]?[0-9]{1,18}[ \t]*$"


def parse_cell(values: Values, cell: str) -> Any:
    """Return the value of a cell for a column, as JSON would have it; the cell itself if it has no such value."""
    if values.type in FLOAT_TYPES or values.type in INTEGER_RANGES:
        number = _NUMBER.fullmatch(cell)
        return cell if number is None else _parse_number(number)
    if values.type is ValueType.BOOL:
        return _BOOLEANS.get(cell, cell)
    return cell


def to_numbers(values: Values, cells: Any) -> PartialConversion:
    """Convert cells to float64 or, for an integer type, to that type; cells that are not plain numbers are doubtful."""
    if values.type in FLOAT_TYPES:
        return _to_floats(cells)
    integers = keep_where_true(cells, pc.match_substring_regex(cells, _PLAIN_INTEGER))
    read = to_integers(values.type, _strip_for_pyarrow(integers.array).cast(pa.int64()))
    if integers.doubtful is None:
        return read
    others = _to_floats(pc.if_else(integers.doubtful, cells, None))  # 2007.0 is an integer
    whole = to_integers(values.type, others.array)
    doubtful = pc.and_(integers.doubtful, pc.is_null(whole.array))
    return merge_doubtful_values(read, PartialConversion(pc.coalesce(read.array, whole.array), doubtful))


def to_booleans(cells: Any) -> PartialConversion:
    """Convert cells to booleans."""
    is_true = pc.is_in(cells, value_set=pa.array(TRUE_CELLS))
    is_known = pc.or_(is_true, pc.is_in(cells, value_set=pa.array(FALSE_CELLS)))
    return keep_where_true(
        pc.if_else(pc.is_valid(cells), is_true, None), pc.if_else(pc.is_valid(cells), is_known, None)
    )


def _to_floats(cells: Any) -> PartialConversion:
    plain = keep_where_true(cells, pc.match_substring_regex(cells, _PLAIN_NUMBER))
    return merge_doubtful_values(plain, to_float64(_strip_for_pyarrow(plain.array).cast(pa.float64())))


def _strip_for_pyarrow(cells: Any) -> Any:
    return pc.ascii_ltrim(pc.ascii_trim(cells, " \t"), "+")


def _parse_number(match: re.Match[str]) -> int | float:
    text, fraction, only_fraction, exponent = match.groups()
    if fraction is not None or only_fraction is not None or exponent is not None:
        return float(text)
    try:
        return int(text)
    except ValueError:  # more digits than Python converts, 4,300
        return -math.inf if text.startswith("-") else math.inf
