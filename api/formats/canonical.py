"""Writes the canonical rows of an upload (`shared.bulk`): an Arrow IPC file with record batches of equal size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pyarrow as pa

from api.formats.conversion.columns import canonical_type
from shared.bulk import CARRIED_PREFIX, ERROR_COLUMN, FEATURE_PREFIX
from shared.columns import Column
from shared.errors import BodyTooLarge
from shared.objects import ObjectStore, ObjectWriter

_BATCH_BYTES: Final = 2**20
_MIN_ROWS: Final = 16
_MAX_ROWS: Final = 2**16
_MAX_ROWS_WITH_STRINGS: Final = 2**12  # later strings may be much longer than the first ones
_MAX_PENDING_BYTES: Final = 2**26
_REPORT_BYTES: Final = 2**23


def canonical_schema(columns: Sequence[Column], carried_fields: Sequence[Any], *, has_error_column: bool) -> Any:
    """Return the schema of the canonical rows.

    Args:
        columns: the columns of the model card.
        carried_fields: the types of the carried columns.
        has_error_column: whether to add the `error` column.
    """
    fields = [pa.field(f"{FEATURE_PREFIX}{index}", canonical_type(column)) for index, column in enumerate(columns)]
    fields += [pa.field(f"{CARRIED_PREFIX}{index}", type_) for index, type_ in enumerate(carried_fields)]
    return pa.schema([*fields, pa.field(ERROR_COLUMN, pa.string())] if has_error_column else fields)


class CanonicalWriter:
    """Collects record batches of any size, and writes their rows in record batches of equal size."""

    def __init__(self, open_sink: Callable[[], ObjectWriter], schema: Any, report_bytes: Callable[[int], None]) -> None:
        self.n_rows = 0
        self.batch_rows = 0
        """Rows of each record batch but the last; 0 until about 1 MiB of rows has been collected."""
        self._open_sink = open_sink
        self._schema = schema
        self._report = report_bytes
        self._reported = 0
        self._sink: ObjectWriter | None = None
        self._file: Any = None
        self._pending: list[Any] = []
        self._n_pending = 0
        self._pending_bytes = 0

    @classmethod
    @contextmanager
    def open(
        cls, store: ObjectStore, key: str, schema: Any, report_bytes: Callable[[int], None]
    ) -> Iterator["CanonicalWriter"]:
        """Write an object within a `with` block; if the block raises, the object is deleted.

        The first request to the object store is sent with the first full record batch.

        Args:
            store: the object store.
            key: the key of the object.
            schema: the schema, from `canonical_schema`.
            report_bytes: called every 8 MiB with the number of bytes written.

        Raises:
            ObjectStoreUnavailable, StorageFull: the object was not written.
        """
        with ExitStack() as stack:
            writer = cls(lambda: stack.enter_context(store.open_writer(key)), schema, report_bytes)
            yield writer
            writer._finish()

    @property
    def n_bytes(self) -> int:
        """Bytes written until now; the size of the object once the block of `open` has ended."""
        return 0 if self._sink is None else self._sink.n_bytes

    def write(self, batch: Any) -> None:
        """Write the next rows.

        Raises:
            BodyTooLarge: over 64 MiB of rows do not fill a record batch: they are longer than the first ones.
        """
        self.n_rows += batch.num_rows
        self._pending.append(batch)
        self._n_pending += batch.num_rows
        self._pending_bytes += batch.nbytes
        if not self.batch_rows and self._pending_bytes >= _BATCH_BYTES:
            self._choose_batch_rows()
        if self.batch_rows and self._n_pending >= self.batch_rows:
            self._write_full_batches()
        if self._pending_bytes > _MAX_PENDING_BYTES:
            first = self.n_rows - self._n_pending
            raise BodyTooLarge(
                f"The rows from row {first} on are much longer than the first ones: send them as a separate prediction,"
                " or send the longest rows first."
            )

    def _choose_batch_rows(self) -> None:
        has_strings = any(pa.types.is_string(each) for each in self._schema.types[: -1 if self._has_errors else None])
        fitting = _BATCH_BYTES * self._n_pending // max(self._pending_bytes, 1)
        limited = min(max(fitting * 4 // 3, _MIN_ROWS), _MAX_ROWS_WITH_STRINGS if has_strings else _MAX_ROWS)
        self.batch_rows = 1 << (limited.bit_length() - 1)

    @property
    def _has_errors(self) -> bool:
        return bool(self._schema.names[-1] == ERROR_COLUMN)

    def _write_full_batches(self) -> None:
        rows = pa.concat_batches(self._pending) if len(self._pending) > 1 else self._pending[0]
        n_full = rows.num_rows // self.batch_rows
        for index in range(n_full):
            self._write_batch(rows.slice(index * self.batch_rows, self.batch_rows))
        rest = rows.slice(n_full * self.batch_rows)
        self._pending, self._n_pending, self._pending_bytes = [rest], rest.num_rows, rest.nbytes

    def _write_batch(self, batch: Any) -> None:
        self._open_file().write_batch(batch)
        if self.n_bytes - self._reported >= _REPORT_BYTES:
            self._reported = self.n_bytes
            self._report(self._reported)

    def _open_file(self) -> Any:
        if self._sink is None:
            self._sink = self._open_sink()
            self._file = pa.ipc.new_file(self._sink, self._schema)
        return self._file

    def _finish(self) -> None:
        if not self.batch_rows:
            self._choose_batch_rows()
            self._write_full_batches()
        if self._n_pending:
            self._write_batch(pa.concat_batches(self._pending))
        self._open_file().close()
