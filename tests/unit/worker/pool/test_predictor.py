"""The predictor's results are exact, and a bad row fails only its own member."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from shared.card import read_card
from shared.names import FailureCode, Output
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


@pytest.mark.parametrize("bad", [11, -11])
def test_row_that_a_step_drops_or_repeats_fails_only_its_own_member(models_dir: Path, bad: float) -> None:
    """Otherwise a member would get the results of another."""
    card = read_card(save_misbehaving(models_dir, pipelines.SignClassifier()))
    pipeline = make_pipeline(FunctionTransformer(pipelines.drop_or_repeat), pipelines.SignClassifier())
    predictor = Predictor(card, pipeline.fit(np.zeros((1, 2)), [0]))
    (encoded,) = encode_matrix([[-1, 0], [bad, 0], [1, 0], [-2, 0], [2, 0]], 5)
    outputs: list[tuple[Output, ...]] = [(), (Output.LOG_PROBA,), (Output.PREDICTION,), (Output.LOG_PROBA,), ()]
    outcome = predictor.predict(encoded, [Member(SECRET, 1, 16, outputs=each) for each in outputs])[0]
    zero, one = b'[0.0,"-Infinity"]', b'["-Infinity",0.0]'
    assert [each.outputs if isinstance(each, Answer) else each.code for each in outcome] == [
        {"prediction": b"0", "log_proba": zero},
        FailureCode.ROWS_REJECTED,
        {"prediction": b"1"},
        {"log_proba": zero},
        {"prediction": b"1", "log_proba": one},
    ]


class AnswersObjects(pipelines.SignClassifier):
    """Answers with an object that JSON lacks if the first column is 7."""

    def predict(self, rows: Any) -> Any:
        return np.array([object() if row[0] == 7 else 1 for row in rows], dtype=object)


def test_answer_that_json_lacks_fails_only_its_own_member(models_dir: Path) -> None:
    card = read_card(save_misbehaving(models_dir, pipelines.SignClassifier()))
    predictor = Predictor(card, AnswersObjects().fit(np.zeros((1, 2)), [0]))
    outcome = answers(predictor, [[1, 0], [7, 0], [2, 0]], 1, 1, 1)
    assert [type(member) for member in outcome] == [Answer, Failure, Answer]
    assert isinstance(outcome[1], Failure)
    assert "JSON has no object" in outcome[1].detail


def test_steps_may_write_into_their_rows(models_dir: Path) -> None:
    card = read_card(save_misbehaving(models_dir, pipelines.SignClassifier()))
    pipeline = make_pipeline(FunctionTransformer(pipelines.cap_in_place), pipelines.SignClassifier())
    outcome = answers(Predictor(card, pipeline.fit(np.zeros((1, 2)), [0])), [[1, 0]], 1)
    assert isinstance(outcome[0], Answer)


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
