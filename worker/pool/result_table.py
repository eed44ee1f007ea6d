"""The result of a slice, as a table: a column for each class, target or feature of each output.

The columns are called `prediction`; `log_proba_<label>` and `proba_<label>`, with labels as in the card; for any other
output of several columns, they are numbered, as `transform_0`. For several targets: `prediction_<i>`,
`log_proba_<i>_<label>`. Numbers and booleans keep their types, and datetimes become ISO 8601 strings. Strings stay, and
any other object becomes a string of JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from shared.bulk import ERROR_COLUMN, OUTPUT_METADATA_KEY, TARGET_METADATA_KEY
from shared.card import ModelCard
from shared.names import Output
from shared.objects import ObjectStore
from worker.pool.arrow_arrays import are_strings, strings_to_arrow, values_to_arrow
from worker.pool.encoding import encode_items
from worker.pool.outputs import OutputValues

_RECORD_BATCH_ROWS: Final = 65_536  # a reader of part of the result keeps one record batch in memory
_NARROW_DTYPES: Final[Any] = (
    (np.bool_, {bool, np.bool_}),
    (np.int64, {int, np.int64}),
    (np.float64, {int, float, np.int64, np.float64}),
)
"""Dtypes, and the types of the objects that are converted to them."""
_PROBABILITY_OUTPUTS: Final = frozenset({Output.LOG_PROBA, Output.PROBA})
# Without compression: lz4 would add 3.5 ms to the 15 ms for 200,000 rows of iris.
_WRITE_OPTIONS: Final = pa.ipc.IpcWriteOptions(use_threads=False)

OutputColumn = tuple[str, int | None, NDArray[Any]]
"""Its name, the index of its target if there are several targets, and its values, shape (n_rows,)."""


def split_into_columns(output: Output, values: OutputValues, classes: Sequence[Any] | None) -> Iterator[OutputColumn]:
    """Split an output into columns.

    Args:
        output: the prefix of the column names.
        values: one item for each row.
        classes: the classes of the card.
    """
    if isinstance(values, list):
        for target, each in enumerate(values):
            labels = classes[target] if classes is not None and len(classes) == len(values) else None
            for name, _, column in _split_array(
                f"{output}_{target}", each, labels if output in _PROBABILITY_OUTPUTS else None
            ):
                yield name, target, column
    else:
        yield from _split_array(output, values, classes if output in _PROBABILITY_OUTPUTS else None)


def _split_array(name: str, values: NDArray[Any], labels: Sequence[Any] | None) -> Iterator[OutputColumn]:
    if values.ndim == 1:
        yield name, None, values
        return
    rows = values.reshape(len(values), -1)
    n_columns = rows.shape[1]
    suffixes: Sequence[Any] = labels if labels is not None and len(labels) == n_columns else range(n_columns)
    for suffix, column in zip(suffixes, rows.T, strict=True):
        yield f"{name}_{suffix}", None, column


class ResultEncoder:
    """Encodes the outputs of one model as tables."""

    def __init__(self, card: ModelCard) -> None:
        self._classes = card.classes

    def encode(
        self,
        outputs: Mapping[Output, OutputValues],
        indices: NDArray[np.intp] | None = None,
        errors: pa.Array | None = None,
    ) -> pa.Table:
        """Make the table of a slice.

        Args:
            outputs: the outputs of the rows that have a result.
            indices: the positions of these rows in the slice; None if all rows have a result.
            errors: with `OnError.REPORT`, for each row of the slice the reason why it has no result, or null.
        """
        arrays, fields = [], []
        for output in sorted(outputs, key=list(Output).index):
            for name, target, column in split_into_columns(output, outputs[output], self._classes):
                place = {TARGET_METADATA_KEY: str(target)} if target is not None else {}
                arrays.append(_encode_column(column, indices, 0 if errors is None else len(errors)))
                fields.append(pa.field(name, arrays[-1].type, metadata={OUTPUT_METADATA_KEY: output.value, **place}))
        return _make_table(arrays, fields, errors)

    def encode_without_results(self, outputs: Mapping[Output, OutputValues], errors: pa.Array) -> pa.Table:
        """Make the table of a slice in which no row has a result.

        Args:
            outputs: outputs of any rows, for the names and types of the columns.
            errors: for each row of the slice the reason why it has no result.
        """
        schema = self.encode(outputs).schema
        return _make_table([pa.nulls(len(errors), each.type) for each in schema], list(schema), errors)


def write_table(store: ObjectStore, key: str, table: pa.Table) -> int:
    """Write the table of a slice; return the number of bytes.

    Raises:
        ObjectStoreUnavailable, StorageFull: nothing was written.
    """
    with (
        store.open_writer(key) as writer,
        pa.ipc.new_file(pa.PythonFile(writer, "w"), table.schema, options=_WRITE_OPTIONS) as out,
    ):
        out.write_table(table, max_chunksize=_RECORD_BATCH_ROWS)
    return writer.n_bytes


def _make_table(arrays: list[pa.Array], fields: list[pa.Field], errors: pa.Array | None) -> pa.Table:
    if errors is not None:
        arrays, fields = [*arrays, errors], [*fields, pa.field(ERROR_COLUMN, pa.string())]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _encode_column(values: NDArray[Any], indices: NDArray[np.intp] | None, n_rows: int) -> pa.Array:
    texts: Any = values.tolist() if values.dtype.kind in "OU" else [None]
    if not are_strings(texts):
        values = _narrow_objects(values)
        if values.dtype.kind in "biuf":
            return values_to_arrow(values, indices, n_rows)
        texts = list(map(_decode_json_string, encode_items(values)))
    if indices is None:
        return strings_to_arrow(texts)
    placed: list[str | None] = [None] * n_rows
    for index, text in zip(indices.tolist(), texts, strict=True):
        placed[index] = text
    return strings_to_arrow(placed)


def _narrow_objects(values: NDArray[Any]) -> NDArray[Any]:
    """Convert objects that are all booleans, or all numbers, to the dtype of these."""
    if values.dtype.kind != "O":
        return values
    types = set(map(type, values.tolist()))
    return next((values.astype(dtype) for dtype, kinds in _NARROW_DTYPES if types <= kinds), values)


def _decode_json_string(item: bytes) -> str | None:
    value = msgspec.json.decode(item)
    return value if value is None or isinstance(value, str) else item.decode()
