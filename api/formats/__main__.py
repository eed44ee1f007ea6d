"""`python -m api.formats SOCKET SETTINGS`: serve jobs on a Unix socket, until standard input ends.

Each connection has a process of its own, forked from this one, which has the libraries loaded. This one must therefore
have no threads: they would not exist in its children, and their locks would stay locked.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from typing import Final

import msgspec

from api.bulk.wire import TableSettings

_FOR_LIBRARIES: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # The default, mimalloc, takes memory from the system by the gigabyte, which RLIMIT_DATA refuses.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # A backtrace of a failed allocation allocates, and then waits for itself.
    "RUST_BACKTRACE": "0",
}


class _WithoutPandas(MetaPathFinder):
    """Hides pandas, which pyarrow imports where it can, in every process: it takes longer than 500,000 rows."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        """Refuse pandas; leave every other module to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("Tables are read and written without pandas.", name=fullname)


def main() -> None:
    """Serve until the gateway closes this process's standard input or ends."""
    os.environ.update(_FOR_LIBRARIES)  # the libraries read it when they are imported
    sys.meta_path.insert(0, _WithoutPandas())
    from api.formats.server import serve

    serve(sys.argv[1], msgspec.json.decode(sys.argv[2], type=TableSettings))


if __name__ == "__main__":
    main()
