"""Bulk predictions whose rows and results are in an S3 server."""

import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from shared.bulk import MARKER_KEY
from tests.patience import patience
from tests.s3 import S3Server, s3_server
from tests.stack import Gateway, Stack, running_stack, wait_for
from tests.uploads import CSV, accepted, csv_of, download, upload

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
PARQUET = "application/vnd.apache.parquet"
MANY = 300_000
"""Rows that take several parts of a multipart upload."""


def rows(n_rows: int) -> str:
    return csv_of(HEADER, [[4.8, 3, 1.4, 0.3]] * n_rows)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def bulk(
    tmp_path_factory: pytest.TempPathFactory, iris_dir: Path, s3: S3Server
) -> Iterator[tuple[Stack, Gateway, S3Server]]:
    with (
        patch.dict("os.environ", s3.environment),
        running_stack(
            tmp_path_factory.mktemp("stack"), iris_dir, object_store_url=s3.url, stall_seconds=patience()
        ) as (stack, gateway),
    ):
        yield stack, gateway, s3


def keys(s3: S3Server) -> list[str]:
    return sorted(stored.key for stored in s3.store().list() if stored.key != MARKER_KEY)


def test_rows_and_results_pass_through_s3(bulk: tuple[Stack, Gateway, S3Server]) -> None:
    _, gateway, _ = bulk
    location = accepted(gateway, rows(MANY))
    assert download(gateway, location).text.count("\n") == MANY + 1
    whole = download(gateway, location, PARQUET).content
    half = len(whole) // 2
    first = download(gateway, location, PARQUET, Range=f"bytes=0-{half - 1}")
    rest = download(gateway, location, PARQUET, Range=f"bytes={half}-")
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == whole


def test_upload_that_breaks_off_leaves_no_object_and_no_part(bulk: tuple[Stack, Gateway, S3Server]) -> None:
    _, gateway, s3 = bulk
    before = keys(s3)
    body = rows(2 * MANY).encode()  # the last rows of a body that is not at its end are not written yet
    head = f"POST /predictions HTTP/1.1\r\nHost: a\r\nContent-Type: {CSV}\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.settimeout(patience())
        connection.sendall(head.encode() + body)
        wait_for(s3.pending_uploads, "an upload in parts")
    wait_for(lambda: not s3.pending_uploads() and keys(s3) == before, "nothing left")


def test_outage_is_told_to_clients(tmp_path: Path, iris_dir: Path) -> None:
    with (
        s3_server(tmp_path / "s3") as s3,
        patch.dict("os.environ", s3.environment),
        running_stack(tmp_path, iris_dir, object_store_url=s3.url) as (_, gateway),
    ):
        location = accepted(gateway, rows(10))
        assert download(gateway, location).status_code == 200
        s3.stop()
        refused = upload(gateway, rows(10))
        assert (refused.status_code, refused.json()["code"]) == (503, "object-store-unavailable")
        refused = download(gateway, location)
        assert (refused.status_code, refused.json()["code"]) == (503, "object-store-unavailable")
        assert gateway.predict([[4.8, 3, 1.4, 0.3]]).status_code == 200
        s3.restart()
        assert download(gateway, location).status_code == 200
        assert download(gateway, accepted(gateway, rows(10))).status_code == 200
