"""The rows of a result: reads the results of slices, and joins them with the carried columns of the upload."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from api.formats.stored_files import open_file, open_results
from shared.bulk import CARRIED_PREFIX, ERROR_COLUMN, OUTPUT_METADATA_KEY, SliceResult, Source
from shared.names import OnError, Output
from shared.objects import ObjectStore

MAX_BATCH_ROWS: Final = 65_536
MAX_BATCH_BYTES: Final = 8 * 2**20  # written as lines of JSON or CSV, the rows take about six times as many


class ResultRows:
    """A range of the rows of a result, in order."""

    def __init__(
        self, store: ObjectStore, source: Source, results: Sequence[SliceResult], first_row: int, n_rows: int | None
    ) -> None:
        """Read the schemas of the columns.

        Args:
            store: the object store.
            source: the rows of the prediction.
            results: the results of slices, in the order of their rows, without a gap.
            first_row: the first row of the range, counted from the prediction's first row.
            n_rows: number of rows of the range, which may end after the last result; None for all from `first_row`.
        """
        self._store = store
        self._source = source
        self._first, self._end = first_row, _end_row(results, first_row, n_rows)
        self._results = [
            result
            for result in results
            if first_row < result.first_row + result.n_rows and result.first_row < self._end
        ]
        self.result_fields = _result_fields(store, source, results)
        """The fields of the columns of slice results, with their metadata."""
        carried = self._carried_fields() if source.carried else []
        self.schema: Any = pa.schema([*carried, *self.result_fields])
        """The schema of all columns, carried ones first."""

    @property
    def carried_names(self) -> Sequence[str]:
        """Names of the carried columns."""
        return self._source.carried

    @property
    def result_names(self) -> list[str]:
        """Names of the columns of slice results."""
        return [field.name for field in self.result_fields]

    def batches(
        self,
        names: Sequence[str] | None = None,
        *,
        max_rows: int = MAX_BATCH_ROWS,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> Iterator[Any]:
        """Read the rows in record batches of `max_rows`, or fewer where they would exceed `max_bytes`.

        Args:
            names: names of the columns to read; None for all.
            max_rows: the maximum number of rows in a record batch.
            max_bytes: the approximate maximum size of a record batch.

        Raises:
            FileNotFoundError: an object was deleted.
            ObjectStoreUnavailable: an object cannot be read.
        """
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        return _rebatch(self._join_carried(schema), max_rows, max_bytes)

    def _join_carried(self, schema: Any) -> Iterator[Any]:
        carried_names = [name for name in self._source.carried if name in schema.names]
        results = pa.schema([field for field in schema if field.name not in carried_names])
        if not carried_names:
            yield from self._result_batches(results)
            return
        carried = CarriedColumnsReader(self._store, self._source, carried_names)
        row = self._first
        for n_rows, columns in self._result_columns(results):
            yield pa.RecordBatch.from_arrays([*carried.read(row, n_rows), *columns], schema=schema)
            row += n_rows

    def _result_columns(self, schema: Any) -> Iterator[tuple[int, list[Any]]]:
        """Yield the number of rows and the columns of each part; read no object if the schema has no columns."""
        if schema.names:
            for batch in self._result_batches(schema):
                yield batch.num_rows, batch.columns
        else:
            for row in range(self._first, self._end, self._source.batch_rows):
                yield min(self._source.batch_rows, self._end - row), []

    def _result_batches(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of the range from the results of slices."""
        for result, file in open_results(self._store, self._results):
            row, last = result.first_row, result.first_row + result.n_rows
            for batch in (
                _lost_row_batches(result) if file is None else map(file.get_batch, range(file.num_record_batches))
            ):
                start, end = max(self._first, row), min(self._end, row + batch.num_rows)
                if start < end:
                    yield _conform_to_schema(batch.slice(start - row, end - start), schema)
                row += batch.num_rows
            if row != last:
                raise ValueError(f"a result of {result.n_rows} rows ends {last - row} rows early: {result.key}")

    def _carried_fields(self) -> list[Any]:
        types = CarriedColumnsReader(self._store, self._source, self._source.carried).types
        return [pa.field(name, kind) for name, kind in zip(self._source.carried, types, strict=True)]


class CarriedColumnsReader:
    """Reads carried columns of an upload."""

    def __init__(self, store: ObjectStore, source: Source, names: Sequence[str]) -> None:
        self._batch_rows = source.batch_rows
        columns = [f"{CARRIED_PREFIX}{source.carried.index(name)}" for name in names]
        n_bytes = store.size(source.key)
        schema = open_file(store, source.key, n_bytes).schema
        included = [schema.get_field_index(column) for column in columns]
        self._reader = open_file(store, source.key, n_bytes, included)
        self._columns = columns
        self.types = [schema.field(column).type for column in columns]
        self._index = -1
        self._batch: Any = None

    def read(self, first_row: int, n_rows: int) -> list[Any]:
        """Return the columns of a range of rows, as Arrow arrays."""
        parts = []
        row, end = first_row, first_row + n_rows
        while row < end:
            index, start = divmod(row, self._batch_rows)
            part = self._get_batch(index).slice(start, end - row)
            parts.append(part)
            row += part.num_rows
        joined = parts[0] if len(parts) == 1 else pa.concat_batches(parts)
        return [joined.column(column) for column in self._columns]

    def _get_batch(self, index: int) -> Any:
        if index != self._index:
            self._index, self._batch = index, self._reader.get_batch(index)
        return self._batch


def _end_row(results: Sequence[SliceResult], first_row: int, n_rows: int | None) -> int:
    """Return the number of the last row of the range that has a result, plus one."""
    end = results[-1].first_row + results[-1].n_rows if results else 0
    return end if n_rows is None else min(end, first_row + n_rows)


def _result_fields(store: ObjectStore, source: Source, results: Iterable[SliceResult]) -> list[Any]:
    """Return the fields of the first slice in which a row has a result; fields of type null if there is none."""
    for result in results:
        if result.key and result.n_bad < result.n_rows:
            return list(open_file(store, result.key, result.n_bytes).schema)
    outputs = source.outputs or (Output.PREDICTION,)
    fields = [
        pa.field(output.value, pa.null(), metadata={OUTPUT_METADATA_KEY: output.value.encode()}) for output in outputs
    ]
    return [*fields, pa.field(ERROR_COLUMN, pa.string())] if source.on_error is OnError.REPORT else fields


def _lost_row_batches(result: SliceResult) -> Iterator[Any]:
    """Yield one record batch with the error of a result that has no object."""
    yield pa.record_batch({ERROR_COLUMN: pa.array([result.error] * result.n_rows, pa.string())})


def _conform_to_schema(batch: Any, schema: Any) -> Any:
    """Return the columns of a schema; null for columns that are missing because no row of the slice has a result."""
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        column = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _rebatch(batches: Iterator[Any], max_rows: int, max_bytes: int) -> Iterator[Any]:
    held: list[Any] = []
    n_rows = n_bytes = 0
    for batch in batches:
        row_bytes = max(batch.nbytes, 1) / max(batch.num_rows, 1)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, min(max_rows - n_rows, max(1, int((max_bytes - n_bytes) / row_bytes))))
            held.append(part)
            start += part.num_rows
            n_rows += part.num_rows
            n_bytes += part.nbytes
            if n_rows == max_rows or n_bytes + row_bytes > max_bytes:
                yield _concatenate(held)
                held, n_rows, n_bytes = [], 0, 0
    if held:
        yield _concatenate(held)


def _concatenate(batches: list[Any]) -> Any:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
