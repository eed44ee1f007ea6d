"""Refuses a large body whose rows do not have the model's columns before it is read.

To read an object with 700,000 unknown members takes a second, in which a gateway answers nobody; this takes 0.1 ms.
"""

import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

import msgspec

from api.http.requested_outputs import OUTPUTS
from shared.errors import Fault, InvalidRows

_LARGE: Final = 2**20  # bytes; a smaller body is read within 0.1 s, and the refusal says more
_ROW: Final = re.compile(r"`\$\.data\[(\d+)\]")


class RowShape:
    """Checks the members of a body and of its rows, and no values."""

    def __init__(self, names: Sequence[str], max_rows: int, shown_names: str) -> None:
        """Build the check.

        Args:
            names: the columns of the model.
            max_rows: the largest number of rows of a body.
            shown_names: the columns as a refusal lists them.
        """
        array = GenericAlias(tuple, (msgspec.Raw,) * len(names))
        by_name = GenericAlias(dict, (Literal[tuple(names)], msgspec.Raw))
        rows: Any = Annotated[GenericAlias(list, (array | by_name,)), msgspec.Meta(max_length=max_rows)]
        body = msgspec.defstruct("Body", [("data", rows), (OUTPUTS, msgspec.Raw, b"")], forbid_unknown_fields=True)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._rows = f"A row must be an array of {len(names)} values, or an object with these columns: {shown_names}."
        self._body = f'The body must have "data", an array of 1 to {max_rows} rows, and may have "outputs".'

    def __call__(self, body: bytes) -> None:
        """Check a body if it is large.

        Raises:
            InvalidRows: a row has another number of values, or an unknown column; or the body has another member.
        """
        if len(body) < _LARGE:
            return
        try:
            self._decoder.decode(body)
        except msgspec.ValidationError as error:
            row = _ROW.search(str(error))
            if row is not None:
                raise InvalidRows([Fault(f"/data/{row[1]}", self._rows)]) from None
            raise InvalidRows([Fault("/data" if "`$.data`" in str(error) else "", self._body)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the parser says where it is not JSON
