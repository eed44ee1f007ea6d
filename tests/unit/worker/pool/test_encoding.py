"""The JSON encoding of a pipeline's output."""

import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from worker.pool.encoding import encode_items


def text(values: NDArray[Any]) -> str:
    return b",".join(encode_items(values)).decode()


def objects(*values: Any) -> NDArray[Any]:
    return np.array([*values, None], dtype=object)[:-1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 2**63 - 1], dtype=np.int64), "0,9223372036854775807"),
        (np.array([True, False]), "true,false"),
        (np.array(["a,b", "Infinity", 'NaN"', "a\nb\u2028é"]), '"a,b","Infinity","NaN\\"","a\\nb\u2028é"'),
        (objects("a,b", "é"), '"a,b","é"'),
        (objects(1, True, None, 0.5, np.nan, -np.inf), '1,true,null,0.5,"NaN","-Infinity"'),
        (objects(np.int64(1), np.float32(0.5), np.bool_(True)), "1,0.5,true"),
        (objects(date(2026, 1, 31), pd.Timestamp("2026-01-31T12:00")), '"2026-01-31","2026-01-31T12:00:00"'),
        (np.array([0.1, -np.inf, np.inf, np.nan]), '0.1,"-Infinity","Infinity","NaN"'),
        (np.array([[0.0, -np.inf], [1e-300, -0.0]]), '[0.0,"-Infinity"],[1e-300,-0.0]'),
        (np.array([0.1, 1e-45, 3.4028235e38, np.nan], dtype=np.float32), '0.1,1e-45,3.4028235e38,"NaN"'),
        (np.array([0.1], dtype=np.float16), "0.1"),
        (np.array([[1, 0], [0, 1]]), "[1,0],[0,1]"),
        (np.array([["a", "b"]]), '["a","b"]'),
        (np.array([["a", 1]], dtype=object), '["a",1]'),
        (np.array(["2026-01-31T12", "NaT"], dtype="datetime64[h]"), '"2026-01-31T12:00:00",null'),
        (np.array(["2026-01-31T12:00:00.5"], dtype="datetime64[us]"), '"2026-01-31T12:00:00.500000"'),
        (np.array(["2026-01-31T12:00:00"], dtype="datetime64[ns]"), '"2026-01-31T12:00:00.000000000"'),
        (np.array(["2026-01", "2026-02"], dtype="datetime64[M]"), '"2026-01-01","2026-02-01"'),
    ],
)
def test_values_become_json(values: NDArray[Any], expected: str) -> None:
    assert text(values) == expected
    assert len(json.loads(f"[{expected}]")) == len(values)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_keep_every_bit(dtype: type[np.floating[Any]]) -> None:
    values = np.frombuffer(np.random.default_rng(1).bytes(80_000), dtype=dtype)
    values = values[np.isfinite(values)]
    parsed = np.array(json.loads(f"[{text(values)}]"))
    assert parsed.astype(dtype).tobytes() == values.tobytes()


def test_float32_has_at_most_nine_digits() -> None:
    values = np.random.default_rng(1).random(1000, dtype=np.float32)
    assert text(values).split(",") == [str(value).replace("e-0", "e-") for value in values]


def test_object_that_json_lacks_is_an_error() -> None:
    with pytest.raises(TypeError, match="JSON has no object"):
        encode_items(objects(object()))
