"""The rows of an upload, and the comparison of their results.

Each row of a run has a unique number, which is its result, so that lost, swapped and foreign rows are detected.
Some rows are marks: the first process that scores one writes its pid to a file, and waits for a moment.
"""

import io
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.chaos.traffic import FEATURES, Trouble
from worker.pool import artifact

_MARK_MS: Final = 150
_FIRST: Final = 10**12  # beyond the numbers of single predictions
_MAX_ROWS: Final = 10**7


class Size(NamedTuple):
    """The size of a bulk prediction."""

    n_rows: int = 1_000_000
    n_marks: int = 20
    upload_seconds: float = 1.5
    """The least duration of the upload."""


class Rows:
    """The rows of one upload."""

    def __init__(self, number: int, size: Size) -> None:
        self.n_rows = size.n_rows
        self._n_marks = size.n_marks
        self._first = _FIRST + number * _MAX_ROWS

    def parquet(self) -> bytes:
        """Return them as a Parquet file: 24 bytes a row."""
        matrix = self._matrix()
        marks = self._marks()
        matrix[marks, 0], matrix[marks, 1] = Trouble.REPORT_PID, _MARK_MS
        columns = {f"column {index}": column for index, column in enumerate(matrix.T.copy())}
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="none", use_dictionary=False, row_group_size=2**16)
        return file.getvalue()

    def pid_files(self, folder: Path) -> list[Path]:
        """Return the files of the marks, in the order of their rows."""
        return [folder / str(self._first + mark) for mark in self._marks()]

    def matrix_without_marks(self) -> Any:
        """Return the rows as a matrix, with the same expected results."""
        return self._matrix()

    def _matrix(self) -> Any:
        matrix = np.zeros((self.n_rows, len(FEATURES)))
        matrix[:, 2] = np.arange(self._first, self._first + self.n_rows)
        return matrix

    def _marks(self) -> list[int]:
        return [(2 * mark + 1) * self.n_rows // (2 * self._n_marks) for mark in range(self._n_marks)]


class BulkReference:
    """Computes the pipeline's own results in this process."""

    def __init__(self, model_dir: Path) -> None:
        card, self._pipeline = artifact.load(model_dir)
        self._labels = card.classes or ()

    def is_right(self, rows: Rows, result: bytes) -> bool:
        """Whether a result, as Parquet, equals the pipeline's own to the bit, row for row."""
        matrix = rows.matrix_without_marks()
        log_proba = self._pipeline.predict_log_proba(matrix)
        expected = {"prediction": self._pipeline.predict(matrix)}
        expected |= {f"log_proba_{label}": log_proba[:, index] for index, label in enumerate(self._labels)}
        table = pq.read_table(io.BytesIO(result))
        if table.column_names != list(expected) or any(column.null_count for column in table.columns):
            return False
        received = [column.to_numpy() for column in table.columns]
        pairs = zip(received, expected.values(), strict=True)
        return all(one.dtype == other.dtype and one.tobytes() == other.tobytes() for one, other in pairs)
