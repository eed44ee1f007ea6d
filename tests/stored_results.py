"""Writes rows and results of bulk predictions to an object store, as gateways and workers do."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from shared.bulk import (
    CARRIED_PREFIX,
    ERROR_COLUMN,
    OUTPUT_METADATA_KEY,
    TARGET_METADATA_KEY,
    SliceResult,
    Source,
    new_result_key,
    new_rows_key,
)
from shared.ids import child_id, new_batch_id
from shared.names import OnError, Output
from shared.objects import ObjectStore


def result_schema(types: dict[str, Any], *, has_targets: bool = False) -> Any:
    """Return the schema of a slice's result.

    Args:
        types: of the columns, by name.
        has_targets: whether the number in a name is that of a target, of several.
    """
    fields = []
    for name, kind in types.items():
        output = next((each.value for each in Output if name == each or name.startswith(f"{each}_")), None)
        metadata = {OUTPUT_METADATA_KEY: output.encode()} if output else {}
        if output and has_targets:
            metadata[TARGET_METADATA_KEY] = name.removeprefix(f"{output}_").partition("_")[0].encode()
        fields.append(pa.field(name, kind, metadata=metadata or None))
    return pa.schema(fields)


def store_result(
    store: ObjectStore, results: Any, sizes: Sequence[int], carried: Any = None, batch_rows: int = 16
) -> tuple[Source, tuple[SliceResult, ...]]:
    """Store a result.

    Args:
        store: the object store.
        results: a table of the columns of results.
        sizes: numbers of rows of the slices.
        carried: a table of the carried columns.
        batch_rows: rows of each record batch of the upload's rows.
    """
    batch_id = new_batch_id()
    has_errors = ERROR_COLUMN in results.schema.names
    source = Source(
        new_rows_key(batch_id),
        results.num_rows,
        0,
        batch_rows,
        OnError.REPORT if has_errors else OnError.FAIL,
        carried=() if carried is None else tuple(carried.schema.names),
    )
    n_bytes = store_rows(store, source, carried)
    slices = []
    first = 0
    for index, size in enumerate(sizes):
        key = new_result_key(child_id(batch_id, index), 1)
        n_written = _write(store, key, results.slice(first, size), max(size, 1))
        slices.append(SliceResult(first, size, key, n_written))
        first += size
    return msgspec.structs.replace(source, n_bytes=n_bytes), tuple(slices)


def store_rows(store: ObjectStore, source: Source, carried: Any) -> int:
    """Store the rows of an upload, with a feature of zeros; return the number of bytes."""
    columns = {"f0": pa.array([0.0] * source.n_rows)}
    for index, name in enumerate(source.carried):
        columns[f"{CARRIED_PREFIX}{index}"] = carried.column(name)
    return _write(store, source.key, pa.table(columns), source.batch_rows)


def _write(store: ObjectStore, key: str, table: Any, batch_rows: int) -> int:
    with store.open_writer(key) as writer, pa.ipc.new_file(pa.PythonFile(writer, mode="w"), table.schema) as file:
        file.write_table(table.combine_chunks(), max_chunksize=batch_rows)
    return writer.n_bytes
