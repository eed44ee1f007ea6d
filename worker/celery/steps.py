"""Bootsteps of Celery's consumer: the heartbeat, buffered task events, and immediate writes to pool processes.

A step starts with the consumer, stops when the broker is lost, and starts again after a reconnect.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps
from celery.platforms import EX_FAILURE
from celery.worker import state

from shared.errors import BrokerUnavailable
from shared.ids import BatchId
from shared.names import LostReason
from worker.liveness.heartbeat import CHECK_SECONDS, Heartbeat
from worker.liveness.watchdog import ConsumerState, Requeue
from worker.pool.pipe import PoolPipe
from worker.telemetry.metrics import WorkerMetrics

_FLUSH_SECONDS: Final = 0.2
_MAX_BUFFERED_EVENTS: Final = 1000  # Celery's default, 24, would be reached many times in 0.2 s


class EventsStep(bootsteps.StartStopStep):
    """Sends the events that Celery's dispatcher has buffered, in one message.

    By default the dispatcher makes a round trip for nearly every event, three for each batch: half of the work of a
    worker's parent process (docs/decisions/0013-few-round-trips-a-batch.md). Flower receives the same events.
    """

    requires = ("celery.worker.consumer.events:Events",)
    timer: Any = None

    def start(self, consumer: Any) -> None:
        """Flush the dispatcher by a timer; each reconnect creates a new dispatcher."""
        dispatcher = consumer.event_dispatcher
        dispatcher.on_send_buffered = None
        dispatcher.buffer_limit = _MAX_BUFFERED_EVENTS
        self.timer = consumer.timer.call_repeatedly(_FLUSH_SECONDS, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send the remaining events."""
        if self.timer is not None:  # None if it stops before it has started
            self.timer.cancel()
            self.timer = None
            if consumer.event_dispatcher is not None:  # None if the broker was unavailable
                consumer.event_dispatcher.flush()


class ImmediateWriteStep(bootsteps.StartStopStep):
    """Writes a task to a pool process as soon as its message arrives.

    Celery's pool keeps a task until the event loop finds the pipe to a process writable, after everything else that is
    due, such as the request for the next message. This step immediately reports the pipes as writable. If a pipe is
    full, the task is written when the event loop finds it writable.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Called by Celery after the pool has registered, and again after each reconnect."""
        pool = consumer.pool._pool
        put = pool._quick_put

        def put_and_write(task: Any) -> None:
            put(task)
            hub.consolidate_callback(list(pool._all_inqueues - pool._active_writes))

        pool._quick_put = put_and_write


def make_heartbeat_step(
    heartbeat: Heartbeat,
    pipe: PoolPipe,
    metrics: WorkerMetrics,
    forget_deliveries: Callable[[], None],
    requeue: Requeue,
    count_alien_messages: Callable[[], int],
) -> type[bootsteps.StartStopStep]:
    """Make the step that announces the worker, and pauses its consumer while no pool process can take a batch.

    Args:
        heartbeat: announces the worker.
        pipe: receives the reports of pool processes.
        metrics: counts the attempts that pool processes report.
        forget_deliveries: deletes kombu's list of messages that an earlier connection took.
        requeue: ends an attempt and publishes the batch again.
        count_alien_messages: returns how many messages were set aside; a consumer that takes only these is not idle.
    """

    class HeartbeatStep(bootsteps.StartStopStep):
        """Checks pool processes and beats on the consumer's event loop."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        timer: Any = None

        def start(self, consumer: Any) -> None:
            try:
                forget_deliveries()  # before the event loop takes the first message
            except BrokerUnavailable as error:
                raise ConnectionError("the broker was lost") from error  # Celery reconnects after this error
            self._check(consumer)
            self.timer = consumer.timer.call_repeatedly(CHECK_SECONDS, lambda: self._check(consumer))

        def stop(self, _consumer: Any) -> None:
            if self.timer is not None:  # None if it stops before it has started
                self.timer.cancel()
            if state.should_stop is None:
                heartbeat.stop_freeze_timer()
            else:
                heartbeat.announce_shutdown()

        def _check(self, consumer: Any) -> None:
            # Celery looks for dead processes when a pipe closes. A killed process may not have ended by then, and
            # Celery looks again only 5 s later.
            with suppress(StopIteration):  # raised if no slot of a dead process is free yet
                consumer.pool._pool.maintain_pool()
            metrics.count_attempts(pipe.read_reports())
            pids = list(consumer.pool.info["processes"])
            n_loaded = pipe.count_loaded(pids)
            heartbeat.check(_read_consumer_state(pids, n_loaded, count_alien_messages()))
            consumer.task_consumer.channel.qos.is_paused = not n_loaded
            if not n_loaded:
                _requeue_unstarted(requeue)

    return HeartbeatStep


def stop_worker() -> None:
    """Make Celery exit immediately with a failure status, so that the supervisor starts another worker."""
    state.should_terminate = EX_FAILURE


def _read_consumer_state(pids: list[int], n_loaded: int, n_alien_messages: int) -> ConsumerState:
    return ConsumerState(
        pids=pids,
        n_loaded=n_loaded,
        taken={request.id for request in state.reserved_requests},
        running={request.id for request in state.active_requests},
        n_started=state.all_total_count[0] + n_alien_messages,
    )


def _requeue_unstarted(requeue: Requeue) -> None:
    """Requeue the batches that this worker has taken and not started, so that other workers can run them."""
    for request in set(state.reserved_requests) - set(state.active_requests):
        requeue(BatchId(request.id), LostReason.ERROR, "The worker has no loaded pool process.")
        request.acknowledge()
