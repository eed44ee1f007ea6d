"""Refuses a large body whose rows have the wrong shape, before it is parsed.

Parsing an object with 700,000 unknown members, or a value of four million empty arrays, takes more than a second and
half a gigabyte. The check stops at the first unknown member or array, and takes no more memory than a valid body.
"""

import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

import msgspec

from api.http.requested_outputs import OUTPUTS
from shared.errors import Fault, InvalidRows

_MIN_CHECKED_BYTES: Final = 2**20  # a smaller body is parsed within 0.1 s, and its errors have more detail
_ROW_PATH: Final = re.compile(r"`\$\.data\[(\d+)\]")
_NUMBER_ERRORS: Final = "Number out of range", "Integer value out of range", "Integer out of range"
_Value: Final = str | int | float | bool | None


class RowShapeChecker:
    """Checks the members of a body and of its rows, and that no value is an array or object."""

    def __init__(self, has_text_rows: bool, names: Sequence[str], max_rows: int, shown_names: str) -> None:
        """Build the check.

        Args:
            has_text_rows: whether a row is a text.
            names: the columns of the model.
            max_rows: the maximum number of rows in a body.
            shown_names: the columns as an error message lists them.
        """
        array = GenericAlias(tuple, (_Value,) * len(names))
        by_name = GenericAlias(dict, (Literal[tuple(names)], _Value))
        row: Any = str | None if has_text_rows else array | by_name
        rows: Any = Annotated[GenericAlias(list, (row,)), msgspec.Meta(max_length=max_rows)]
        outputs: Any = list[str] | msgspec.UnsetType
        fields: list[Any] = [("data", rows), (OUTPUTS, outputs, msgspec.UNSET)]
        body = msgspec.defstruct("Body", fields, forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._row_detail = (
            f"A row must be an array of {len(names)} values, or an object with these columns: {shown_names}."
        )
        if has_text_rows:
            self._row_detail = "A row must be a text."
        self._body_detail = f'The body must have "data", an array of 1 to {max_rows} rows, and may have "outputs".'

    def __call__(self, body: bytes) -> None:
        """Check a body if it is large.

        Raises:
            InvalidRows: a row has the wrong number of values, an unknown column, or a value that is an array or object;
                or the body has an unknown member.
        """
        if len(body) < _MIN_CHECKED_BYTES:
            return
        try:
            self._decoder.decode(body)
        except msgspec.ValidationError as error:
            if not str(error).startswith(_NUMBER_ERRORS):  # the reader of its column refuses the number
                raise InvalidRows([self._parse_fault(str(error))]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the parser reports where the body is not JSON

    def _parse_fault(self, message: str) -> Fault:
        if (row := _ROW_PATH.search(message)) is not None:
            return Fault(f"/data/{row[1]}", self._row_detail)
        if f"`$.{OUTPUTS}" in message:
            return Fault(f"/{OUTPUTS}", f'"{OUTPUTS}" must be an array of names.')
        return Fault("/data" if "`$.data`" in message else "", self._body_detail)
