"""The rows of a client, the files that contain them, and the comparison of results.

Each row of a run has another number, which is its prediction, so a result leads to its submission, and rows that are
lost, swapped or of another submission show.
"""

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq

from tests.chaos.traffic import FEATURES, Trouble
from worker.pool import artifact

NAMES: Final = [f"column {index}" for index in range(len(FEATURES))]
MAX_ROWS: Final = 1_000_000
"""Of a submission: the first row of submission n has the number n times this."""


class Rows:
    """The rows of one submission."""

    def __init__(self, number: int, n_rows: int, *, n_marks: int = 0, mark_ms: float = 0) -> None:
        """Choose rows.

        Args:
            number: of the submission, from 1.
            n_rows: how many.
            n_marks: how many of them take their time, evenly spread.
            mark_ms: how long each of these takes.
        """
        self.first = number * MAX_ROWS
        self.n_rows = n_rows
        self._marks = [(2 * mark + 1) * n_rows // (2 * n_marks) for mark in range(n_marks)]
        self._mark_ms = mark_ms

    def matrix(self, *, has_marks: bool = True) -> Any:
        """Return them as a matrix, optionally with marks replaced by equal rows."""
        matrix = np.zeros((self.n_rows, len(FEATURES)))
        matrix[:, 2] = np.arange(self.first, self.first + self.n_rows)
        if has_marks:
            matrix[self._marks, 0], matrix[self._marks, 1] = Trouble.REPORT_PID, self._mark_ms
        return matrix

    def table(self) -> pa.Table:
        """Return them as a table."""
        return pa.table(dict(zip(NAMES, self.matrix().T.copy(), strict=True)))

    def file(self, suffix: str) -> bytes:
        """Write them as a file with this suffix."""
        return _WRITERS[suffix](self)


def _write_csv(rows: Rows) -> bytes:
    file = io.BytesIO()
    pa.csv.write_csv(rows.table(), file)
    return file.getvalue()


def _write_ndjson(rows: Rows) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows.matrix().tolist())


def _write_json(rows: Rows) -> bytes:
    return msgspec.json.encode({"data": rows.matrix().tolist()})


def _write_arrow(rows: Rows) -> bytes:
    table, file = rows.table(), io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def _write_parquet(rows: Rows) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows.table(), file, compression="none", use_dictionary=False)
    return file.getvalue()


_WRITERS: Final[Mapping[str, Callable[[Rows], bytes]]] = {
    ".csv": _write_csv,
    ".csv.gz": lambda rows: gzip.compress(_write_csv(rows), compresslevel=1),
    ".ndjson": _write_ndjson,
    ".json": _write_json,
    ".arrow": _write_arrow,
    ".parquet": _write_parquet,
}
UPLOADED: Final = tuple(_WRITERS)
"""The suffixes of files that are sent."""


class ReferencePipeline:
    """Computes the pipeline's own outputs in this process."""

    def __init__(self, model_dir: Path) -> None:
        card, self._pipeline = artifact.load(model_dir)
        self._labels = card.classes or ()

    def equals(self, rows: Rows, columns: Mapping[str, Any]) -> bool:
        """Return whether columns equal the pipeline's own outputs for some rows, to the bit and in order.

        Args:
            rows: what was asked.
            columns: `prediction` and `log_proba_<label>`, each a sequence of numbers.
        """
        matrix = rows.matrix(has_marks=False)
        log_proba = self._pipeline.predict_log_proba(matrix)
        expected = {"prediction": self._pipeline.predict(matrix)}
        expected |= {f"log_proba_{label}": log_proba[:, index] for index, label in enumerate(self._labels)}
        if list(columns) != list(expected):
            return False
        return all(_are_equal(np.asarray(columns[name]), answer) for name, answer in expected.items())

    def columns(self, prediction: list[Any], log_proba: list[list[Any]]) -> dict[str, Any]:
        """Name the columns of a result as JSON."""
        columns = zip(*log_proba, strict=True) if log_proba else ()
        named = {f"log_proba_{label}": column for label, column in zip(self._labels, columns, strict=True)}
        return {"prediction": prediction, **named}


def _are_equal(received: Any, answer: Any) -> bool:
    if received.shape != answer.shape:
        return False
    converted = received.astype(answer.dtype)  # JSON and CSV have no types
    return bool((converted == received).all()) and converted.tobytes() == answer.tobytes()


def read_file(content: bytes, suffix: str) -> dict[str, Any]:
    """Read a result file into its columns.

    Raises:
        ValueError: the file is not complete.
    """
    try:
        return _READERS[suffix](content)
    except (pa.ArrowException, OSError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error


def _read_csv(content: bytes) -> dict[str, Any]:
    names, *lines = csv.reader(io.StringIO(content.decode()))
    return {name: [float(cell) for cell in cells] for name, cells in zip(names, zip(*lines, strict=True), strict=True)}


def _read_ndjson(content: bytes) -> dict[str, Any]:
    objects = [msgspec.json.decode(line, type=dict[str, Any]) for line in content.splitlines()]
    return {name: [float(each[name]) for each in objects] for name in objects[0]}


def _of_table(table: pa.Table) -> dict[str, Any]:
    return {name: table[name].to_numpy() for name in table.column_names}


_READERS: Final[Mapping[str, Callable[[bytes], dict[str, Any]]]] = {
    ".csv": _read_csv,
    ".ndjson": _read_ndjson,
    ".arrow": lambda content: _of_table(pa.ipc.open_stream(content).read_all()),
    ".parquet": lambda content: _of_table(pq.read_table(io.BytesIO(content))),
}
DOWNLOADED: Final = tuple(_READERS)
"""The suffixes of files that are received."""
