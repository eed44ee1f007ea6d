"""What a worker adds to Celery's consumer: its own heartbeat, and task events that are sent a few times a second.

A step starts when the consumer consumes, stops when the broker is lost, and starts again after.
"""

from collections.abc import Callable
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
_BUFFERED_EVENTS: Final = 1000  # Celery's own limit, 24, would be reached many times in that fifth of a second


class EventsStep(bootsteps.StartStopStep):
    """Sends what Celery's event dispatcher has gathered, in one message.

    Left to itself the dispatcher makes a round trip for nearly every event, three for each batch: that was half of
    what a worker's parent process did (docs/decisions/0013-few-round-trips-a-batch.md). Flower gets the same events.
    """

    requires = ("celery.worker.consumer.events:Events",)
    timer: Any = None

    def start(self, consumer: Any) -> None:
        """Take the sending over from the dispatcher, which is a new one after each loss of the broker."""
        dispatcher = consumer.event_dispatcher
        dispatcher.on_send_buffered = None
        dispatcher.buffer_limit = _BUFFERED_EVENTS
        self.timer = consumer.timer.call_repeatedly(_FLUSH_SECONDS, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send the rest."""
        if self.timer is not None:  # told to stop before it could start
            self.timer.cancel()
            self.timer = None
            if consumer.event_dispatcher is not None:  # it could not be made: the broker is away
                consumer.event_dispatcher.flush()


class HandOverStep(bootsteps.StartStopStep):
    """Hands a pool process its batch in the moment it arrives.

    Celery's pool keeps a job until the event loop comes round and finds the pipe to the process writable; before that
    comes whatever else is due, the next request for a message among it. Here the pool is told at once that the pipes
    are writable. One that is full after all takes the job when the event loop finds it empty, as before.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Called by Celery after its pool, and anew whenever the broker was lost."""
        pool = consumer.pool._pool
        put = pool._quick_put

        def put_and_write(job: Any) -> None:
            put(job)
            hub.consolidate_callback(list(pool._all_inqueues - pool._active_writes))

        pool._quick_put = put_and_write


def heartbeat_step(
    heartbeat: Heartbeat,
    pipe: PoolPipe,
    metrics: WorkerMetrics,
    forget_deliveries: Callable[[], None],
    requeue: Requeue,
    n_alien_messages: Callable[[], int],
) -> type[bootsteps.StartStopStep]:
    """Make the step that announces the worker, and pauses its consumer while no pool process can take a batch.

    Args:
        heartbeat: announces the worker.
        pipe: that pool processes write to.
        metrics: counts the attempts that they report.
        forget_deliveries: deletes kombu's list of the messages that an earlier connection took.
        requeue: has a batch published again.
        n_alien_messages: messages that were taken and set aside; a consumer that finds only those is not idle.
    """

    class HeartbeatStep(bootsteps.StartStopStep):
        """Checks on the consumer's own event loop."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        timer: Any = None

        def start(self, consumer: Any) -> None:
            try:
                forget_deliveries()  # before the event loop runs, and takes the first message
            except BrokerUnavailable as error:
                raise ConnectionError("the broker was lost") from error  # which has Celery connect again
            self._check(consumer)
            self.timer = consumer.timer.call_repeatedly(CHECK_SECONDS, lambda: self._check(consumer))

        def stop(self, _consumer: Any) -> None:
            if self.timer is not None:  # told to stop before it could start
                self.timer.cancel()
            if state.should_stop is None:
                heartbeat.pause()
            else:
                heartbeat.leave()

        def _check(self, consumer: Any) -> None:
            # Celery looks for dead processes when a pipe is closed. A killed process may not have ended by then, and
            # Celery looks again only five seconds later.
            consumer.pool._pool.maintain_pool()
            metrics.count_attempts(pipe.read())
            pids = list(consumer.pool.info["processes"])
            n_loaded = pipe.count_loaded(pids)
            heartbeat.check(_consumer_state(pids, n_loaded, n_alien_messages()))
            consumer.task_consumer.channel.qos.is_paused = not n_loaded
            if not n_loaded:
                _requeue_waiting(requeue)

    return HeartbeatStep


def stop_worker() -> None:
    """Have Celery end this worker as a failure, at once, so that its supervisor starts another."""
    state.should_terminate = EX_FAILURE


def _consumer_state(pids: list[int], n_loaded: int, n_alien_messages: int) -> ConsumerState:
    return ConsumerState(
        pids=pids,
        n_loaded=n_loaded,
        taken={request.id for request in state.reserved_requests},
        running={request.id for request in state.active_requests},
        n_started=state.all_total_count[0] + n_alien_messages,
    )


def _requeue_waiting(requeue: Requeue) -> None:
    """Requeue the batches that wait here while no process has loaded its model, so that other workers take them."""
    for request in set(state.reserved_requests) - set(state.active_requests):
        requeue(BatchId(request.id), LostReason.ERROR, "Its worker has no process for it.")
        request.acknowledge()
