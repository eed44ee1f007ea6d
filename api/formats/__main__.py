"""`python -m api.formats SOCKET SETTINGS`: serves jobs on a Unix socket until standard input is closed.

It forks a process for each connection, after it has loaded the libraries. It must have no threads: they would not exist
in the forked processes, and their locks would stay locked.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from typing import Final

import msgspec

from api.bulk.wire import TableSettings

_LIBRARY_ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # The default, mimalloc, allocates memory by the gigabyte, which RLIMIT_DATA refuses.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # The backtrace of a failed allocation would allocate memory, and deadlock.
    "RUST_BACKTRACE": "0",
}


class _PandasBlocker(MetaPathFinder):
    """Hides pandas from pyarrow, which would import it in every process: that takes longer than 500,000 rows."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        """Raise ModuleNotFoundError for pandas; leave every other module to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("Tables are read and written without pandas.", name=fullname)


def main() -> None:
    """Serve until the gateway closes the standard input of this process, or exits."""
    os.environ.update(_LIBRARY_ENVIRONMENT)  # the libraries read these when they are imported
    sys.meta_path.insert(0, _PandasBlocker())
    from api.formats.server import serve_jobs

    serve_jobs(sys.argv[1], msgspec.json.decode(sys.argv[2], type=TableSettings))


if __name__ == "__main__":
    main()
