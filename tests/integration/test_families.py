"""Every family of models is served exactly: to the bit as the pipeline answers when called on the rows of the batch.

In this process: a request's body, the gateway's encoder, the worker's decoder, pipeline and JSON. `make test` takes the
first seven rows in batches of one and of seven, and all together; `--exact-rows 500` takes all rows in all three.
"""

import json
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shared.store.records import Answer
from tests.families import FAMILIES, N_ROWS, PIPELINES, Case, family
from tests.request_path import RequestPath, card_of
from training.artifact import _classes, _has_log_proba
from training.inputs import describe
from training.sample import take
from worker.pool.predictor import Predictor

Outputs = tuple[NDArray[Any], NDArray[Any] | None]
ROWS_IN_SMALL_BATCHES = 7


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        yield


@pytest.fixture
def exact_rows(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--exact-rows") or ROWS_IN_SMALL_BATCHES


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_is_served_exactly(name: str, exact_rows: int) -> None:
    check(PIPELINES[name](), exact_rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_family_is_served_exactly(name: str, exact_rows: int, request: pytest.FixtureRequest) -> None:
    """Over a data frame; with `--exact-rows` also over a matrix."""
    check(family(name, as_frame=True), exact_rows)
    if request.config.getoption("--exact-rows"):
        check(family(name, as_frame=False), exact_rows)


def check(case: Case, exact_rows: int) -> None:
    """Compare the answers to the rows of a case, in batches of several sizes, with those of its pipeline.

    The rows of a batch are a frame of their own: `X.iloc[3:5]` alone shares the memory of X, with gaps between the
    values of a row, over which BLAS adds in another order. Both pipelines were unpickled, since that changes the layout
    of what they hold.
    """
    pipeline, loaded = (pickle.loads(pickle.dumps(case.pipeline)) for _ in range(2))
    card = card_of(
        describe(pipeline, case.X),
        outputs=("prediction", "log_proba") if _has_log_proba(pipeline) else ("prediction",),
        classes=_classes(pipeline),
    )
    path = RequestPath(card)
    rows = path.rows_of(case.X)
    predictor = Predictor(card, loaded)
    predictor.evaluate.prove(path.decode(path.encode(rows[:2])))
    whole = call(pipeline, case.X)
    for n_rows, size in ((exact_rows, 1), (exact_rows, 7), (N_ROWS, N_ROWS)):
        for start in range(0, n_rows, size):
            part = slice(start, min(start + size, N_ROWS))
            expected = call(pipeline, take(case.X, list(range(N_ROWS))[part]))
            found = serve(predictor, path, rows[part])
            for one, direct, of_all in zip(found, expected, whole, strict=True):
                compare(one, direct, None if of_all is None else of_all[part])


def call(pipeline: Any, X: Any) -> Outputs:
    """Call a pipeline's own methods."""
    prediction = np.asarray(pipeline.predict(X))
    if not _has_log_proba(pipeline):
        return prediction, None
    if hasattr(pipeline, "predict_log_proba"):
        return prediction, np.asarray(pipeline.predict_log_proba(X))
    return prediction, np.log(pipeline.predict_proba(X))


def serve(predictor: Predictor, path: RequestPath, rows: list[Any]) -> tuple[list[Any], list[Any] | None]:
    """Serve rows as one batch of requests of up to three rows each; returns the values of the answers' JSON."""
    encoded, members = path.batch(rows, 3)
    outcome, _ = predictor.predict(encoded, members)
    answers = [answer for answer in outcome if isinstance(answer, Answer)]
    assert answers == outcome
    log_proba = [answer.log_proba for answer in answers if answer.log_proba is not None]
    return _parse([answer.prediction for answer in answers]), _parse(log_proba) if log_proba else None


def _parse(items: list[bytes]) -> list[Any]:
    parsed: list[Any] = json.loads(b"[%b]" % b",".join(items))
    return parsed


def compare(found: list[Any] | None, direct: NDArray[Any] | None, of_all: NDArray[Any] | None) -> None:
    """Compare to the bit with a call on the rows of the batch, and closely with a call on all rows."""
    if found is None or direct is None or of_all is None:
        assert (found, direct, of_all) == (None, None, None)
        return
    if direct.dtype.kind == "M":
        assert found == np.datetime_as_string(direct).tolist()
    elif direct.dtype.kind != "f":
        assert found == direct.tolist() == of_all.tolist()
    else:
        values = np.array([np.array(each, dtype=np.float64) for each in found]).astype(direct.dtype)
        assert values.tobytes() == direct.tobytes(), (values, direct)
        tolerance = 1e-9 if direct.dtype == np.float64 else 1e-3
        np.testing.assert_allclose(values, of_all, rtol=tolerance, atol=tolerance / 1000)
