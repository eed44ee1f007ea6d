"""Refuses a large body whose rows do not have the form that the model takes before it is read.

To read an object with 700,000 unknown members, or four million empty arrays in a value, takes more than a second and
half a gigabyte. The check stops at the first of them, and builds nothing that a valid body does not have.
"""

import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

import msgspec

from api.http.requested_outputs import OUTPUTS
from shared.errors import Fault, InvalidRows

_MIN_CHECKED_BYTES: Final = 2**20  # bytes; a smaller body is read within 0.1 s, and the refusal says more
_ROW_PATH: Final = re.compile(r"`\$\.data\[(\d+)\]")
_NUMBER_ERRORS: Final = "Number out of range", "Integer value out of range", "Integer out of range"
_Value: Final = str | int | float | bool | None


class RowShape:
    """Checks the members of a body and of its rows, and of values that they are neither arrays nor objects."""

    def __init__(self, rows_are_texts: bool, names: Sequence[str], max_rows: int, shown_names: str) -> None:
        """Build the check.

        Args:
            rows_are_texts: whether a row is a text.
            names: the columns of the model.
            max_rows: the largest number of rows of a body.
            shown_names: the columns as a refusal lists them.
        """
        array = GenericAlias(tuple, (_Value,) * len(names))
        by_name = GenericAlias(dict, (Literal[tuple(names)], _Value))
        row: Any = str | None if rows_are_texts else array | by_name
        rows: Any = Annotated[GenericAlias(list, (row,)), msgspec.Meta(max_length=max_rows)]
        outputs: Any = list[str] | msgspec.UnsetType
        fields: list[Any] = [("data", rows), (OUTPUTS, outputs, msgspec.UNSET)]
        body = msgspec.defstruct("Body", fields, forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._row_detail = (
            f"A row must be an array of {len(names)} values, or an object with these columns: {shown_names}."
        )
        if rows_are_texts:
            self._row_detail = "A row must be a text."
        self._body_detail = f'The body must have "data", an array of 1 to {max_rows} rows, and may have "outputs".'

    def __call__(self, body: bytes) -> None:
        """Check a body if it is large.

        Raises:
            InvalidRows: a row has another number of values, an unknown column, or a value that is an array or object;
                or the body has another member.
        """
        if len(body) < _MIN_CHECKED_BYTES:
            return
        try:
            self._decoder.decode(body)
        except msgspec.ValidationError as error:
            if not str(error).startswith(_NUMBER_ERRORS):  # its column refuses the number
                raise InvalidRows([self._fault_of(str(error))]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the parser says where it is not JSON

    def _fault_of(self, message: str) -> Fault:
        if (row := _ROW_PATH.search(message)) is not None:
            return Fault(f"/data/{row[1]}", self._row_detail)
        if f"`$.{OUTPUTS}" in message:
            return Fault(f"/{OUTPUTS}", f'"{OUTPUTS}" must be an array of names.')
        return Fault("/data" if "`$.data`" in message else "", self._body_detail)
