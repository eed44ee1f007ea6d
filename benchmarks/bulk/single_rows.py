"""Sends single rows at a steady rate, without waiting for the responses to earlier ones."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final

_MAX_OPEN_REQUESTS: Final = 16
_TIMEOUT_SECONDS: Final = 30


class SingleRows:
    """A client that sends one row at each tick of a clock, and records the time from the tick to the response."""

    def __init__(self, port: int, row: list[Any], per_second: float) -> None:
        self._port = port
        self._body = json.dumps({"data": [row]})
        self._interval = 1 / per_second
        self._local = threading.local()
        self.milliseconds: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send rows until the block ends.

        Raises:
            OSError: a request failed.
        """
        stopping = threading.Event()
        thread = threading.Thread(target=self._send_until_stopped, args=(stopping,))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _send_until_stopped(self, stopping: threading.Event) -> None:
        with ThreadPoolExecutor(_MAX_OPEN_REQUESTS) as pool:
            tick = time.perf_counter()
            while not stopping.is_set():
                pool.submit(self._send_row, tick)
                tick += self._interval
                time.sleep(max(0, tick - time.perf_counter()))

    def _send_row(self, tick: float) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        connection.request("POST", "/predict", self._body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        elapsed = (time.perf_counter() - tick) * 1000
        self.milliseconds.append(elapsed if response.status == 200 else float("inf"))
