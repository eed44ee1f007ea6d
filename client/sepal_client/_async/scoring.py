"""The steps of `score`: checks the source, waits for the prediction, and fetches its result."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sepal_client import formats, frames
from sepal_client._async.downloads import AsyncDownload
from sepal_client._async.prediction import AsyncPrediction
from sepal_client._async.transport import AsyncTransport
from sepal_client.concurrency import async_call
from sepal_client.errors import InvalidInput
from sepal_client.progress import Progress
from sepal_client.targets import TemporaryTarget
from sepal_client.window import Window

OnReceived = Callable[[int, int | None], None]


def check_source(source: Any, target: Any) -> None:
    """Check that a source can be scored, and that the target suits it.

    Raises:
        InvalidInput: the source is neither a data frame nor a file, a file has no target, or a data frame has one.
    """
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        if target is None:
            raise InvalidInput("Give the path of the result as well: score(source, target).")
        formats.result_format(target, None)
    elif target is not None:
        raise InvalidInput(
            "The result of a data frame is a data frame: omit the target, or call `submit` and `download`."
        )
    else:
        frames.check_frame(source)


async def follow(prediction: AsyncPrediction, on_progress: Callable[[Progress], None] | None) -> None:
    """Wait until a prediction has succeeded.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
    """
    if on_progress is None:
        await prediction.wait()
        return
    async for change in prediction.progress():
        on_progress(change)
        change.raise_if_ended()


async def fetch_file(prediction: AsyncPrediction, target: Any, on_received: OnReceived | None) -> Path:
    """Write the result to a file; return its path."""
    await prediction.download(target, on_received=on_received)
    return Path(target)


async def fetch_frame(
    transport: AsyncTransport, prediction: AsyncPrediction, source_frame: Any, on_received: OnReceived | None
) -> Any:
    """Return the result as a data frame of the same library as `source_frame`, with its index."""
    with tempfile.TemporaryFile() as file:
        arrow = formats.format_by_name("arrow")
        download = AsyncDownload(transport, prediction.id, TemporaryTarget(file), arrow, Window(), on_received)
        await download.run()
        return await async_call(frames.read_arrow, file, source_frame)
