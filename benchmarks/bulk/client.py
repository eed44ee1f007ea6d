"""A client of bulk predictions: uploads a file, waits, and downloads the result."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final, NamedTuple

_BLOCK_BYTES: Final = 2**20
_TIMEOUT_SECONDS: Final = 600
_DATA_PREFIX: Final = b"data:"

MEDIA_TYPES: Final = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}


class Times(NamedTuple):
    """Seconds from the first byte sent."""

    accepted: float
    succeeded: float
    received: float
    """Until the last byte of the result was received."""


class BulkFailed(Exception):
    """A response was not as expected; the message contains it."""


def score(port: int, source: Path, target: Path, target_format: str = "parquet") -> Times:
    """Upload a file, wait until its prediction has succeeded, and write the result to `target`.

    Raises:
        BulkFailed: the upload was refused, the prediction failed, or the result cannot be read.
    """
    began = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS, blocksize=_BLOCK_BYTES)) as connection:
        with source.open("rb") as body:
            headers = {"Content-Type": MEDIA_TYPES[source.suffix[1:]], "Content-Length": str(source.stat().st_size)}
            connection.request("POST", "/predictions", body, headers)
        location = _read_headers(connection.getresponse(), 202)["location"]
        accepted = time.perf_counter()
        _wait_until_succeeded(connection, location)
        succeeded = time.perf_counter()
        connection.request("GET", location, headers={"Accept": MEDIA_TYPES[target_format]})
        response = connection.getresponse()
        if response.status != 200:
            raise BulkFailed(f"{response.status}: {response.read(1000)!r}")
        save_body(response, target)
    received = time.perf_counter()
    return Times(accepted - began, succeeded - began, received - began)


def save_body(response: HTTPResponse, target: Path) -> None:
    """Write the body of a response to a file."""
    block = memoryview(bytearray(_BLOCK_BYTES))
    with target.open("wb") as file:
        while n_bytes := response.readinto(block):
            file.write(block[:n_bytes])


def _wait_until_succeeded(connection: HTTPConnection, location: str) -> None:
    """Read the events of a prediction to their end."""
    connection.request("GET", f"{location}/events")
    *_, last = (line for line in connection.getresponse() if line.startswith(_DATA_PREFIX))
    status = json.loads(last.removeprefix(_DATA_PREFIX))["status"]
    if status != "succeeded":
        raise BulkFailed(f"the prediction is {status}")


def _read_headers(response: HTTPResponse, expected_status: int) -> dict[str, Any]:
    body = response.read()
    if response.status != expected_status:
        raise BulkFailed(f"{response.status}: {body[:1000]!r}")
    return {name.lower(): value for name, value in response.getheaders()}
