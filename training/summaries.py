"""Summarizes a column of the training data for the model card."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from shared.columns import Seen, Value
from shared.errors import CannotServe

_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_MAX_COUNTS: Final = 50


def widen_float32(numbers: Any) -> Any:
    """Convert float32 to float64 by decimal digits: to 0.1, not 0.10000000149011612; other dtypes stay."""
    return numbers.astype(np.str_).astype(np.float64) if numbers.dtype == np.float32 else numbers


def summarize_numbers(name: str, numbers: Any, missing_share: float) -> Seen:
    """Summarize numbers.

    Args:
        name: the column's name.
        numbers: the values that are not missing, shape (n,), of a float or integer dtype.
        missing_share: the share of rows whose value is missing.

    Raises:
        CannotServe: a number is infinite, or is NaN in a column that marks missing values by NA.
    """
    if not np.isfinite(numbers).all():
        raise _not_finite_error(name, numbers)
    if not len(numbers):
        return Seen(missing=missing_share)
    quantiles = tuple(float(each) for each in np.quantile(numbers.astype(np.float64), _QUANTILES))
    smallest, largest = widen_float32(np.array([numbers.min(), numbers.max()])).tolist()
    return Seen(missing=missing_share, minimum=smallest, maximum=largest, quantiles=quantiles)


def summarize_values(name: str, values: Sequence[Value | None], *, is_ordered: bool) -> Seen:
    """Summarize strings, categories, booleans, dates or datetimes; None is a missing value.

    Args:
        name: the column's name.
        values: as `shared.columns` describes them.
        is_ordered: whether to record the smallest and the largest value instead of counts.

    Raises:
        CannotServe: a string contains a lone surrogate.
    """
    present = [value for value in values if value is not None]
    _check_unicode(name, [value for value in present if isinstance(value, str)])
    share = 1 - len(present) / len(values) if values else 0.0
    if is_ordered:
        return Seen(missing=share, minimum=min(present, default=None), maximum=max(present, default=None))
    counts = Counter(present)
    # Free text is not counted: most values occur once, and they may be personal.
    is_free = len(counts) > _MAX_COUNTS and len(counts) > len(present) / 2
    longest = max((len(value) for value in present if isinstance(value, str)), default=None)
    return Seen(missing=share, counts=None if is_free else tuple(counts.most_common(_MAX_COUNTS)), longest=longest)


def summarize_texts(name: str, texts: Sequence[str]) -> Seen:
    """Summarize texts by their longest length, without recording any text.

    Raises:
        CannotServe: a string contains a lone surrogate.
    """
    _check_unicode(name, texts)
    return Seen(missing=0.0, longest=max(map(len, texts), default=None))


def _not_finite_error(name: str, numbers: Any) -> CannotServe:
    if np.isinf(numbers).any():
        return CannotServe(
            f'the column "{name}" holds an infinite number, which no client can send',
            "Replace it, by NaN or by the largest number, and fit the pipeline again.",
        )
    return CannotServe(
        f'the column "{name}" holds NaN, and marks missing values by NA',
        f'Unify them, and fit the pipeline again: X["{name}"] = X["{name}"].where(X["{name}"] == X["{name}"]).',
    )


def _check_unicode(name: str, texts: Sequence[str]) -> None:
    if not is_unicode("".join(texts)):
        raise CannotServe(
            f'the column "{name}" holds a string with a lone surrogate, which no client can send',
            'Decode the strings again, with errors="replace", and fit the pipeline again.',
        )


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded in UTF-8, because it contains no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
