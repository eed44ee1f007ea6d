"""Accepted bodies, the encoding of their rows, and the errors of refused ones."""

import json
import struct
from collections import Counter
from typing import Any, Final
from unittest.mock import patch

import pytest

from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.columns import Unit, ValueType
from shared.errors import Fault, InvalidRows, MalformedJson
from shared.rows import decode
from tests.bodies import MALFORMED, ROWS, Refusal, an_object, array, body, refusals, without
from tests.unit.api.http.cards import CARDS, card, category, column, matrix

REFUSALS: Final = list(refusals())
LARGEST_FLOAT32: Final = 3.4028234663852886e38


def read(content: bytes, model: ModelCard, max_text_bytes: int = 2**20) -> list[Any]:
    """Return the rows of a body as a worker decodes them."""
    parts = BodyReader(10_000, max_text_bytes)(content, model).rows
    return [row for part in parts for row in decode(part)]


def faults_of(content: bytes, model: ModelCard) -> list[Fault]:
    """Return the faults of a body that is refused."""
    with pytest.raises(InvalidRows) as caught:
        read(content, model)
    return caught.value.faults


def name_of(refusal: Refusal) -> str:
    return f"{refusal.model}-{refusal.pointer}-{refusal.words[-1]}"


@pytest.mark.parametrize("refusal", REFUSALS, ids=name_of)
def test_refusal_names_the_place_and_the_remedy(refusal: Refusal) -> None:
    faults = faults_of(refusal.body, CARDS[refusal.model])
    details = [fault.detail for fault in faults if fault.pointer == refusal.pointer]
    assert any(all(words in detail for words in refusal.words) for detail in details), faults


def test_refusals_cover_every_column_type() -> None:
    refused = {refusal.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~") for refusal in REFUSALS}
    assert refused >= set(ROWS["typed"]) - {"float64_or_nan"}
    assert len(REFUSALS) + len(MALFORMED) >= 200


@pytest.mark.parametrize(("model", "content", "words"), MALFORMED)
def test_what_is_not_json_is_malformed(model: str, content: bytes, words: str) -> None:
    with pytest.raises(MalformedJson, match=words):
        read(content, CARDS[model])


@pytest.mark.parametrize("model", ROWS)
def test_arrays_and_objects_in_any_order_give_the_same_rows(model: str) -> None:
    expected = read(body(array(model)), CARDS[model])
    assert read(body(an_object(model)), CARDS[model]) == expected
    turned = json.dumps(dict(reversed(json.loads(an_object(model)).items())))
    assert read(body(turned), CARDS[model]) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("float32", "3.4028234663852886e38", LARGEST_FLOAT32),
        ("float32", "16777217", 16777217.0),
        ("float64", "-0.0", -0.0),
        ("float64", "1.7976931348623157e308", 1.7976931348623157e308),
        ("float64", "5e-324", 5e-324),
        ("float64", "1e-400", 0.0),
        ("float64", "3", 3.0),
        ("float64", "9007199254740993", 9007199254740992.0),
        ("float64", "123456789012345678901234567890", 1.2345678901234568e29),
        ("float64_or_nan", "null", None),
        ("int8", "3.0", 3),
        ("int8", "1e2", 100),
        ("int8", "-128", -128),
        ("int16", "-0.0", 0),
        ("int64", "9223372036854775807", 2**63 - 1),
        ("int64", "9007199254740991.0", 2**53 - 1),
        ("uint8", "255", 255),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("Int64_or_na", "9007199254740993", 2**53 + 1),
        ("Int64_or_na", "null", None),
        ("bool", "false", False),
        ("boolean_or_na", "null", None),
        ("text", '""', ""),
        ("text", '"NaN"', "NaN"),
        ("text", '"\\u0000:\\ud83d\\ude00\\\\ud800"', "\0:😀\\ud800"),
        ("text_or_nan", "null", None),
        ("datetime_s", '"2024-02-29"', "2024-02-29T00:00:00"),
        ("datetime_s", '"2024-02-29t12:30"', "2024-02-29T12:30:00"),
        ("datetime_s", '"2024-02-29 12:30:15.000"', "2024-02-29T12:30:15"),
        ("datetime_s", '"0001-01-01T00:00:00"', "0001-01-01T00:00:00"),
        ("datetime_ms", '"2024-02-29T12:30:15.5"', "2024-02-29T12:30:15.500"),
        ("datetime_us", '"2024-02-29T12:30:15.123456000"', "2024-02-29T12:30:15.123456"),
        ("datetime_ns", '"2262-04-11T23:47:16.854775807"', "2262-04-11T23:47:16.854775807"),
        ("zoned", '"2024-02-29T00:30:00+01:00"', "2024-02-28T23:30:00.000000Z"),
        ("zoned", '"2024-02-29T12:00:00.25z"', "2024-02-29T12:00:00.250000Z"),
        ("zoned", '"2024-02-29T12:00:00-05:30"', "2024-02-29T17:30:00.000000Z"),
        ("datetime_or_nat", "null", None),
        ("date", '"9999-12-31"', "9999-12-31"),
        ("date_or_none", "null", None),
        ("size_or_nan", "null", None),
        ("grade", "2.0", 2),
    ],
)
def test_value_is_accepted_and_encoded(name: str, value: str, expected: Any) -> None:
    index = list(ROWS["typed"]).index(name)
    for row in (array("typed", **{name: value}), an_object("typed", **{name: value})):
        (found,) = read(body(row), CARDS["typed"])
        assert (type(found[index]), repr(found[index])) == (type(expected), repr(expected))


@pytest.mark.parametrize(
    ("known", "sent", "expected"),
    [
        (category("c", ValueType.FLOAT64, 0.5, 2.0), "2", 2.0),
        (category("c", ValueType.BOOL, False, True), "true", True),
        (category("c", ValueType.DATE, "2024-02-29"), '"2024-02-29"', "2024-02-29"),
        (
            category("c", ValueType.DATETIME, "2024-02-29T12:00:00Z", unit=Unit.SECOND, time_zone="UTC"),
            '"2024-02-29T13:00:00+01:00"',
            "2024-02-29T12:00:00Z",
        ),
    ],
)
def test_categories_are_of_any_type(known: Any, sent: str, expected: Any) -> None:
    assert read(body(f"[{sent}]"), card("table", known)) == [[expected]]


def test_absent_nullable_column_is_missing() -> None:
    (row,) = read(body(without("penguins", "sex", "body_mass_g")), CARDS["penguins"])
    assert row == ["Torgersen", 39.1, 18.7, 181.0, None, None, 2007]


def test_missing_number_of_a_matrix_is_nan_and_negative_zero_is_kept() -> None:
    (part,) = BodyReader(10, 1)(b'{"data": [[null, -0.0, 1]]}', matrix(nullable=True)).rows
    assert part.content == struct.pack("3d", float("nan"), -0.0, 1.0)


@pytest.mark.parametrize(
    ("model", "accepted", "refused", "words"),
    [
        (matrix(ValueType.FLOAT32), "3.4e38", "1e39", "the range of float32"),
        (matrix(ValueType.UINT8), "255.0", "256", "an integer from 0 to 255"),
        (matrix(ValueType.INT64), "9007199254740993", "9007199254740993.0", "its digits alone"),
        (matrix(ValueType.BOOL), "true", "1", "true or false"),
        (matrix(nullable=True), "null", '"NaN"', "A missing value is null."),
    ],
)
def test_matrix_is_read_by_the_type_of_its_columns(model: ModelCard, accepted: str, refused: str, words: str) -> None:
    (row,) = read(body(f"[{accepted}, {accepted}, {accepted}]"), model)
    assert row[0] == json.loads(accepted) or row[0] != row[0]
    (fault,) = faults_of(body(f"[{accepted}, {refused}, {accepted}]"), model)
    assert fault.pointer == "/data/0/1"
    assert '"x1"' in fault.detail
    assert words in fault.detail


def test_limit_of_a_text_is_in_bytes() -> None:
    for model in (CARDS["texts"], card("table", column("a", ValueType.STRING))):
        row = "{}" if model.input.kind == "text" else "[{}]"
        assert read(body(row.format('"éééé"')), model, max_text_bytes=8)
        with pytest.raises(InvalidRows):
            read(body(row.format('"ééééx"')), model, max_text_bytes=8)


def test_every_fault_of_the_first_invalid_row_is_listed() -> None:
    faults = faults_of(body(array("penguins"), '[1, "a", 1, 1, 1, 1, null]', "[]"), CARDS["penguins"])
    assert [fault.pointer for fault in faults] == ["/data/1/0", "/data/1/1", "/data/1/5", "/data/1/6"]


def test_faults_of_a_row_are_bounded() -> None:
    unknown = ", ".join(f'"bill_length_mm{number}": 0' for number in range(5_000))
    wide = matrix(n_columns=5_000)
    long_category = category("c", ValueType.STRING, *(f"{number}{'x' * 200}" for number in range(100_000)))
    bodies = [
        (body(f"{{{unknown}}}"), CARDS["penguins"]),
        (f'{{"data": [[1]], {unknown}}}'.encode(), CARDS["penguins"]),
        (body(f'{{"{"x" * 1_000_000}": 1}}'), CARDS["penguins"]),
        (body(f"[{', '.join(['true'] * 5_000)}]"), wide),
        (body(f'[{", ".join(["1"] * 4_999)}, "{"x" * 1_000_000}"]'), wide),
        (body("{}"), wide),
        (body('["0"]'), card("table", long_category)),
    ]
    for content, model in bodies:
        faults = faults_of(content, model)
        assert len(faults) <= 110
        assert sum(len(fault.pointer) + len(fault.detail) for fault in faults) < 50_000


def test_large_body_of_another_shape_is_refused_before_it_is_read() -> None:
    unknown = ", ".join(f'"unknown {number}": 0' for number in range(100_000))
    row = array("penguins")
    bodies = [
        (body(row, f"{{{unknown}}}"), "/data/1", '"bill_length_mm"'),
        (body(row, f"[{', '.join('1' * 500_000)}]"), "/data/1", "an array of 7 values"),
        (body(row, f"[{', '.join(['[]'] * 500_000)}]"), "/data/1", "an array of 7 values"),
        (body(f"[{row[1:-1].rpartition(',')[0]}, [{'[],' * 500_000}[]]]"), "/data/0", "an array of 7 values"),
        (b'{"data": [[' + b"[" * 2_000_000, "/data/0", "an array of 7 values"),
        (body(row)[:-1] + b', "outputs": [' + b"[]," * 500_000 + b"[]]}", "/outputs", "an array of names"),
        (f'{{"data": [{row}], {unknown}}}'.encode(), "", 'The body must have "data"'),
        (body(*[row] * 20_000), "/data", "an array of 1 to 10000 rows"),
    ]
    with patch("api.http.rows.parse", side_effect=AssertionError("it was read")):
        for content, pointer, words in bodies:
            (fault,) = faults_of(content, CARDS["penguins"])
            assert fault.pointer == pointer
            assert words in fault.detail


def test_large_body_of_a_text_model_with_other_rows_is_refused_before_it_is_read() -> None:
    with patch("api.http.rows.parse", side_effect=AssertionError("it was read")):
        for rows in (["{}"] * 500_000, ["[]"] * 500_000, [f"[{'[],' * 500_000}[]]"], ["1"] * 600_000):
            (fault,) = faults_of(body('"a"', *rows), CARDS["texts"])
            assert fault == Fault("/data/1", "A row must be a text.")


def test_number_that_is_out_of_range_is_named_in_a_large_body_too() -> None:
    for number in ("1e999", "9" * 5_000, "-1e999"):
        (fault,) = faults_of(body(f"[1, 2, 3, {number}]") + b" " * 2**20, CARDS["iris"])
        assert fault.pointer == "/data/0/3"
        assert "too large" in fault.detail


def test_large_body_of_the_right_shape_is_read() -> None:
    rows = [an_object("penguins", year="2007.0", sex="null"), without("penguins", "sex", "body_mass_g")] * 5_000
    assert len(read(body(*rows), CARDS["penguins"])) == 10_000


def test_only_some_unknown_columns_are_compared_with_the_known_ones() -> None:
    row = ", ".join(f'"bill_length_mm{number}": 0' for number in range(1_000))
    suggested = Counter("Did you mean" in fault.detail for fault in faults_of(body(f"{{{row}}}"), CARDS["penguins"]))
    assert suggested[True] == 5


def test_only_some_categories_are_compared_with_the_known_ones() -> None:
    known = [category(f"c{number}", ValueType.STRING, "large", "small") for number in range(50)]
    faults = faults_of(body(json.dumps(["smal"] * 50)), card("table", *known))
    assert len(faults) == 50
    assert Counter("Did you mean" in fault.detail for fault in faults)[True] == 5
