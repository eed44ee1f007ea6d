"""The fast decoder of bodies accepts only bodies that the strict one accepts, and yields the same bytes."""

import json
from typing import Any, Final
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.row_decoder import RowDecoder
from api.http.rows import BodyReader
from shared.card import ModelCard
from shared.columns import ValueType
from shared.errors import InvalidRows, MalformedJson
from shared.rows import EncodedRows
from tests.bodies import an_object, array, body
from tests.unit.api.http.cards import CARDS, card, category, column, matrix

MODELS: Final = {
    "float64": matrix(),
    "float32": matrix(ValueType.FLOAT32),
    "nullable": matrix(nullable=True),
    "int8": matrix(ValueType.INT8),
    "uint64": matrix(ValueType.UINT64),
    "table": card(
        "table",
        column("x0", ValueType.FLOAT64, nullable=True),
        column("x1", ValueType.STRING),
        category("x2", ValueType.STRING, "a", "b:", nullable=True),
    ),
}
MAX_ROWS, MAX_TEXT_BYTES = 3, 8

NUMBER: Final = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-?[1-9][0-9]{15,40}(\.[0-9]{1,20})?", fullmatch=True),
    st.floats().map(repr),
    st.integers(-300, 300).map(str),
    st.sampled_from(["-0", "1e308", "1.7976931348623158e308", "3.4028235677973366e38", "9" * 309, "1" * 4400]),
)
OTHER: Final = st.one_of(
    st.sampled_from(["null", "true", "NaN", "-Infinity", "[]", "{}", "01", "1.", "+1", "", '"\\ud800"', '"a"', '"b:"']),
    st.text(max_size=4).map(json.dumps),
    st.text(st.characters(codec="utf-8"), max_size=4).map(lambda text: f'"{text}"'),
)
VALUE: Final = st.one_of(NUMBER, NUMBER, NUMBER, OTHER)
NAME: Final = st.sampled_from(["x0", "x1", "x2", "x3", "x\\u0031", ""])
SPACE: Final = st.sampled_from(["", "", "", " ", "\n\t", "\u00a0", "\0"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body, not always valid, whose rows have about three values."""

    def row() -> str:
        values = draw(st.lists(VALUE, min_size=3, max_size=3) | st.lists(VALUE, max_size=4))
        if is_array:
            return f"[{(draw(SPACE) + ',').join(values)}]"
        names = ["x0", "x1", "x2"] if draw(st.booleans()) else [draw(NAME) for _ in values]
        return (
            "{" + ",".join(f'"{name}"{draw(SPACE)}:{value}' for name, value in zip(names, values, strict=False)) + "}"
        )

    is_array = draw(st.booleans())
    rows = ",".join(row() for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4]))))
    content = f'{{{draw(SPACE)}"data":[{rows}]{draw(SPACE)}}}'.encode("utf-8", "surrogatepass")
    return content.replace(*draw(st.sampled_from([(b"", b"", 0), (b'"data"', b'"da', 1), (b"}", b',"data":[]}', 1)])))


def outcome(model: ModelCard, content: bytes) -> list[EncodedRows] | type[Exception]:
    try:
        return BodyReader(MAX_ROWS, MAX_TEXT_BYTES)(content, model).rows
    except (InvalidRows, MalformedJson) as refused:
        return type(refused)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=30, derandomize=True)
@given(content=bodies())
def test_both_ways_accept_the_same_bodies_and_give_the_same_bytes(model: str, content: bytes) -> None:
    found = outcome(MODELS[model], content)
    with patch("api.http.rows.RowDecoder", lambda *_: None):
        assert outcome(MODELS[model], content) == found


@pytest.mark.parametrize("model", ["iris", "penguins"])
@pytest.mark.parametrize("write", [array, an_object])
def test_valid_rows_are_decoded_at_once(model: str, write: Any) -> None:
    decode = RowDecoder(CARDS[model].input.columns, 10, 2**20)
    assert decode(body(write(model), write(model))) is not None


def test_columns_whose_names_or_number_do_not_suit_objects_are_read_strictly() -> None:
    for names in (['a"b', "c\\d", "e\nf"], [f"é{number}" for number in range(65)]):
        model = card("table", *(column(name, ValueType.FLOAT64) for name in names))
        row = json.dumps(dict.fromkeys(names, 1))
        assert RowDecoder(model.input.columns, 10, 10)(body(row)) is None
        assert outcome(model, body(row)) == outcome(model, body(json.dumps([1] * len(names))))
