"""Encodes a pipeline's output as the JSON that clients receive."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.names import Output
from shared.store.records import Answer, Failure, Member
from worker.pool.outputs import OutputValues

_FINER_UNITS: Final = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}
"""The unit to which datetimes of coarser units are converted, since ISO 8601 requires complete dates and times."""


def encode_answers(
    outputs: Mapping[Output, OutputValues], members: Sequence[Member], default_outputs: Sequence[Output]
) -> list[Answer | Failure]:
    """Encode a batch's outputs as one answer per member.

    Args:
        outputs: each for the rows of those members that request it.
        members: in the order of their rows.
        default_outputs: the outputs of a member that requests none.
    """
    items = {output: encode_items(values) for output, values in outputs.items()}
    starts = dict.fromkeys(items, 0)
    answers: list[Answer | Failure] = []
    for member in members:
        parts: dict[str, bytes] = {}
        for output in member.outputs or default_outputs:
            start = starts[output]
            starts[output] = end = start + member.n_rows
            parts[output] = b",".join(items[output][start:end])
        answers.append(Answer(parts))
    return answers


def encode_items(values: OutputValues) -> list[bytes]:
    """Encode each row of an array as JSON; of a list of arrays, each row as a list with an item of each array.

    Floats keep every bit: their notation is the shortest that parses to the same number of their own precision.
    Non-finite floats become "-Infinity", "Infinity" and "NaN", as in the canonical JSON mapping of Protocol Buffers.
    Datetimes become ISO 8601 strings with the digits of their unit.

    Raises:
        TypeError: JSON cannot represent an object.
    """
    if isinstance(values, list):
        return [b"[%b]" % b",".join(parts) for parts in zip(*map(encode_items, values), strict=True)]
    if values.dtype.kind == "M":
        values = _to_iso_8601(values)
    elif values.dtype.kind == "f" and values.itemsize < 8:
        values = values.astype(np.str_).astype(np.float64)  # 0.1, not 0.10000000149011612
    # One call for the whole array: a call for each row would take longer than the pipeline.
    lines = _encode_lines(values.tolist())
    if b"null" in lines:  # as msgspec writes None and every non-finite float
        lines = _replace_nulls(values, lines)
    return lines.splitlines()


def _replace_nulls(values: NDArray[Any], lines: bytes) -> bytes:
    if values.dtype.kind == "f" and values.max() < np.inf:  # no NaN and no infinity, except perhaps log(0)
        return lines.replace(b"null", b'"-Infinity"')
    named = values.astype(object)
    is_finite = _IS_FINITE(named).astype(bool)
    others = named[~is_finite].astype(np.float64)
    named[~is_finite] = np.where(np.isnan(others), "NaN", np.where(others > 0, "Infinity", "-Infinity"))
    return _encode_lines(named.tolist())


def _to_iso_8601(values: NDArray[Any]) -> NDArray[Any]:
    unit = np.datetime_data(values.dtype)[0]
    texts = np.datetime_as_string(values.astype(f"datetime64[{_FINER_UNITS.get(unit, unit)}]")).astype(object)
    texts[np.isnat(values)] = None
    return texts


def _to_json_type(value: Any) -> Any:
    """Convert an object that msgspec cannot encode: a number of numpy, or a datetime of pandas."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"JSON has no {type(value).__name__}")


_IS_FINITE: Final = np.frompyfunc(lambda value: not isinstance(value, float) or math.isfinite(value), 1, 1)
_encode_lines = msgspec.json.Encoder(enc_hook=_to_json_type).encode_lines
