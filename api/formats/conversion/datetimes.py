"""Converts dates and datetimes to their canonical strings (`shared.columns`)."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from api.formats.conversion.partial_conversion import PartialConversion, keep_where_true, merge_doubtful_values
from shared.columns import UNIT_DIGITS, Unit

# A month and day that every year has: a February 29 is doubtful.
_DAY: Final = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_YEAR: Final = "(?:000[2-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])"
_YEAR_OF_NANOSECONDS: Final = "(?:167[89]|16[89][0-9]|1[7-9][0-9]{2}|2[01][0-9]{2}|22[0-5][0-9]|226[01])"
_MINUTES: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_OFFSET: Final = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_SEPARATOR_OFFSET: Final = len("2026-01-31")  # the position of the T


def check_dates(texts: Any) -> PartialConversion:
    """Validate strings as ISO 8601 dates; mark the invalid ones as doubtful."""
    return keep_where_true(texts, pc.match_substring_regex(texts, f"^{_YEAR}-{_DAY}$"))


def convert_datetimes(texts: Any, unit: Unit, *, is_zoned: bool) -> PartialConversion:
    """Convert strings to canonical ISO 8601 datetimes: with all digits of `unit`, and in UTC if `is_zoned`."""
    year = _YEAR_OF_NANOSECONDS if unit is Unit.NANOSECOND else _YEAR
    digits = UNIT_DIGITS[unit]
    fraction = f"\\.[0-9]{{{digits}}}" if digits else ""
    canonical = f"^{year}-{_DAY}T{_MINUTES}:[0-5][0-9]{fraction}{'Z' if is_zoned else ''}$"
    is_canonical = pc.match_substring_regex(texts, canonical)
    if pc.all(is_canonical, min_count=0).as_py():
        return PartialConversion(texts)
    some_digits = f"(?:\\.[0-9]{{1,{digits}}})?" if digits else ""
    time = f"[T ]{_MINUTES}(?::[0-5][0-9]{some_digits})?{_OFFSET if is_zoned else ''}"
    readable = f"^{year}-{_DAY}{time if is_zoned else f'(?:{time})?'}$"
    known = keep_where_true(texts, pc.match_substring_regex(texts, readable))
    moments = known.array.cast(pa.timestamp(unit.value, "UTC" if is_zoned else None))
    return merge_doubtful_values(known, PartialConversion(format_timestamps(moments)))


def format_timestamps(timestamps: Any) -> Any:
    """Convert timestamps to ISO 8601 strings with all digits of their unit; zoned ones in UTC, with a final Z.

    A timestamp whose year has more than four digits results in an invalid string.
    """
    texts = timestamps.cast(pa.timestamp(timestamps.type.unit)).cast(pa.string())
    texts = pc.utf8_replace_slice(texts, _SEPARATOR_OFFSET, _SEPARATOR_OFFSET + 1, "T")
    return texts if timestamps.type.tz is None else pc.binary_join_element_wise(texts, "Z", "")


def format_dates(dates: Any) -> Any:
    """Convert dates to ISO 8601 strings; a date64 that is not midnight results in an invalid string."""
    if pa.types.is_date64(dates.type):
        moments = dates.cast(pa.int64()).cast(pa.timestamp("ms"))
        is_midnight = pc.equal(moments, pc.floor_temporal(moments, unit="day"))
        texts = moments.cast(pa.string())
        return pc.if_else(is_midnight, pc.utf8_slice_codeunits(texts, 0, _SEPARATOR_OFFSET), texts)
    return dates.cast(pa.string())
