"""The JSON encoding of a pipeline's output."""

import json
from typing import Any

import numpy as np
import pytest

from worker.pool.encoding import _json_items


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.array([0, 1], dtype=np.int64), b"0,1"),
        (np.array([True, False]), b"true,false"),
        (np.array(["a,b", "Infinity", 'NaN"']), b'"a,b","Infinity","NaN\\""'),
        (np.array([0.1, -np.inf, np.inf, np.nan]), b'0.1,"-Infinity","Infinity","NaN"'),
        (np.array([[0.0, -np.inf], [1e-300, -0.0]]), b'[0.0,"-Infinity"],[1e-300,-0.0]'),
    ],
)
def test_values_become_json(values: Any, text: bytes) -> None:
    assert ",".join(_json_items(values)).encode() == text


def test_floats_keep_every_bit() -> None:
    generator = np.random.default_rng(1)
    values = np.frombuffer(generator.bytes(80_000), dtype=np.float64)
    values = values[np.isfinite(values)]
    assert np.array(json.loads("[" + ",".join(_json_items(values)) + "]")).tobytes() == values.tobytes()
