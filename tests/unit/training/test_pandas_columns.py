"""Every kind of pandas column is reproduced exactly: dtype, storage, categories, markers of missing values."""

from collections.abc import Sequence
from datetime import date, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal

from shared.columns import INTEGER_RANGES, ValueType
from tests.request_path import RequestPath, with_names

NAN, NA, NAT = np.nan, pd.NA, pd.NaT
DAYS = [date(1969, 12, 31), date(2024, 2, 29), date(2262, 4, 11)]
MOMENTS = ["1969-12-31T23:59:59", "2024-02-29T01:02:03", "2024-10-27T00:30:00", "2024-10-27T01:30:00"]
TEXTS = ["", "a,b", 'Zürich "NaN"\n', "東京 🐧"]
WITHOUT_MISSING = {"bool", *(each.value for each in INTEGER_RANGES)}
FLOATS = [0.1, -0.0, 1e-300, 1e300, 5e-324, 3.0]


def series(values: Sequence[Any], dtype: Any = object) -> pd.Series:
    return pd.Series(list(values), dtype=dtype)


def moments(unit: str, time_zone: Any = None, *, missing: bool = False) -> pd.Series:
    fraction = {"s": "", "ms": ".123", "us": ".123456", "ns": ".123456789"}[unit]
    values = [moment + fraction for moment in MOMENTS]
    found = pd.Series(np.array([*values, *(["NaT"] if missing else [])], dtype=f"datetime64[{unit}]"))
    return found if time_zone is None else found.dt.tz_localize("UTC").dt.tz_convert(time_zone)


def categories(values: Any, *, ordered: bool = False, missing: bool = False) -> pd.Series:
    """A column that does not use its first category."""
    codes = [*range(1, len(values)), 1, *([-1] if missing else [])]
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(values), ordered=ordered))


def arrow(values: Sequence[Any], kind: Any) -> pd.Series:
    return pd.Series(pd.array(list(values), dtype=pd.ArrowDtype(kind)))


def text(storage: str, missing: Any) -> Any:
    return pd.StringDtype(storage, na_value=missing)


def limits(name: ValueType) -> list[int]:
    smallest, largest = INTEGER_RANGES[name]
    return [smallest, largest, 0, 1]


BERLIN = "Europe/Berlin"
EAST = timezone(timedelta(hours=5, minutes=45))

SERVED: dict[str, pd.Series] = {
    "float64": series(FLOATS, "float64"),
    "float64 with NaN": series([*FLOATS, NAN], "float64"),
    "float64, all missing": series([NAN, NAN], "float64"),
    "float32": series([0.1, 3e38, 1e-45], "float32"),
    "float32 with NaN": series([0.1, NAN], "float32"),
    **{name.value: series(limits(name), name.value) for name in INTEGER_RANGES},
    **{f"{name.value}, masked": series([*limits(name), NA], masked) for name in INTEGER_RANGES
       for masked in [name.value.replace("uint", "UInt").replace("int", "Int")]},
    "Int64 without missing": series([1, 2], "Int64"),
    "Float64, masked": series([0.1, NA], "Float64"),
    "Float32, masked": series([0.1, NA], "Float32"),
    "bool": series([True, False], "bool"),
    "boolean": series([True, False, NA], "boolean"),
    "object of str": series(TEXTS),
    "object of str with None": series([*TEXTS, None]),
    "object of str with NaN": series([*TEXTS, NAN]),
    "object of str with NA": series([*TEXTS, NA]),
    "object of str with NaT": series([*TEXTS, NAT]),
    "object, all None": series([None, None]),
    "object of bool": series([True, False]),
    "object of bool with None": series([True, None]),
    "object of bool with NaN": series([True, False, NAN]),
    "object of int": series([1, -(2**63), 2**63 - 1]),
    "object of int with NA": series([1, NA]),
    "object of float": series(FLOATS),
    "object of float with None": series([0.5, None]),
    "object of float with NaN": series([0.5, NAN]),
    "object of date": series(DAYS),
    "object of date with None": series([*DAYS, None]),
    "object of date with NaT": series([*DAYS, NAT]),
    **{
        f"{kind} in {storage}": series([*TEXTS, missing], text(storage, missing))
        for storage in ("python", "pyarrow")
        for kind, missing in (("str", NAN), ("string", NA))
    },
    "str without missing": series(TEXTS, "str"),
    **{f"arrow {name.value}": arrow([*limits(name), None], getattr(pa, name.value)()) for name in INTEGER_RANGES},
    "arrow double": arrow([*FLOATS, None], pa.float64()),
    "arrow float": arrow([0.1, None], pa.float32()),
    "arrow bool": arrow([True, None], pa.bool_()),
    "arrow string": arrow([*TEXTS, None], pa.string()),
    "arrow large_string": arrow([*TEXTS, None], pa.large_string()),
    "arrow date32": arrow([*DAYS, None], pa.date32()),
    **{
        f"arrow timestamp {unit}{zone and ', zoned'}": series(
            moments(unit, zone, missing=missing), pd.ArrowDtype(pa.timestamp(unit, tz=zone))
        )
        for unit in ("s", "ms", "us", "ns")
        for zone, missing in ((None, False), (BERLIN, True))
    },
    "arrow timestamp with missing": series(moments("us", missing=True), pd.ArrowDtype(pa.timestamp("us"))),
    "arrow timestamp in UTC": series(moments("us", "UTC"), pd.ArrowDtype(pa.timestamp("us", tz="UTC"))),
    "category of str": categories(pd.Index(TEXTS, dtype="str"), missing=True),
    "category of str in order": categories(pd.Index(["low", "middle", "high"], dtype="str"), ordered=True),
    "category of object": categories(pd.Index(TEXTS, dtype=object)),
    "category of string": categories(pd.Index(TEXTS, dtype="string")),
    "category of string in pyarrow": categories(pd.Index(TEXTS, dtype=text("pyarrow", NA))),
    "category of arrow strings": categories(pd.Index(TEXTS, dtype=pd.ArrowDtype(pa.string()))),
    "category of int64": categories(np.array([3, 1, 2]), missing=True),
    "category of int8": categories(pd.Index([3, 1, 2], dtype="int8")),
    "category of Int64": categories(pd.Index([3, 1, 2], dtype="Int64")),
    "category of float64": categories([0.5, 0.1, 2.0]),
    "category of float32": categories(pd.Index([0.5, 0.1, 2.0], dtype="float32"), missing=True),
    "category of bool": categories([True, False]),
    "category of boolean": categories(pd.Index([True, False], dtype="boolean")),
    "category of object bools": categories(pd.Index([True, False], dtype=object)),
    "category of datetimes": categories(moments("us"), missing=True),
    "category of zoned datetimes": categories(moments("ns", BERLIN), ordered=True),
    "category of dates": categories(pd.Index(DAYS, dtype=object)),
    "category without values": pd.Series(pd.Categorical([NAN, NAN], categories=["a"])),
    **{f"datetime64[{unit}]": moments(unit) for unit in ("s", "ms", "us", "ns")},
    **{f"datetime64[{unit}] with NaT": moments(unit, missing=True) for unit in ("s", "ns")},
    **{f"datetime64[{unit}] in Berlin": moments(unit, BERLIN, missing=True) for unit in ("s", "ms", "us", "ns")},
    "datetime64 in UTC": moments("us", "UTC"),
    "datetime64 in a fixed offset": moments("us", EAST, missing=True),
    "datetime64 in a negative offset": moments("us", timezone(-timedelta(hours=1))),
}  # fmt: skip


@pytest.mark.parametrize("kind", SERVED)
def test_column_arrives_as_it_was(kind: str) -> None:
    X = pd.DataFrame({"any name": SERVED[kind], "x1": np.arange(float(len(SERVED[kind])))})
    path = RequestPath.to(X)
    rows = path.rows_of(X)
    assert_same(path.receive(X), X)
    assert_same(path.decode(path.encode(with_names(path.card.input, rows))), X)
    assert_same(path.decode(path.batch(rows, 1)[0]), X)
    for index in range(len(X)):
        one = X.iloc[[index]].reset_index(drop=True)
        assert_same(path.receive(one), one)


@pytest.mark.parametrize("kind", SERVED)
def test_every_kind_that_can_store_a_missing_value_can_be_made_nullable(kind: str) -> None:
    X = pd.DataFrame({"any name": SERVED[kind][:1]})
    path = RequestPath.to(X, nullable=True)
    (column,) = path.card.input.columns
    assert column.nullable is (column.dtype not in WITHOUT_MISSING)
    if column.nullable:
        missing = path.decode(path.encode([[None]]))
        assert missing["any name"].dtype == X["any name"].dtype
        assert missing["any name"].isna().all()


def test_frame_of_all_kinds_arrives_as_it_was() -> None:
    ends = [column.iloc[[0, -1]].reset_index(drop=True) for column in SERVED.values()]
    X = pd.concat(ends, axis=1, keys=SERVED)
    assert_same(RequestPath.to(X).receive(X), X)


@pytest.mark.parametrize("dtype", ["str", "object", "string"])
def test_column_names_keep_their_dtype(dtype: str) -> None:
    X = pd.DataFrame([[1.0, 2.0]], columns=pd.Index(["b", "a"], dtype=dtype))
    assert_same(RequestPath.to(X).receive(X), X)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert_frame_equal(found, expected, check_exact=True, check_column_type="exact", check_freq=True)
    for name in expected:
        if expected[name].dtype == object:  # assert_frame_equal takes None for NaN
            assert list(map(type, found[name])) == list(map(type, expected[name]))
        elif isinstance(expected[name].dtype, pd.CategoricalDtype):
            found_type, expected_type = found[name].cat.categories, expected[name].cat.categories
            assert list(map(type, found_type)) == list(map(type, expected_type))
        if expected[name].dtype in (np.float64, np.float32):  # 0.0 equals -0.0
            assert found[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()
