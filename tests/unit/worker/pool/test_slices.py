"""Slices: results equal to the pipeline's own, rows without a result, and an unavailable object store."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from shared.bulk import ERROR_COLUMN, MARKER_KEY, Slice, SliceResult, Source
from shared.card import read_card
from shared.errors import ObjectStoreUnavailable, StorageFull
from shared.names import FailureCode, OnError, Output
from shared.objects import ObjectStore
from shared.store.records import Failure
from tests import pipelines
from tests.models import save_misbehaving, train_once
from tests.stored_rows import stored_table, write_rows
from training.sample import to_client_rows
from worker.pool.predictor import Predictor
from worker.pool.refusals import SearchTooLong
from worker.pool.slice_reader import SliceReader
from worker.pool.slices import ScoredSlice, SliceScorer

KEY = "sepal/result"
SECONDS = 60
REPORT = OnError.REPORT


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(str(tmp_path / "objects"))


@pytest.fixture
def rejecting(models_dir: Path) -> Predictor:
    model_dir = save_misbehaving(models_dir, pipelines.RejectsSevens())
    pipeline = make_pipeline(pipelines.RejectsSevens()).fit(np.zeros((1, 2)), [0])
    return Predictor(read_card(model_dir), pipeline)


def write_numbers(store: ObjectStore, firsts: Sequence[float | None], **fields: Any) -> Source:
    """Write rows of two columns, the second of which is zero."""
    table = pa.table([pa.array(firsts, pa.float64()), pa.array([0.0] * len(firsts))], names=["f0", "f1"])
    return write_rows(store, "sepal/rows", table, **fields)


def read(store: ObjectStore, scored: ScoredSlice) -> pa.Table:
    result = scored.result
    assert isinstance(result, SliceResult)
    assert (result.key, result.n_bytes) == (KEY, store.size(KEY))
    return pa.ipc.open_file(pa.BufferReader(store.read(KEY, 0, result.n_bytes))).read_all()


@pytest.mark.parametrize("name", ["iris", "penguins"])
@pytest.mark.parametrize("part", [Slice(0, 500), Slice(0, 1), Slice(77, 300)])
def test_results_equal_those_of_the_pipeline_to_the_bit(
    models_dir: Path, store: ObjectStore, name: str, part: Slice
) -> None:
    model_dir = train_once(models_dir, name)
    predictor = Predictor.load(model_dir)
    predictor.warm_up()
    X = frame(predictor, 500)
    outputs = (Output.PREDICTION, Output.LOG_PROBA, Output.PROBA)
    source = write_rows(
        store,
        "sepal/rows",
        stored_table(predictor.card.input, to_client_rows(predictor.card.input, X)),
        outputs=outputs,
    )
    found = read(store, SliceScorer(predictor, store, SECONDS).score(source, part, KEY))
    pipeline = joblib.load(model_dir / "pipeline.joblib")
    rows = X[part.first_row : part.first_row + part.n_rows]
    rows = rows.reset_index(drop=True) if isinstance(rows, pd.DataFrame) else rows
    with np.errstate(divide="ignore"):
        expected = {
            "prediction": pipeline.predict(rows),
            **columns("log_proba", predictor, pipeline.predict_log_proba(rows)),
            **columns("proba", predictor, pipeline.predict_proba(rows)),
        }
    assert found.column_names == list(expected)
    for column, values in expected.items():
        assert found[column].to_pylist() == values.tolist()


def frame(predictor: Predictor, n_rows: int) -> Any:
    """Return random rows for a model: of its example, with noise in the numbers and some that are missing."""
    generator = np.random.default_rng(4)
    if predictor.card.input.library == "numpy":
        return generator.uniform(0, 8, (n_rows, 4))
    example = predictor.decode.build_frame(zip(*predictor.card.example, strict=True), len(predictor.card.example))  # type: ignore[attr-defined]
    rows = example.iloc[generator.integers(len(example), size=n_rows)].reset_index(drop=True)
    for column in rows.select_dtypes("float64"):
        rows[column] = (rows[column] + generator.normal(size=n_rows)).where(generator.random(n_rows) > 0.1)
    return rows


def columns(prefix: str, predictor: Predictor, values: Any) -> dict[str, Any]:
    assert predictor.card.classes is not None
    return {f"{prefix}_{label}": column for label, column in zip(predictor.card.classes, values.T, strict=True)}


def test_row_that_a_step_drops_has_a_reason_instead_of_a_result(models_dir: Path, store: ObjectStore) -> None:
    card = read_card(save_misbehaving(models_dir, pipelines.SignClassifier()))
    pipeline = make_pipeline(FunctionTransformer(pipelines.drop_or_repeat), pipelines.SignClassifier())
    predictor = Predictor(card, pipeline.fit(np.zeros((1, 2)), [0]))
    source = write_numbers(store, [1, 11, -1, 2], errors=[None] * 4)
    found = read(store, SliceScorer(predictor, store, SECONDS).score(source, Slice(0, 4), KEY))
    assert found["prediction"].to_pylist() == [1, None, 0, 1]
    reasons = found[ERROR_COLUMN].to_pylist()
    assert reasons == [None, "the step FunctionTransformer returned 0 rows for 1", None, None]


def test_rows_that_the_reading_refused_are_left_out(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [1, None, -1, None, 2], errors=[None, "no number", None, "no number either", None])
    scored = SliceScorer(rejecting, store, SECONDS).score(source, Slice(1, 4), KEY)
    assert read(store, scored).to_pydict() == {
        "prediction": [None, 0, None, 1],
        "log_proba_0": [None, 0.0, None, -np.inf],
        "log_proba_1": [None, -np.inf, None, 0.0],
        "error": ["no number", None, "no number either", None],
    }
    assert scored.result == SliceResult(1, 4, KEY, store.size(KEY), 2)


def test_rows_that_the_pipeline_refuses_are_reported(rejecting: Predictor, store: ObjectStore) -> None:
    firsts = [7 if row % 10 == 3 else row + 0.5 for row in range(100)]
    source = write_numbers(store, firsts, errors=["not read" if row == 50 else None for row in range(100)])
    scored = SliceScorer(rejecting, store, SECONDS).score(source, Slice(20, 60), KEY)
    found = read(store, scored)
    expected = ["a row starts with 7" if row % 10 == 3 else "not read" if row == 50 else None for row in range(20, 80)]
    assert found["error"].to_pylist() == expected
    assert found["prediction"].to_pylist() == [1 if error is None else None for error in expected]
    assert scored.result == SliceResult(20, 60, KEY, store.size(KEY), 7)


def test_good_rows_are_evaluated_together(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [1, 7, 2, 7, 3, 4], errors=[None] * 6)
    with patch.object(rejecting, "evaluate", wraps=rejecting.evaluate) as evaluate:
        SliceScorer(rejecting, store, SECONDS).score(source, Slice(0, 6), KEY)
    assert evaluate.call_args.args[0].tolist() == [[1, 0], [2, 0], [3, 0], [4, 0]]


def test_good_rows_that_are_refused_together_are_evaluated_in_parts(rejecting: Predictor, store: ObjectStore) -> None:
    evaluate = rejecting.evaluate

    def limited(rows: Any, wanted: Any) -> Any:
        if len(rows) > 3:
            raise MemoryError
        return evaluate(rows, wanted)

    source = write_numbers(store, [1, 7, 2, 7, 3, 4], errors=[None] * 6)
    with patch.object(rejecting, "evaluate", limited):
        found = read(store, SliceScorer(rejecting, store, SECONDS).score(source, Slice(0, 6), KEY))
    assert found["prediction"].to_pylist() == [1, None, 1, None, 1, 1]


def test_slice_without_a_good_row_has_the_columns_of_any_other(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [7, None, 7, 1], errors=[None, "not read", None, None])
    scorer = SliceScorer(rejecting, store, SECONDS)
    schema = read(store, scorer.score(source, Slice(3, 1), KEY)).schema
    for part in (Slice(0, 3), Slice(1, 1)):
        found = read(store, scorer.score(source, part, KEY))
        assert found.schema.equals(schema, check_metadata=True)
        assert found["prediction"].null_count == part.n_rows


def test_prediction_fails_with_the_first_rows_that_the_pipeline_refuses(
    rejecting: Predictor, store: ObjectStore
) -> None:
    source = write_numbers(store, [7 if row % 2 else 1 for row in range(1000)])
    failure = SliceScorer(rejecting, store, SECONDS).score(source, Slice(100, 800), KEY).result
    assert isinstance(failure, Failure)
    assert failure.code == FailureCode.ROWS_REJECTED
    assert [fault.pointer for fault in failure.faults] == [f"/data/{row}" for row in range(101, 301, 2)]
    assert failure.faults[0].detail == "a row starts with 7"
    assert [stored.key for stored in store.list()] == ["sepal/rows"]


def test_search_that_takes_too_long_is_raised(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [1, 1, 1, 1, 1, 7], errors=[None] * 6)
    with pytest.raises(SearchTooLong):
        SliceScorer(rejecting, store, 0).score(source, Slice(0, 6), KEY)


def test_object_store_without_a_marker_is_not_there(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [1])
    store.delete([source.key])
    with pytest.raises(ObjectStoreUnavailable):
        SliceScorer(rejecting, store, 0).score(source, Slice(0, 1), KEY)


def test_prediction_fails_if_its_rows_are_gone(rejecting: Predictor, store: ObjectStore) -> None:
    source = write_numbers(store, [1])
    store.put(MARKER_KEY, b"of a store")
    store.delete([source.key])
    failure = SliceScorer(rejecting, store, SECONDS).score(source, Slice(0, 1), KEY).result
    assert isinstance(failure, Failure)
    assert failure.code == FailureCode.ROWS_LOST


def failing(call: Callable[..., Any], times: float, error: Exception) -> Callable[..., Any]:
    """Wrap a call: it raises an error at its first calls."""
    left = [times]

    def wrapped(*args: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return call(*args)

    return wrapped


@pytest.mark.parametrize("error", [ObjectStoreUnavailable(), StorageFull()])
def test_slice_waits_for_the_object_store(rejecting: Predictor, store: ObjectStore, error: Exception) -> None:
    source = write_numbers(store, [1, 2])
    scorer = SliceScorer(rejecting, store, SECONDS)
    with (
        patch.object(scorer, "_rows", Mock(read=failing(SliceReader(store).read, 2, error))),
        patch("worker.pool.slices.write_table", failing(lambda *_: 12, 2, error)),
    ):
        scored = scorer.score(source, Slice(0, 2), KEY)
    assert scored.result == SliceResult(0, 2, KEY, 12)


@pytest.mark.parametrize("error", [ObjectStoreUnavailable(), StorageFull()])
def test_long_outage_is_raised(rejecting: Predictor, store: ObjectStore, error: Exception) -> None:
    source = write_numbers(store, [1, 2])
    with (
        patch("worker.pool.slices.write_table", failing(lambda *_: 12, np.inf, error)),
        pytest.raises(type(error)),
    ):
        SliceScorer(rejecting, store, 1).score(source, Slice(0, 2), KEY)
