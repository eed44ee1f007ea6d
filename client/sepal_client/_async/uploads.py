"""`POST /predictions`: sends a file of any size in parts, with retries."""

from collections.abc import Callable
from typing import Any, Final

from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import Attempts, ConnectionLost
from sepal_client.call import Call, Params, SubmissionHeaders
from sepal_client.concurrency import async_call
from sepal_client.early_response import EarlyResponse
from sepal_client.sources import Source

_PART_BYTES: Final = 2**20
_READ_BYTES_PER_SECOND: Final = 2e6
"""The least rate at which a gateway is expected to read the rows of a file."""
_PIPE_READ_SECONDS: Final = 600.0
"""The time allowed for reading a pipe, whose size is unknown."""


class AsyncUpload:
    """The upload of one file, with retries."""

    def __init__(
        self,
        transport: AsyncTransport,
        source: Source,
        params: Params,
        idempotency_key: str,
        deadline: float | None,
        on_sent: Callable[[int, int | None], None] | None,
    ) -> None:
        """Prepare the upload.

        Args:
            transport: sends the requests.
            source: the bytes to send.
            params: the query parameters.
            idempotency_key: the idempotency key.
            deadline: seconds after which the prediction expires.
            on_sent: called after each part with the number of bytes sent and, if known, their total.
        """
        self._transport = transport
        self._source = source
        self._params = params
        self._headers = SubmissionHeaders(idempotency_key, deadline)
        self._attempts = transport.attempts(idempotency_key=idempotency_key)
        self._on_sent = on_sent

    async def send(self) -> str:
        """Send the file; return the id of the prediction.

        Raises:
            SepalError: the file was not accepted.
        """
        return await self._transport.repeat(self._attempts, self._send)

    async def _send(self) -> str:
        early_response = EarlyResponse(is_unencrypted=self._transport.is_unencrypted)

        async def trace(event: str, details: dict[str, Any]) -> None:
            early_response.trace(event, details)

        await async_call(self._source.rewind)
        body = _AsyncBody(self._source, early_response, self._attempts, self._on_sent)
        n_bytes = self._source.n_bytes
        work_seconds = _PIPE_READ_SECONDS if n_bytes is None else n_bytes / _READ_BYTES_PER_SECOND
        timeout = self._transport.file_timeout(work_seconds)
        request = Call(
            "POST", "/predictions", self._params, self._build_headers(), timeout, extensions={"trace": trace}
        )
        try:
            async with self._transport.send_once(request, self._attempts, body, on_new_connection=True) as response:
                return self._transport.parse_response(response, lambda accepted: str(accepted["id"]))
        except ConnectionLost:
            self._attempts.may_be_accepted |= body.is_sent
            raise

    def _build_headers(self) -> dict[str, str]:
        file_format = self._source.format
        headers = {"Content-Type": file_format.media_type, **self._headers.for_new_attempt()}
        if file_format.coding:
            headers["Content-Encoding"] = file_format.coding
        if self._source.n_bytes is not None:
            headers["Content-Length"] = str(self._source.n_bytes)
        return headers


class _AsyncBody:
    """The body of one attempt."""

    def __init__(
        self,
        source: Source,
        early_response: EarlyResponse,
        attempts: Attempts,
        on_sent: Callable[[int, int | None], None] | None,
    ) -> None:
        self.is_sent = False
        """Whether the gateway may have received the whole body."""
        self._source = source
        self._early_response = early_response
        self._attempts = attempts
        self._on_sent = on_sent
        self._n_bytes = 0
        self._part = b""

    def __aiter__(self) -> "_AsyncBody":
        return self

    async def __anext__(self) -> bytes:
        """Return the next part; httpx asks for it after it has sent the previous one."""
        self._record_sent_part()
        part = await async_call(self._source.read, _PART_BYTES)
        self._part = part
        if not part:
            self.is_sent = True
            raise StopAsyncIteration
        self._early_response.raise_if_arrived()
        return part

    def _record_sent_part(self) -> None:
        if self._part:
            self._n_bytes += len(self._part)
            self._attempts.record_progress(self._n_bytes)
            if self._on_sent is not None:
                self._on_sent(self._n_bytes, self._source.n_bytes)
