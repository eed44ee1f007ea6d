"""Reads one row of a request: a text, an array in the card's order, or an object by column name."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from api.http.strict_json import Repeating
from api.http.values import Reader, ValueRefused, column_reader, expected, nearest, show
from shared.columns import Column
from shared.errors import Fault
from shared.rows import Row

_MAX_FAULTS: Final = 100  # an object has room for 700,000 unknown columns
_SHOWN_COLUMNS: Final = 20


class RowRefused(Exception):
    """A row does not fit; the pointers of its faults start at the row."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__()
        self.faults = list(faults)


class TextReader:
    """Reads rows that are texts."""

    def __init__(self, column: Column, max_text_bytes: int) -> None:
        self._read = column_reader(column, max_text_bytes)

    def __call__(self, row: Any) -> Row:
        """Check a row.

        Raises:
            RowRefused: it is no text, or one that is too long.
        """
        try:
            text: str = self._read(row)
        except ValueRefused as error:
            raise RowRefused([Fault("", str(error))]) from None
        return text


class ColumnsReader:
    """Reads rows that are arrays or objects."""

    def __init__(self, columns: Sequence[Column], max_text_bytes: int) -> None:
        self._columns = {column.name: column for column in columns}
        self._names = list(self._columns)
        self._readers: list[Reader] = [column_reader(column, max_text_bytes) for column in columns]

    def __call__(self, row: Any) -> Row:
        """Check the values of a row, and return them in the card's order.

        Raises:
            RowRefused: lists what is wrong with the row.
        """
        values = row if type(row) is list else self._by_name(row)
        if len(values) != len(self._readers):
            raise RowRefused([Fault("", self._wrong_length(len(values)))])
        try:
            return [read(value) for read, value in zip(self._readers, values, strict=True)]
        except ValueRefused:
            raise RowRefused(self._value_faults(values, by_name=type(row) is not list)) from None

    def _by_name(self, row: Any) -> list[Any]:
        if not isinstance(row, dict):
            raise RowRefused([Fault("", "A row must be an array of values, or an object by column name.")])
        try:
            if len(row) == len(self._names) and type(row) is dict:
                return [row[name] for name in self._names]
        except KeyError:
            pass  # the faults below name it
        faults = list(self._member_faults(row))
        if faults:
            raise RowRefused(faults)
        return [row.get(name) for name in self._names]

    def _member_faults(self, row: dict[str, Any]) -> Iterator[Fault]:
        if isinstance(row, Repeating):
            yield Fault(_pointer(row.name), f"{show(row.name)} stands in the row more than once: send it once.")
        unknown = [name for name in row if name not in self._columns]
        for name in unknown[:_MAX_FAULTS]:
            suggestion = nearest(name, self._names) or f" The columns are: {self._shown_names()}."
            yield Fault(_pointer(name), f"There is no column {show(name)}.{suggestion}")
        for name, column in list(self._columns.items())[:_MAX_FAULTS]:
            if name not in row and not column.nullable:
                yield Fault("", f"The column {show(name)} must not be missing: send {expected(column)}.")

    def _value_faults(self, values: list[Any], *, by_name: bool) -> Iterator[Fault]:
        n_faults = 0
        for index, (read, value) in enumerate(zip(self._readers, values, strict=True)):
            try:
                read(value)
            except ValueRefused as error:
                n_faults += 1
                if n_faults > _MAX_FAULTS:
                    return
                yield Fault(_pointer(self._names[index]) if by_name else f"/{index}", str(error))

    def _wrong_length(self, n_values: int) -> str:
        n_columns = len(self._names)
        values = "1 value" if n_values == 1 else f"{n_values} values"
        return f"A row must have {n_columns} columns, in this order: {self._shown_names()}. This one has {values}."

    def _shown_names(self) -> str:
        more = len(self._names) - _SHOWN_COLUMNS
        shown = ", ".join(self._names[:_SHOWN_COLUMNS])
        return f"{shown} and {more} more (GET /model)" if more > 0 else shown


def _pointer(name: str) -> str:
    """Write a member as a part of a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
