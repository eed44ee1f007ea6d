"""The load test: three kinds of users that pause between requests.

Most users send a row and wait for the result. Some request an id and poll for the result after `Retry-After`. A few
upload thousands of rows and poll for the result.

    locust --headless --users 100 --spawn-rate 100 --run-time 60s

`make load` runs this and saves the figures. Besides rows for HTTP requests, the report has rows of type SEPAL, three
for each kind of user: the time from submission to result as measured by the client, and the times in the queue and in
the model from `Server-Timing`. locust's "Aggregated" counts HTTP requests only. Thresholds are read from the
environment (`benchmarks/load/settings.py`); the exit code is 1 if one is missed.
"""

import json
import logging
import re
import sys
import time
from functools import cache
from typing import Any, Final
from urllib.request import urlopen

import gevent
from locust import FastHttpUser, between, events, task
from locust.runners import WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from benchmarks.load.rows import Draw, row_drawer
from benchmarks.load.settings import LoadSettings
from benchmarks.load.thresholds import RunFigures, are_all_met, check_thresholds

SETTINGS: Final = LoadSettings()
WAITING, POLLING, BULK = "waiting", "polling", "bulk"
END_TO_END: Final = "submission to result"
_SERVER_TIMING: Final = re.compile(r"(queue|predict);dur=([0-9.]+)")
_SERVER_ROWS: Final = {"queue": "in the queue", "predict": "in the model"}
_PROBLEM_CODE: Final = re.compile(r'"code": ?"([a-z-]+)"')
_TIMEOUT_SECONDS: Final = 60
_CONNECT_SECONDS: Final = 5

console = logging.getLogger("locust.stats_logger")


class Caller(FastHttpUser):
    """A user that sends rows similar to the training data."""

    abstract = True
    host = SETTINGS.host
    kind: str
    draw_row: Draw
    """Draws a random row; set from the model card before the first user starts."""

    def end(self, began: float, response: Any, failure: str) -> None:
        """Record a prediction's time since submission, and the times from `Server-Timing`."""
        self._log_time(END_TO_END, (time.perf_counter() - began) * 1000)
        if failure:
            self._stats_entry(END_TO_END).log_error(failure)
            return
        for part, milliseconds in _SERVER_TIMING.findall(response.headers.get("Server-Timing", "")):
            self._log_time(_SERVER_ROWS[part], float(milliseconds))

    def _log_time(self, name: str, milliseconds: float) -> None:
        self._stats_entry(name).log(milliseconds, 0)

    def _stats_entry(self, name: str) -> Any:
        return self.environment.stats.get(f"{name}, {self.kind}", "SEPAL")


class SyncCaller(Caller):
    """Sends a row and waits for the result, as the users of the tutorial do."""

    weight = 17
    kind = WAITING
    wait_time = between(1, 5)

    @task
    def predict(self) -> None:
        """Send a row and check the result."""
        body = json.dumps({"data": [Caller.draw_row()]})
        began = time.perf_counter()
        with self.client.post("/predict", data=body, headers=_request_headers(), catch_response=True) as response:
            if failure := _result_failure(response, n_rows=1):
                response.failure(failure)
        self.end(began, response, failure)


class _AsyncCaller(Caller):
    """Submits rows and polls for the result."""

    abstract = True

    def submit(self, body: str, n_rows: int) -> None:
        """Submit rows, and poll until their prediction is final."""
        began = time.perf_counter()
        name, headers = f"/predict ({self.kind})", _request_headers(Prefer="respond-async")
        with self.client.post("/predict", data=body, headers=headers, name=name, catch_response=True) as response:
            failure = "" if response.status_code == 202 else _describe_refusal(response)
            if failure:
                response.failure(failure)
        while not failure and response.status_code == 202:
            gevent.sleep(float(response.headers["Retry-After"]))
            response, failure = self._poll(response.headers["Location"], n_rows, time.perf_counter() - began)
        self.end(began, response, failure)

    def _poll(self, location: str, n_rows: int, waited: float) -> tuple[Any, str]:
        with self.client.get(location, name=f"/results/{{id}} ({self.kind})", catch_response=True) as response:
            if response.status_code != 202:
                failure = _result_failure(response, n_rows)
            else:
                failure = f"not final after {_TIMEOUT_SECONDS} s" if waited > _TIMEOUT_SECONDS else ""
            if failure:
                response.failure(failure)
        return response, failure


class PollingCaller(_AsyncCaller):
    """Sends a row and polls for the result after `Retry-After`."""

    weight = 2
    kind = POLLING
    wait_time = between(1, 5)

    @task
    def predict(self) -> None:
        """Submit a row, and poll for the result."""
        self.submit(json.dumps({"data": [Caller.draw_row()]}), n_rows=1)


class BulkCaller(_AsyncCaller):
    """Uploads thousands of rows occasionally, and polls for the result."""

    weight = 1
    kind = BULK
    wait_time = between(5, 15)

    @task
    def predict(self) -> None:
        """Upload rows, and poll for the result."""
        self.submit(_bulk_body(), n_rows=SETTINGS.load_bulk_rows)


@cache
def _bulk_body() -> str:
    # Built once, because it takes tens of milliseconds, which would delay the other users.
    return json.dumps({"data": [Caller.draw_row() for _ in range(SETTINGS.load_bulk_rows)]})


def _request_headers(**more: str) -> dict[str, str]:
    return {"Content-Type": "application/json", **more}


def _result_failure(response: Any, n_rows: int) -> str:
    """Return an empty string for a complete result, otherwise a message by which locust groups failures."""
    if response.status_code != 200:
        return _describe_refusal(response)
    try:
        result = json.loads(response.text)
    except ValueError:
        return "200 without JSON"
    if result["status"] != "succeeded":
        return f"prediction {result['status']}"
    n_predictions = len(result["prediction"])
    return "" if n_predictions == n_rows else f"{n_predictions} predictions for {n_rows} rows"


def _describe_refusal(response: Any) -> str:
    if not response.status_code:
        return repr(response.error)
    code = _PROBLEM_CODE.search(response.text or "")
    return f"{response.status_code} {code[1]}" if code else f"{response.status_code} without a code"


@events.init.add_listener
def read_model_card(environment: Any, **_: Any) -> None:
    """Read the model card; exit before any user starts if the gateway is unreachable."""
    host = environment.host or SETTINGS.host
    try:
        with urlopen(f"{host}/model", timeout=_CONNECT_SECONDS) as response:  # noqa: S310
            Caller.draw_row = staticmethod(row_drawer(json.load(response)))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"locust: no model card at {host}/model: {error}")


@events.quitting.add_listener
def check_run(environment: Any, **_: Any) -> None:
    """Compare the figures with the thresholds, in locust's master process only."""
    if isinstance(environment.runner, WorkerRunner):
        return
    thresholds = check_thresholds(_measured_figures(environment), SETTINGS)
    environment.process_exit_code = 0 if are_all_met(thresholds) else 1
    lines = [str(threshold) for threshold in thresholds]
    options = environment.parsed_options
    if options.csv_prefix:
        gevent.sleep(CSV_STATS_INTERVAL_SEC * 1.5)  # locust writes these files at this interval, not at the end
        lines.append(f"figures: {options.csv_prefix}_stats.csv and {options.csv_prefix}_stats_history.csv")
    if options.html_file:
        lines.append(f"report: {options.html_file}")
    # Print them below locust's tables.
    events.quit.add_listener(lambda **_: console.info("\n".join(lines)))


def _measured_figures(environment: Any) -> RunFigures:
    total = environment.stats.total
    waiting = environment.stats.get(f"{END_TO_END}, {WAITING}", "SEPAL")
    p50, p99 = (waiting.get_response_time_percentile(p) if waiting.num_requests else None for p in (0.5, 0.99))
    crashes = sum(crash["count"] for crash in environment.runner.exceptions.values())
    return RunFigures(total.num_requests, total.num_failures, crashes, total.total_rps, p50, p99)
