"""Every family of models is served exactly: to the bit like a direct call of the pipeline with the rows of the batch.

In this process: a request's body, the gateway's encoder, the worker's decoder, pipeline and JSON. `make test` takes the
first seven rows in batches of one and of seven, and all together; `--exact-rows 500` takes all rows in all three.
"""

import json
import pickle
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from joblib import parallel_config
from threadpoolctl import threadpool_limits

from shared.names import Output
from shared.store.records import Answer
from tests.comparison import compare, items
from tests.families import FAMILIES, N_ROWS, PIPELINES, Case, family
from tests.request_path import RequestPath, card_of
from training.inputs import describe_input
from training.outputs import compute_output, find_classes, find_outputs
from training.sample import take_rows
from worker.pool.predictor import Predictor

ROWS_IN_SMALL_BATCHES = 7

# `apply` and others of scikit-learn's own methods pass a matrix to trees that were fitted on a matrix of another kind.
pytestmark = pytest.mark.filterwarnings("ignore:X has feature names")


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
    outputs = find_outputs(pipeline)
    path = RequestPath(card_of(describe_input(pipeline, case.X), outputs=outputs, classes=find_classes(pipeline)))
    rows = path.rows_of(case.X)
    predictor = Predictor(path.card, loaded)
    predictor.evaluate.prove_one_evaluation(path.decode(path.encode(rows[:2])))
    whole = {output: items(compute_output(pipeline, output, case.X)) for output in outputs}
    for n_rows, size in ((exact_rows, 1), (exact_rows, 7), (N_ROWS, N_ROWS)):
        for start in range(0, n_rows, size):
            part = slice(start, min(start + size, N_ROWS))
            X = take_rows(case.X, list(range(N_ROWS))[part])
            for output, found in serve_alike(predictor, path, rows[part], outputs).items():
                compare(found, items(compute_output(pipeline, output, X)), to_the_bit=True)
                compare(found, whole[output][part], to_the_bit=False)
    check_different_requests(predictor, path, rows[:exact_rows], whole)


def check_different_requests(
    predictor: Predictor, path: RequestPath, rows: list[Any], whole: dict[Output, list[Any]]
) -> None:
    """Serve one batch of requests for one row each: for the default, for each output alone, and for all of them."""
    outputs = tuple(whole)
    choices: list[tuple[Output, ...]] = [(), *((output,) for output in outputs), outputs[::-1]]
    encoded, members = path.batch(rows, 1)
    asking = [
        msgspec.structs.replace(member, outputs=choices[index % len(choices)]) for index, member in enumerate(members)
    ]
    for index, (member, answer) in enumerate(zip(asking, predictor.predict(encoded, asking)[0], strict=True)):
        assert isinstance(answer, Answer)
        assert tuple(answer.outputs) == (member.outputs or path.card.default_outputs)
        for output, content in answer.outputs.items():
            compare(json.loads(b"[%b]" % content), whole[Output(output)][index : index + 1], to_the_bit=False)


def serve_alike(
    predictor: Predictor, path: RequestPath, rows: list[Any], outputs: tuple[Output, ...]
) -> dict[Output, list[Any]]:
    """Serve rows as one batch of requests of up to three rows each, for all outputs; return what the JSON holds."""
    encoded, members = path.batch(rows, 3)
    asking = [msgspec.structs.replace(member, outputs=outputs) for member in members]
    outcome, _ = predictor.predict(encoded, asking)
    answers = [answer for answer in outcome if isinstance(answer, Answer)]
    assert answers == outcome
    return {output: json.loads(b"[%b]" % b",".join(answer.outputs[output] for answer in answers)) for output in outputs}
