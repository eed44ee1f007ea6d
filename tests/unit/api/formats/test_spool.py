"""A body is kept in a temporary file, or refused if the disk is full."""

import io
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from api.formats.binary.spool import spool
from shared.errors import StorageFull


def full_disk() -> Any:
    return Path("/dev/full").open("r+b")


def test_body_is_kept_whole() -> None:
    body = bytes(range(256)) * 10_000
    with spool(io.BytesIO(body)) as file:
        assert file.read() == body


@pytest.mark.parametrize("n_bytes", [10, 2**22])
def test_body_without_room_is_refused(n_bytes: int) -> None:
    with patch("tempfile.TemporaryFile", full_disk), pytest.raises(StorageFull):
        spool(io.BytesIO(bytes(n_bytes)))
