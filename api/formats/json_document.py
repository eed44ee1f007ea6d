"""Writes a result as one JSON document in the shape of the answers of `/predict`."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api.formats.result_rows import ResultRows
from api.formats.texts import JSON, bytes_of, write_texts
from shared.bulk import ERROR, OUTPUT
from shared.names import Output

Shape = str | list["Shape"]
"""What a row's item of an output is made of: the name of a column, or a list."""

_TARGET: Final = re.compile(r"_(\d+)_")


class Document:
    """A document `{"prediction": […], …, "carried": {…}, "errors": […], …}`, as it is written.

    It has a list for each output, so the rows are read once for each of them: they are never in memory together.
    """

    def __init__(self, rows: ResultRows, first_row: int, sink: Any) -> None:
        """Write nothing yet.

        Args:
            rows: to write.
            first_row: the number of the first of them, for the pointers of errors.
            sink: a file.
        """
        self._rows = rows
        self._first_row = first_row
        self._sink = sink
        self._has_errors = ERROR in rows.result_names

    def write(self, head: bytes) -> None:
        """Write it all, with the members of `head` at the end, which has no braces."""
        writes: dict[str, Callable[[], None]] = {}
        for output, shape in shapes(self._rows.result_fields).items():
            writes[output] = partial(self._write_output, shape)
        if self._rows.carried_names:
            writes["carried"] = self._write_carried
        if self._has_errors:
            writes["errors"] = lambda: self._write_list(self._errors())
        self._write_object(writes, head)

    def _write_carried(self) -> None:
        self._write_object({name: partial(self._write_output, name) for name in self._rows.carried_names})

    def _write_output(self, shape: Shape) -> None:
        names = list(_names(shape))
        error = [ERROR] if self._has_errors and names[0] in self._rows.result_names else []
        self._write_list(_items(batch, shape) for batch in self._rows.batches([*names, *error]))

    def _errors(self) -> Iterator[Any]:
        row = self._first_row
        for batch in self._rows.batches([ERROR]):
            details = batch.column(ERROR)
            pointers = pa.array(range(row, row + batch.num_rows)).filter(details.is_valid()).cast(pa.string())
            details = write_texts(details.drop_null(), JSON)
            yield pc.binary_join_element_wise(',{"pointer":"/data/', pointers, '","detail":', details, "}", "")
            row += batch.num_rows

    def _write_object(self, writes: dict[str, Callable[[], None]], head: bytes = b"") -> None:
        self._sink.write(b"{")
        for index, (name, write) in enumerate(writes.items()):
            self._sink.write((b"," if index else b"") + msgspec.json.encode(name) + b":")
            write()
        self._sink.write((b"," if head and writes else b"") + head + b"}")

    def _write_list(self, arrays: Iterable[Any]) -> None:
        """Write a list of what arrays contain as JSON, with a comma in front of each item."""
        self._sink.write(b"[")
        is_first = True
        for array in arrays:
            content = bytes_of(array)
            self._sink.write(content[1:] if is_first else content)
            is_first = is_first and not content
        self._sink.write(b"]")


def shapes(fields: Sequence[Any]) -> dict[str, Shape]:
    """Return each output's shape, in order: a single column, a list, or a list of several targets' lists."""
    names: dict[str, list[str]] = {}
    for field in fields:
        if output := (field.metadata or {}).get(OUTPUT):
            names.setdefault(output.decode(), []).append(field.name)
    has_targets = f"{Output.PREDICTION}_0" in names.get(Output.PREDICTION, ())
    return {output: _shape(output, columns, has_targets=has_targets) for output, columns in names.items()}


def _shape(output: str, columns: list[str], *, has_targets: bool) -> Shape:
    if columns == [output]:
        return output
    if not has_targets or output not in (Output.PROBA, Output.LOG_PROBA):
        return list[Shape](columns)
    targets: dict[str, list[Shape]] = {}
    for column in columns:
        found = _TARGET.match(column.removeprefix(output))
        assert found is not None, "a column of each target and class"
        targets.setdefault(found[1], []).append(column)
    return list[Shape](targets.values())


def _names(shape: Shape) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    else:
        for part in shape:
            yield from _names(part)


def _items(batch: Any, shape: Shape) -> Any:
    """Write an item of each row, with a comma in front: null for a row without a result."""
    items = pc.binary_join_element_wise(",", *_pieces(batch, shape), "")
    if ERROR not in batch.schema.names or batch.column(ERROR).null_count == batch.num_rows:
        return items
    return pc.if_else(batch.column(ERROR).is_valid(), ",null", items)


def _pieces(batch: Any, shape: Shape) -> list[Any]:
    if isinstance(shape, str):
        return [write_texts(batch.column(shape), JSON)]
    pieces: list[Any] = []
    for part in shape:
        pieces += [",", *_pieces(batch, part)]
    return ["[", *pieces[1:], "]"]
