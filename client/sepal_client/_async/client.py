"""The client of a Sepal service: predictions, files, the model and the status."""

import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, overload

from sepal_client._async.dead_letters import AsyncDeadLetters
from sepal_client._async.predicting import AsyncSubmission
from sepal_client._async.prediction import AsyncPrediction
from sepal_client._async.scoring import check_source, fetch_file, fetch_frame, follow
from sepal_client._async.transport import AsyncTransport
from sepal_client._async.uploads import AsyncUpload
from sepal_client.call import Call, check_or_create_key
from sepal_client.concurrency import async_call
from sepal_client.errors import InvalidInput
from sepal_client.formats import JSON
from sepal_client.model import Model, read_model
from sepal_client.options import UploadOptions
from sepal_client.progress import Progress, State, read_progress
from sepal_client.result import Result
from sepal_client.rows import Frame, Rows, json_body
from sepal_client.settings import read_settings
from sepal_client.sources import open_source
from sepal_client.status import ServiceStatus, read_status
from sepal_client.timer import Timer


class AsyncSepal:
    """A client of a Sepal service.

    It keeps connections open: close it, or use it as a context manager. Every method raises the errors of
    `sepal_client.errors`: `GatewayUnreachable` if there is no connection to the gateway, and a `GatewayError` if the
    gateway refuses the request.
    """

    dead_letters: AsyncDeadLetters
    """For operators: the batches whose attempts are used up."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        operator_token: str | None = None,
        timeout: float = 30.0,
        retry_for: float = 120.0,
    ) -> None:
        """Create the client; the first request opens a connection.

        Args:
            url: the URL of the gateway; by default `SEPAL_URL`, or else http://127.0.0.1:8000.
            api_key: sent as `Authorization: Bearer`; by default `SEPAL_API_KEY`.
            operator_token: for `dead_letters`; by default `SEPAL_OPERATOR_TOKEN`.
            timeout: seconds without a byte after which a connection is closed.
            retry_for: seconds without progress for which a request is retried, after a lost connection or a
                response such as 503. A retried submission never becomes a second prediction. 0: no retries.

        Raises:
            InvalidInput: an argument or an environment variable is invalid.
        """
        if timeout <= 0 or retry_for < 0:
            raise InvalidInput("`timeout` must be greater than 0 seconds, and `retry_for` must not be negative.")
        settings = read_settings(url, api_key, operator_token)
        self._transport = AsyncTransport(settings, timeout, retry_for)
        self.dead_letters = AsyncDeadLetters(self._transport, settings.operator_token)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> "AsyncSepal":
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def predict(
        self,
        rows: Rows,
        *,
        outputs: Sequence[str] | None = None,
        wait: float | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """Predict rows, and wait for the result.

        Args:
            rows: a list of rows (lists, dicts by column name, or texts), a NumPy array, or a data frame.
            outputs: the outputs to return, such as `["proba"]`; by default `prediction` and `log_proba`.
            wait: seconds to wait for the result, from the call; retries may extend this by `retry_for`. None: no limit.
            deadline: seconds after which the prediction expires, because the result is no longer needed.
            idempotency_key: a name for this submission: the same key and rows return the same prediction. By default,
                each call generates a key, which its retries share.

        Raises:
            InvalidInput: `rows` are not rows, or an option is invalid.
            WaitTimeout: there was no result within `wait`; the prediction continues.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
        """
        timer, key = Timer(wait), check_or_create_key(idempotency_key)
        body = json_body(rows, outputs)
        return await AsyncSubmission(self._transport, body, key, deadline, timer).send_and_wait()

    async def submit(
        self,
        source: "str | os.PathLike[str] | BinaryIO | Rows",
        *,
        format: str | None = None,
        carry: Sequence[str] = (),
        outputs: Sequence[str] | None = None,
        on_error: str = "fail",
        delimiter: str | None = None,
        header: bool | None = None,
        null: Sequence[str] = (),
        deadline: float | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int, int | None], None] | None = None,
    ) -> AsyncPrediction:
        """Send any number of rows, and return once they are accepted.

        Args:
            source: the path of a file; a binary file object (a pipe is copied to a temporary file while it is sent); or
                rows as for `predict`.
            format: the format of a file, if its suffix does not name it: `csv`, `ndjson`, `json`, `arrow` or `parquet`.
            carry: columns that are not inputs of the model, to copy to the result.
            outputs: the outputs to return; by default `prediction` and `log_proba`.
            on_error: `fail`: a row that cannot be scored fails the prediction; `report`: its error is in the result.
            delimiter: of CSV; by default a comma.
            header: of CSV: whether the first line contains the column names.
            null: of CSV: strings that mean a missing value, besides the empty cell.
            deadline: as for `predict`.
            idempotency_key: as for `predict`.
            on_sent: called with the number of bytes sent and, if known, their total. If the connection is lost, the
                file is sent again from the beginning.

        Raises:
            InvalidInput: the file does not exist, or its format is unknown.
        """
        options = UploadOptions(carry, outputs, on_error, delimiter, header, null)
        params, key = options.params, check_or_create_key(idempotency_key)
        opened = await async_call(open_source, source, format)
        try:
            upload = AsyncUpload(self._transport, opened, params, key, deadline, on_sent)
            return AsyncPrediction(self._transport, await upload.send(), is_bulk=True)
        finally:
            opened.close()

    @overload
    async def score(
        self,
        source: "str | os.PathLike[str] | BinaryIO",
        target: "str | os.PathLike[str]",
        *,
        format: str | None = None,
        carry: Sequence[str] = (),
        outputs: Sequence[str] | None = None,
        on_error: str = "fail",
        delimiter: str | None = None,
        header: bool | None = None,
        null: Sequence[str] = (),
        deadline: float | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int, int | None], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_received: Callable[[int, int | None], None] | None = None,
    ) -> Path: ...

    @overload
    async def score(
        self,
        source: Frame,
        target: None = None,
        *,
        carry: Sequence[str] = (),
        outputs: Sequence[str] | None = None,
        on_error: str = "fail",
        deadline: float | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int, int | None], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_received: Callable[[int, int | None], None] | None = None,
    ) -> Frame: ...

    async def score(
        self,
        source: Any,
        target: Any = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_received: Callable[[int, int | None], None] | None = None,
        **options: Any,
    ) -> Any:
        """Score a data frame or a file: submit it, wait, and fetch the result.

        Args:
            source: a pandas, polars or pyarrow data frame, or the path of a file.
            target: for a file, the path of the result; the suffix selects the format.
            on_progress: called with each change of the prediction.
            on_received: as for `Prediction.download`.
            options: those of `submit`.

        Returns:
            For a data frame, a data frame of the same library, with the index of the source; for a file, the target.

        Raises:
            InvalidInput: the source is neither a data frame nor a file, or a file has no target.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
            DownloadIncomplete: the download ended early; no file is left.
        """
        check_source(source, target)
        prediction = await self.submit(source, **options)
        await follow(prediction, on_progress)
        if target is not None:
            return await fetch_file(prediction, target, on_received)
        return await fetch_frame(self._transport, prediction, source, on_received)

    def prediction(self, prediction_id: str) -> AsyncPrediction:
        """Return the prediction with this id, without sending a request."""
        return AsyncPrediction(self._transport, prediction_id)

    async def predictions(self, *, states: Collection[State | str] = ()) -> AsyncIterator[Progress]:
        """List the bulk predictions of this API key or, without one, of this address; the latest first.

        Args:
            states: list only predictions in these states.
        """
        params: dict[str, str | Sequence[str]] = {"state": [str(state) for state in states]}
        while True:
            call = Call("GET", "/predictions", params)
            page = await self._transport.get(call, _read_page)
            for progress in page.predictions:
                yield progress
            if page.cursor is None:
                return
            params["cursor"] = page.cursor

    async def model(self) -> Model:
        """Return the columns, outputs and classes of the served model."""
        call = Call("GET", "/model", headers={"Accept": JSON})
        return await self._transport.get(call, read_model)

    async def status(self) -> ServiceStatus:
        """Return the status of the service: workers, backlog and rates."""
        return await self._transport.get(Call("GET", "/status"), read_status)


class _Page(NamedTuple):
    predictions: list[Progress]
    cursor: str | None


def _read_page(body: Any) -> _Page:
    return _Page(list(map(read_progress, body["predictions"])), body.get("cursor"))
