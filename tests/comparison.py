"""Compares the outputs in a JSON response with the results of the pipeline's own methods."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def items(values: Any) -> list[Any]:
    """Return the values of an output for each row; with several targets, a list of arrays."""
    return list(zip(*values, strict=True)) if isinstance(values, list) else list(values)


def compare(found: list[Any], direct: list[Any], *, to_the_bit: bool) -> None:
    """Compare served values with those of a direct call: to the bit, or within rounding errors."""
    assert len(found) == len(direct)
    for one, other in zip(found, direct, strict=True):
        if isinstance(other, tuple):
            compare(one, list(other), to_the_bit=to_the_bit)
        else:
            compare_arrays(one, np.asarray(other), to_the_bit=to_the_bit)


def compare_arrays(found: Any, direct: NDArray[Any], *, to_the_bit: bool) -> None:
    """Compare the JSON of an item with an array."""
    if direct.dtype.kind == "M":
        assert found == np.datetime_as_string(direct).tolist()
    elif direct.dtype.kind != "f":
        assert found == direct.tolist()
    else:
        values = np.array(found, dtype=np.float64).astype(direct.dtype)
        if to_the_bit:
            assert values.tobytes() == direct.tobytes(), (values, direct)
        else:
            tolerance = 1e-9 if direct.dtype == np.float64 else 1e-3
            np.testing.assert_allclose(values, direct, rtol=tolerance, atol=tolerance / 1000)
