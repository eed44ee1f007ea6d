"""Scores slices: reads their rows from the object store, evaluates them, and writes the result."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from shared.bulk import ERROR_COLUMN, MARKER_KEY, MAX_LISTED_ERRORS, Slice, SliceResult, Source
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
_REFUSED_DETAIL: Final = "The pipeline refused rows; `errors` has the first of them."

log = structlog.get_logger(__name__)


class ScoredSlice(NamedTuple):
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

    def __init__(self, predictor: Predictor, store: ObjectStore, time_limit_seconds: float) -> None:
        """Prepare to score.

        Args:
            predictor: a predictor that is loaded and warmed up.
            store: the object store of the rows and the results.
            time_limit_seconds: the time limit of a slice: at most 30 % for waiting until the object store is available,
                and 25 % for the search for refused rows.
        """
        self._predictor = predictor
        self._store = store
        self._time_limit_seconds = time_limit_seconds
        self._rows = SliceReader(store)
        self._convert = make_converter(predictor.card)
        self._tables = ResultEncoder(predictor.card)
        self._began = 0.0
        limit_threads()  # pyarrow's too

    def score(self, source: Source, row_range: Slice, key: str) -> ScoredSlice:
        """Score a slice, and write its result to the object `key`.

        Raises:
            ObjectStoreUnavailable, StorageFull: the failure lasted for 30 % of the time limit.
            SearchTooLong: the search for refused rows took too long; the slice must be halved.
        """
        self._began = time.monotonic()
        started = time.perf_counter_ns()
        try:
            table = self._retry_store_call(lambda: self._read_rows(source, row_range))
        except FileNotFoundError:
            return ScoredSlice(_ROWS_LOST)
        read = time.perf_counter_ns()
        result = self._evaluate(source, table, row_range.first_row)
        predicted = time.perf_counter_ns()
        if not isinstance(result, Failure):
            n_bytes = self._retry_store_call(lambda: write_table(self._store, key, result))
            n_bad = result.num_rows - result[ERROR_COLUMN].null_count if source.on_error is OnError.REPORT else 0
            result = SliceResult(row_range.first_row, row_range.n_rows, key, n_bytes, n_bad)
        written = time.perf_counter_ns()
        return ScoredSlice(result, (read - started) // 1000, (predicted - read) // 1000, (written - predicted) // 1000)

    def _read_rows(self, source: Source, row_range: Slice) -> pa.Table:
        try:
            return self._rows.read(source, row_range)
        except FileNotFoundError as error:
            try:
                self._store.size(MARKER_KEY)
            except FileNotFoundError:  # the store itself is missing, such as a folder that is not mounted
                raise ObjectStoreUnavailable from error
            raise

    def _evaluate(self, source: Source, table: pa.Table, first_row: int) -> pa.Table | Failure:
        """Return the result table of a slice, or the failure of its prediction."""
        rows, indices, errors = (
            _separate_refused_rows(table) if source.on_error is OnError.REPORT else (table, None, None)
        )
        wanted_rows: WantedRows = dict.fromkeys(source.outputs or self._predictor.card.default_outputs)
        if not rows.num_rows:
            return self._encode_without_results(wanted_rows, errors)
        search_result = self._search_refused_rows(
            rows, wanted_rows, None if source.on_error is OnError.REPORT else MAX_LISTED_ERRORS
        )
        if not search_result.reasons:
            return self._tables.encode(search_result.merged_outputs(), indices, errors)
        if source.on_error is OnError.REPORT:
            return self._encode_with_reasons(
                rows, wanted_rows, search_result, np.arange(table.num_rows) if indices is None else indices, errors
            )
        faults = [Fault(f"/data/{first_row + row}", reason) for row, reason in search_result.reasons.items()]
        return Failure(FailureCode.ROWS_REJECTED, _REFUSED_DETAIL, tuple(faults))

    def _search_refused_rows(self, rows: pa.Table, wanted_rows: WantedRows, max_refused: int | None) -> SearchResult:
        def convert(start: int, stop: int) -> Any:
            return self._convert(rows.slice(start, stop - start))

        search = RefusalSearch(
            convert,
            lambda converted: self._predictor.evaluate(converted, wanted_rows),
            self._predictor.interruptions,
            max_refused=max_refused,
            time_limit_seconds=self._time_limit_seconds * _MAX_SEARCH_SHARE,
        )
        return search.run(rows.num_rows)

    def _encode_with_reasons(
        self,
        rows: pa.Table,
        wanted_rows: WantedRows,
        search_result: SearchResult,
        indices: NDArray[np.intp],
        errors: pa.Array,
    ) -> pa.Table:
        """Return the result table, with the reasons for the refused rows and the results of the others."""
        reasons = errors.to_pylist()
        for row, reason in search_result.reasons.items():
            reasons[indices[row]] = reason
        errors = strings_to_arrow(reasons)
        if not search_result.parts:
            return self._encode_without_results(wanted_rows, errors)
        accepted_rows = search_result.accepted_rows()
        outputs = (
            search_result.merged_outputs()
            if len(search_result.parts) == 1
            else self._evaluate_together(rows, wanted_rows, search_result, accepted_rows)
        )
        return self._tables.encode(outputs, indices[accepted_rows], errors)

    def _evaluate_together(
        self, rows: pa.Table, wanted_rows: WantedRows, search_result: SearchResult, accepted_rows: NDArray[np.intp]
    ) -> Mapping[Output, OutputValues]:
        is_good = np.zeros(rows.num_rows, dtype=np.bool_)
        is_good[accepted_rows] = True
        converted = self._convert(rows.filter(values_to_arrow(is_good, None, 0)))
        try:
            return self._predictor.evaluate(converted, wanted_rows)
        except self._predictor.interruptions:
            raise
        except Exception:
            log.warning("the pipeline refuses rows together that it accepts in parts", exc_info=True)
            return search_result.merged_outputs()

    def _encode_without_results(self, wanted_rows: WantedRows, errors: pa.Array) -> pa.Table:
        """Make the result table of a slice without results; its columns are those of the card's example rows."""
        card = self._predictor.card
        example = self._predictor.decode(encode_one_batch(card.example, card.encoding))
        return self._tables.encode_without_results(self._predictor.evaluate(example, wanted_rows), errors)

    def _retry_store_call(self, call: Callable[[], T]) -> T:
        """Retry a call while the object store is unavailable or full."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except (ObjectStoreUnavailable, StorageFull) as error:
                if time.monotonic() + pause > self._began + self._time_limit_seconds * _MAX_WAITING_SHARE:
                    raise
                log.warning("object store unavailable or full, retrying", code=error.code, reason=str(error.__cause__))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _separate_refused_rows(table: pa.Table) -> tuple[pa.Table, NDArray[np.intp] | None, pa.Array]:
    """Separate the rows that were refused when the upload was read.

    Returns:
        The other rows; their indices, or None if no row was refused; and for each row the reason, or null.
    """
    errors, rows = pa.concat_arrays(table[ERROR_COLUMN].chunks), table.drop_columns([ERROR_COLUMN])
    if errors.null_count == len(errors):
        return rows, None, errors
    is_good = errors.is_null()
    return rows.filter(is_good), np.flatnonzero(arrow_to_numpy(is_good)), errors
