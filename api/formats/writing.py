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
from api.formats.texts import CSV, JSON, encode_csv_strings, joined_bytes, write_distinct_rows, write_values
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
        _WRITE[job.format](rows, sink)


def _write_ndjson(rows: ResultRows, sink: Any) -> None:
    _write_lines(rows, sink, _ndjson_pieces, "{", "}\n")


def _ndjson_pieces(batch: Any) -> Iterator[Any]:
    for index, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        yield f"{',' if index else ''}{msgspec.json.encode(name).decode()}:"
        yield write_values(column, JSON)


def _write_csv(rows: ResultRows, sink: Any) -> None:
    sink.write(",".join(encode_csv_strings(pa.array(rows.schema.names)).to_pylist()).encode() + b"\n")
    _write_lines(rows, sink, partial(_csv_pieces, is_single=len(rows.schema) == 1), "", "\n")


def _csv_pieces(batch: Any, *, is_single: bool) -> Iterator[Any]:
    for index, column in enumerate(batch.columns):
        yield "," if index else ""
        texts = write_values(column, CSV)
        yield pc.if_else(column.is_null(), '""', texts) if is_single else texts  # readers skip an empty line


def _write_lines(rows: ResultRows, sink: Any, pieces: Callable[[Any], Iterator[Any]], start: str, end: str) -> None:
    """Write a line for each row: its carried columns, then its result columns, encoded once for equal results."""
    carried = rows.carried_names

    def write_results(batch: Any) -> Any:
        return pc.binary_join_element_wise("," if carried else start, *pieces(batch), end, "")

    def lines() -> Iterator[Any]:
        for batch in rows.batches():
            results = write_distinct_rows(batch.select(rows.result_names), write_results)
            if carried:
                results = pc.binary_join_element_wise(start, *pieces(batch.select(carried)), results, "")
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


_WRITE: Final[dict[str, Callable[[ResultRows, Any], None]]] = {
    "ndjson": _write_ndjson,
    "csv": _write_csv,
    "arrow": _write_arrow,
    "parquet": _write_parquet,
}
