"""The synchronous client equals the output of `tools.sync_client`."""

import re
from pathlib import Path

from tools.sync_client import CLIENT, SYNC, generate_modules

ASYNCHRONOUS = re.compile(r"Async|async_|_async|\basync (def|for|with)|\bawait\b")


def test_synchronous_client_is_up_to_date(tmp_path: Path) -> None:
    generated = generate_modules(tmp_path)
    written = {path: path.read_text() for path in (CLIENT / SYNC).glob("*.py")}
    assert written == generated, "run `python -m tools.sync_client`"


def test_nothing_asynchronous_is_left(tmp_path: Path) -> None:
    for path, text in generate_modules(tmp_path).items():
        _, _, code = text.partition("\n")
        assert ASYNCHRONOUS.search(code) is None, path
