"""Has the processes of one gateway count together, in files that each writes for itself and one reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own: processes that are started inherit it


@contextmanager
def counted_together() -> Iterator[None]:
    """Give the processes that this one starts a folder for what they count; it is gone afterwards."""
    with TemporaryDirectory(prefix="sepal-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER_VARIABLE] = folder
        yield


def shared_folder() -> Path | None:
    """Where this process and others count together; None where it counts alone."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder else None
