"""Converts pieces of JSON rows to columns: as a whole if possible, otherwise row by row."""

from collections.abc import Sequence
from typing import Any

from api.formats.conversion.columns import ColumnConverter, decoded_type
from api.formats.json.decoding import PieceDecoder, RowForm
from api.formats.json.rows import RowReader
from api.formats.pieces import Piece, RowLocator, bad_values_by_row
from api.formats.upload import Upload
from shared.errors import Fault, InvalidRows


class PieceReader:
    """Reads the pieces of an upload, whose rows must all have the form of the first one."""

    def __init__(self, upload: Upload, form: RowForm, *, is_ndjson: bool) -> None:
        """Build the readers.

        Args:
            upload: the upload.
            form: the form of the rows.
            is_ndjson: whether the rows of a piece are lines; otherwise they are separated by commas.

        Raises:
            InvalidRows: `carry` is given, and the rows are not objects.
        """
        carried = upload.job.carried
        if carried and form is not RowForm.OBJECT:
            raise InvalidRows(
                [Fault("/data/0", f"Rows as {form.value} have no names to carry: send objects, or leave out `carry`.")]
            )
        max_text_bytes = upload.settings.max_text_bytes
        self._columns = upload.columns
        is_text = upload.card.input.kind == "text"
        has_its_form = form is RowForm.OBJECT or (form is RowForm.TEXT) is is_text
        self._decode = PieceDecoder(upload.columns, carried, form, is_ndjson=is_ndjson) if has_its_form else None
        self._converters = [ColumnConverter(each, decoded_type(each), max_text_bytes) for each in upload.columns]
        self._read_rows = RowReader(upload.card, carried, form, max_text_bytes)

    def read_whole_piece(self, content: bytes, locate_rows: RowLocator, n_rows: int | None = None) -> Piece | None:
        """Decode and convert a piece as a whole; return None if it must be read row by row.

        Args:
            content: the rows.
            locate_rows: returns the positions of rows in the upload.
            n_rows: the number of rows that there must be; None if it is unknown.
        """
        decoded = self._decode(content) if self._decode is not None else None
        if decoded is None or (n_rows is not None and len(decoded.features[0]) != n_rows):
            return None
        converted = [convert(array) for convert, array in zip(self._converters, decoded.features, strict=True)]
        bad = bad_values_by_row(self._columns, [each.bad for each in converted])
        return Piece([each.array for each in converted], decoded.carried, bad, locate_rows)

    def read_row_by_row(self, rows: Sequence[tuple[Any, bytes]], locate_rows: RowLocator) -> Piece:
        """Read a piece row by row; `rows` has the value of each row, or its error, and its JSON."""
        read = self._read_rows(rows)
        return Piece(read.columns.features, read.columns.carried, read.bad, locate_rows)
