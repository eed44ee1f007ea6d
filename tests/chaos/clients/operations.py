"""The operations that are struck: predicting rows, uploading a file, waiting, and downloading a result."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final, NamedTuple

from tests.chaos.clients.rows import DOWNLOADED, UPLOADED, ReferencePipeline, Rows, read_file
from tests.chaos.clients.strikes import Target

_ROW_BYTES: Final = 60  # of a result as JSON
_HEAD_BYTES: Final = 250


class Phase(StrEnum):
    """The kind of operation that is struck."""

    SUBMISSION = "submission"
    UPLOAD = "upload"
    WAIT = "wait"
    DOWNLOAD = "download"


class WrongResult(Exception):
    """The client returned a wrong result; the message describes it."""


class Extent(NamedTuple):
    """Approximate sizes and durations of a request and its response."""

    request_bytes: int
    response_bytes: int
    seconds: float


class Operation(ABC):
    """One operation of a client, on its own rows."""

    def __init__(self, rows: Rows, extent: Extent) -> None:
        self.rows = rows
        self.extent = extent
        self.prediction_id: str | None = None
        """Set once the client knows the id."""

    @abstractmethod
    def matches(self, target: Target) -> bool:
        """Whether a request is one to strike."""

    @abstractmethod
    def run(self, client: Any) -> None:
        """Run the operation with a `sepal_client.Sepal`.

        Raises:
            WrongResult: the client returned a wrong result.
            SepalError: from the client.
        """


class Predict(Operation):
    """Predicts rows and waits for the result; some rows take longer than the gateway waits."""

    def __init__(self, rng: Random, number: int, reference: ReferencePipeline) -> None:
        is_slow = rng.random() < 0.25
        rows = Rows(number, rng.choice([1, 3, 50, 1500]), n_marks=int(is_slow), mark_ms=rng.uniform(350, 600))
        self._values = rows.matrix().tolist()
        n_bytes = _HEAD_BYTES + 12 * rows.n_rows
        super().__init__(rows, Extent(n_bytes, _HEAD_BYTES + _ROW_BYTES * rows.n_rows, 0.5 if is_slow else 0.03))
        self._strikes_polls = is_slow and rng.random() < 0.5
        self._reference = reference

    def matches(self, target: Target) -> bool:
        return target.path.startswith("/predict") or (self._strikes_polls and target.path.startswith("/results/"))

    def run(self, client: Any) -> None:
        result = client.predict(self._values)
        self.prediction_id = result.id
        check_result(result, self.rows, self._reference)


class Upload(Operation):
    """Sends a file: by its path, as an open file, or through a pipe; or rows as they are."""

    SOURCES: ClassVar = ("path", "file", "pipe", "pipe", "rows")

    def __init__(self, rng: Random, number: int, folder: Path) -> None:
        rows = Rows(number, rng.choice([1, 40, 2_000, 20_000, 60_000]))
        self._suffix = rng.choice(UPLOADED)
        self._source = rng.choice(self.SOURCES)
        self._content = rows.file(self._suffix)
        super().__init__(rows, Extent(_HEAD_BYTES + len(self._content), _HEAD_BYTES, 0.1))
        self._path = folder / f"rows{self._suffix}"

    def matches(self, target: Target) -> bool:
        return target == Target("POST", "/predictions") or target.path.startswith("/predictions?")

    def run(self, client: Any) -> None:
        send: Callable[[Any], None] = getattr(self, f"_send_{self._source}")
        send(client)

    def _send_path(self, client: Any) -> None:
        self._path.write_bytes(self._content)
        self.prediction_id = client.submit(self._path).id

    def _send_file(self, client: Any) -> None:
        self._path.write_bytes(self._content)
        with self._path.open("rb") as file:
            self.prediction_id = client.submit(file, format=self._suffix.removeprefix(".")).id

    def _send_pipe(self, client: Any) -> None:
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._fill, args=(writing,), name="pipe")
        thread.start()
        try:
            with open(reading, "rb") as file:  # noqa: PTH123  a descriptor has no path
                self.prediction_id = client.submit(file, format=self._suffix.removeprefix(".")).id
        finally:
            thread.join()

    def _send_rows(self, client: Any) -> None:
        self.prediction_id = client.submit(self.rows.matrix()).id

    def _fill(self, descriptor: int) -> None:
        with suppress(BrokenPipeError), open(descriptor, "wb") as file:
            file.write(self._content)


class Wait(Operation):
    """Follows a prediction, or waits for its end or its result."""

    N_ROWS: ClassVar = (8, 3_000, 20_000)
    N_MARKS: ClassVar = 4
    WAYS: ClassVar = ("progress", "progress", "wait", "result")

    def __init__(self, rng: Random, number: int, reference: ReferencePipeline) -> None:
        mark_ms = rng.uniform(20, 120)
        rows = Rows(number, rng.choice(self.N_ROWS), n_marks=self.N_MARKS, mark_ms=mark_ms)
        super().__init__(rows, Extent(_HEAD_BYTES, 1200, self.N_MARKS * mark_ms / 1000))
        self.is_bulk = rows.n_rows > self.N_ROWS[0] or rng.random() < 0.5
        """Whether it is to be submitted as a bulk prediction."""
        self._way = rng.choice(self.WAYS)
        self._reference = reference

    def matches(self, target: Target) -> bool:
        return target.path.startswith("/results/")

    def run(self, client: Any) -> None:
        prediction = client.prediction(self.prediction_id)
        if self._way == "progress":
            check_progress(list(prediction.progress()), self.rows)
        elif self._way == "wait":
            check_progress([prediction.wait()], self.rows)
        else:
            check_result(prediction.result(), self.rows, self._reference)


class Download(Operation):
    """Downloads the result of a prediction that has succeeded."""

    N_ROWS: ClassVar = (1, 2_000, 40_000)
    ROW_BYTES: ClassVar = {".csv": 34, ".ndjson": 76, ".arrow": 25, ".parquet": 20}

    def __init__(self, rng: Random, rows: Rows, prediction_id: str, folder: Path) -> None:
        suffix = rng.choice(DOWNLOADED)
        super().__init__(rows, Extent(_HEAD_BYTES, _HEAD_BYTES + self.ROW_BYTES[suffix] * rows.n_rows, 0.1))
        self.prediction_id = prediction_id
        self.target = folder / f"result{suffix}"

    def matches(self, target: Target) -> bool:
        return target.path.startswith("/results/") and "/events" not in target.path

    def run(self, client: Any) -> None:
        client.prediction(self.prediction_id).download(self.target)


def check_progress(steps: list[Any], rows: Rows) -> None:
    """Check the progress that a client reported for a prediction that succeeds.

    Raises:
        WrongResult: it does not end with the success of all rows, goes on after it, or goes back.
    """
    if not steps or not steps[-1].is_final or steps[-1].state != "succeeded":
        raise WrongResult(f"progress ends with {steps[-1:]}")
    if any(step.is_final for step in steps[:-1]):
        raise WrongResult("progress goes on after the end")
    counts = [step.rows_done for step in steps]
    if counts != sorted(counts) or counts[-1] != rows.n_rows:
        raise WrongResult(f"{rows.n_rows} rows; done: {counts}")


def check_result(result: Any, rows: Rows, reference: ReferencePipeline) -> None:
    """Compare a client's result with the pipeline's own outputs.

    Raises:
        WrongResult: they differ.
    """
    if not reference.equals(rows, reference.columns(result.prediction, result.log_proba)):
        raise WrongResult(f"the result of {result.id} differs")


def check_file(path: Path, rows: Rows, reference: ReferencePipeline) -> None:
    """Compare a file with the pipeline's own outputs.

    Raises:
        WrongResult: it is missing, incomplete or different.
    """
    try:
        columns = read_file(path.read_bytes(), path.suffix)
    except (OSError, ValueError) as error:
        raise WrongResult(f"{path.name} is not complete: {error}") from error
    if not reference.equals(rows, columns):
        raise WrongResult(f"{path.name} differs")
