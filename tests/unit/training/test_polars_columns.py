"""Every kind of polars column is reproduced exactly."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shared.columns import INTEGER_RANGES
from shared.errors import CannotServe
from tests.request_path import RequestPath, with_names

TEXTS = ["", "a,b", 'Zürich "NaN"\n', "東京 🐧"]
FLOATS = [0.1, -0.0, 1e-300, 5e-324, 3.0]
MOMENTS = ["1969-12-31T23:59:59.123456", "2024-02-29T01:02:03", "2024-10-27T00:30:00.000001", "2024-10-27T01:30:00"]


def moments(unit: Any, time_zone: str | None = None) -> pl.Series:
    found = pl.Series(np.array([*MOMENTS, "NaT"], dtype="datetime64[ns]")).cast(pl.Datetime(unit))
    return found if time_zone is None else found.dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone)


SERVED: dict[str, pl.Series] = {
    "Float64": pl.Series(FLOATS),
    "Float64 with NaN": pl.Series([*FLOATS, float("nan")]),
    "Float64 with null": pl.Series([*FLOATS, None]),
    "Float64, all null": pl.Series([None, None], dtype=pl.Float64),
    "Float32": pl.Series([0.1, 3e38, 1e-45], dtype=pl.Float32),
    "Float32 with NaN": pl.Series([0.1, float("nan")], dtype=pl.Float32),
    **{
        f"{name.value}{with_null and ' with null'}": pl.Series(
            [*limits, *([None] if with_null else [])], dtype=getattr(pl, name.value.title().replace("i", "I"))
        )
        for name, limits in INTEGER_RANGES.items()
        for with_null in ("", "null")
    },
    "Boolean": pl.Series([True, False]),
    "Boolean with null": pl.Series([True, False, None]),
    "String": pl.Series(TEXTS),
    "String with null": pl.Series([*TEXTS, None]),
    "Enum": pl.Series(["b", "a", None], dtype=pl.Enum(["unused", "b", "a"])),
    "Categorical": pl.Series(["b", "a", None, "b"], dtype=pl.Categorical()),
    "Date": pl.Series([date(1969, 12, 31), date(2024, 2, 29), None]),
    **{
        f"Datetime in {unit} {time_zone}": moments(unit, time_zone)
        for unit in ("ms", "us", "ns")
        for time_zone in (None, "UTC", "Europe/Berlin")
    },
}


@pytest.mark.parametrize("kind", SERVED)
def test_column_arrives_as_it_was(kind: str) -> None:
    X = pl.DataFrame([SERVED[kind].alias("any name"), pl.Series("x1", np.arange(float(len(SERVED[kind]))))])
    path = RequestPath.to(X)
    rows = path.rows_of(X)
    assert_same(path.receive(X), X)
    assert_same(path.decode(path.encode(with_names(path.card.input, rows))), X)
    assert_same(path.decode(path.batch(rows, 1)[0]), X)
    for index in range(len(X)):
        assert_same(path.receive(X[[index]]), X[[index]])


@pytest.mark.parametrize("kind", SERVED)
def test_every_kind_can_be_made_nullable(kind: str) -> None:
    X = pl.DataFrame({"any name": SERVED[kind][:1]})
    path = RequestPath.to(X, nullable=True)
    missing = path.decode(path.encode([[None]]))
    assert missing.schema == X.schema
    assert missing["any name"][0] is None or np.isnan(missing["any name"][0])


REFUSED: dict[str, tuple[pl.Series, str]] = {
    "Duration": (pl.Series([1], dtype=pl.Duration), "Duration.*total_seconds"),
    "Time": (pl.Series([1], dtype=pl.Time), "Time.*Convert it"),
    "Decimal": (pl.Series(["1.5"]).cast(pl.Decimal(10, 2)), "Decimal.*cast.*Float64"),
    "List": (pl.Series([[1, 2]]), "List.*column of its own"),
    "Struct": (pl.Series([{"a": 1}]), "Struct.*column of its own"),
    "Null": (pl.Series([None]), "Null.*Convert it"),
    "Object": (pl.Series([object()], dtype=pl.Object), "Object.*Convert it"),
    "Binary": (pl.Series([b"a"]), "Binary.*Convert it"),
    "NaN and null": (pl.Series([0.5, float("nan"), None]), r"two ways.*fill_nan\(None\)"),
    "an infinite number": (pl.Series([0.5, float("inf")]), "infinite number.*Replace it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_refused_with_a_way_out(kind: str) -> None:
    column, reason = REFUSED[kind]
    with pytest.raises(CannotServe, match=f'(?s)"any name".*{reason}'):
        RequestPath.to(pl.DataFrame({"any name": column}))


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert_frame_equal(found, expected, check_exact=True)
    for name in expected.columns:
        if expected[name].dtype.is_float():  # 0.0 equals -0.0
            assert found[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()
