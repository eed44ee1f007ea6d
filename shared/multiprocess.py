"""Has the processes of one gateway or worker count together, in files that each writes for itself and one reads."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from prometheus_client import values

_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own: processes that are started inherit it


@contextmanager
def counted_together(identify: Callable[[], int] = os.getpid) -> Iterator[None]:
    """Give this process and those below it a folder for what they count; it is gone afterwards.

    Args:
        identify: a number that no two living processes share. One that takes a dead process's number goes on counting
            in its files: so they do not become more with every death.
    """
    with TemporaryDirectory(prefix="sepal-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER_VARIABLE] = folder
        values.ValueClass = values.MultiProcessValue(identify)
        yield


def shared_folder() -> Path | None:
    """Where this process and others count together; None where it counts alone."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder else None
