"""Validates request bodies against the model card, and encodes their rows. An error points to each invalid value."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from api.http.requested_outputs import OUTPUTS, read_outputs
from api.http.row_decoder import RowDecoder
from api.http.row_readers import ColumnsReader, RowRefused, TextReader, format_column_names
from api.http.row_shape import RowShapeChecker
from api.http.strict_json import parse, to_pointer_token, to_short_json
from api.predictions.open_batches import MAX_BATCH_BYTES, MAX_BATCH_ROWS
from shared.card import ModelCard
from shared.errors import Fault, InvalidRows
from shared.names import Output
from shared.rows import EncodedRows, Encoding, Row, encode_matrix, encode_messagepack, replace_missing_by_nan

_DATA: Final = "data"
_SMALL_BODY_BYTES: Final = 64 * 1024  # decoded and encoded within 3 ms
_SMALL_BODY_VALUES: Final = 2000  # read row by row within 8 ms


class ReadBody(msgspec.Struct, frozen=True):
    """The encoded rows of a body, and the outputs that it requests."""

    rows: list[EncodedRows]
    """One part for each batch."""
    outputs: tuple[Output, ...] = ()
    """Empty for the model's default."""


class BodyReader:
    """Validates bodies against the current card, and encodes their rows for one batch or several."""

    def __init__(self, max_rows: int, max_text_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_text_bytes = max_text_bytes
        self._card: ModelCard | None = None
        self._is_plain_matrix = False  # if true, there are no missing values to convert to NaN
        self._decode: RowDecoder | None = None
        self._check_shape: RowShapeChecker
        self._read_row: Callable[[Any], Row]

    def __call__(self, body: bytes, card: ModelCard) -> ReadBody:
        """Validate a body with 1 to `max_rows` rows, and encode the rows.

        Raises:
            MalformedJson: the body does not parse.
            InvalidRows: the body does not fit the model; lists the errors of the first invalid row.
        """
        if card is not self._card:
            self._use_card(card)
        self._check_shape(body)
        return self._encode_rows((self._decode and self._decode(body)) or self._read_row_by_row(body), card)

    def read_if_small(self, body: bytes, card: ModelCard) -> ReadBody | None:
        """Do the same for a body that takes milliseconds; return None for a larger one."""
        if len(body) > _SMALL_BODY_BYTES:
            return None
        if card is not self._card:
            self._use_card(card)
        read: tuple[Any, Any] | None = self._decode(body) if self._decode else None
        if read is None:
            if body.count(b",") >= _SMALL_BODY_VALUES:
                return None
            read = self._read_row_by_row(body)
        return self._encode_rows(read, card)

    def _encode_rows(self, decoded_body: tuple[Any, Any], card: ModelCard) -> ReadBody:
        rows, outputs = decoded_body
        requested = () if outputs is msgspec.UNSET else read_outputs(outputs, card)
        if card.encoding is Encoding.MESSAGEPACK:
            return ReadBody(encode_messagepack(rows, MAX_BATCH_ROWS, MAX_BATCH_BYTES), requested)
        return ReadBody(
            encode_matrix(rows if self._is_plain_matrix else replace_missing_by_nan(rows), MAX_BATCH_ROWS), requested
        )

    def _use_card(self, card: ModelCard) -> None:
        columns = card.input.columns
        has_text_rows = card.input.kind == "text"
        if has_text_rows:
            self._decode = None
            self._read_row = TextReader(columns[0], self._max_text_bytes)
        else:
            self._decode = RowDecoder(columns, self._max_rows, self._max_text_bytes)
            self._read_row = ColumnsReader(columns, self._max_text_bytes)
        names = [column.name for column in columns]
        self._check_shape = RowShapeChecker(has_text_rows, names, self._max_rows, format_column_names(names))
        self._is_plain_matrix = card.input.is_plain_matrix
        self._card = card

    def _read_row_by_row(self, body: bytes) -> tuple[Any, Any]:
        parsed = parse(body)
        data = self._rows_member(parsed)
        return self._read_rows(data), parsed.get(OUTPUTS, msgspec.UNSET)

    def _read_rows(self, data: list[Any]) -> list[Row]:
        is_array = isinstance(data[0], list)
        rows: list[Row] = []
        for index, row in enumerate(data):
            if isinstance(row, list) is not is_array:
                detail = "Send all rows as arrays, or all as objects: the first row has the other form."
                raise InvalidRows([Fault(f"/data/{index}", detail)])
            try:
                rows.append(self._read_row(row))
            except RowRefused as refused:
                raise InvalidRows(
                    [Fault(f"/data/{index}{fault.pointer}", fault.detail) for fault in refused.faults]
                ) from None
        return rows

    def _rows_member(self, parsed_body: Any) -> list[Any]:
        if not isinstance(parsed_body, dict):
            raise InvalidRows([Fault("", 'The body must be an object with the member "data".')])
        data: Any = parsed_body.get(_DATA)
        faults = list(_member_faults(parsed_body))
        if not isinstance(data, list) or not 1 <= len(data) <= self._max_rows:
            found = f"it has {len(data)}" if isinstance(data, list) else f"{to_short_json(data)} is not"
            found = found if _DATA in parsed_body else "it is missing"
            faults.append(Fault("/data", f'"data" must be an array of 1 to {self._max_rows} rows; {found}.'))
        if faults:
            raise InvalidRows(faults)
        return data  # type: ignore[no-any-return]


def _member_faults(body: dict[str, Any]) -> Iterator[Fault]:
    unknown = next((name for name in body if name not in (_DATA, OUTPUTS)), None)
    if unknown is not None:
        yield Fault(
            to_pointer_token(unknown),
            f'Unknown member {to_short_json(unknown)}: a body has "data", and may have "outputs".',
        )
