"""Results: numbers that are not finite, rows without a result, and NumPy arrays."""

import math
from typing import Any

import numpy
import pytest

from sepal_client.result import Result, read_result

MODEL = {"name": "iris", "version": "1", "digest": "sha256:0"}


def result(**members: Any) -> Result:
    return read_result({"id": "AaIG", "status": "succeeded", "model": MODEL, **members})


def test_texts_for_numbers_become_numbers() -> None:
    found = result(log_proba=[[0.0, "-Infinity"], ["Infinity", -1.5]], scores=["NaN", 1.0])
    assert found.log_proba == [[0.0, -math.inf], [math.inf, -1.5]]
    assert math.isnan(found.scores[0])


def test_labels_stay_texts() -> None:
    labels = ["NaN", "Adelie", "-Infinity"]
    assert result(prediction=labels).prediction == labels
    assert result(prediction=[["NaN", 1], ["other", 2]]).prediction == [["NaN", 1], ["other", 2]]


def test_output_that_was_not_asked_for_says_how_to_ask() -> None:
    with pytest.raises(AttributeError, match=r"no 'proba', only prediction: request it with outputs=\['proba'\]"):
        _ = result(prediction=[0]).proba


def test_array_has_the_shape_of_the_output() -> None:
    found = result(prediction=[0, 1], log_proba=[[0.0, "-Infinity"], [-1.5, 0.0]])
    assert found.array("prediction").tolist() == [0, 1]
    assert found.array("log_proba").shape == (2, 2)
    assert found.array("log_proba")[0, 1] == -numpy.inf


def test_rows_without_a_result_are_nan_in_arrays() -> None:
    errors = [{"pointer": "/data/1", "detail": "It is bad."}]
    found = result(prediction=[1, None], log_proba=[[0.0, -1.0], None], errors=errors)
    assert found.errors == {1: "It is bad."}
    assert numpy.isnan(found.array("prediction")).tolist() == [False, True]
    assert numpy.isnan(found.array("log_proba")).tolist() == [[False, False], [True, True]]
    assert result(prediction=["a", None]).array("prediction").tolist() == ["a", None]
    assert result(prediction=[None]).array("prediction").tolist() == [None]


def test_length_is_the_number_of_rows() -> None:
    assert len(result(prediction=[1, 2, 3])) == 3


def test_carried_columns_keep_their_values() -> None:
    assert result(prediction=[1], carried={"id": ["000123"]}).carried == {"id": ["000123"]}
