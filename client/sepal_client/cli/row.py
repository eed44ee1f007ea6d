"""Parses the row of `sepal predict`: converts strings to the types of the model's columns."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from sepal_client.errors import InvalidInput

if TYPE_CHECKING:
    from sepal_client.model import Column, Model

_BOOLEANS: Final = {"true": True, "false": False}
_SHOWN_NAMES: Final = 20  # names in one message


def parse_ordered_row(model: "Model", texts: Sequence[str]) -> Any:
    """Parse a row whose values are in the order of the model's columns.

    Raises:
        InvalidInput: the number of values is wrong, or a value does not fit its column.
    """
    if model.kind == "text":
        if len(texts) != 1:
            raise InvalidInput(f"A row of this model is one text, not {len(texts)}: put it in quotes.")
        return texts[0]
    if len(texts) != len(model.columns):
        raise InvalidInput(
            f"A row of this model has {_format_count(len(model.columns), 'value')}, not {len(texts)}: "
            f'{_column_names(model)}. Give "" for a missing value.'
        )
    return [_parse_value(column, text) for column, text in zip(model.columns, texts, strict=True)]


def parse_named_row(model: "Model", assignments: Sequence[str]) -> dict[str, Any]:
    """Parse a row from strings `name=value`.

    Raises:
        InvalidInput: a column is unknown or given twice, or a value does not fit its column.
    """
    if model.kind == "text":
        raise InvalidInput('The rows of this model are texts, without columns: use sepal predict --text "…"')
    columns = {column.name: column for column in model.columns}
    row: dict[str, Any] = {}
    for assignment in assignments:
        name, text = _split_assignment(assignment, columns)
        if name in row:
            raise InvalidInput(f"{_quote(name)} is given twice: all --row options together are one row.")
        row[name] = _parse_value(columns[name], text)
    return row


def parse_text_row(model: "Model", text: str) -> str:
    """Return the text as a row.

    Raises:
        InvalidInput: the rows of the model are not texts.
    """
    if model.kind != "text":
        raise InvalidInput(
            f"The rows of this model are not texts: give values for its columns: {_column_names(model)}."
        )
    return text


def _split_assignment(assignment: str, columns: "Mapping[str, Column]") -> tuple[str, str]:
    """Split `name=value` at the `=` that follows a column name, because names may contain `=`."""
    ends = [index for index, letter in enumerate(assignment) if letter == "="]
    for end in ends:
        if assignment[:end] in columns:
            return assignment[:end], assignment[end + 1 :]
    if not ends:
        raise InvalidInput(f"{_quote(assignment)} is not of the form name=value.")
    raise InvalidInput(_unknown_column_message(assignment[: ends[0]], columns))


def _unknown_column_message(name: str, columns: "Mapping[str, Column]") -> str:
    near = get_close_matches(name, columns, n=3)
    ways = f"Did you mean {' or '.join(map(_quote, near))}?" if near else f"The columns are {_join_names(columns)}."
    return f"There is no column {_quote(name)}. {ways}"


def _parse_value(column: "Column", text: str) -> Any:
    if not text:
        if not column.nullable:
            raise InvalidInput(f"{_quote(column.name)} must not be missing.")
        return None
    try:
        return _value_parser(column)(text)
    except ValueError as error:
        raise InvalidInput(f"{_quote(column.name)} must be {error}, not {_quote(text)}.") from error


def _value_parser(column: "Column") -> Callable[[str], Any]:
    """Return the function that parses a value of the column; its ValueError names the values that are allowed."""
    if column.type.startswith("float"):
        return _parse_number
    if column.type.startswith(("int", "uint")):
        return _parse_integer
    if column.type == "bool":
        return _parse_boolean
    if column.categories is not None:
        return _category_parser(column.categories)
    return str  # the gateway validates dates and datetimes


def _parse_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError("a number")
    return value


def _parse_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass  # perhaps 3.0 or 1e3
    try:
        value = _parse_number(text)
    except ValueError:
        raise ValueError("an integer") from None
    if not value.is_integer():
        raise ValueError("an integer")
    return int(value)


def _parse_boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("true or false")
    return _BOOLEANS[text.lower()]


def _category_parser(categories: Sequence[Any]) -> Callable[[str], Any]:
    written = {_category_text(value): value for value in categories}

    def read(text: str) -> Any:
        if text not in written:
            raise ValueError(f"one of {_join_names(written)}")
        return written[text]

    return read


def _category_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _column_names(model: "Model") -> str:
    return _join_names([column.name for column in model.columns])


def _join_names(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = [*names][:_SHOWN_NAMES]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _quote(text: str) -> str:
    return f'"{text}"'


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
