# Written by `python -m tools.sync_client`: change sepal_client/_async instead.
"""Scores data frames and files: submits them, waits, and fetches the results."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sepal_client import formats, frames
from sepal_client._sync.downloads import Download
from sepal_client._sync.prediction import Prediction
from sepal_client._sync.transport import Transport
from sepal_client.concurrency import call
from sepal_client.errors import InvalidInput
from sepal_client.progress import Progress
from sepal_client.targets import TemporaryTarget
from sepal_client.window import Window

Received = Callable[[int, int | None], None]


def check_source(source: Any, target: Any) -> None:
    """Check that a source can be scored, and that its result has a place.

    Raises:
        InvalidInput: the source is neither a data frame nor a file, or the target does not suit it.
    """
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        if target is None:
            raise InvalidInput("Name the file for the result: score(source, target).")
        formats.for_target(target, None)
    elif target is not None:
        raise InvalidInput(
            "The result of a data frame is a data frame: leave the target out, or `submit` and `download`."
        )
    else:
        frames.check_frame(source)


def follow(prediction: Prediction, on_progress: Callable[[Progress], None] | None) -> None:
    """Wait until a prediction has succeeded.

    Raises:
        PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
    """
    if on_progress is None:
        prediction.wait()
        return
    for change in prediction.progress():
        on_progress(change)
        change.raise_if_ended()


def fetch_file(prediction: Prediction, target: Any, on_received: Received | None) -> Path:
    """Write the result to a file; returns its path."""
    prediction.download(target, on_received=on_received)
    return Path(target)


def fetch_frame(transport: Transport, prediction: Prediction, like: Any, on_received: Received | None) -> Any:
    """Return the result as a data frame of the library of another, and with its index."""
    with tempfile.TemporaryFile() as file:
        form = formats.named("arrow")
        download = Download(transport, prediction.id, TemporaryTarget(file), form, Window(), on_received)
        download.run()
        return call(frames.read_arrow, file, like)
