"""Measures how the time of a batch depends on its size, with the predictor in this process and one row per member."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.growth.results import BatchFigures, GrowthResults
from benchmarks.serving.workload import Workload
from shared.ids import SECRET_BYTES
from shared.rows import encode_matrix
from shared.store.records import Member
from worker.pool.outputs import find_wanted_rows
from worker.pool.predictor import Predictor

BATCH_SIZES: Final = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_MIN_SECONDS: Final = 0.2  # per size and round: 20 calls of the slowest size, hundreds of the others
_MIN_CALLS: Final = 10


def measure(results: GrowthResults, workload: Workload, rounds: int) -> None:
    """Measure all sizes in every round; each round starts with a different size."""
    predictor = Predictor.load(workload.model.parent)
    predictor.warm_up()
    gc.freeze()  # as a pool process does
    for number in range(rounds):
        first = number % len(BATCH_SIZES)
        for n_rows in (*BATCH_SIZES[first:], *BATCH_SIZES[:first]):
            figure = _measure_batch(predictor, workload, number, n_rows)
            results.batch.append(figure)
            print(
                f"round {number + 1}  batch {n_rows:5} rows  pipeline{figure.pipeline_ms:8.3f} ms"
                f"  predict{figure.predict_ms:8.3f} ms",
                flush=True,
            )


def _measure_batch(predictor: Predictor, workload: Workload, number: int, n_rows: int) -> BatchFigures:
    rows = np.array(workload.rows(n_rows), dtype=np.float64)
    (encoded,) = encode_matrix(workload.rows(n_rows), n_rows)
    members = [Member(bytes(SECRET_BYTES), 1, len(encoded.content) // n_rows)] * n_rows
    pipeline_ms, predict_ms = _time_interleaved(
        lambda: predictor.evaluate(rows, find_wanted_rows(members, predictor.card.default_outputs)),
        lambda: predictor.predict(encoded, members),
    )
    return BatchFigures(number, n_rows, pipeline_ms, predict_ms)


def _time_interleaved(function: Callable[[], Any], other_function: Callable[[], Any]) -> tuple[float, float]:
    """Call both functions alternately; return the median milliseconds of each."""
    samples: tuple[list[float], list[float]] = ([], [])
    turns = [(function, samples[0]), (other_function, samples[1])]
    deadline = time.perf_counter() + _MIN_SECONDS
    while time.perf_counter() < deadline or len(samples[0]) < _MIN_CALLS:
        for call, kept in turns:
            began = time.perf_counter()
            call()
            kept.append((time.perf_counter() - began) * 1000)
        turns.reverse()
    return statistics.median(samples[0]), statistics.median(samples[1])
