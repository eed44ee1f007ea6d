"""The predictor's results are exact, and a bad row fails only its own member."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from shared.card import read_card
from shared.names import FailureCode
from shared.rows import encode_matrix
from shared.store.records import Answer, Failure, Member
from tests import pipelines
from tests.models import save_misbehaving
from training.outputs import compute_output
from worker.pool.predictor import Predictor

SECRET = bytes(13)


def answers(predictor: Predictor, rows: list[list[float]], *row_counts: int) -> list[Answer | Failure]:
    (encoded,) = encode_matrix(rows, len(rows))
    row_bytes = len(encoded.content) // len(rows)
    return predictor.predict(encoded, [Member(SECRET, count, count * row_bytes) for count in row_counts])[0]


@pytest.fixture
def rejecting(models_dir: Path) -> Predictor:
    model_dir = save_misbehaving(models_dir, pipelines.RejectsSevens())
    pipeline = make_pipeline(pipelines.RejectsSevens()).fit(np.zeros((1, 2)), [0])
    return Predictor(read_card(model_dir), pipeline)


def test_each_member_gets_the_answers_for_its_rows(rejecting: Predictor) -> None:
    first, second = answers(rejecting, [[1, 0], [-1, 0], [2, 0]], 2, 1)
    assert first == Answer({"prediction": b"1,0", "log_proba": b'["-Infinity",0.0],[0.0,"-Infinity"]'})
    assert second == Answer({"prediction": b"1", "log_proba": b'["-Infinity",0.0]'})


@pytest.mark.parametrize("bad", range(5))
def test_bad_row_fails_only_its_own_member(rejecting: Predictor, bad: int) -> None:
    rows = [[7.0 if index == bad else 1.0, 0] for index in range(5)]
    outcome = answers(rejecting, rows, 1, 1, 1, 1, 1)
    assert [type(member) for member in outcome] == [Failure if index == bad else Answer for index in range(5)]
    failure = outcome[bad]
    assert isinstance(failure, Failure)
    assert failure.code == FailureCode.ROWS_REJECTED
    assert "a row starts with 7" in failure.detail


def test_several_bad_members_fail_and_the_others_succeed(rejecting: Predictor) -> None:
    outcome = answers(rejecting, [[1, 0], [7, 0], [2, 0], [7, 0], [7, 0], [3, 0]], 2, 1, 2, 1)
    assert [type(member) for member in outcome] == [Failure, Answer, Failure, Answer]


def test_outputs_equal_those_of_the_whole_pipeline_to_the_bit(iris_dir: Path) -> None:
    predictor = Predictor.load(iris_dir)
    pipeline = joblib.load(iris_dir / "pipeline.joblib")
    rows = np.random.default_rng(1).uniform(0, 8, (500, 4))
    outputs = predictor.evaluate(rows, dict.fromkeys(predictor.card.outputs))
    with np.errstate(divide="ignore"):
        expected = {output: compute_output(pipeline, output, rows) for output in predictor.card.outputs}
    assert {output: np.asarray(values).tobytes() for output, values in outputs.items()} == {
        output: values.tobytes() for output, values in expected.items()
    }


def test_rows_are_transformed_once(models_dir: Path) -> None:
    counting = pipelines.CountsCalls()
    pipeline = make_pipeline(counting, pipelines.RejectsSevens()).fit(np.zeros((1, 2)), [0])
    card = read_card(save_misbehaving(models_dir, pipelines.RejectsSevens()))
    before = counting.calls
    answers(Predictor(card, pipeline), [[1, 0]], 1)
    assert counting.calls == before + 1
