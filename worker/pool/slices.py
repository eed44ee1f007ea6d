"""Scores slices: reads their rows from the object store, evaluates them, and writes the result."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from shared.bulk import ERROR, MARKER, MAX_LISTED_ERRORS, Slice, SliceResult, Source
from shared.errors import Fault, ObjectStoreUnavailable, StorageFull
from shared.names import FailureCode, OnError, Output
from shared.objects import ObjectStore
from shared.rows import encode_one_batch
from shared.store.records import Failure
from worker.pool.arrow_arrays import arrow_to_numpy, strings_to_arrow, values_to_arrow
from worker.pool.arrow_rows import make_converter
from worker.pool.libraries import limit_threads
from worker.pool.outputs import OutputValues, WantedRows
from worker.pool.predictor import Predictor
from worker.pool.refusals import RefusalSearch, SearchResult
from worker.pool.result_table import ResultEncoder, write_table
from worker.pool.slice_reader import SliceReader

T = TypeVar("T")

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_MAX_WAITING_SHARE: Final = 0.3  # of the time limit of a slice, 55 s, because a last call may take 35 s
_MAX_SEARCH_SHARE: Final = 0.25
_ROWS_LOST: Final = Failure(FailureCode.ROWS_LOST, "The rows are not in the object store any more: submit them again.")
_REFUSED: Final = "The pipeline refused rows; `errors` has the first of them."

log = structlog.get_logger(__name__)


class Scored(NamedTuple):
    """The result of a slice, and the time of each step in microseconds."""

    result: SliceResult | Failure
    read_us: int = 0
    predict_us: int = 0
    """Includes the conversion of the rows into the pipeline's input."""
    write_us: int = 0


class SliceScorer:
    """Scores slices with one predictor.

    All rows of a slice are evaluated in one call, so the results equal those of the pipeline's own methods for these
    rows. If the pipeline refuses some of them, and these are to be reported, the other rows are evaluated again in one
    call. If that fails, for example for lack of memory, their results are those of the parts that were evaluated.
    """

    def __init__(self, predictor: Predictor, store: ObjectStore, seconds: float) -> None:
        """Prepare to score.

        Args:
            predictor: a predictor that is loaded and warmed up.
            store: the object store of the rows and the results.
            seconds: the time limit of a slice: at most 30 % for waiting until the object store is available, and 25 %
                for the search for refused rows.
        """
        self._predictor = predictor
        self._store = store
        self._seconds = seconds
        self._rows = SliceReader(store)
        self._convert = make_converter(predictor.card)
        self._tables = ResultEncoder(predictor.card)
        self._began = 0.0
        limit_threads()  # pyarrow's too

    def score(self, source: Source, part: Slice, key: str) -> Scored:
        """Score a slice, and write its result to the object `key`.

        Raises:
            ObjectStoreUnavailable, StorageFull: the failure lasted for 30 % of the time limit.
            SearchTooLong: the search for refused rows took too long; the slice must be halved.
        """
        self._began = time.monotonic()
        started = time.perf_counter_ns()
        try:
            table = self._retry_store(lambda: self._read_rows(source, part))
        except FileNotFoundError:
            return Scored(_ROWS_LOST)
        read = time.perf_counter_ns()
        result = self._evaluate(source, table, part.first_row)
        predicted = time.perf_counter_ns()
        if not isinstance(result, Failure):
            n_bytes = self._retry_store(lambda: write_table(self._store, key, result))
            n_bad = result.num_rows - result[ERROR].null_count if source.on_error is OnError.REPORT else 0
            result = SliceResult(part.first_row, part.n_rows, key, n_bytes, n_bad)
        written = time.perf_counter_ns()
        return Scored(result, (read - started) // 1000, (predicted - read) // 1000, (written - predicted) // 1000)

    def _read_rows(self, source: Source, part: Slice) -> pa.Table:
        try:
            return self._rows.read(source, part)
        except FileNotFoundError as error:
            try:
                self._store.size(MARKER)
            except FileNotFoundError:  # the store itself is missing, such as a folder that is not mounted
                raise ObjectStoreUnavailable from error
            raise

    def _evaluate(self, source: Source, table: pa.Table, first_row: int) -> pa.Table | Failure:
        """Return the result table of a slice, or the failure of its prediction."""
        rows, indices, errors = _separate_refused(table) if source.on_error is OnError.REPORT else (table, None, None)
        wanted: WantedRows = dict.fromkeys(source.outputs or self._predictor.card.default_outputs)
        if not rows.num_rows:
            return self._encode_without_results(wanted, errors)
        found = self._search(rows, wanted, None if source.on_error is OnError.REPORT else MAX_LISTED_ERRORS)
        if not found.reasons:
            return self._tables.encode(found.merged_outputs(), indices, errors)
        if source.on_error is OnError.REPORT:
            return self._encode_with_reasons(
                rows, wanted, found, np.arange(table.num_rows) if indices is None else indices, errors
            )
        faults = [Fault(f"/data/{first_row + row}", reason) for row, reason in found.reasons.items()]
        return Failure(FailureCode.ROWS_REJECTED, _REFUSED, tuple(faults))

    def _search(self, rows: pa.Table, wanted: WantedRows, most: int | None) -> SearchResult:
        def convert(start: int, stop: int) -> Any:
            return self._convert(rows.slice(start, stop - start))

        search = RefusalSearch(
            convert,
            lambda converted: self._predictor.evaluate(converted, wanted),
            self._predictor.interruptions,
            most=most,
            seconds=self._seconds * _MAX_SEARCH_SHARE,
        )
        return search.run(rows.num_rows)

    def _encode_with_reasons(
        self, rows: pa.Table, wanted: WantedRows, found: SearchResult, indices: NDArray[np.intp], errors: pa.Array
    ) -> pa.Table:
        """Return the result table, with the reasons for the refused rows and the results of the others."""
        reasons = errors.to_pylist()
        for row, reason in found.reasons.items():
            reasons[indices[row]] = reason
        errors = strings_to_arrow(reasons)
        if not found.parts:
            return self._encode_without_results(wanted, errors)
        good = found.accepted_rows()
        outputs = (
            found.merged_outputs() if len(found.parts) == 1 else self._evaluate_together(rows, wanted, found, good)
        )
        return self._tables.encode(outputs, indices[good], errors)

    def _evaluate_together(
        self, rows: pa.Table, wanted: WantedRows, found: SearchResult, good: NDArray[np.intp]
    ) -> Mapping[Output, OutputValues]:
        is_good = np.zeros(rows.num_rows, dtype=np.bool_)
        is_good[good] = True
        converted = self._convert(rows.filter(values_to_arrow(is_good, None, 0)))
        try:
            return self._predictor.evaluate(converted, wanted)
        except self._predictor.interruptions:
            raise
        except Exception:
            log.warning("the pipeline refuses rows together that it accepts in parts", exc_info=True)
            return found.merged_outputs()

    def _encode_without_results(self, wanted: WantedRows, errors: pa.Array) -> pa.Table:
        """Make the result table of a slice without results; its columns are those of the card's example rows."""
        card = self._predictor.card
        example = self._predictor.decode(encode_one_batch(card.example, card.encoding))
        return self._tables.encode_without_results(self._predictor.evaluate(example, wanted), errors)

    def _retry_store(self, call: Callable[[], T]) -> T:
        """Retry a call while the object store is unavailable or full."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except (ObjectStoreUnavailable, StorageFull) as error:
                if time.monotonic() + pause > self._began + self._seconds * _MAX_WAITING_SHARE:
                    raise
                log.warning("object store unavailable or full, retrying", code=error.code, reason=str(error.__cause__))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _separate_refused(table: pa.Table) -> tuple[pa.Table, NDArray[np.intp] | None, pa.Array]:
    """Separate the rows that were refused when the upload was read.

    Returns:
        The other rows; their indices, or None if no row was refused; and for each row the reason, or null.
    """
    errors, rows = pa.concat_arrays(table[ERROR].chunks), table.drop_columns([ERROR])
    if errors.null_count == len(errors):
        return rows, None, errors
    is_good = errors.is_null()
    return rows.filter(is_good), np.flatnonzero(arrow_to_numpy(is_good)), errors
