"""A client of bulk predictions: uploads until accepted, polls until final, and downloads.

It does what a careful client does: it sends an idempotency key, and after a lost connection or a refusal that says so,
it asks again, at the other gateway.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, Final

import httpx

from tests.patience import longest_test

_PARQUET: Final = "application/vnd.apache.parquet"
_PART_BYTES: Final = 2**17
_POLL_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 0.5
_TIMEOUT: Final = httpx.Timeout(longest_test(), connect=5)
_MAY_RETRY: Final = frozenset({409, 503, 507})
SUCCEEDED: Final = "succeeded"


class BulkClient:
    """One upload and the download of its result, in a thread."""

    def __init__(self, ports: Sequence[int], body: bytes, seconds: float, upload_seconds: float) -> None:
        """Start.

        Args:
            ports: of the gateways; the upload is sent to the first one.
            body: of the upload, as Parquet.
            seconds: the time after which it gives up.
            upload_seconds: the least duration of the first upload.
        """
        self.sent = 0.0
        """The share of the body that was sent."""
        self.was_answered = threading.Event()
        """Whether the first upload has ended, with or without success."""
        self.refusals: Counter[str] = Counter()
        """Failed uploads by code; `no-answer` if the connection was lost."""
        self.location: str | None = None
        self.state: str | None = None
        """The final state, or an error code; None if neither was received yet."""
        self.final_at: float | None = None
        self.result: bytes | None = None
        self.retried_downloads = 0
        """Downloads that were interrupted."""
        self._ports = cycle(ports)
        self._body = body
        self._deadline = time.monotonic() + seconds
        self._part_seconds = upload_seconds * _PART_BYTES / len(body)
        self._key = f'"{uuid.uuid4()}"'
        self._may_upload_again = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bulk client")
        self._thread.start()

    @property
    def is_accepted(self) -> bool:
        """Whether it has an id."""
        return self.location is not None

    @property
    def has_ended(self) -> bool:
        """Whether it has the result, or has given up."""
        return not self._thread.is_alive()

    def retry(self) -> None:
        """Allow further uploads, if the first one was refused."""
        self._may_upload_again.set()

    def join(self) -> None:
        """Wait until it has the result, or has given up."""
        self.retry()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT, verify=False) as client:
            self._upload(client)
            if self.location is not None:
                self._poll(client, self.location)
            if self.location is not None and self.state == SUCCEEDED:
                self._download(client, self.location)

    def _upload(self, client: httpx.Client) -> None:
        headers = {"Content-Type": _PARQUET, "Idempotency-Key": self._key}
        for port in self._until_deadline():
            response = self._request(client, "POST", port, "/predictions", headers, self._parts())
            if response is not None and response.status_code == 202:
                self.location = response.headers["Location"]
            else:
                self.refusals["no-answer" if response is None else response.json()["code"]] += 1
            self.was_answered.set()
            if self.location is not None or (response is not None and response.status_code not in _MAY_RETRY):
                return
            self._may_upload_again.wait()
            time.sleep(_RETRY_SECONDS)

    def _parts(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), _PART_BYTES):
            yield self._body[start : start + _PART_BYTES]
            self.sent = min(1.0, (start + _PART_BYTES) / len(self._body))
            if not self.was_answered.is_set():
                time.sleep(self._part_seconds)

    def _poll(self, client: httpx.Client, location: str) -> None:
        for port in self._until_deadline():
            response = self._request(client, "GET", port, f"{location}?limit=0", {})
            if response is not None and response.status_code not in (202, 503):
                content: dict[str, Any] = response.json()
                self.state = content["code"] if "code" in content else content["status"]
                self.final_at = time.monotonic()
                return
            time.sleep(_POLL_SECONDS)

    def _download(self, client: httpx.Client, location: str) -> None:
        for port in self._until_deadline():
            response = self._request(client, "GET", port, location, {"Accept": _PARQUET})
            if response is not None and response.status_code == 200:
                self.result = response.content
                return
            self.retried_downloads += 1
            time.sleep(_RETRY_SECONDS)

    def _until_deadline(self) -> Iterator[int]:
        while time.monotonic() < self._deadline:
            yield next(self._ports)

    def _request(
        self, client: httpx.Client, method: str, port: int, path: str, headers: dict[str, str], content: Any = None
    ) -> httpx.Response | None:
        url = f"http://127.0.0.1:{port}{path}"
        try:
            return client.request(method, url, headers=headers, content=content)
        except httpx.TransportError:
            return None
