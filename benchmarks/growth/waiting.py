"""Measures how the time to submit and to poll a prediction depends on the number of queued predictions.

The worker is announced, but its pool process is suspended, so that all predictions stay queued.
"""

import random
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import redis

from benchmarks.growth.announcement import wait_for_worker
from benchmarks.growth.client import Client, Response, encode_request
from benchmarks.growth.results import GrowthResults, WaitingFigures
from benchmarks.serving import resources
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.systems import encode_plain_body
from benchmarks.serving.workload import Workload

QUEUE_LEVELS: Final = (10, 1_000, 100_000)
_PROBES: Final = 200
_WARM_UP_PROBES: Final = 50
_CONNECTIONS: Final = 64
_SINGLE_PREDICTIONS: Final = 1_000
_BATCH_ID_LENGTH: Final = 20  # characters; a prediction's id starts with its batch's id


def measure(results: GrowthResults, workload: Workload, rounds: int) -> None:
    """Start Sepal in every round, fill its queue, and measure at every level."""
    for number in range(rounds):
        where = "start"
        try:
            with (
                Running(SEPAL, Path(sys.executable), FOLDER / "run" / "waiting", workload) as running,
                resources.suspended(wait_for_worker(running.site).children()),
                _Queue(running, workload) as queue,
            ):
                for level in QUEUE_LEVELS:
                    where = f"{level:,} queued"
                    results.waiting.append(_measure_level(queue, number, level))
                where = "alone in a batch"
                results.alone_bytes.append(queue.measure_bytes_per_single_prediction())
        except (SystemFailed, OSError, redis.RedisError) as error:
            results.record_failure("waiting", number, where, error)


class _Queue:
    """A context manager that adds predictions to the queue of a running Sepal."""

    def __init__(self, running: Running, workload: Workload) -> None:
        self._running = running
        self._redis = redis.Redis(port=running.site.redis_port)
        self._submit = encode_request("POST", "/predict", encode_plain_body(workload.rows(1)), prefer="respond-async")
        self._stack = ExitStack()
        self.ids: list[str] = []

    def __enter__(self) -> "_Queue":
        self._stack.callback(self._redis.close)
        self._clients = [self._stack.enter_context(Client(self._running.site.port)) for _ in range(_CONNECTIONS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def broker_bytes(self) -> int:
        """Read Redis `used_memory`."""
        info: Any = self._redis.info("memory")
        return int(info["used_memory"])

    def fill(self, level: int) -> None:
        """Submit until `level` predictions are queued; predictions that are sent together may share a batch."""
        while missing := level - len(self.ids):
            clients = self._clients[:missing]
            for client in clients:
                client.send(self._submit)
            self.ids += [_read_id(client.receive(202)) for client in clients]

    def measure_bytes_per_single_prediction(self) -> float:
        """Submit predictions one by one, each alone in its batch; return the bytes that each adds to the broker."""
        before = self.broker_bytes()
        for _ in range(_SINGLE_PREDICTIONS):
            self._clients[0].time_request(self._submit, 202)
        return (self.broker_bytes() - before) / _SINGLE_PREDICTIONS

    def measure_times(self) -> tuple[float, float]:
        """Probe while Sepal is idle, and return the median milliseconds of submitting and polling."""
        self._running.wait_until_idle()
        for _ in range(_WARM_UP_PROBES):
            self._time_submit_and_poll()
        submits, polls = zip(*(self._time_submit_and_poll() for _ in range(_PROBES)), strict=True)
        return statistics.median(submits), statistics.median(polls)

    def _time_submit_and_poll(self) -> tuple[float, float]:
        """Submit a prediction, poll another, cancel the first; return the milliseconds of submitting and polling."""
        client = self._clients[0]
        submitted, submit_ms = client.time_request(self._submit, 202)
        _, poll_ms = client.time_request(encode_request("GET", f"/results/{random.choice(self.ids)}"), 202)  # noqa: S311
        client.time_request(encode_request("DELETE", f"/results/{_read_id(submitted)}"), 200)
        return submit_ms, poll_ms


def _measure_level(queue: _Queue, number: int, level: int) -> WaitingFigures:
    before, waited = queue.broker_bytes(), len(queue.ids)
    queue.fill(level)
    used = queue.broker_bytes()
    submit_ms, poll_ms = queue.measure_times()
    figure = WaitingFigures(
        number,
        level,
        len({prediction_id[:_BATCH_ID_LENGTH] for prediction_id in queue.ids}),
        submit_ms,
        poll_ms,
        used / 2**20,
        (used - before) / (level - waited),
    )
    print(
        f"round {number + 1}  queued {level:7}  submit{figure.submit_ms:7.3f} ms  poll{figure.poll_ms:7.3f} ms"
        f"  broker{figure.broker_mib:7.1f} MiB, {figure.bytes_each:.0f} bytes each in {figure.batches} batches",
        flush=True,
    )
    return figure


def _read_id(response: Response) -> str:
    return response.headers["location"].removeprefix("/results/")
