"""Batch size against time: the predictor in this very process, with members of one row each."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.growth.results import Batch, Growth
from benchmarks.serving.question import Question
from shared.ids import SECRET_BYTES
from shared.rows import encode_matrix
from shared.store.records import Member
from worker.pool.predictor import Predictor
from worker.pool.rows import Rows

SIZES: Final = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_SECONDS: Final = 0.2  # for each size in each round: 20 calls of the slowest, hundreds of the others
_LEAST_CALLS: Final = 10


def measure(results: Growth, question: Question, rounds: int) -> None:
    """Measure all sizes in every round; each round begins with another."""
    predictor = Predictor.load(question.model.parent)
    predictor.warm_up()
    gc.freeze()  # as a pool process does
    for number in range(rounds):
        first = number % len(SIZES)
        for n_rows in (*SIZES[first:], *SIZES[:first]):
            figure = _figure(predictor, question, number, n_rows)
            results.batch.append(figure)
            print(
                f"round {number + 1}  batch {n_rows:5} rows  pipeline{figure.pipeline_ms:8.3f} ms"
                f"  predict{figure.predict_ms:8.3f} ms",
                flush=True,
            )


def _figure(predictor: Predictor, question: Question, number: int, n_rows: int) -> Batch:
    rows: Rows = np.array(question.rows(n_rows), dtype=np.float64)
    (encoded,) = encode_matrix(question.rows(n_rows), n_rows)
    members = [Member(bytes(SECRET_BYTES), 1, len(encoded.content) // n_rows)] * n_rows
    pipeline, whole = _interleaved(lambda: predictor._run(rows), lambda: predictor.predict(encoded, members))
    return Batch(number, n_rows, pipeline, whole)


def _interleaved(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Call both in turns; returns the median milliseconds of each."""
    samples: tuple[list[float], list[float]] = ([], [])
    turns = [(one, samples[0]), (other, samples[1])]
    deadline = time.perf_counter() + _SECONDS
    while time.perf_counter() < deadline or len(samples[0]) < _LEAST_CALLS:
        for call, kept in turns:
            began = time.perf_counter()
            call()
            kept.append((time.perf_counter() - began) * 1000)
        turns.reverse()
    return statistics.median(samples[0]), statistics.median(samples[1])
