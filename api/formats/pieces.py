"""Writes the rows of an upload that can be scored, and lists or reports the bad ones."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa

from api.formats.canonical import CanonicalWriter
from api.http.strict_json import to_pointer_token
from shared.bulk import MAX_LISTED_ERRORS
from shared.columns import Column
from shared.errors import Fault, InvalidRows
from shared.names import OnError

_MAX_ROW_FAULTS: Final = 8

RowLocator = Callable[[Sequence[int]], Iterable[str]]
"""Returns the position in the upload of each of some rows, such as "Line 12"; takes their indices, in order."""


class BadValue(NamedTuple):
    """A reason why a row cannot be scored."""

    column: str | None
    """The name of the column; None if the reason concerns the whole row."""
    reason: str
    """The reason, without the column and the position: the rest of a sentence about it."""


class Piece(NamedTuple):
    """Consecutive rows of an upload."""

    features: Sequence[Any]
    """Canonical arrays, one for each column of the model card."""
    carried: Sequence[Any]
    bad: dict[int, list[BadValue]]
    """The bad values of each bad row, by its index in the piece."""
    places: RowLocator


class PieceWriter:
    """Processes the pieces of an upload, in order."""

    def __init__(self, writer: CanonicalWriter, schema: Any, on_error: OnError) -> None:
        self.n_rows = 0
        self.n_bad = 0
        self._writer = writer
        self._schema = schema
        self._on_error = on_error
        self._faults: list[Fault] = []
        self._n_listed = 0

    def write(self, piece: Piece) -> None:
        """Write the next rows, or list the bad ones.

        Raises:
            InvalidRows: `on_error` is `FAIL`, and 100 bad rows, the most that an error lists, have been found.
        """
        n_rows = len(piece.features[0])
        if piece.bad:
            self.n_bad += len(piece.bad)
            if self._on_error is OnError.FAIL:
                self._list_faults(piece)
        if not self._faults and n_rows:
            self._writer.write(self._make_batch(piece, n_rows))
        self.n_rows += n_rows

    def finish(self) -> None:
        """Check the upload after its last row.

        Raises:
            InvalidRows: `on_error` is `FAIL` and there are bad rows, or there are no rows.
        """
        if self._faults:
            raise InvalidRows(self._faults)
        if not self.n_rows:
            raise InvalidRows([Fault("", "The body has no rows: send at least one.")])

    def _make_batch(self, piece: Piece, n_rows: int) -> Any:
        arrays = [*piece.features, *piece.carried]
        if self._on_error is OnError.REPORT:
            arrays.append(_error_column(piece, n_rows))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _list_faults(self, piece: Piece) -> None:
        rows = sorted(piece.bad)[: MAX_LISTED_ERRORS - self._n_listed]
        for row, place in zip(rows, piece.places(rows), strict=True):
            for bad in islice(piece.bad[row], _MAX_ROW_FAULTS):
                member = "" if bad.column is None else to_pointer_token(bad.column)
                self._faults.append(Fault(f"/data/{self.n_rows + row}{member}", _error_sentence(place, bad)))
        self._n_listed += len(rows)
        if self._n_listed >= MAX_LISTED_ERRORS:
            raise InvalidRows(self._faults)


def bad_values_by_row(
    columns: Sequence[Column], reasons_by_column: Sequence[dict[int, str]]
) -> dict[int, list[BadValue]]:
    """Group the bad values of all columns by row."""
    bad: dict[int, list[BadValue]] = {}
    for column, reasons in zip(columns, reasons_by_column, strict=True):
        for row, reason in reasons.items():
            bad.setdefault(row, []).append(BadValue(column.name, reason))
    return bad


def _error_column(piece: Piece, n_rows: int) -> Any:
    if not piece.bad:
        return pa.nulls(n_rows, pa.string())
    texts: list[str | None] = [None] * n_rows
    rows = sorted(piece.bad)
    for row, place in zip(rows, piece.places(rows), strict=True):
        texts[row] = " ".join(_error_sentence(place, bad) for bad in islice(piece.bad[row], _MAX_ROW_FAULTS))
    return pa.array(texts, pa.string())


def _error_sentence(place: str, bad_value: BadValue) -> str:
    return (
        f"{place}: {bad_value.reason}"
        if bad_value.column is None
        else f"{place}, column {bad_value.column}: {bad_value.reason}"
    )
