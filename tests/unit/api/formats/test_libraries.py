"""The processes that read and write tables do not import pandas, even if it is installed."""

import subprocess
import sys
from typing import Final

import msgspec

from api.bulk.wire import TableSettings

_PROGRAM: Final = """
import sys
from unittest import mock
from api.formats import __main__ as table_server

def use(path, settings):
    import pyarrow
    pyarrow.array([1.5]).to_numpy()
    print("pandas" in sys.modules)

sys.argv[1:] = ["socket", sys.argv[1]]
with mock.patch("api.formats.server.serve_jobs", use):
    table_server.main()
"""


def test_pyarrow_does_not_import_pandas() -> None:
    settings = msgspec.json.encode(TableSettings("memory:")).decode()
    program = subprocess.run([sys.executable, "-c", _PROGRAM, settings], check=True, capture_output=True, text=True)
    assert program.stdout == "False\n"
