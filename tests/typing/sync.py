"""A program that uses the synchronous client."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from sepal_client import (
    DeadLetterEntry,
    Fault,
    GatewayError,
    Model,
    ModelRef,
    Prediction,
    PredictionEnded,
    Problem,
    Progress,
    QueueStatus,
    Result,
    Sepal,
    SepalError,
    ServiceStatus,
    State,
    WaitTimeout,
)


def main() -> None:
    """Open a client, with and without arguments, and use it."""
    with Sepal() as sepal:
        assert_type(sepal, Sepal)
        predict(sepal)
        follow(submit(sepal, []))
    other = Sepal("https://sepal.example", api_key="key", operator_token="token", timeout=5, retry_for=0)
    score(other)
    look(other)
    catch(other)
    other.close()


def predict(sepal: Sepal) -> None:
    """Predict rows of every form."""
    assert_type(sepal.predict([[4.8, 3, 1.4, 0.3]]), Result)
    assert_type(sepal.predict([{"island": "Dream", "sex": None}], outputs=["proba"], wait=1.5, deadline=2), Result)
    result = sepal.predict(("a text", "another"), idempotency_key="key")
    assert_type(result.id, str)
    assert_type(result.model, ModelRef)
    assert_type(result.prediction, list[Any])
    assert_type(result.outputs, Mapping[str, list[Any]])
    assert_type(result.errors, Mapping[int, str])
    assert_type(result.queue_ms, float | None)


def submit(sepal: Sepal, sent: list[int]) -> Prediction:
    """Submit files and rows."""

    def on_sent(done: int, total: int | None) -> None:
        sent.append(done if total is None else total - done)

    prediction = sepal.submit("flowers.csv", carry=["id"], delimiter=";", header=False, null=["NA"], on_sent=on_sent)
    assert_type(prediction, Prediction)
    assert_type(sepal.submit(Path("rows.parquet"), on_error="report", outputs=["proba"]), Prediction)
    assert_type(sepal.submit(io.BytesIO(b"1,2"), format="csv"), Prediction)
    assert_type(sepal.submit([[1, 2]]), Prediction)
    assert_type(sepal.prediction("id"), Prediction)
    assert_type(prediction.id, str)
    return prediction


def follow(prediction: Prediction) -> None:
    """Follow a prediction to its result."""
    assert_type(prediction.progress(), Iterator[Progress])
    progress = prediction.status()
    assert_type(progress, Progress)
    assert_type(progress.state, State)
    assert_type(progress.is_final, bool)
    assert_type(progress.seconds_left, int | None)
    assert_type(progress.error, Problem | None)
    assert_type(prediction.wait(timeout=10), Progress)
    assert_type(prediction.wait(), Progress)
    assert_type(prediction.result(), Result)
    assert_type(prediction.cancel(), Progress)


def score(sepal: Sepal) -> None:
    """Score a file, and not without a target."""
    assert_type(sepal.score("flowers.csv", "scored.parquet", carry=["id"]), Path)
    assert_type(sepal.score(Path("flowers.csv"), Path("scored.csv"), on_progress=print), Path)
    sepal.score("flowers.csv")  # type: ignore[call-overload]
    sepal.score([[1, 2]])  # type: ignore[call-overload]
    sepal.predict(3)  # type: ignore[arg-type]


def look(sepal: Sepal) -> None:
    """Look at the service."""
    assert_type(sepal.predictions(states=[State.RUNNING, "queued"]), Iterator[Progress])
    model = sepal.model()
    assert_type(model, Model)
    assert_type(model.classes, tuple[Any, ...] | None)
    status = sepal.status()
    assert_type(status, ServiceStatus)
    assert_type(status.queues, Mapping[str, QueueStatus])
    assert_type(status.bulk_predictions.stored_bytes, int | None)
    assert_type(status.reasons, tuple[Problem, ...])
    assert_type(sepal.dead_letters.entries(), Iterator[DeadLetterEntry])
    assert_type(sepal.dead_letters.replay("id"), Prediction)


def catch(sepal: Sepal) -> None:
    """Handle errors."""
    try:
        sepal.predict([[1, 2]], wait=1)
    except WaitTimeout as error:
        assert_type(error.prediction_id, str)
    except PredictionEnded as error:
        assert_type(error.problem, Problem)
    except GatewayError as error:
        assert_type(error.code, str)
        assert_type(error.faults, tuple[Fault, ...])
        assert_type(error.retry_after, float | None)
    except SepalError as error:
        assert_type(str(error), str)
