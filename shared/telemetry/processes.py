"""Combines the metrics of a gateway's processes: each writes its own files, and the scraped process reads all files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client, inherited by child processes


@contextmanager
def shared_metrics_folder() -> Iterator[None]:
    """Set up a temporary folder for the metrics of the child processes; delete it at the end of the block."""
    with TemporaryDirectory(prefix="sepal-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER_VARIABLE] = folder
        yield


def multiprocess_folder() -> Path | None:
    """Return the folder of metrics that this process shares with others; None if there is none."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder else None
