"""A client with one bug, which the judge must detect: predicts rows and downloads files, with retries."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx

from sepal_client import GatewayUnreachable

_PAUSE_SECONDS: Final = 0.02
_TYPES: Final = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".parquet": "application/vnd.apache.parquet",
}


class Bug(Enum):
    """A mistake of the client."""

    NONE = auto()
    NEW_KEYS = auto()  # each attempt has an idempotency key of its own
    IMPATIENT = auto()  # ignores `Retry-After`
    GIVES_UP = auto()  # repeats nothing
    RAW_ERRORS = auto()  # raises the errors of the HTTP library
    HALF_FILES = auto()  # repeats nothing, and writes to the target itself
    TRUSTS_FILES = auto()  # treats the bytes before a lost connection as the whole file
    MIXES_ROWS = auto()  # returns rows in another order


class CarelessClient:
    """Implements the methods of `sepal_client.Sepal` that two of the phases use."""

    def __init__(self, url: str, key: str, timeout: float, retry_for: float, bug: Bug) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout, headers={"Authorization": f"Bearer {key}"})
        self._retry_for = 0.0 if bug in (Bug.GIVES_UP, Bug.HALF_FILES) else retry_for
        self._bug = bug

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def model(self) -> None:
        """Make a connection."""
        self._http.get("/model")

    def predict(self, rows: list[list[float]]) -> Any:
        """Predict rows."""
        key = uuid.uuid4()

        def post() -> httpx.Response:
            name = uuid.uuid4() if self._bug is Bug.NEW_KEYS else key
            return self._http.post("/predict", json={"data": rows}, headers={"Idempotency-Key": f'"{name}"'})

        response = self._repeat(post)
        while response.status_code == 202:
            location = response.headers["Location"]
            response = self._repeat(lambda: self._http.get(location))  # noqa: B023  called at once
        body = response.json()
        log_proba = [[float(value) for value in row] for row in body["log_proba"]]
        prediction = body["prediction"][::-1] if self._bug is Bug.MIXES_ROWS else body["prediction"]
        return SimpleNamespace(id=body["id"], prediction=prediction, log_proba=log_proba)

    def prediction(self, prediction_id: str) -> Any:
        """Return a prediction that can be downloaded."""
        return SimpleNamespace(download=lambda target: self._download(prediction_id, target))

    def _download(self, prediction_id: str, target: Path) -> None:
        path = target if self._bug in (Bug.HALF_FILES, Bug.TRUSTS_FILES) else target.with_suffix(".part")
        try:
            self._repeat(lambda: self._receive(prediction_id, _TYPES[target.suffix], path))
            path.rename(target)
        finally:
            target.with_suffix(".part").unlink(missing_ok=True)

    def _receive(self, prediction_id: str, media_type: str, path: Path) -> httpx.Response:
        headers = {"Accept": media_type, "Accept-Encoding": "identity"}
        with (
            path.open("wb") as file,
            self._http.stream("GET", f"/results/{prediction_id}", headers=headers) as response,
            suppress(*([httpx.TransportError] if self._bug is Bug.TRUSTS_FILES else [])),
        ):
            for part in response.iter_bytes():
                file.write(part)
        return response

    def _repeat(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + self._retry_for
        while True:
            try:
                response = request()
                if response.is_success:
                    return response
                error, pause = f"{response.status_code}", self._pause_seconds(response)
            except httpx.TransportError as lost:
                if self._bug is Bug.RAW_ERRORS:
                    raise
                error, pause = repr(lost), _PAUSE_SECONDS
            if time.monotonic() + pause > deadline:
                raise GatewayUnreachable(error)
            time.sleep(max(0.0, pause))

    def _pause_seconds(self, response: httpx.Response) -> float:
        header = response.headers.get("Retry-After")
        if header is None or self._bug is Bug.IMPATIENT:
            return _PAUSE_SECONDS
        return float(header) if header.isdigit() else parsedate_to_datetime(header).timestamp() - time.time()


def careless(bug: Bug) -> Callable[..., Any]:
    """Return a function that makes clients with the bug."""

    @contextmanager
    def connect(url: str, key: str, *, timeout: float, retry_for: float, is_async: bool) -> Iterator[CarelessClient]:
        del is_async
        client = CarelessClient(url, key, timeout, retry_for, bug)
        try:
            yield client
        finally:
            client.close()

    return connect
