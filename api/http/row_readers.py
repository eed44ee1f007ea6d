"""Reads one row of a request: a text, an array in the card's order, or an object by column name."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from api.http.strict_json import to_pointer_token, to_short_json
from api.http.values import column_reader, expected_values, nearest_suggestion, refusal_message
from shared.columns import Column
from shared.errors import Fault
from shared.rows import Row

_MAX_FAULTS: Final = 100  # of each kind in a row: an object can have 700,000 unknown columns
_MAX_SUGGESTIONS: Final = 5  # each takes up to 2 ms
_SHOWN_COLUMNS: Final = 20


class RowRefused(Exception):
    """A row does not fit the model; the pointers of its faults are relative to the row."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__()
        self.faults = list(faults)


class TextReader:
    """Reads rows that are texts."""

    def __init__(self, column: Column, max_text_bytes: int) -> None:
        self._column = column
        self._read = column_reader(column, max_text_bytes)

    def __call__(self, row: Any) -> Row:
        """Validate and return a row.

        Raises:
            RowRefused: the row is not a text, or is too long.
        """
        try:
            text: str = self._read(row)
        except ValueError as error:
            raise RowRefused([Fault("", refusal_message(self._column, row, error))]) from None
        return text


class ColumnsReader:
    """Reads rows that are arrays or objects."""

    def __init__(self, columns: Sequence[Column], max_text_bytes: int) -> None:
        self._columns = {column.name: column for column in columns}
        self._names = list(self._columns)
        self._readers = [column_reader(column, max_text_bytes) for column in columns]

    def __call__(self, row: Any) -> Row:
        """Validate the values of a row, and return them in the card's order.

        Raises:
            RowRefused: the row has faults.
        """
        values = row if type(row) is list else self._values_by_name(row)
        if len(values) != len(self._readers):
            raise RowRefused([Fault("", self._wrong_length_detail(len(values)))])
        try:
            return [read(value) for read, value in zip(self._readers, values, strict=True)]
        except ValueError:
            faults = self._value_faults(values, is_by_name=type(row) is not list)
            raise RowRefused(islice(faults, _MAX_FAULTS)) from None

    def _values_by_name(self, row: Any) -> list[Any]:
        if not isinstance(row, dict):
            raise RowRefused([Fault("", "A row must be an array of values, or an object by column name.")])
        try:
            if len(row) == len(self._names):
                return [row[name] for name in self._names]
        except KeyError:
            pass  # reported with the faults below
        faults = list(self._member_faults(row))
        if faults:
            raise RowRefused(faults)
        return [row.get(name) for name in self._names]

    def _member_faults(self, row: dict[str, Any]) -> Iterator[Fault]:
        unknown = (name for name in row if name not in self._columns)
        for index, name in enumerate(islice(unknown, _MAX_FAULTS)):
            suggestion = nearest_suggestion(name, self._names) if index < _MAX_SUGGESTIONS else ""
            if not suggestion and index == 0:
                suggestion = f" The columns are: {format_column_names(self._names)}."
            yield Fault(to_pointer_token(name), f"There is no column {to_short_json(name)}.{suggestion}")
        absent = (column for name, column in self._columns.items() if name not in row and not column.nullable)
        for column in islice(absent, _MAX_FAULTS):
            yield Fault(
                "", f"The column {to_short_json(column.name)} must not be missing: send {expected_values(column)}."
            )

    def _value_faults(self, values: list[Any], *, is_by_name: bool) -> Iterator[Fault]:
        n_faults = 0
        for index, (column, read, value) in enumerate(zip(self._columns.values(), self._readers, values, strict=True)):
            try:
                read(value)
            except ValueError as error:
                pointer = to_pointer_token(column.name) if is_by_name else f"/{index}"
                yield Fault(pointer, refusal_message(column, value, error, has_suggestion=n_faults < _MAX_SUGGESTIONS))
                n_faults += 1

    def _wrong_length_detail(self, n_values: int) -> str:
        n_columns = len(self._names)
        values = "1 value" if n_values == 1 else f"{n_values} values"
        names = format_column_names(self._names)
        return f"A row must have {n_columns} columns, in this order: {names}. This one has {values}."


def format_column_names(names: Sequence[str]) -> str:
    """List the names of columns; of many, the first ones and the number of the others."""
    more = len(names) - _SHOWN_COLUMNS
    shown = ", ".join(map(to_short_json, names[:_SHOWN_COLUMNS]))
    return f"{shown} and {more} more (GET /model)" if more > 0 else shown
