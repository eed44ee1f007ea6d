"""A prediction that was accepted: its progress, result, download and cancellation."""

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import BinaryIO

from sepal_client import formats
from sepal_client._async.downloads import AsyncDownload
from sepal_client._async.events import AsyncProgressStream
from sepal_client._async.look_ups import AsyncLookUps
from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import ConnectionLost
from sepal_client.call import Call
from sepal_client.concurrency import async_call
from sepal_client.errors import PredictionAlreadyFinal, WaitTimeout
from sepal_client.progress import Progress, State, read_progress
from sepal_client.result import Result
from sepal_client.targets import open_target
from sepal_client.timer import Timer
from sepal_client.window import Window


class AsyncPrediction:
    """A prediction that was accepted."""

    id: str
    """Gives access to the result: keep it secret."""

    def __init__(self, transport: AsyncTransport, prediction_id: str, *, is_bulk: bool | None = None) -> None:
        """Called by the client: see `submit` and `prediction`.

        Args:
            transport: sends the requests.
            prediction_id: of the prediction.
            is_bulk: whether it was submitted with `POST /predictions`; None if unknown.
        """
        self.id = prediction_id
        self._transport = transport
        self._look_ups = AsyncLookUps(transport, prediction_id, is_bulk=is_bulk)
        self._end: Progress | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    async def status(self) -> Progress:
        """Return the current progress."""
        return (await self._look_ups.progress()).progress

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield each change until the prediction is final.

        Raises no error for a prediction that failed, expired or was canceled.
        """
        changes = self._follow_changes(Timer())
        async with contextlib.aclosing(changes):
            async for change in changes:
                yield change

    async def wait(self, timeout: float | None = None) -> Progress:
        """Wait until the prediction has succeeded.

        Args:
            timeout: seconds to wait; None: no limit.

        Raises:
            WaitTimeout: it is not final after `timeout`; it continues.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
        """
        async for _ in self._follow_changes(Timer(timeout)):
            pass  # until the last
        if self._end is None:
            raise WaitTimeout(self.id)
        self._end.raise_if_ended()
        return self._end

    async def result(self, timeout: float | None = None) -> Result:
        """Wait until the prediction has succeeded, and return its result, which must fit in memory.

        Args:
            timeout: as for `wait`.

        Raises:
            WaitTimeout, PredictionFailed, PredictionCanceled, PredictionExpired: as for `wait`.
        """
        progress = await self.wait(timeout)
        return await self._look_ups.result(progress.rows_total)

    async def download(
        self,
        target: "str | os.PathLike[str] | BinaryIO",
        *,
        format: str | None = None,
        offset: int | None = None,
        limit: int | None = None,
        partial: bool = False,
        on_received: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Wait until the prediction has succeeded, and write the result to a file; an incomplete file is deleted.

        Args:
            target: the path of the file, or a binary file object.
            format: `csv`, `ndjson`, `json`, `arrow` or `parquet`; by default the suffix of the path.
            offset: the number of rows to skip.
            limit: the greatest number of rows to write.
            partial: do not wait: write the rows that are done.
            on_received: called with the number of bytes received and, if known, their total.

        Raises:
            InvalidInput: results are not available in this format, or the target cannot be written.
            PredictionFailed, PredictionCanceled, PredictionExpired: there is no result.
            DownloadIncomplete: the download ended early.
        """
        path = target if isinstance(target, (str, os.PathLike)) else None
        form, window = formats.result_format(path, format), Window(offset, limit, partial)
        if partial:
            (await self.status()).raise_if_ended()
        else:
            await self.wait()
        opened = await async_call(open_target, target)
        await AsyncDownload(self._transport, self.id, opened, form, window, on_received).run()

    async def cancel(self) -> Progress:
        """Cancel the prediction.

        Raises:
            PredictionAlreadyFinal: it was already final.
        """
        attempts = self._transport.attempts(prediction_id=self.id)
        is_repeated = False

        async def attempt() -> Progress:
            nonlocal is_repeated
            try:
                async with self._transport.send_once(Call("DELETE", f"/results/{self.id}"), attempts) as response:
                    return self._transport.parse_response(response, read_progress)
            except ConnectionLost:
                is_repeated = True
                raise

        try:
            return await self._transport.repeat(attempts, attempt)
        except PredictionAlreadyFinal:
            progress = await self.status() if is_repeated else None
            if progress is not None and progress.state is State.CANCELED:  # by an attempt whose response was lost
                return progress
            raise

    async def _follow_changes(self, timer: Timer) -> AsyncGenerator[Progress, None]:
        """Yield each change until the prediction is final or the timer expires."""
        if self._end is not None:
            yield self._end
            return
        changes = AsyncProgressStream(self._transport, self._look_ups, timer).changes()
        async with contextlib.aclosing(changes):
            async for change in changes:
                self._end = change if change.is_final else None
                yield change
