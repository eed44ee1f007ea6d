"""Imports the libraries of a pipeline, and limits each to one thread: pool processes provide the parallelism."""

import ctypes
import os
import sys
from typing import Any, Final

from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD: Final = -1  # from glibc's malloc.h
_M_MMAP_THRESHOLD: Final = -3
_MAX_MMAP_THRESHOLD: Final = 32 * 2**20  # the most that glibc takes
_KEPT_BYTES: Final = 128 * 2**20


def import_for(library: str | None) -> None:
    """Import scikit-learn, and pandas only for a pipeline that takes its frames.

    scikit-learn imports pandas where that is installed, and pandas pyarrow: 64 MiB in each process, for a name that
    only scikit-learn's reader of ARFF files uses (docs/decisions/0022-tables.md). A pipeline that needs pandas itself
    can still import it.
    """
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported
    if library == "pandas" or "sklearn" in sys.modules or "pandas" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules["pandas"] = None  # Python then raises ImportError, which scikit-learn expects
    try:
        import sklearn.utils.fixes  # noqa: F401
    finally:
        del modules["pandas"]


def pin_threads() -> None:
    """Limit each loaded BLAS and OpenMP library, and Arrow, to one thread."""
    threadpool_limits(limits=1)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(1)
        sys.modules["pyarrow"].set_io_thread_count(1)


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed arrays for the next ones, up to 128 MiB.

    Otherwise it returns megabytes to the kernel at once, which clears them before it gives them back: 4.9 of the 14.6
    ms of CPU in which iris evaluates 200,000 rows.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library
        mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
