"""Predictions that wait against the time to submit, and to poll, one more.

The worker lives and has room for nothing: its pool process is stopped. What is added stays queued.
"""

import random
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import redis

from benchmarks.growth.announced import wait_for_worker
from benchmarks.growth.caller import Caller, Reply, request
from benchmarks.growth.results import Growth, Waiting
from benchmarks.serving import resources
from benchmarks.serving.environments import FOLDER
from benchmarks.serving.errors import SystemFailed
from benchmarks.serving.question import Question
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL
from benchmarks.serving.systems import plain_body

LEVELS: Final = (10, 1_000, 100_000)
_PROBES: Final = 200
_WARM_UP_PROBES: Final = 50
_CALLERS: Final = 64
_ALONE: Final = 1_000
_BATCH_ID_LENGTH: Final = 20  # a prediction's id starts with its batch's


def measure(results: Growth, question: Question, rounds: int) -> None:
    """Fill a fresh Sepal in every round, and measure at every level on the way."""
    for number in range(rounds):
        where = "start"
        try:
            with (
                Running(SEPAL, Path(sys.executable), FOLDER / "run" / "waiting", question) as running,
                resources.stopped(wait_for_worker(running.site).children()),
                _Queue(running, question) as queue,
            ):
                for level in LEVELS:
                    where = f"{level:,} waiting"
                    results.waiting.append(_figure(queue, number, level))
                where = "one by one"
                results.alone_bytes.append(queue.alone_bytes())
        except (SystemFailed, OSError, redis.RedisError) as error:
            results.note("waiting", number, where, error)


class _Queue:
    """A context of what waits in one Sepal."""

    def __init__(self, running: Running, question: Question) -> None:
        self._running = running
        self._redis = redis.Redis(port=running.site.redis_port)
        self._submit = request("POST", "/predict", plain_body(question.rows(1)), prefer="respond-async")
        self._stack = ExitStack()
        self.ids: list[str] = []

    def __enter__(self) -> "_Queue":
        self._stack.callback(self._redis.close)
        self._callers = [self._stack.enter_context(Caller(self._running.site.port)) for _ in range(_CALLERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def broker_bytes(self) -> int:
        """What the broker says it uses."""
        info: Any = self._redis.info("memory")
        return int(info["used_memory"])

    def fill(self, level: int) -> None:
        """Submit until so many wait; those that are sent together may share a batch."""
        while missing := level - len(self.ids):
            callers = self._callers[:missing]
            for caller in callers:
                caller.send(self._submit)
            self.ids += [_id(caller.receive(202)) for caller in callers]

    def alone_bytes(self) -> float:
        """Submit one after the other, so that none shares its batch; returns what each has added."""
        before = self.broker_bytes()
        for _ in range(_ALONE):
            self._callers[0].timed(self._submit, 202)
        return (self.broker_bytes() - before) / _ALONE

    def probe_often(self) -> tuple[float, float]:
        """Probe at rest; returns the median milliseconds of submitting and polling."""
        self._running.rest()  # from starting, or from being filled
        for _ in range(_WARM_UP_PROBES):
            self._probe()
        submits, polls = zip(*(self._probe() for _ in range(_PROBES)), strict=True)
        return statistics.median(submits), statistics.median(polls)

    def _probe(self) -> tuple[float, float]:
        """Submit one and cancel it, poll one of the others; returns the milliseconds of submitting and polling."""
        caller = self._callers[0]
        submitted, submit_ms = caller.timed(self._submit, 202)
        _, poll_ms = caller.timed(request("GET", f"/results/{random.choice(self.ids)}"), 202)  # noqa: S311
        caller.timed(request("DELETE", f"/results/{_id(submitted)}"), 200)
        return submit_ms, poll_ms


def _figure(queue: _Queue, number: int, level: int) -> Waiting:
    before, waited = queue.broker_bytes(), len(queue.ids)
    queue.fill(level)
    used = queue.broker_bytes()
    submit_ms, poll_ms = queue.probe_often()
    figure = Waiting(
        number,
        level,
        len({prediction_id[:_BATCH_ID_LENGTH] for prediction_id in queue.ids}),
        submit_ms,
        poll_ms,
        used / 2**20,
        (used - before) / (level - waited),
    )
    print(
        f"round {number + 1}  waiting {level:7}  submit{figure.submit_ms:7.3f} ms  poll{figure.poll_ms:7.3f} ms"
        f"  broker{figure.broker_mib:7.1f} MiB, {figure.bytes_each:.0f} bytes each in {figure.batches} batches",
        flush=True,
    )
    return figure


def _id(reply: Reply) -> str:
    return reply.headers["location"].removeprefix("/results/")
