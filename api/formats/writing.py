"""Writes the rows of a result in a format."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.bulk.wire import WriteResult
from api.formats.json_document import Document
from api.formats.result_rows import MAX_BATCH_ROWS, ResultRows
from api.formats.texts import CSV, JSON, bytes_of, csv_strings, write_texts
from shared.objects import ObjectStore

ROW_GROUP_ROWS: Final = 2 * MAX_BATCH_ROWS
_ROW_GROUP_BYTES: Final = 32 * 2**20


def write_result(job: WriteResult, sink: Any, store: ObjectStore) -> None:
    """Write the rows that a job asks for; the same job writes the same bytes.

    Args:
        job: what to write.
        sink: a file.
        store: has the objects.

    Raises:
        FileNotFoundError: an object is gone.
        ObjectStoreUnavailable: one cannot be read now.
    """
    rows = ResultRows(store, job.source, job.results, job.first_row, job.n_rows)
    if job.format == "json":
        Document(rows, job.first_row, sink).write(job.head)
    else:
        _WRITE[job.format](rows, sink)


def _write_ndjson(rows: ResultRows, sink: Any) -> None:
    names = [msgspec.json.encode(name).decode() for name in rows.schema.names]
    for batch in rows.batches():
        pieces: list[Any] = []
        for name, column in zip(names, batch.columns, strict=True):
            pieces += [f",{name}:" if pieces else f"{{{name}:", write_texts(column, JSON)]
        sink.write(bytes_of(pc.binary_join_element_wise(*pieces, "}\n", "")))


def _write_csv(rows: ResultRows, sink: Any) -> None:
    sink.write(",".join(csv_strings(pa.array(rows.schema.names)).to_pylist()).encode() + b"\n")
    is_single = len(rows.schema) == 1
    for batch in rows.batches():
        pieces: list[Any] = []
        for column in batch.columns:
            pieces += [",", write_texts(column, CSV)]
        lines = pc.binary_join_element_wise(*pieces[1:], "\n", "")
        if is_single:  # an empty line would be skipped
            lines = pc.if_else(batch.column(0).is_null(), '""\n', lines)
        sink.write(bytes_of(lines))


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
