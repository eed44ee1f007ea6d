"""Strings on the command line are converted to the types of the model's columns."""

import pytest

from sepal_client.cli.row import parse_named_row, parse_ordered_row, parse_text_row
from sepal_client.errors import InvalidInput
from sepal_client.model import Column
from tests.unit.client.cli.models import TEXTS, model

ROW = ("Dream", "46.5", "2007", "true", "small", "1", "2007-11-11")


def value(type_of_column: str, text: str) -> object:
    """Return the value that a text becomes in a column."""
    (found,) = parse_ordered_row(model((Column("it", type_of_column, nullable=True),)), [text])
    return found


def refused(type_of_column: str, text: str) -> str:
    """Return why a text is no value of a column."""
    with pytest.raises(InvalidInput) as caught:
        value(type_of_column, text)
    return str(caught.value)


def test_values_have_the_types_of_the_columns_in_their_order() -> None:
    assert parse_ordered_row(model(), ROW) == ["Dream", 46.5, 2007, True, "small", 1, "2007-11-11"]


@pytest.mark.parametrize(
    ("type_of_column", "text", "read"),
    [
        ("string", "007", "007"),
        ("string", " x ", " x "),
        ("float64", "007", 7.0),
        ("float32", "-1e-3", -0.001),
        ("int64", "-3", -3),
        ("uint8", "3.0", 3),
        ("int32", "1e3", 1000),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("bool", "False", False),
        ("datetime", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ],
)
def test_text_is_read_as_its_column_stores_it(type_of_column: str, text: str, read: object) -> None:
    assert value(type_of_column, text) == read
    assert type(value(type_of_column, text)) is type(read)


@pytest.mark.parametrize("column", ["string", "float64", "int64", "bool"])
def test_empty_value_is_missing(column: str) -> None:
    assert value(column, "") is None


def test_column_that_takes_no_missing_value_refuses_an_empty_one() -> None:
    with pytest.raises(InvalidInput, match='"island" must not be missing'):
        parse_named_row(model(), ["island="])


@pytest.mark.parametrize(
    ("type_of_column", "text", "reason"),
    [
        ("float64", "heavy", '"it" must be a number, not "heavy".'),
        ("float64", "nan", '"it" must be a number, not "nan".'),
        ("float64", "1e999", '"it" must be a number, not "1e999".'),
        ("int64", "3.5", '"it" must be an integer, not "3.5".'),
        ("int64", "x", '"it" must be an integer, not "x".'),
        ("bool", "1", '"it" must be true or false, not "1".'),
    ],
)
def test_error_says_what_a_column_takes(type_of_column: str, text: str, reason: str) -> None:
    assert refused(type_of_column, text) == reason


def test_value_of_no_category_is_refused_with_the_categories() -> None:
    with pytest.raises(InvalidInput, match='"size" must be one of small, large, not "huge"'):
        parse_named_row(model(), ["size=huge"])


def test_wrong_number_of_values_is_refused_with_the_columns() -> None:
    with pytest.raises(InvalidInput, match=r"has 7 values, not 2: island, bill length \(mm\), year"):
        parse_ordered_row(model(), ROW[:2])


def test_values_by_name_leave_out_what_is_missing() -> None:
    assert parse_named_row(model(), ["year=2007", "bill length (mm)="]) == {"year": 2007, "bill length (mm)": None}


def test_value_may_have_the_sign_that_ends_the_name() -> None:
    columns = (Column("a", "string"), Column("a=b", "float64"))
    assert parse_named_row(model(columns[1:]), ["a=b=1"]) == {"a=b": 1.0}
    assert parse_named_row(model(columns), ["a=b=1"]) == {"a": "b=1"}


def test_wrong_name_is_refused_with_the_nearest_columns() -> None:
    with pytest.raises(InvalidInput, match=r'There is no column "isle"\. Did you mean "island"\?'):
        parse_named_row(model(), ["isle=Dream"])


def test_name_that_resembles_none_is_refused_with_all_columns() -> None:
    with pytest.raises(InvalidInput, match=r'There is no column "q"\. The columns are island, bill'):
        parse_named_row(model(), ["q=1"])


def test_names_of_a_wide_model_are_not_all_listed() -> None:
    wide = model(tuple(Column(f"pixel{i}", "float64") for i in range(64)))
    with pytest.raises(InvalidInput, match="pixel19 and 44 more"):
        parse_ordered_row(wide, ["1"])


@pytest.mark.parametrize("assignments", [["year=1", "year=2"], ["year"]])
def test_name_is_given_once_and_with_a_value(assignments: list[str]) -> None:
    with pytest.raises(InvalidInput):
        parse_named_row(model(), assignments)


def test_text_is_the_row_of_a_model_of_texts() -> None:
    assert parse_text_row(TEXTS, "good film") == "good film"
    assert parse_ordered_row(TEXTS, ["good film"]) == "good film"


def test_models_of_texts_and_of_columns_refuse_the_rows_of_the_other() -> None:
    with pytest.raises(InvalidInput, match="put it in quotes"):
        parse_ordered_row(TEXTS, ["good", "film"])
    with pytest.raises(InvalidInput, match="--text"):
        parse_named_row(TEXTS, ["text=good"])
    with pytest.raises(InvalidInput, match="The rows of this model are not texts"):
        parse_text_row(model(), "good")
