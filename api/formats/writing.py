"""Writes the rows of a result in any format."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.bulk.wire import ResultJob
from api.formats.json_document import ResultDocument
from api.formats.result_rows import MAX_BATCH_ROWS, ResultRows
from api.formats.texts import (
    CSV_STYLE,
    JSON_STYLE,
    encode_csv_strings,
    encode_distinct_rows,
    encode_values,
    joined_bytes,
)
from shared.objects import ObjectStore

T = TypeVar("T")

ROW_GROUP_ROWS: Final = 2 * MAX_BATCH_ROWS
_ROW_GROUP_BYTES: Final = 32 * 2**20


def write_result(job: ResultJob, sink: Any, store: ObjectStore) -> None:
    """Write the rows of a job; equal jobs write equal bytes.

    Args:
        job: the job.
        sink: a writable file.
        store: the object store.

    Raises:
        FileNotFoundError: an object was deleted.
        ObjectStoreUnavailable: an object cannot be read.
    """
    rows = ResultRows(store, job.source, job.results, job.first_row, job.n_rows)
    if job.format == "json":
        ResultDocument(rows, job.first_row, sink).write(job.head)
    else:
        _WRITERS_BY_FORMAT[job.format](rows, sink)


def _write_ndjson(rows: ResultRows, sink: Any) -> None:
    _write_lines(rows, sink, _ndjson_pieces, "{", "}\n")


def _ndjson_pieces(batch: Any) -> Iterator[Any]:
    for index, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        yield f"{',' if index else ''}{msgspec.json.encode(name).decode()}:"
        yield encode_values(column, JSON_STYLE)


def _write_csv(rows: ResultRows, sink: Any) -> None:
    sink.write(",".join(encode_csv_strings(pa.array(rows.schema.names)).to_pylist()).encode() + b"\n")
    _write_lines(rows, sink, partial(_csv_pieces, is_single_column=len(rows.schema) == 1), "", "\n")


def _csv_pieces(batch: Any, *, is_single_column: bool) -> Iterator[Any]:
    for index, column in enumerate(batch.columns):
        yield "," if index else ""
        texts = encode_values(column, CSV_STYLE)
        yield pc.if_else(column.is_null(), '""', texts) if is_single_column else texts  # readers skip an empty line


def _write_lines(
    rows: ResultRows, sink: Any, pieces: Callable[[Any], Iterator[Any]], line_start: str, line_end: str
) -> None:
    """Write a line for each row: its carried columns, then its result columns, encoded once for equal results."""
    carried = rows.carried_names

    def write_results(batch: Any) -> Any:
        return pc.binary_join_element_wise("," if carried else line_start, *pieces(batch), line_end, "")

    def lines() -> Iterator[Any]:
        for batch in rows.batches():
            results = encode_distinct_rows(batch.select(rows.result_names), write_results)
            if carried:
                results = pc.binary_join_element_wise(line_start, *pieces(batch.select(carried)), results, "")
            yield results

    for some in _produce_ahead(lines()):
        sink.write(joined_bytes(some))


def _produce_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items, and produce the next one in another thread meanwhile: sending takes about as long as encoding.

    A caller that stops early waits until the next item is produced.
    """
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(next, items, None)
        while (item := making.result()) is not None:
            making = pool.submit(next, items, None)
            yield item


def _write_arrow(rows: ResultRows, sink: Any) -> None:
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), rows.schema) as writer:
        for batch in rows.batches():
            writer.write_batch(batch)


def _write_parquet(rows: ResultRows, sink: Any) -> None:
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), rows.schema) as writer:
        for batch in rows.batches(max_rows=ROW_GROUP_ROWS, max_bytes=_ROW_GROUP_BYTES):
            writer.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP_ROWS)


_WRITERS_BY_FORMAT: Final[dict[str, Callable[[ResultRows, Any], None]]] = {
    "ndjson": _write_ndjson,
    "csv": _write_csv,
    "arrow": _write_arrow,
    "parquet": _write_parquet,
}
