"""The result of one row, as printed on a terminal, to a pipe and as JSON."""

import json
import math

import pytest

from sepal_client.cli.row_result import show_result
from sepal_client.model import Model
from sepal_client.result import ModelRef, Result
from tests.unit.client.cli.models import model
from tests.unit.client.cli.terminals import terminal

REF = ModelRef("penguins", "1", "sha256:6afd")
LIKELY: dict[str, list[object]] = {"prediction": ["Gentoo"], "log_proba": [[math.log(0.25), math.log(0.75)]]}


def answer(
    outputs: dict[str, list[object]], of: Model | None = None, *, as_json: bool = False, chosen: bool = False
) -> None:
    show_result(Result("AaIG", REF, outputs), of or model(), as_json=as_json, has_chosen_outputs=chosen)


def test_pipe_gets_the_prediction_alone(capsys: pytest.CaptureFixture[str]) -> None:
    answer(LIKELY)
    assert capsys.readouterr().out == "Gentoo\n"


def test_pipe_gets_the_outputs_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    answer({"prediction": [True], "proba": [[0.25, 0.75]]}, chosen=True)
    assert capsys.readouterr().out == "prediction\ttrue\nproba\t0.25\t0.75\n"


def test_pipe_gets_what_a_model_without_predictions_returns(capsys: pytest.CaptureFixture[str]) -> None:
    answer({"transform": [[1.0, 2.0]]})
    assert capsys.readouterr().out == "transform\t1.0\t2.0\n"


def test_person_sees_the_classes_with_the_most_probable_first() -> None:
    with terminal() as shown:
        answer(LIKELY)
    assert shown.lines == [
        "Gentoo",
        "",
        "class   probability",
        f"Gentoo        75.0%  {'━' * 18}",
        f"Adelie        25.0%  {'━' * 6}",
    ]


def test_person_sees_a_table_for_each_target() -> None:
    several = model(classes=(["a", "b"], [0, 1]))
    with terminal() as shown:
        answer({"prediction": [["b", 0]], "proba": [[[0.0, 1.0], [0.5, 0.5]]]}, several)
    lines = shown.lines
    assert lines[0] == "b, 0"
    assert [line.split()[0] for line in lines if "%" in line] == ["b", "a", "0", "1"]


def test_person_sees_a_number_of_a_regressor() -> None:
    with terminal() as shown:
        answer({"prediction": [3.25]}, model(classes=None))
    assert shown.getvalue() == "3.25\n"


def test_long_list_of_classes_is_cut_for_a_person() -> None:
    many = model(classes=tuple(range(100)))
    with terminal() as shown:
        answer({"prediction": [0], "proba": [[0.01] * 100]}, many)
    assert shown.lines[-1] == "and 80 more classes"


def test_label_does_not_control_the_terminal() -> None:
    with terminal() as shown:
        answer({"prediction": ["\x1b[2J"], "proba": [[0.5, 0.5]]}, model(classes=("\x1b[2J", "b")))
    assert "\x1b" not in shown.getvalue()


def test_program_gets_the_whole_result(capsys: pytest.CaptureFixture[str]) -> None:
    answer({"prediction": [0], "log_proba": [[0.0, -math.inf]]}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "prediction": [0],
        "log_proba": [[0.0, "-Infinity"]],
        "id": "AaIG",
        "model": {"name": "penguins", "version": "1", "digest": "sha256:6afd"},
        "queue_ms": None,
        "predict_ms": None,
    }
