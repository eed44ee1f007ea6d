"""The output of `sepal status` and `sepal model` on a terminal."""

from typing import Any

from sepal_client.cli.cluster import describe_model, describe_status
from sepal_client.model import Column, read_model
from sepal_client.status import read_status
from tests.unit.client.cli.models import TEXTS, model

IDLE = {"pool_processes": 1, "backlog_rows": 0, "rows_per_second": 0.0, "seconds_left": 0}
BUSY = {"pool_processes": 2, "backlog_rows": 1_200_000, "rows_per_second": 81_200.4, "seconds_left": 15}


def status(**members: Any) -> list[str]:
    """Return the lines of a status."""
    body = {
        "ready": True,
        "reasons": [],
        "model": {"name": "iris", "version": "1", "digest": "sha256:ed902d3bf8c4"},
        "gateways": 2,
        "workers": 1,
        "dead_letters": 0,
        "queues": {"interactive": IDLE, "bulk": BUSY},
        "bulk_predictions": {"open": 1, "oldest_seconds": 75, "stored_bytes": 46_917_998},
        **members,
    }
    return describe_status(read_status(body))


def test_status_shows_the_model_the_queues_and_the_files() -> None:
    assert status() == [
        "ready  iris 1  sha256:ed902d3bf8c4  2 gateways  1 worker",
        "",
        "QUEUE        PROCESSES    BACKLOG  ROWS/S  LEFT",
        "interactive          1          0       0   0 s",
        "bulk                 2  1,200,000  81,200  15 s",
        "",
        "files  1 not final, the oldest 1 min 15 s old; 46.9 MB stored",
    ]


def test_status_shows_reasons_and_dead_letters() -> None:
    reasons = [{"code": "no-worker", "detail": "No worker has its model loaded."}]
    lines = status(ready=False, reasons=reasons, model=None, dead_letters=3, bulk_predictions={})
    assert lines[:2] == [
        "not ready  no model  2 gateways  1 worker  3 dead letters",
        "  no-worker: No worker has its model loaded.",
    ]
    assert "files" not in lines[-1]


def test_model_shows_what_the_columns_held_in_training() -> None:
    seen = [{"counts": [["Biscoe", 168], ["Dream", 124]]}, {"minimum": 32.1, "maximum": 59.6}, {}]
    columns = (
        Column("island", "string"),
        Column("bill", "float64", nullable=True),
        Column("size", "category", categories=(1, 2)),
    )
    raw = {"input": {"columns": [{"seen": each} for each in seen]}}
    lines = describe_model(model(columns, raw=raw, example=(["Dream", None, 1],)))
    assert lines[2:6] == [
        "COLUMN  TYPE      MAY BE MISSING  IN TRAINING",
        "island  string                    Biscoe, Dream",
        "bill    float64   yes             32.1 to 59.6",
        "size    category                  1, 2",
    ]
    assert lines[-1] == "example  sepal predict Dream '' 1"


def test_model_shows_the_classes_of_each_target() -> None:
    lines = describe_model(model(classes=(["a", "b"], [*range(10)])))
    assert [line for line in lines if line.startswith("classes")] == ["classes  a, b", "classes  0, 1, 2, 3, 4, 5, …"]


def test_model_of_texts_has_no_columns() -> None:
    lines = describe_model(TEXTS)
    assert "A row is a text." in lines
    assert lines[-1] == "example  sepal predict --text good"


def test_card_of_a_regressor_is_described() -> None:
    body = {
        "name": "any",
        "version": "1",
        "digest": "sha256:0",
        "classes": None,
        "outputs": ["prediction"],
        "input": {"kind": "matrix", "columns": [{"name": "x", "type": "float64"}]},
        "example": [[1.5]],
        "data": {"source": "the tests", "rows": 1},
        "metrics": {"r2": {"mean": 0.98765, "std": 0.01234}},
    }
    assert describe_model(read_model(body))[1:3] == ["1 row of the tests", "r2 0.988 ± 0.012"]
