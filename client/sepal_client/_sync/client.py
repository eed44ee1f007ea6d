# Written by `python -m tools.sync_client`: change sepal_client/_async instead.
"""The client of a Sepal service: predictions, files, the model and the status."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, overload

from sepal_client._sync.dead_letters import DeadLetters
from sepal_client._sync.predicting import Submission
from sepal_client._sync.prediction import Prediction
from sepal_client._sync.scoring import check_source, fetch_file, fetch_frame, follow
from sepal_client._sync.transport import Transport
from sepal_client._sync.uploads import Upload
from sepal_client.call import Call, new_key
from sepal_client.concurrency import call
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


class Sepal:
    """A client of a Sepal service.

    It holds connections: close it, or use it as a context manager. Every method raises the errors of
    `sepal_client.errors`: `GatewayUnreachable` without a gateway, and a `GatewayError` when it refuses.
    """

    dead_letters: DeadLetters
    """For operators: what became of batches whose attempts are used up."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        operator_token: str | None = None,
        timeout: float = 30.0,
        retry_for: float = 120.0,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: of a gateway; by default that of `SEPAL_URL`, or else http://127.0.0.1:8000.
            api_key: sent as `Authorization: Bearer`; by default that of `SEPAL_API_KEY`.
            operator_token: for `dead_letters`; by default that of `SEPAL_OPERATOR_TOKEN`.
            timeout: seconds without a byte after which a connection is given up.
            retry_for: seconds for which what can be repeated is repeated without progress: after a lost connection, or
                when the gateway asks for it. A repeated submission is no second prediction. 0: nothing is repeated.

        Raises:
            InvalidInput: an argument, or a variable of the environment, is invalid.
        """
        if timeout <= 0 or retry_for < 0:
            raise InvalidInput("`timeout` must be a positive number of seconds, and `retry_for` no negative one.")
        settings = read_settings(url, api_key, operator_token)
        self._transport = Transport(settings, timeout, retry_for)
        self.dead_letters = DeadLetters(self._transport, settings.operator_token)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> "Sepal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def predict(
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
            rows: a list of rows (lists, dicts by column name, or texts), an array of numpy, or a data frame.
            outputs: the outputs to return, such as `["proba"]`; by default `prediction` and `log_proba`.
            wait: seconds to wait for the result, once there is a gateway; None: as long as it takes.
            deadline: seconds after which there is no use for a result: then the prediction expires.
            idempotency_key: a name for this submission: the same key and rows lead to the same prediction. By default,
                each call has a key of its own, for its own repetitions.

        Raises:
            InvalidInput: these are no rows.
            WaitTimeout: the time to wait is over; the prediction goes on.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
        """
        timer, key = Timer(wait), new_key(idempotency_key)
        body = json_body(rows, outputs)
        return Submission(self._transport, body, key, deadline, timer).result()

    def submit(
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
    ) -> Prediction:
        """Send any number of rows, and return once they are accepted.

        Args:
            source: the path of a file; a binary file object, of which a pipe is kept in a temporary file while it is
                sent; or rows as for `predict`.
            format: of a file: `csv`, `ndjson`, `json`, `arrow` or `parquet`, where its suffix does not say so.
            carry: columns that the model does not know, to carry through to the result.
            outputs: the outputs to return; by default `prediction` and `log_proba`.
            on_error: `fail`: rows that cannot be scored fail the prediction; `report`: they have their reason in the
                result.
            delimiter: of CSV; by default a comma.
            header: of CSV: whether the first line has the names of the columns.
            null: of CSV: texts that are missing values, beside the empty cell.
            deadline: seconds after which there is no use for a result.
            idempotency_key: as for `predict`.
            on_sent: called with the bytes that were sent, and with those to send, if known. If the connection is lost,
                the file is sent again, and the number of bytes begins again.

        Raises:
            InvalidInput: there is no such file, or it is of no known format.
        """
        options = UploadOptions(carry, outputs, on_error, delimiter, header, null)
        params, key = options.params, new_key(idempotency_key)
        opened = call(open_source, source, format)
        try:
            upload = Upload(self._transport, opened, params, key, deadline, on_sent)
            return Prediction(self._transport, upload.send(), is_bulk=True)
        finally:
            opened.close()

    @overload
    def score(
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
    def score(
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

    def score(
        self,
        source: Any,
        target: Any = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_received: Callable[[int, int | None], None] | None = None,
        **options: Any,
    ) -> Any:
        """Score a data frame or a file: submit it, wait for it, and fetch the result.

        Args:
            source: a data frame of pandas, polars or pyarrow, or the path of a file.
            target: the path of the result of a file; its suffix says its format.
            on_progress: called with each change of the prediction.
            on_received: as for `Prediction.download`.
            options: those of `submit`.

        Returns:
            A data frame of the same library, with the index of the source; the target of a file.

        Raises:
            InvalidInput: the source is neither, or a file has no target.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
            DownloadIncomplete: the result could not be read to its end; no file is left.
        """
        check_source(source, target)
        prediction = self.submit(source, **options)
        follow(prediction, on_progress)
        if target is not None:
            return fetch_file(prediction, target, on_received)
        return fetch_frame(self._transport, prediction, source, on_received)

    def prediction(self, prediction_id: str) -> Prediction:
        """Return the prediction with an id; nothing is sent."""
        return Prediction(self._transport, prediction_id)

    def predictions(self, *, states: Collection[State | str] = ()) -> Iterator[Progress]:
        """List the bulk predictions of this client, the latest first: those with its API key or, without one, address.

        Args:
            states: only those in these states.
        """
        params: dict[str, str | Sequence[str]] = {"state": [str(state) for state in states]}
        while True:
            call = Call("GET", "/predictions", params)
            page = self._transport.get(call, _read_page)
            yield from page.predictions
            if page.cursor is None:
                return
            params["cursor"] = page.cursor

    def model(self) -> Model:
        """Return what the served model takes and gives."""
        call = Call("GET", "/model", headers={"Accept": JSON})
        return self._transport.get(call, read_model)

    def status(self) -> ServiceStatus:
        """Return what the service is doing: workers, backlog and rates."""
        return self._transport.get(Call("GET", "/status"), read_status)


class _Page(NamedTuple):
    predictions: list[Progress]
    cursor: str | None


def _read_page(body: Any) -> _Page:
    return _Page(list(map(read_progress, body["predictions"])), body.get("cursor"))
