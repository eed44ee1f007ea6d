"""`GET /results/{id}`: the progress of a prediction, and its result as JSON."""

from typing import Any, Final, NamedTuple

from sepal_client import problems
from sepal_client._async.transport import AsyncTransport
from sepal_client.call import Call
from sepal_client.errors import GatewayUnreachable, RequestRefused, Unavailable, WaitTimeout
from sepal_client.formats import JSON
from sepal_client.progress import Progress, read_progress
from sepal_client.result import Result, join_pages, read_result
from sepal_client.timer import Timer

_PAGE_ROWS: Final = 10_000
_DEFAULT_PAUSE_SECONDS: Final = 1.0
_NO_WINDOW_CODE: Final = "invalid-parameter"
_TOO_LARGE_CODE: Final = "not-acceptable"


class LookUp(NamedTuple):
    """Progress of a prediction as the gateway returns it, with the delay before the next poll."""

    progress: Progress
    pause: float
    """Seconds until the next poll."""


class AsyncLookUps:
    """Looks up one prediction."""

    def __init__(self, transport: AsyncTransport, prediction_id: str, *, is_bulk: bool | None) -> None:
        """Prepare look-ups.

        Args:
            transport: sends the requests.
            prediction_id: of the prediction.
            is_bulk: whether it was submitted with `POST /predictions`; None if unknown.
        """
        self.prediction_id = prediction_id
        self._transport = transport
        self._is_bulk = is_bulk
        self._path = f"/results/{prediction_id}"

    async def progress(self, timer: Timer | None = None) -> LookUp:
        """Return the progress of the prediction; `timer` ends the attempts.

        Raises:
            WaitTimeout: the timer expired.
            SepalError: the gateway is unreachable, or does not know the prediction.
        """
        while True:
            params = {} if self._is_bulk is False else {"limit": "0"}  # without rows
            try:
                return await self._fetch_progress(params, timer)
            except RequestRefused as error:
                if self._is_bulk is not None or error.code != _NO_WINDOW_CODE:
                    raise
                self._is_bulk = False  # the gateway refuses `limit` for other predictions

    async def result(self, n_rows: int) -> Result:
        """Return the result of a succeeded prediction of `n_rows` rows.

        Raises:
            SepalError: the result cannot be fetched.
        """
        try:
            return await self._fetch_result({})
        except RequestRefused as error:
            if error.code != _TOO_LARGE_CODE:
                raise
        return await self._fetch_pages(n_rows)

    async def _fetch_progress(self, params: dict[str, str], timer: Timer | None) -> LookUp:
        attempts = self._transport.attempts(prediction_id=self.prediction_id, timer=timer)

        async def attempt() -> LookUp:
            call = self._build_call(params, timer)
            async with self._transport.send_once(call, attempts) as response:
                pause = problems.parse_retry_after(response.headers)
                progress = self._transport.parse_response(response, read_progress)
                return LookUp(progress, _DEFAULT_PAUSE_SECONDS if pause is None else pause)

        try:
            return await self._transport.repeat(attempts, attempt)
        except (GatewayUnreachable, Unavailable) as error:
            if attempts.is_timed_out:
                raise WaitTimeout(self.prediction_id) from error
            raise

    async def _fetch_pages(self, n_rows: int) -> Result:
        """Fetch a result that is too large for one response."""
        pages: list[Result] = []
        for offset in range(0, n_rows, _PAGE_ROWS):
            pages += await self._fetch_page(offset, min(_PAGE_ROWS, n_rows - offset))
        return join_pages(pages)

    async def _fetch_page(self, offset: int, limit: int) -> list[Result]:
        """Fetch a range of rows, as several results if it is too large for one response."""
        try:
            return [await self._fetch_result({"offset": str(offset), "limit": str(limit)})]
        except RequestRefused as error:
            if error.code != _TOO_LARGE_CODE or limit == 1:
                raise
        half = limit // 2
        return [*await self._fetch_page(offset, half), *await self._fetch_page(offset + half, limit - half)]

    async def _fetch_result(self, params: dict[str, str]) -> Result:
        attempts = self._transport.attempts(prediction_id=self.prediction_id)

        async def attempt() -> Result:
            async with self._transport.send_once(self._build_call(params), attempts) as response:
                timing = response.headers.get("server-timing", "")
                return self._transport.parse_response(response, lambda body: read_result(body, timing))

        return await self._transport.repeat(attempts, attempt)

    def _build_call(self, params: dict[str, Any], timer: Timer | None = None) -> Call:
        return Call("GET", self._path, params, {"Accept": JSON}, self._transport.request_timeout(timer=timer))
