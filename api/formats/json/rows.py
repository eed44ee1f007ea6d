"""Reads JSON rows one at a time and reports the errors in each invalid row."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from api.formats.conversion.carried import encode_carried_json
from api.formats.conversion.columns import canonical_type
from api.formats.json.decoding import DecodedColumns, RowForm
from api.formats.pieces import BadValue
from api.http.row_readers import format_column_names
from api.http.strict_json import to_short_json
from api.http.values import column_reader, expected_values, nearest_suggestion, refusal_message
from shared.card import ModelCard
from shared.errors import InvalidRows

_MAX_FAULTS: Final = 100  # of a row: an object may have a million unknown members
_MAX_SUGGESTIONS: Final = 5  # each takes up to 2 ms
_ABSENT: Final = object()


class ReadRows(NamedTuple):
    """The columns of rows that were read one by one, and their errors."""

    columns: DecodedColumns
    """In canonical form."""
    bad: dict[int, list[BadValue]]


class RowReader:
    """Reads rows of one form."""

    def __init__(self, card: ModelCard, carried_names: Sequence[str], form: RowForm, max_text_bytes: int) -> None:
        """Build a reader for each column.

        Args:
            card: the model card.
            carried_names: the names of the carried columns.
            form: the form of the rows.
            max_text_bytes: the maximum size of a string.
        """
        self._columns = {column.name: column for column in card.input.columns}
        self._names = list(self._columns)
        self._readers = [column_reader(column, max_text_bytes) for column in card.input.columns]
        self._carried = carried_names
        self._form = form
        self._takes_texts = card.input.kind == "text"
        self._n_suggestions = 0

    def __call__(self, rows: Sequence[tuple[Any, bytes]]) -> ReadRows:
        """Read rows, and collect the errors of each bad row.

        Args:
            rows: the value of each row, or its error, and its JSON.
        """
        features: list[list[Any]] = []
        carried: list[list[str | None]] = []
        bad: dict[int, list[BadValue]] = {}
        for index, (row, content) in enumerate(rows):
            faults: list[BadValue] = []
            features.append(self._read_row(row, faults))
            carried.append(self._read_carried(row, content))
            if faults:
                bad[index] = faults
        return ReadRows(
            DecodedColumns(
                [
                    pa.array([row[index] for row in features], canonical_type(column))
                    for index, column in enumerate(self._columns.values())
                ],
                [pa.array([row[index] for row in carried], pa.string()) for index in range(len(self._carried))],
            ),
            bad,
        )

    def _read_row(self, row: Any, faults: list[BadValue]) -> list[Any]:
        values = self._row_values(row, faults)
        read: list[Any] = []
        for column, reader, value in zip(self._columns.values(), self._readers, values, strict=True):
            if value is _ABSENT:
                read.append(None)
                continue
            try:
                read.append(reader(value))
            except ValueError as error:
                read.append(None)
                if len(faults) < _MAX_FAULTS:
                    self._n_suggestions += 1
                    text = refusal_message(column, value, error, has_suggestion=self._n_suggestions <= _MAX_SUGGESTIONS)
                    faults.append(BadValue(column.name, text.removeprefix(to_short_json(column.name)).lstrip()))
        return read

    def _row_values(self, row: Any, faults: list[BadValue]) -> list[Any]:
        """Return a value for each column; all are absent if the row has the wrong form."""
        if isinstance(row, InvalidRows):
            faults += [BadValue(None, fault.detail) for fault in row.faults]
            return [_ABSENT] * len(self._names)
        if isinstance(row, dict) and self._form is RowForm.OBJECT:
            faults += self._member_faults(row)
            return [row.get(name, None if self._columns[name].nullable else _ABSENT) for name in self._names]
        if isinstance(row, list) and self._form is RowForm.ARRAY and not self._takes_texts:
            if len(row) == len(self._names):
                return row
            faults.append(BadValue(None, self._wrong_length_reason(len(row))))
        elif self._takes_texts and self._form is RowForm.TEXT and not isinstance(row, dict | list):
            return [row]
        else:
            faults.append(BadValue(None, self._wrong_form_reason(row)))
        return [_ABSENT] * len(self._names)

    def _member_faults(self, row: dict[str, Any]) -> Iterator[BadValue]:
        unknown = (name for name in row if name not in self._columns and name not in self._carried)
        for index, name in enumerate(islice(unknown, _MAX_FAULTS)):
            near = nearest_suggestion(name, self._names) if index < _MAX_SUGGESTIONS else ""
            if not near and index == 0:
                near = f" The columns are: {format_column_names(self._names)}."
            yield BadValue(name, f"the model has no such column: leave it out, or carry it to the result.{near}")
        absent = (name for name, column in self._columns.items() if name not in row and not column.nullable)
        for name in islice(absent, _MAX_FAULTS):
            yield BadValue(name, f"must not be missing: send {expected_values(self._columns[name])}.")

    def _wrong_form_reason(self, row: Any) -> str:
        forms = "a text" if self._takes_texts else "an array of values, or an object by column name"
        form = "array" if isinstance(row, list) else "object" if isinstance(row, dict) else "text"
        if form + "s" != self._form.value and (form != "text" or self._takes_texts):
            return f"send rows of one form: the first row is one of {self._form.value}."
        return f"a row must be {forms}."

    def _wrong_length_reason(self, n_values: int) -> str:
        values = "1 value" if n_values == 1 else f"{n_values} values"
        names = format_column_names(self._names)
        return f"a row has {len(self._names)} values, in this order: {names}; this one has {values}."

    def _read_carried(self, row: Any, content: bytes) -> list[str | None]:
        if not self._carried or not isinstance(row, dict):
            return [None] * len(self._carried)
        members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        return [encode_carried_json(bytes(members[name])) if name in members else None for name in self._carried]
