"""Writes the rows of bulk predictions to the object store, as the processes of `api.formats` do."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from shared.bulk import CARRIED_PREFIX, ERROR_COLUMN, FEATURE_PREFIX, Source
from shared.columns import FLOAT_TYPES, INTEGER_RANGES, Column, ModelInput, ValueType
from shared.names import OnError
from shared.objects import ObjectStore


def stored_table(described: ModelInput, rows: Sequence[Any]) -> pa.Table:
    """Return rows as they are stored; values as `shared.columns` describes them."""
    listed = [[row] for row in rows] if described.kind == "text" else rows
    columns = zip(described.columns, zip(*listed, strict=True), strict=True)
    arrays = [pa.array(values, _stored_type(column)) for column, values in columns]
    return pa.table(arrays, names=[f"{FEATURE_PREFIX}{index}" for index in range(len(arrays))])


def write_rows(
    store: ObjectStore,
    key: str,
    table: pa.Table,
    *,
    batch_rows: int = 16,
    carried: Mapping[str, Sequence[Any]] | None = None,
    errors: Sequence[str | None] | None = None,
    **fields: Any,
) -> Source:
    """Write rows, with the carried columns and the reasons of the reading, if there are any."""
    for index, values in enumerate((carried or {}).values()):
        table = table.append_column(f"{CARRIED_PREFIX}{index}", pa.array(values))
    if errors is not None:
        table = table.append_column(ERROR_COLUMN, pa.array(errors, pa.string()))
    with store.open_writer(key) as writer, pa.ipc.new_file(pa.PythonFile(writer, "w"), table.schema) as out:
        out.write_table(table.combine_chunks(), max_chunksize=batch_rows)
    return Source(
        key=key,
        n_rows=table.num_rows,
        n_bytes=writer.n_bytes,
        batch_rows=batch_rows,
        on_error=OnError.FAIL if errors is None else OnError.REPORT,
        carried=tuple(carried or ()),
        n_bad=sum(error is not None for error in errors or ()),
        **fields,
    )


def _stored_type(column: Column) -> pa.DataType:
    value_type = column.type if column.categories is None else column.categories.type
    if value_type in FLOAT_TYPES or value_type in INTEGER_RANGES:
        return getattr(pa, value_type.value)()
    return pa.bool_() if value_type is ValueType.BOOL else pa.string()
