"""Rows in every form that users give, and the JSON that is sent."""

import io
import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from sepal_client.errors import InvalidInput
from sepal_client.rows import is_frame, json_body, write_ndjson

NAN, INFINITY = float("nan"), float("inf")
COLUMNS = {"island": ["Dream", None], "bill length (mm)": [46.5, NAN], "year": [2007, 2008]}
RECORDS = [
    {"island": "Dream", "bill length (mm)": 46.5, "year": 2007},
    {"island": None, "bill length (mm)": None, "year": 2008},
]


def sent(rows: Any) -> Any:
    return json.loads(json_body(rows, None))["data"]


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        ([[1, 2.5, "x", True, None]], [[1, 2.5, "x", True, None]]),
        (((1, 2), (3, 4)), [[1, 2], [3, 4]]),
        ([{"a": 1}, {"a": None}], [{"a": 1}, {"a": None}]),
        (["good", "bad"], ["good", "bad"]),
        ((row for row in [[1], [2]]), [[1], [2]]),
        (numpy.array([[4.8, NAN], [1, 2]]), [[4.8, None], [1.0, 2.0]]),
        ([numpy.array([1, 2]), numpy.array([3, 4])], [[1, 2], [3, 4]]),
        (numpy.array(["good", "bad"]), ["good", "bad"]),
        (pandas.Series(["good", "bad"]), ["good", "bad"]),
        (polars.Series(["good", "bad"]), ["good", "bad"]),
        ([[numpy.float32(0.5), numpy.int64(3), numpy.bool_(True), numpy.str_("x")]], [[0.5, 3, True, "x"]]),
        ([[pandas.NA, pandas.NaT, numpy.float64(NAN), NAN]], [[None, None, None, None]]),
        ([[Decimal("1.5"), Decimal("NaN")]], [[1.5, None]]),
        ([[date(2026, 1, 31), datetime(2026, 1, 31, 12)]], [["2026-01-31", "2026-01-31T12:00:00"]]),
        ([[datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))]], [["2026-01-31T12:00:00+01:00"]]),
        ([[pandas.Timestamp("2026-01-31T12:00:00.000000001")]], [["2026-01-31T12:00:00.000000001"]]),
        (pandas.DataFrame(COLUMNS, index=["p", "q"]), RECORDS),
        (polars.DataFrame(COLUMNS, strict=False), RECORDS),
        (pyarrow.table(COLUMNS), RECORDS),
        (pandas.DataFrame([[1, 2]]), [{"0": 1, "1": 2}]),
    ],
)
def test_rows_of_every_form_are_sent(rows: Any, data: Any) -> None:
    assert sent(rows) == data


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("4.8,3", "str is not a list of rows"),
        (b"4.8,3", "bytes is not a list of rows"),
        ({"island": "Dream"}, "dict is not a list of rows: give a list of rows"),
        (4.8, "float is not a list of rows"),
        ([4.8, 3, 1.4, 0.3], "Row 0 cannot be sent: its type is float; give a list of rows"),
        ([[1], [INFINITY]], "Row 1 cannot be sent: a value is infinite"),
        ([[object()]], "Row 0 cannot be sent: a value of type object cannot"),
        ([[b"x"]], "a value of type bytes cannot"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "the same name"),
    ],
)
def test_what_is_no_row_is_refused(rows: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        json_body(rows, None)


def test_outputs_are_beside_the_rows() -> None:
    assert json_body([[1]], ("proba", "leaves")) == b'{"data":[[1]],"outputs":["proba","leaves"]}'


def test_many_rows_are_a_line_each() -> None:
    file = io.BytesIO()
    write_ndjson(([index, "é"] for index in range(2500)), file)
    lines = file.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [[index, "é"] for index in range(2500)]
    assert file.getvalue().endswith(b"\n")


def test_no_rows_are_no_lines() -> None:
    file = io.BytesIO()
    write_ndjson([], file)
    assert file.getvalue() == b""


def test_columns_of_a_frame_are_no_frame() -> None:
    frame = pandas.DataFrame(COLUMNS)
    assert is_frame(frame)
    assert not is_frame(frame["year"])
    assert is_frame(polars.DataFrame({"a": [1]}))
    assert not is_frame(polars.Series([1]))
    assert is_frame(pyarrow.table({"a": [1]}))
    assert not is_frame(pyarrow.array([1]))
    assert not is_frame(numpy.zeros((2, 2)))
