"""Downloads a result completely or not at all; a download that is interrupted is resumed."""

import re
from collections.abc import Callable
from typing import Final

import httpx

from sepal_client import problems
from sepal_client._async.transport import AsyncTransport
from sepal_client.call import Call
from sepal_client.concurrency import async_call
from sepal_client.errors import DownloadIncomplete, GatewayFault, GatewayUnreachable
from sepal_client.formats import JSON, Format
from sepal_client.progress import read_progress
from sepal_client.targets import Target
from sepal_client.window import Window

_PARTIAL_STATUS, _ACCEPTED_STATUS, _NOT_SATISFIABLE_STATUS = 206, 202, 416
_PART_BYTES: Final = 2**20  # each write in a thread costs 0.1 ms
_WRITE_SECONDS: Final = 600.0
"""How long the gateway may take to write the whole result before it sends a range of it."""
_CONTENT_RANGE: Final = re.compile(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+)")


class AsyncDownload:
    """The download of one result to one target."""

    def __init__(
        self,
        transport: AsyncTransport,
        prediction_id: str,
        target: Target,
        file_format: Format,
        window: Window,
        on_received: Callable[[int, int | None], None] | None,
    ) -> None:
        """Prepare the download.

        Args:
            transport: sends the requests.
            prediction_id: of the prediction.
            target: where the result is written; it is closed at the end.
            file_format: the format of the result.
            window: the rows to fetch.
            on_received: called after each part with the number of bytes received and, if known, their total.
        """
        self._transport = transport
        self._prediction_id = prediction_id
        self._target = target
        self._format = file_format
        self._window = window
        self._on_received = on_received
        self._attempts = transport.attempts(prediction_id=prediction_id)
        self._etag = ""
        """The `ETag` of the bytes in the target; empty if the download cannot be resumed."""
        self._n_total: int | None = None

    async def run(self) -> None:
        """Fetch the result.

        Raises:
            DownloadIncomplete: the download ended early.
            SepalError: the result cannot be fetched.
        """
        try:
            await self._transport.repeat(self._attempts, self._fetch)
            await async_call(self._target.commit)
        except GatewayUnreachable as error:
            if self._target.n_bytes:
                raise DownloadIncomplete(f"{error} The download is incomplete; no file is left.") from error
            raise
        finally:
            self._target.discard()  # not in a thread, because a canceled task cannot wait for one

    async def _fetch(self) -> None:
        """Fetch the bytes that the target does not have yet."""
        async with self._transport.send_once(self._build_call(), self._attempts, is_streamed=True) as response:
            if response.status_code == _NOT_SATISFIABLE_STATUS:
                self._check_target_is_complete(response)
                return
            await self._check_is_result(response)
            await self._prepare_target(response)
            await self._copy_body(response)

    async def _copy_body(self, response: httpx.Response) -> None:
        """Write the body to the target, also if the connection is lost, so that the next attempt continues there."""
        parts, n_bytes = [], 0
        try:
            async for part in response.aiter_raw():
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= _PART_BYTES:
                    whole, parts, n_bytes = b"".join(parts), [], 0
                    await self._write(whole)
        finally:
            await self._write(b"".join(parts))

    async def _write(self, part: bytes) -> None:
        if not part:
            return
        await async_call(self._target.write, part)
        self._attempts.record_progress(self._target.n_bytes)
        if self._on_received is not None:
            self._on_received(self._target.n_bytes, self._n_total)

    def _build_call(self) -> Call:
        headers = {"Accept": self._format.media_type, "Accept-Encoding": self._format.coding or "identity"}
        work_seconds = 0.0
        if self._etag and self._target.n_bytes:
            headers |= {"Range": f"bytes={self._target.n_bytes}-", "If-Range": self._etag}
            work_seconds = _WRITE_SECONDS
        timeout = self._transport.file_timeout(work_seconds)
        path = f"/results/{self._prediction_id}"
        return Call("GET", path, self._window.params, headers, timeout, accepted_statuses=(_NOT_SATISFIABLE_STATUS,))

    async def _check_is_result(self, response: httpx.Response) -> None:
        """Check that the response contains rows in the requested format, and that its end can be detected."""
        found = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == _ACCEPTED_STATUS or (found == JSON and self._format.media_type != JSON):
            await response.aread()
            self._transport.parse_response(response, read_progress).raise_if_ended()
            raise DownloadIncomplete("No rows are done yet: try again later.")
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if found != self._format.media_type or coding != (self._format.coding or "identity"):
            raise self._unexpected_response(response, f"{found or 'no Content-Type'} ({coding})")
        is_chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
        if not is_chunked and "content-length" not in response.headers:
            raise self._unexpected_response(response, "neither Content-Length nor a chunked body")

    async def _prepare_target(self, response: httpx.Response) -> None:
        """Prepare the target for the body: continue it with a range, or restart it with a whole result."""
        n_bytes = int(response.headers["content-length"]) if "content-length" in response.headers else None
        if response.status_code == _PARTIAL_STATUS:
            start, total = _parse_content_range(response)
            if start != self._target.n_bytes:
                raise self._unexpected_response(response, "a range that was not requested")
            self._n_total = total
            return
        if self._target.n_bytes:
            await async_call(self._target.restart)
        is_resumable = response.headers.get("accept-ranges", "").strip().lower() == "bytes"
        etag = response.headers.get("etag", "")
        self._etag = etag if is_resumable and etag.startswith('"') else ""
        self._n_total = n_bytes

    def _check_target_is_complete(self, response: httpx.Response) -> None:
        """Check that the target is complete: the connection was lost after the last byte of the result."""
        _, total = _parse_content_range(response)
        if total != self._target.n_bytes:
            raise self._unexpected_response(response, "a size that differs from the bytes that were received")

    @staticmethod
    def _unexpected_response(response: httpx.Response, description: str) -> GatewayFault:
        return problems.unexpected_response_error(str(response.url), response.status_code, description)


def _parse_content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """Return the first byte of the range, if there is one, and the size of the result, from `Content-Range`."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None:
        return None, None
    return None if match[1] is None else int(match[1]), int(match[2])
