"""Encodes a pipeline's output as the JSON text that clients receive."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.names import Output
from shared.store.records import Answer, Failure, Member
from worker.pool.outputs import Values

_UNITS: Final = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}
"""The unit in which datetimes of a coarser one are written: ISO 8601 dates and times have all their parts."""


def encode_answers(
    outputs: Mapping[Output, Values], members: Sequence[Member], default: Sequence[Output]
) -> list[Answer | Failure]:
    """Encode a batch's outputs as one answer per member.

    Args:
        outputs: each for the rows of those members that want it.
        members: in the order of their rows.
        default: the outputs of a member that asks for none.
    """
    items = {output: json_items(values) for output, values in outputs.items()}
    starts = dict.fromkeys(items, 0)
    answers: list[Answer | Failure] = []
    for member in members:
        parts: dict[str, bytes] = {}
        for output in member.outputs or default:
            start = starts[output]
            starts[output] = end = start + member.n_rows
            parts[output] = b",".join(items[output][start:end])
        answers.append(Answer(parts))
    return answers


def json_items(values: Values) -> list[bytes]:
    """Write each row of an array as JSON; of several arrays, a list with an item of each.

    Floats keep every bit: their text is the shortest that parses to the same number of their own precision. Non-finite
    floats become "-Infinity", "Infinity" and "NaN", as in the canonical JSON mapping of Protocol Buffers. Datetimes
    become ISO 8601 text with the digits of their unit.

    Raises:
        TypeError: an object is nothing that JSON has.
    """
    if isinstance(values, list):
        return [b"[%b]" % b",".join(parts) for parts in zip(*map(json_items, values), strict=True)]
    if values.dtype.kind == "M":
        values = _iso_8601(values)
    elif values.dtype.kind == "f" and values.itemsize < 8:
        values = values.astype(np.str_).astype(np.float64)  # 0.1, not 0.10000000149011612
    # One call for the whole array: a call for each row would take longer than the pipeline.
    lines = _encode_lines(values.tolist())
    if b"null" in lines:  # as msgspec writes None and every non-finite float
        lines = _name_non_finite(values, lines)
    return lines.splitlines()


def _name_non_finite(values: NDArray[Any], lines: bytes) -> bytes:
    if values.dtype.kind == "f" and values.max() < np.inf:  # no NaN, and logarithms of 0 at most
        return lines.replace(b"null", b'"-Infinity"')
    named = values.astype(object)
    is_finite = _IS_FINITE(named).astype(bool)
    others = named[~is_finite].astype(np.float64)
    named[~is_finite] = np.where(np.isnan(others), "NaN", np.where(others > 0, "Infinity", "-Infinity"))
    return _encode_lines(named.tolist())


def _iso_8601(values: NDArray[Any]) -> NDArray[Any]:
    unit = np.datetime_data(values.dtype)[0]
    texts = np.datetime_as_string(values.astype(f"datetime64[{_UNITS.get(unit, unit)}]")).astype(object)
    texts[np.isnat(values)] = None
    return texts


def _plain(value: Any) -> Any:
    """Convert an object that JSON lacks: a number of numpy, or a datetime of pandas."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"JSON has no {type(value).__name__}")


_IS_FINITE: Final = np.frompyfunc(lambda value: not isinstance(value, float) or math.isfinite(value), 1, 1)
_encode_lines = msgspec.json.Encoder(enc_hook=_plain).encode_lines
