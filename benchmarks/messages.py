"""Compares the time to build a Celery message from a template with that of Celery's `send_task`.

    python -m benchmarks.messages

Both are measured in interleaved rounds in one process, without sending anything. Prints medians and ranges.
"""

import statistics
import time
from collections.abc import Callable

from celery import Celery
from kombu import Connection

from api.messages import CeleryMessages
from shared.ids import new_batch_id
from shared.names import PREDICT_BATCH, Queue

ROUNDS = 7
MESSAGES = 2000


def main() -> None:
    """Measure and print."""
    batch_id = new_batch_id()
    publisher = CeleryMessages()
    app = Celery("sepal", set_as_current=False)
    channel = Connection("memory://").channel()
    producer = channel.connection.client.Producer(channel)

    def template() -> None:
        publisher.make_message(batch_id, Queue.INTERACTIVE, 12, 3)

    def send_task() -> None:
        app.send_task(
            PREDICT_BATCH,
            args=(batch_id,),
            task_id=batch_id,
            queue="q",
            ignore_result=True,
            kwargsrepr="{'queue': 'interactive', 'rows': 12, 'predictions': 3}",
            producer=producer,
        )

    ways: dict[str, Callable[[], None]] = {"template": template, "send_task": send_task}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            costs[name].append(_time_call(way))
    for name, samples in costs.items():
        print(f"{name:10} {statistics.median(samples):6.1f} µs  ({min(samples):.1f} to {max(samples):.1f})")
    ratio = statistics.median(costs["send_task"]) / statistics.median(costs["template"])
    print(f"ratio      {ratio:6.1f}")


def _time_call(build_message: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(MESSAGES):
        build_message()
    return (time.perf_counter() - began) / MESSAGES * 1e6


if __name__ == "__main__":
    main()
