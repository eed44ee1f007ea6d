"""`POST /predictions`: sends files of any size, a part at a time, until they are accepted."""

from collections.abc import Callable
from typing import Any, Final

from sepal_client._async.transport import AsyncTransport
from sepal_client.attempts import Attempts, ConnectionLost
from sepal_client.call import Call, Params, SubmissionHeaders
from sepal_client.concurrency import async_call
from sepal_client.early_answer import EarlyAnswer
from sepal_client.sources import Source

_PART_BYTES: Final = 2**20
_READ_BYTES_PER_SECOND: Final = 2e6
"""How quickly a gateway reads the rows of a file that it has received, at the least."""
_UNKNOWN_SECONDS: Final = 600.0
"""What it is given for a pipe."""


class AsyncUpload:
    """A file that is sent until it is accepted."""

    def __init__(
        self,
        transport: AsyncTransport,
        source: Source,
        params: Params,
        key: str,
        deadline: float | None,
        on_sent: Callable[[int, int | None], None] | None,
    ) -> None:
        """Send nothing yet.

        Args:
            transport: to the gateway.
            source: what is sent.
            params: the query of the request.
            key: the idempotency key.
            deadline: seconds after which there is no use for a result.
            on_sent: called after each part.
        """
        self._transport = transport
        self._source = source
        self._params = params
        self._headers = SubmissionHeaders(key, deadline)
        self._attempts = transport.attempts(idempotency_key=key)
        self._on_sent = on_sent

    async def send(self) -> str:
        """Send the file; returns the id of the prediction.

        Raises:
            SepalError: it was not accepted.
        """
        return await self._transport.repeat(self._attempts, self._send)

    async def _send(self) -> str:
        early = EarlyAnswer(is_plain=self._transport.is_plain)

        async def trace(event: str, details: dict[str, Any]) -> None:
            early.trace(event, details)

        await async_call(self._source.rewind)
        body = _AsyncBody(self._source, early, self._attempts, self._on_sent)
        n_bytes = self._source.n_bytes
        work = _UNKNOWN_SECONDS if n_bytes is None else n_bytes / _READ_BYTES_PER_SECOND
        timeout = self._transport.file_timeout(work)
        request = Call("POST", "/predictions", self._params, self._describe(), timeout, extensions={"trace": trace})
        try:
            async with self._transport.respond(request, self._attempts, body, on_new_connection=True) as response:
                return self._transport.read(response, lambda accepted: str(accepted["id"]))
        except ConnectionLost:
            self._attempts.may_be_accepted |= body.is_sent
            raise

    def _describe(self) -> dict[str, str]:
        form = self._source.format
        headers = {"Content-Type": form.media_type, **self._headers.now()}
        if form.coding:
            headers["Content-Encoding"] = form.coding
        if self._source.n_bytes is not None:
            headers["Content-Length"] = str(self._source.n_bytes)
        return headers


class _AsyncBody:
    """The body of one attempt."""

    def __init__(
        self,
        source: Source,
        early: EarlyAnswer,
        attempts: Attempts,
        on_sent: Callable[[int, int | None], None] | None,
    ) -> None:
        self.is_sent = False
        """Whether the gateway may have the whole body."""
        self._source = source
        self._early = early
        self._attempts = attempts
        self._on_sent = on_sent
        self._n_bytes = 0
        self._part = b""

    def __aiter__(self) -> "_AsyncBody":
        return self

    async def __anext__(self) -> bytes:
        """Return the next part, once the one before it has been sent."""
        self._count()
        part = await async_call(self._source.read, _PART_BYTES)
        self._part = part
        if not part:
            self.is_sent = True
            raise StopAsyncIteration
        self._early.check()
        return part

    def _count(self) -> None:
        if self._part:
            self._n_bytes += len(self._part)
            self._attempts.reached(self._n_bytes)
            if self._on_sent is not None:
                self._on_sent(self._n_bytes, self._source.n_bytes)
