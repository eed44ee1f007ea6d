"""Converts rows to JSON: lists, dicts by column name, texts, NumPy arrays and data frames."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import IO, Any, Final, Protocol, TypeVar

from sepal_client.errors import InvalidInput


class ArrowStream(Protocol):
    """A data frame of any library that implements Arrow's PyCapsule stream interface."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the capsule of a stream."""


Frame = TypeVar("Frame", bound=ArrowStream)
"""A data frame of pandas, polars or pyarrow."""
Rows = Iterable[Sequence[Any]] | Iterable[Mapping[str, Any]] | Iterable[str] | ArrowStream
"""Rows: lists, dicts by column name, or texts; a NumPy array; a data frame."""

_LIBRARIES: Final = ("pandas", "polars", "pyarrow")
_MISSING_TYPES: Final = ("NAType", "NaTType")  # types of pandas, which may not be installed
_LINES_PER_WRITE: Final = 1000
_ROW_FORMS_HINT: Final = "give a list of rows, each a list of values, a dict by column name, or a text"


def json_body(rows: Any, outputs: Sequence[str] | None) -> bytes:
    """Return the body of `POST /predict`.

    Raises:
        InvalidInput: `rows` are not rows, or a value cannot be converted to JSON.
    """
    body: dict[str, Any] = {"data": list(_convert_rows(rows))}
    if outputs is not None:
        body["outputs"] = _list_output_names(outputs)
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def write_ndjson(rows: Any, file: IO[bytes]) -> None:
    """Write each row as a line of JSON.

    Raises:
        InvalidInput: as `json_body`.
    """
    lines: list[str] = []
    for row in _convert_rows(rows):
        lines.append(json.dumps(row, allow_nan=False, separators=(",", ":")))
        if len(lines) == _LINES_PER_WRITE:
            file.write(("\n".join(lines) + "\n").encode())
            lines.clear()
    if lines:
        file.write(("\n".join(lines) + "\n").encode())


def is_frame(rows: Any) -> bool:
    """Return whether rows are a data frame; a single column is not one."""
    library = library_name(rows)
    if library == "pyarrow":
        return hasattr(rows, "schema")
    if library is not None:
        return hasattr(rows, "columns")
    return hasattr(rows, "__arrow_c_stream__")


def library_name(rows: Any) -> str | None:
    """Return the name of the library that defines the class of a data frame, or a base class of it."""
    roots = (kind.__module__.partition(".")[0] for kind in type(rows).__mro__)
    return next((root for root in roots if root in _LIBRARIES), None)


def _list_output_names(outputs: Sequence[str]) -> list[str]:
    if isinstance(outputs, str):
        raise InvalidInput(f"`outputs` must be a list of names: [{outputs!r}].")
    return list(outputs)


def _convert_rows(rows: Any) -> Iterator[Any]:
    if isinstance(rows, (str, bytes, bytearray, Mapping)) or (not isinstance(rows, Iterable) and not is_frame(rows)):
        raise InvalidInput(f"{type(rows).__name__} is not a list of rows: {_ROW_FORMS_HINT}.")
    for index, row in enumerate(_iterate_rows(rows)):
        yield _convert_row_at(index, row)


def _iterate_rows(rows: Any) -> Iterable[Any]:
    if not is_frame(rows):
        return rows.tolist() if hasattr(rows, "tolist") else rows  # type: ignore[no-any-return]
    library = library_name(rows)
    if library == "pandas":
        names = [str(name) for name in rows.columns]
        if len(set(names)) < len(names):
            raise InvalidInput("Two columns of the data frame have the same name: rename one.")
        return (dict(zip(names, values, strict=True)) for values in rows.itertuples(index=False, name=None))
    if library == "polars":
        return rows.iter_rows(named=True)  # type: ignore[no-any-return]
    if library == "pyarrow":
        return rows.to_pylist()  # type: ignore[no-any-return]
    raise InvalidInput(f"Convert the {type(rows).__name__} to a pandas, polars or pyarrow data frame first.")


def _convert_row_at(index: int, row: Any) -> Any:
    try:
        return _convert_row(row)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"Row {index} cannot be sent: {error}.") from error


def _convert_row(row: Any) -> Any:
    if isinstance(row, str):
        return row
    if isinstance(row, Mapping):
        return {str(name): _convert_value(value) for name, value in row.items()}
    if hasattr(row, "tolist"):
        row = row.tolist()
    if isinstance(row, (list, tuple)):
        return [_convert_value(value) for value in row]
    raise TypeError(f"its type is {type(row).__name__}; {_ROW_FORMS_HINT}")


def _convert_value(value: Any) -> Any:
    """Convert a value to a type that JSON can represent; None if it is missing."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if hasattr(value, "tolist"):  # a NumPy scalar
        value = value.tolist()
    if type(value).__name__ in _MISSING_TYPES:
        return None
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return _convert_float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, str)) or value is None:
        return value
    raise TypeError(f"a value of type {type(value).__name__} cannot be converted to JSON")


def _convert_float(value: float) -> float | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise ValueError("a value is infinite")
    return float(value)
