"""`python -m tests.malformed.reading`: read every malformed upload, each in a process with little memory.

It writes a line of JSON for each: its name, and the `Refusal`.
"""

import io
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

import msgspec

from api.bulk.wire import TableSettings
from api.formats.reading import read_upload
from shared.errors import Fault, RequestRefused
from shared.objects import ObjectStore
from tests.malformed.case import Case
from tests.malformed.table import CASES

_MAX_BYTES: Final = TableSettings("").process_bytes
_MAX_SECONDS: Final = 60  # of computing


class Refusal(msgspec.Struct, frozen=True):
    """How an upload was refused."""

    name: str
    code: str
    """Empty if it was not."""
    detail: str
    faults: list[Fault] = []
    left: list[str] = []
    """Files in the folder of the object store afterwards."""
    seconds: float = 0.0


def main() -> None:
    """Read the uploads."""
    for case in CASES:
        sys.stdout.buffer.write(_in_a_process(case) + b"\n")


def _in_a_process(case: Case) -> bytes:
    body = case.body
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            content = msgspec.json.encode(_refusal(case, body))
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(content)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(pid, 0)
    return content or msgspec.json.encode(Refusal(case.name, "died", f"the process ended with {status}"))


def _refusal(case: Case, body: bytes) -> Refusal:
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_BYTES + len(body), _MAX_BYTES + len(body)))
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_SECONDS, _MAX_SECONDS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        code, detail, faults = _read(case, body, folder)
        left = [str(path) for path in Path(folder).rglob("*") if path.is_file()]
    return Refusal(case.name, code, detail, faults, left, time.perf_counter() - started)


def _read(case: Case, body: bytes, folder: str) -> tuple[str, str, list[Fault]]:
    store = ObjectStore.open(folder)
    try:
        read = read_upload(
            case.job("sepal/x/rows.arrow"), io.BytesIO(body), store, TableSettings(folder), lambda _: None
        )
    except RequestRefused as refused:
        faults: list[Fault] = getattr(refused, "faults", [])
        return refused.code, str(refused), faults
    except BaseException:
        return "raised", traceback.format_exc(), []
    return "", repr(read), []


if __name__ == "__main__":
    main()
