"""Does Sepal's memory follow its traffic? Puts a million requests on it and compares with the first hundred thousand.

python -m benchmarks.soak

Run with a short retention, so that what is kept is a few seconds' worth at both moments. Also checks that every
request was answered, and that as many rows became final as were accepted.
"""

import argparse
import os
import sys
import time
from collections import Counter
from typing import Final

import redis

from benchmarks.serving import environments, resources
from benchmarks.serving.load import put_load
from benchmarks.serving.question import Question
from benchmarks.serving.running import Running
from benchmarks.serving.sepal import SEPAL, account

_RETENTION_SECONDS: Final = 2
_CONNECTIONS: Final = 128
_SLICE_SECONDS: Final = 5
_ALLOWED_GROWTH: Final = 0.05


def main() -> None:
    """Measure, print, and fail where memory has grown or a request was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--first", type=int, default=100_000, help="requests before the first look")
    parser.add_argument("--last", type=int, default=1_000_000, help="requests before the second look")
    arguments = parser.parse_args()
    os.environ["SEPAL_ANSWERED_TTL_SECONDS"] = str(_RETENTION_SECONDS)
    question = Question.load()
    folder = environments.FOLDER / "run" / "soak"
    with Running(SEPAL, environments.interpreter(SEPAL), folder, question) as running:
        load = _Load(running, SEPAL.body(question.rows(1)))
        before = load.until(arguments.first)
        after = load.until(arguments.last)
        ledger = account(running.site)
    growth = after / before - 1
    print(f"{before:.1f} MiB, then {after:.1f} MiB: {growth:+.1%}")
    print(f"{ledger.accepted} rows accepted, {ledger.final} final, {load.answered} answered")
    print(f"errors: {dict(load.errors)}")
    lost = ledger.accepted != ledger.final or ledger.accepted < load.answered
    if lost or load.errors.total() or growth > _ALLOWED_GROWTH:
        sys.exit("soak: this is not what was promised")


class _Load:
    """Requests, counted."""

    def __init__(self, running: Running, body: str) -> None:
        self._running = running
        self._body = body
        self.answered = 0
        self.errors: Counter[str] = Counter()

    def until(self, requests: int) -> float:
        """Go on until so many were answered in all; returns MiB of all processes, once what is final has expired."""
        while self.answered < requests:
            measured = put_load(self._running.url, self._body, _CONNECTIONS, _SLICE_SECONDS)
            self.answered += measured.requests
            self.errors.update(measured.errors)
            print(f"{self.answered:9} answered, {self._memory():7.1f} MiB", flush=True)
        time.sleep(2 * _RETENTION_SECONDS)
        return self._memory()

    def _memory(self) -> float:
        with redis.Redis(port=self._running.site.redis_port) as client:
            kept = client.info("memory")["used_memory"] / 2**20
        print(f"{kept:35.1f} MiB of it in use by the store", flush=True)
        return resources.memory_mib(self._running.processes())


if __name__ == "__main__":
    main()
