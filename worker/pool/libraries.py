"""Imports the libraries of a pipeline, and limits each to one thread: pool processes provide the parallelism."""

import os
import sys
from typing import Any

from threadpoolctl import threadpool_limits


def import_libraries(frame_library: str | None) -> None:
    """Import scikit-learn, and pandas only for a pipeline that takes pandas data frames.

    scikit-learn imports pandas if it is installed, and pandas imports pyarrow: 64 MiB in each process, for a name that
    only scikit-learn's reader of ARFF files uses (docs/decisions/0022-tables.md). A pipeline that needs pandas itself
    can still import it.
    """
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported
    if frame_library == "pandas" or "sklearn" in sys.modules or "pandas" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules["pandas"] = None  # importing it then raises ImportError, which scikit-learn handles
    try:
        import sklearn.utils.fixes  # noqa: F401
    finally:
        del modules["pandas"]


def limit_threads() -> None:
    """Limit each loaded BLAS and OpenMP library, and Arrow, to one thread."""
    threadpool_limits(limits=1)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(1)
        sys.modules["pyarrow"].set_io_thread_count(1)
