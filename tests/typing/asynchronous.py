"""A program that uses the asynchronous client."""

from pathlib import Path

from typing_extensions import assert_type

from sepal_client import AsyncPrediction, AsyncSepal, DeadLetterEntry, Model, Progress, Result, ServiceStatus


async def main() -> None:
    """Open a client, with and without arguments, and use it."""
    async with AsyncSepal() as sepal:
        assert_type(sepal, AsyncSepal)
        await predict(sepal)
        await follow(sepal)
        await look(sepal)
    await AsyncSepal(retry_for=0).aclose()


async def predict(sepal: AsyncSepal) -> None:
    """Predict, submit and score."""
    assert_type(await sepal.predict([[4.8, 3, 1.4, 0.3]], wait=1), Result)
    assert_type(await sepal.submit("flowers.csv", carry=["id"]), AsyncPrediction)
    assert_type(await sepal.score("flowers.csv", "scored.parquet"), Path)
    await sepal.score("flowers.csv")  # type: ignore[call-overload]


async def follow(sepal: AsyncSepal) -> None:
    """Follow a prediction to its result."""
    prediction = sepal.prediction("id")
    assert_type(prediction, AsyncPrediction)
    async for progress in prediction.progress():
        assert_type(progress, Progress)
    assert_type(await prediction.status(), Progress)
    assert_type(await prediction.wait(timeout=10), Progress)
    assert_type(await prediction.result(), Result)
    assert_type(await prediction.cancel(), Progress)
    await prediction.download("scored.csv", partial=True, offset=10, limit=10)


async def look(sepal: AsyncSepal) -> None:
    """Look at the service."""
    async for progress in sepal.predictions():
        assert_type(progress, Progress)
    async for entry in sepal.dead_letters.entries():
        assert_type(entry, DeadLetterEntry)
    assert_type(await sepal.dead_letters.replay("id"), AsyncPrediction)
    assert_type(await sepal.model(), Model)
    assert_type(await sepal.status(), ServiceStatus)
