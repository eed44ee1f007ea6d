"""Content codings, fingerprints, and uploads that are interrupted."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import Final

import pytest

from api.bulk.wire import TableSettings
from shared.errors import BodyTooLarge
from tests.malformed.case import CSV, JSON
from tests.malformed.compressed_uploads import zstd
from tests.malformed.csv_uploads import IRIS
from tests.unit.api.formats.uploads import refusal, upload

_ROWS: Final = [b"5.%d,3.5,1.4,0.2\n" % (index % 10) for index in range(200_000)]
_PLAIN: Final = IRIS + b"".join(_ROWS)
_PARTS: Final = [IRIS, b"".join(_ROWS[:70_001]), b"", b"".join(_ROWS[70_001:])]


class _Breaking:
    """A body whose connection breaks."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, n_bytes: int) -> bytes:
        content = self._content.read(min(n_bytes, 10_000))
        if not content:
            raise ConnectionError("the gateway has gone")
        return content


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("", _PLAIN),
        ("gzip", gzip.compress(_PLAIN)),
        ("gzip", b"".join(map(gzip.compress, _PARTS))),
        ("gzip", gzip.compress(_PLAIN) + bytes(512)),  # padded, as on tape
        ("zstd", zstd(_PLAIN)),
        ("zstd", b"".join(map(zstd, _PARTS))),
    ],
)
def test_content_coding_is_undone(tmp_path: Path, coding: str, content: bytes) -> None:
    read = upload(tmp_path, "iris", content, CSV, content_coding=coding)
    assert read.columns["f0"] == [5 + index % 10 / 10 for index in range(200_000)]
    assert read.fingerprint == hashlib.sha256(content).hexdigest()


def test_mark_of_utf8_may_come_in_parts(tmp_path: Path) -> None:
    content = b"".join(gzip.compress(bytes([byte])) for byte in b"\xef\xbb\xbf" + IRIS + _ROWS[0])
    assert upload(tmp_path, "iris", content, CSV, content_coding="gzip").source.n_rows == 1


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_body_may_become_as_large_as_its_limit(tmp_path: Path, coding: str) -> None:
    content = gzip.compress(_PLAIN) if coding == "gzip" else zstd(_PLAIN)
    fits = TableSettings("", max_inflated_bytes=len(_PLAIN))
    assert upload(tmp_path, "iris", content, CSV, content_coding=coding, settings=fits).source.n_rows == 200_000
    (tmp_path / "less").mkdir()
    less = TableSettings("", max_inflated_bytes=len(_PLAIN) - 1)
    code, faults = refusal(tmp_path / "less", "iris", content, CSV, content_coding=coding, settings=less)
    assert code == BodyTooLarge.code
    assert "SEPAL_MAX_INFLATED_BYTES" in faults[0].detail


def test_json_has_a_limit_of_its_own(tmp_path: Path) -> None:
    content = b'{"data": [[1, 2, 3, 4]]}'
    fits = TableSettings("", max_json_bytes=len(content))
    assert upload(tmp_path, "iris", content, JSON, settings=fits).source.n_rows == 1
    (tmp_path / "less").mkdir()
    less = TableSettings("", max_json_bytes=len(content) - 1)
    assert refusal(tmp_path / "less", "iris", content, JSON, settings=less)[0] == BodyTooLarge.code


@pytest.mark.parametrize("coding", ["", "gzip", "zstd"])
@pytest.mark.parametrize(
    "media_type", [CSV, JSON, "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
)
def test_upload_that_breaks_off_leaves_nothing(tmp_path: Path, coding: str, media_type: str) -> None:
    content = {"": _PLAIN, "gzip": gzip.compress(_PLAIN), "zstd": zstd(_PLAIN)}[coding]
    with pytest.raises(ConnectionError):
        upload(tmp_path, "iris", _Breaking(content[:-100]), media_type, content_coding=coding)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
