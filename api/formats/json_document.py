"""Writes a result as one JSON document, in the form of a response of `/predict`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api.formats.result_rows import ResultRows
from api.formats.texts import JSON_STYLE, encode_distinct_rows, encode_values, joined_bytes
from shared.bulk import ERROR_COLUMN, OUTPUT_METADATA_KEY, TARGET_METADATA_KEY

Shape = str | list["Shape"]
"""The form of one row's item of an output: the name of a column, or an array of such forms."""


class ResultDocument:
    """Writes the document `{"prediction": […], …, "carried": {…}, "errors": […], …}`.

    It has an array for each output. The rows are read once for each array, so that they need not be held in memory.
    """

    def __init__(self, rows: ResultRows, first_row: int, sink: Any) -> None:
        """Write nothing yet.

        Args:
            rows: the rows to write.
            first_row: the number of the first row, for the pointers of errors.
            sink: a writable file.
        """
        self._rows = rows
        self._first_row = first_row
        self._sink = sink
        self._has_errors = ERROR_COLUMN in rows.result_names

    def write(self, last_members: bytes) -> None:
        """Write the document; `last_members` has its last members, encoded and without braces."""
        writes: dict[str, Callable[[], None]] = {}
        for output, shape in output_shapes(self._rows.result_fields).items():
            writes[output] = partial(self._write_output, shape)
        if self._rows.carried_names:
            writes["carried"] = self._write_carried
        if self._has_errors:
            writes["errors"] = lambda: self._write_list(self._error_items())
        self._write_object(writes, last_members)

    def _write_carried(self) -> None:
        self._write_object({name: partial(self._write_output, name) for name in self._rows.carried_names})

    def _write_output(self, shape: Shape) -> None:
        names = list(_column_names(shape))
        error = [ERROR_COLUMN] if self._has_errors and names[0] in self._rows.result_names else []
        batches = self._rows.batches([*names, *error])
        self._write_list(encode_distinct_rows(batch, partial(_encode_items, shape)) for batch in batches)

    def _error_items(self) -> Iterator[Any]:
        row = self._first_row
        for batch in self._rows.batches([ERROR_COLUMN]):
            details = batch.column(ERROR_COLUMN)
            pointers = pa.array(range(row, row + batch.num_rows)).filter(details.is_valid()).cast(pa.string())
            details = encode_values(details.drop_null(), JSON_STYLE)
            yield pc.binary_join_element_wise(',{"pointer":"/data/', pointers, '","detail":', details, "}", "")
            row += batch.num_rows

    def _write_object(self, member_writers: dict[str, Callable[[], None]], last_members: bytes = b"") -> None:
        self._sink.write(b"{")
        for index, (name, write) in enumerate(member_writers.items()):
            self._sink.write((b"," if index else b"") + msgspec.json.encode(name) + b":")
            write()
        self._sink.write((b"," if last_members and member_writers else b"") + last_members + b"}")

    def _write_list(self, arrays: Iterable[Any]) -> None:
        """Write an array of the items of Arrow arrays, which are JSON with a comma in front of each item."""
        self._sink.write(b"[")
        is_first = True
        for array in arrays:
            content = joined_bytes(array)
            self._sink.write(content[1:] if is_first else content)
            is_first = is_first and not content
        self._sink.write(b"]")


def output_shapes(fields: Sequence[Any]) -> dict[str, Shape]:
    """Return the shape of each output, in order: a column, an array of columns, or an array of a shape per target."""
    names: dict[str, dict[str, list[str]]] = {}
    for field in fields:
        metadata = field.metadata or {}
        if OUTPUT_METADATA_KEY in metadata:
            output, target = metadata[OUTPUT_METADATA_KEY].decode(), metadata.get(TARGET_METADATA_KEY, b"").decode()
            names.setdefault(output, {}).setdefault(f"{output}_{target}" if target else output, []).append(field.name)
    return {
        output: _output_shape(output, targets[output])
        if output in targets
        else [_output_shape(target, columns) for target, columns in targets.items()]
        for output, targets in names.items()
    }


def _output_shape(name: str, columns: list[str]) -> Shape:
    return name if columns == [name] else list[Shape](columns)


def _column_names(shape: Shape) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    else:
        for part in shape:
            yield from _column_names(part)


def _encode_items(shape: Shape, batch: Any) -> Any:
    """Return the item of each row as JSON, with a comma in front; null for a row without a result."""
    items = pc.binary_join_element_wise(",", *_item_pieces(batch, shape), "")
    if ERROR_COLUMN not in batch.schema.names or batch.column(ERROR_COLUMN).null_count == batch.num_rows:
        return items
    return pc.if_else(batch.column(ERROR_COLUMN).is_valid(), ",null", items)


def _item_pieces(batch: Any, shape: Shape) -> list[Any]:
    if isinstance(shape, str):
        return [encode_values(batch.column(shape), JSON_STYLE)]
    pieces: list[Any] = []
    for part in shape:
        pieces += [",", *_item_pieces(batch, part)]
    return ["[", *pieces[1:], "]"]
