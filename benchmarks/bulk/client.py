"""A client of bulk predictions: uploads a file, waits, and downloads the result."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final, NamedTuple

_BLOCK_BYTES: Final = 2**20
_POLL_SECONDS: Final = 0.02
_TIMEOUT_SECONDS: Final = 600

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
    """When the last byte of the result had been received."""


class BulkFailed(Exception):
    """A response was not what it should be; the text has it."""


def score(port: int, source: Path, target: Path, out: str = "parquet") -> Times:
    """Upload a file, wait until its prediction has succeeded, and write the result to another.

    Raises:
        BulkFailed: the upload was refused, the prediction failed, or the result cannot be read.
    """
    began = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS, blocksize=_BLOCK_BYTES)) as connection:
        with source.open("rb") as body:
            headers = {"Content-Type": MEDIA_TYPES[source.suffix[1:]], "Content-Length": str(source.stat().st_size)}
            connection.request("POST", "/predictions", body, headers)
        location = _expect(connection.getresponse(), 202)["location"]
        accepted = time.perf_counter()
        while _status(connection, location) != "succeeded":
            time.sleep(_POLL_SECONDS)
        succeeded = time.perf_counter()
        connection.request("GET", location, headers={"Accept": MEDIA_TYPES[out]})
        response = connection.getresponse()
        if response.status != 200:
            raise BulkFailed(f"{response.status}: {response.read(1000)!r}")
        with target.open("wb") as file:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
    received = time.perf_counter()
    return Times(accepted - began, succeeded - began, received - began)


def _status(connection: HTTPConnection, location: str) -> str:
    connection.request("GET", f"{location}?limit=0")
    response = connection.getresponse()
    status: str = json.loads(response.read()).get("status", "failed")
    if status not in ("queued", "running", "succeeded"):
        raise BulkFailed(f"the prediction is {status}")
    return status


def _expect(response: HTTPResponse, status: int) -> dict[str, Any]:
    body = response.read()
    if response.status != status:
        raise BulkFailed(f"{response.status}: {body[:1000]!r}")
    return {name.lower(): value for name, value in response.getheaders()}
