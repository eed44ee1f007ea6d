"""Load through the queue: callers who wait, and callers who submit and poll.

Beside the HTTP rows the report has rows of type SEPAL: the time from submission to the final result as a client sees
it, and the time in the queue and in the pipeline as `Server-Timing` tells it.

    locust --headless --users 100 --spawn-rate 100 --run-time 60s --host http://127.0.0.1:8000

The exit code is 1 when any request or prediction failed.
"""

import random
import re
import time
from typing import Any

import gevent
from locust import FastHttpUser, between, task

DURATION = re.compile(r"(queue|predict);dur=([0-9.]+)")
PATIENCE_SECONDS = 60


class Caller(FastHttpUser):
    """Asks for the model's card once, and then sends rows like its examples."""

    abstract = True
    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        """Learn what rows look like."""
        self.example = self.client.get("/model").json()["example"]

    def rows(self) -> list[list[float]]:
        """One row, a little different each time."""
        return [[value * random.uniform(0.9, 1.1) for value in random.choice(self.example)]]  # noqa: S311

    def report(self, name: str, milliseconds: float, failure: Exception | None = None) -> None:
        """Add to one of the report's own rows."""
        self.environment.events.request.fire(
            request_type="SEPAL",
            name=name,
            response_time=milliseconds,
            response_length=0,
            exception=failure,
            context={},
        )

    def report_timings(self, response: Any) -> None:
        """Add the server's own account of a final prediction."""
        for name, milliseconds in DURATION.findall(response.headers.get("Server-Timing", "")):
            self.report(f"in the {'queue' if name == 'queue' else 'pipeline'}", float(milliseconds))


class SyncCaller(Caller):
    """Waits for the answer."""

    @task
    def predict(self) -> None:
        """Send a row and take its answer."""
        began = time.perf_counter()
        with self.client.post("/predict", json={"data": self.rows()}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} instead of an answer")
                return
        self.report("submission to result, waiting", (time.perf_counter() - began) * 1000)
        self.report_timings(response)


class PollingCaller(Caller):
    """Submits, and comes back for the answer."""

    @task
    def predict(self) -> None:
        """Submit a row and poll until its prediction is final."""
        began = time.perf_counter()
        headers = {"Prefer": "respond-async"}
        name = "/predict (respond-async)"
        with self.client.post(
            "/predict", json={"data": self.rows()}, headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code != 202:
                response.failure(f"{response.status_code} instead of a place to poll")
                return
        self.poll(response.headers["Location"], began)

    def poll(self, location: str, began: float) -> None:
        """Ask often at first: most answers are there within milliseconds, and `Retry-After` counts in seconds."""
        pause = 0.01
        while time.perf_counter() - began < PATIENCE_SECONDS:
            response = self.client.get(location, name="/results/{id}")
            if response.status_code == 200 and response.json()["status"] == "succeeded":
                self.report("submission to result, polling", (time.perf_counter() - began) * 1000)
                self.report_timings(response)
                return
            if response.status_code != 202:
                break
            gevent.sleep(pause)
            pause = min(pause * 2, float(response.headers.get("Retry-After", 1)))
        elapsed = (time.perf_counter() - began) * 1000
        self.report("submission to result, polling", elapsed, RuntimeError(f"no result: {response.status_code}"))
