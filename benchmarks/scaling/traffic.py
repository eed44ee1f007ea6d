"""Clients that send predictions until they are stopped, and poll each accepted prediction until it is final."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Self

_TIMEOUT_SECONDS: Final = 120
_POLL_SECONDS: Final = 0.05
_IDS_PER_CLIENT: Final = 10
_HEADERS: Final = {"Content-Type": "application/json"}


class Traffic:
    """Some clients wait for results; others submit ten predictions at a time and poll until each is final."""

    def __init__(self, port: int, body: bytes, *, n_waiting: int, n_polling: int = 0) -> None:
        self._port = port
        self._body = body
        self._stop = threading.Event()
        self._lock = threading.Lock()
        clients = [self._wait_for_result] * n_waiting + [self._submit_and_poll] * n_polling
        self._threads = [threading.Thread(target=self._run_client, args=[client]) for client in clients]
        self.accepted = 0
        self.succeeded = 0
        self.failures: Counter[str] = Counter()
        """Counts of other HTTP responses and of connection errors."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clients once each has finished its predictions."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def measure_rate(self, seconds: float) -> float:
        """Return the succeeded predictions per second over the next `seconds`."""
        before, began = self.succeeded, time.monotonic()
        time.sleep(seconds)
        return (self.succeeded - before) / (time.monotonic() - began)

    def _run_client(self, client: Callable[[http.client.HTTPConnection], None]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        while not self._stop.is_set():
            try:
                client(connection)
            except (OSError, http.client.HTTPException) as error:
                self._count_failure(type(error).__name__)
                connection.close()
        connection.close()

    def _wait_for_result(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/predict", self._body, {**_HEADERS, "Prefer": "wait=60"})
        response = connection.getresponse()
        self._count_submission(response.status in (200, 202))
        self._poll_until_final(connection, response)

    def _submit_and_poll(self, connection: http.client.HTTPConnection) -> None:
        locations = [self._submit(connection) for _ in range(_IDS_PER_CLIENT)]
        for location in filter(None, locations):
            connection.request("GET", location)
            self._poll_until_final(connection, connection.getresponse())

    def _submit(self, connection: http.client.HTTPConnection) -> str | None:
        connection.request("POST", "/predict", self._body, {**_HEADERS, "Prefer": "respond-async"})
        response = connection.getresponse()
        response.read()
        self._count_submission(response.status == 202)
        if response.status != 202:
            self._count_failure(f"status {response.status}")
        return response.getheader("Location") if response.status == 202 else None

    def _poll_until_final(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        """Poll until the prediction is final, and count its result."""
        body = response.read()
        location = response.getheader("Location", "")
        while response.status == 202:
            time.sleep(_POLL_SECONDS)
            connection.request("GET", location)
            response = connection.getresponse()
            body = response.read()
        if response.status == 200 and b'"status":"succeeded"' in body:
            with self._lock:
                self.succeeded += 1
        else:
            self._count_failure(f"status {response.status}: {body[:200].decode(errors='replace')}")

    def _count_submission(self, is_accepted: bool) -> None:
        with self._lock:
            self.accepted += is_accepted

    def _count_failure(self, reason: str) -> None:
        with self._lock:
            self.failures[reason] += 1
