# Written by `python -m tools.sync_client`: change sepal_client/_async instead.
"""Fetches a result: to its end, with as many connections as that takes, or not at all."""

import re
from collections.abc import Callable
from typing import Final

import httpx

from sepal_client import problems
from sepal_client._sync.transport import Transport
from sepal_client.call import Call
from sepal_client.concurrency import call
from sepal_client.errors import DownloadIncomplete, GatewayFault, GatewayUnreachable
from sepal_client.formats import JSON, Format
from sepal_client.progress import read_progress
from sepal_client.targets import Target
from sepal_client.window import Window

_PARTIAL, _ACCEPTED, _NOT_SATISFIABLE = 206, 202, 416
_PART_BYTES: Final = 2**20  # a thread takes 0.1 ms for each
_WRITE_SECONDS: Final = 600.0
"""How long the gateway may write a whole result before it sends a range of it."""
_RANGE: Final = re.compile(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+)")


class Download:
    """One result on its way into one target."""

    def __init__(
        self,
        transport: Transport,
        prediction_id: str,
        target: Target,
        form: Format,
        window: Window,
        on_received: Callable[[int, int | None], None] | None,
    ) -> None:
        """Send nothing yet.

        Args:
            transport: to the gateway.
            prediction_id: of the prediction.
            target: closed at the end.
            form: the format of the result.
            window: its rows.
            on_received: called after each part.
        """
        self._transport = transport
        self._prediction_id = prediction_id
        self._target = target
        self._format = form
        self._window = window
        self._on_received = on_received
        self._attempts = transport.attempts(prediction_id=prediction_id)
        self._etag = ""
        """Names the bytes that the target has; empty if they cannot be continued."""
        self._n_total: int | None = None

    def run(self) -> None:
        """Fetch the result.

        Raises:
            DownloadIncomplete: it could not be read to its end.
            SepalError: it cannot be fetched.
        """
        try:
            self._transport.repeat(self._attempts, self._fetch)
            call(self._target.commit)
        except GatewayUnreachable as error:
            if self._target.n_bytes:
                raise DownloadIncomplete(f"{error} The result was not received to its end; no file is left.") from error
            raise
        finally:
            self._target.discard()  # not in a thread, which could not be waited for after a cancellation

    def _fetch(self) -> None:
        """Fetch what the target does not have yet."""
        with self._transport.respond(self._call(), self._attempts, is_streamed=True) as response:
            if response.status_code == _NOT_SATISFIABLE:
                self._check_has_all(response)
                return
            self._check_is_result(response)
            self._begin(response)
            self._copy(response)

    def _copy(self, response: httpx.Response) -> None:
        """Write what arrives: of a response that breaks off, too, so that the next one can continue there."""
        parts, n_bytes = [], 0
        try:
            for part in response.iter_raw():
                parts.append(part)
                n_bytes += len(part)
                if n_bytes >= _PART_BYTES:
                    whole, parts, n_bytes = b"".join(parts), [], 0
                    self._write(whole)
        finally:
            self._write(b"".join(parts))

    def _write(self, part: bytes) -> None:
        if not part:
            return
        call(self._target.write, part)
        self._attempts.reached(self._target.n_bytes)
        if self._on_received is not None:
            self._on_received(self._target.n_bytes, self._n_total)

    def _call(self) -> Call:
        headers = {"Accept": self._format.media_type, "Accept-Encoding": self._format.coding or "identity"}
        work = 0.0
        if self._etag and self._target.n_bytes:
            headers |= {"Range": f"bytes={self._target.n_bytes}-", "If-Range": self._etag}
            work = _WRITE_SECONDS
        timeout = self._transport.file_timeout(work)
        path = f"/results/{self._prediction_id}"
        return Call("GET", path, self._window.params, headers, timeout, takes=(_NOT_SATISFIABLE,))

    def _check_is_result(self, response: httpx.Response) -> None:
        """Check that the response holds rows, in the form that was asked for, and has an end that can be seen."""
        found = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == _ACCEPTED or (found == JSON and self._format.media_type != JSON):
            response.read()
            self._transport.read(response, read_progress).raise_if_ended()
            raise DownloadIncomplete("No rows are done yet: ask again later.")
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if found != self._format.media_type or coding != (self._format.coding or "identity"):
            raise self._unexpected(response, f"{found or 'no type'} ({coding})")
        is_chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
        if not is_chunked and "content-length" not in response.headers:
            raise self._unexpected(response, "a body whose end cannot be told from a lost connection")

    def _begin(self, response: httpx.Response) -> None:
        """Find out where in the result the response begins."""
        n_bytes = int(response.headers["content-length"]) if "content-length" in response.headers else None
        if response.status_code == _PARTIAL:
            start, total = _content_range(response)
            if start != self._target.n_bytes:
                raise self._unexpected(response, "another part of the result than was asked for")
            self._n_total = total
            return
        if self._target.n_bytes:
            call(self._target.restart)
        is_resumable = response.headers.get("accept-ranges", "").strip().lower() == "bytes"
        etag = response.headers.get("etag", "")
        self._etag = etag if is_resumable and etag.startswith('"') else ""
        self._n_total = n_bytes

    def _check_has_all(self, response: httpx.Response) -> None:
        """Check that nothing is left to fetch: the connection was lost between the last byte and the end."""
        _, total = _content_range(response)
        if total != self._target.n_bytes:
            raise self._unexpected(response, "a result that is shorter than the part of it that was received")

    @staticmethod
    def _unexpected(response: httpx.Response, what: str) -> GatewayFault:
        return problems.unexpected(str(response.url), response.status_code, what)


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """Return the first byte of a range, if there is one, and the number of all bytes."""
    match = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None:
        return None, None
    return None if match[1] is None else int(match[1]), int(match[2])
