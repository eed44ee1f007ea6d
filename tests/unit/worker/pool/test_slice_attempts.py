"""How attempts at slices end: committed, dropped, given back or halved."""

from pathlib import Path
from typing import Any

import pytest

from shared.bulk import Slice, SliceResult, Source
from shared.card import ModelRef
from shared.errors import ObjectStoreUnavailable, StorageFull
from shared.ids import BatchId
from shared.names import FailureCode, Queue
from shared.objects import ObjectStore
from shared.rows import EncodedRows
from shared.store.attempts import Claim
from shared.store.records import Failure, Member
from worker.pool.refusals import SearchTooLong
from worker.pool.slice_attempts import SliceAttempts
from worker.pool.slices import ScoredSlice
from worker.telemetry.metrics import SliceReport

REFUSAL = Failure(FailureCode.MODEL_CHANGED, "another model")


class Attempts:
    """The store's part: notes what it is told."""

    def __init__(self, *, commits: bool) -> None:
        self._commits = commits
        self.committed: list[tuple[SliceResult | Failure, int]] = []
        self.given_back: list[BatchId] = []
        self.halved: list[BatchId] = []

    def commit_slice(self, claim: Claim, result: SliceResult | Failure, *, predict_us: int) -> bool:
        del claim
        self.committed.append((result, predict_us))
        return self._commits

    def give_back(self, batch_id: BatchId) -> None:
        self.given_back.append(batch_id)

    def requeue(self, batch_id: BatchId, reason: str, *, is_last: bool) -> None:
        assert reason
        assert is_last
        self.halved.append(batch_id)


class Scorer:
    """Writes an object, or raises an error."""

    def __init__(self, store: ObjectStore, error: Exception | None) -> None:
        self._store = store
        self._error = error

    def score(self, source: Source, row_range: Slice, key: str) -> ScoredSlice:
        del source
        if self._error is not None:
            raise self._error
        self._store.put(key, b"a result")
        return ScoredSlice(SliceResult(row_range.first_row, row_range.n_rows, key, 8, 2), 10, 20, 30)


CLAIM = Claim(
    batch_id=BatchId("parent.3"),
    token=2,
    claimed_us=100,
    queue_us=50,
    rows=EncodedRows(b"", 5),
    members=[Member(bytes(13), 5)],
    model=ModelRef(name="", version="", digest=""),
    queue=Queue.BULK,
    origins={},
    slice=Slice(10, 5),
    source=Source("sepal/parent/rows", 100, 1000, 16),
)


class Run:
    """One run of an attempt."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        commits: bool = True,
        error: Exception | None = None,
        refusal: Failure | None = None,
    ) -> None:
        self.attempts = Attempts(commits=commits)
        self.reports: list[SliceReport] = []
        scorer: Any = Scorer(store, error)
        attempts: Any = self.attempts
        SliceAttempts(scorer, attempts, store, self.reports.append).run(CLAIM, refusal)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(str(tmp_path))


def keys(store: ObjectStore) -> list[str]:
    return [stored.key for stored in store.list()]


def test_result_is_committed_with_the_key_of_its_attempt(store: ObjectStore) -> None:
    run = Run(store)
    ((result, predict_us),) = run.attempts.committed
    assert isinstance(result, SliceResult)
    assert keys(store) == [result.key]
    assert result.key.startswith("sepal/parent/results/3-2-")
    assert predict_us == 20
    assert run.reports == [SliceReport("committed", 5, 2, 50, 10, 20, 30)]


def test_object_of_a_refused_result_is_deleted(store: ObjectStore) -> None:
    run = Run(store, commits=False)
    assert keys(store) == []
    assert run.reports == [SliceReport("dropped", 5, 2, 50, 10, 20, 30)]


def test_refused_result_is_dropped_also_if_its_object_cannot_be_deleted(store: ObjectStore) -> None:
    class Frozen(ObjectStore):
        def delete(self, _: Any) -> None:
            raise ObjectStoreUnavailable

    frozen = Frozen.open(str(store.local_path("")))
    assert [report.end for report in Run(frozen, commits=False).reports] == ["dropped"]
    assert len(keys(store)) == 1


def test_prediction_that_is_refused_is_not_scored(store: ObjectStore) -> None:
    run = Run(store, refusal=REFUSAL, error=AssertionError())
    assert run.attempts.committed == [(REFUSAL, 0)]


@pytest.mark.parametrize("error", [ObjectStoreUnavailable(), StorageFull()])
def test_slice_that_outlasts_no_outage_is_given_back(store: ObjectStore, error: Exception) -> None:
    run = Run(store, error=error)
    assert (run.attempts.given_back, run.attempts.committed) == ([CLAIM.batch_id], [])
    assert run.reports == [SliceReport("given-back")]


def test_slice_whose_search_takes_too_long_is_halved(store: ObjectStore) -> None:
    run = Run(store, error=SearchTooLong())
    assert (run.attempts.halved, run.attempts.committed) == ([CLAIM.batch_id], [])
    assert run.reports == [SliceReport("halved")]
