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
from shared.names import Loss
from worker.heartbeat import LOOK_SECONDS, Consumer, Heartbeat
from worker.watch import Requeue

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
    count: Callable[[], None],
    forget_deliveries: Callable[[], None],
    requeue: Requeue,
    n_aliens: Callable[[], int],
) -> type[bootsteps.StartStopStep]:
    """Make the step that has a worker announce itself, and take messages while it can do something with them.

    Args:
        heartbeat: the sign of life.
        count: takes what pool processes have told of their attempts.
        forget_deliveries: drops kombu's notes of an earlier connection, whose messages nobody here has any more.
        requeue: has a batch published again.
        n_aliens: messages that were taken and set aside; a consumer that finds only those is not idle.
    """

    class HeartbeatStep(bootsteps.StartStopStep):
        """Looks on the consumer's own event loop."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        timer: Any = None

        def start(self, consumer: Any) -> None:
            try:
                forget_deliveries()  # before the event loop runs, and takes the first message
            except BrokerUnavailable as error:
                raise ConnectionError("the broker was lost") from error  # which has Celery connect again
            self._look(consumer)
            self.timer = consumer.timer.call_repeatedly(LOOK_SECONDS, lambda: self._look(consumer))

        def stop(self, _consumer: Any) -> None:
            if self.timer is not None:  # told to stop before it could start
                self.timer.cancel()
            if state.should_stop is None:
                heartbeat.pause()
            else:
                heartbeat.leave()

        def _look(self, consumer: Any) -> None:
            # Celery looks when a process closes its end of a pipe. One that is killed may then not have ended yet, and
            # Celery looks again five seconds later.
            consumer.pool._pool.maintain_pool()
            count()
            is_able = heartbeat.look(_state(consumer, n_aliens())) > 0
            consumer.task_consumer.channel.qos.is_paused = not is_able
            if not is_able:
                _pass_on(requeue)

    return HeartbeatStep


def stop_worker() -> None:
    """Have Celery end this worker as a failure, at once, so that its supervisor starts another."""
    state.should_terminate = EX_FAILURE


def _state(consumer: Any, n_aliens: int) -> Consumer:
    return Consumer(
        pids=list(consumer.pool.info["processes"]),
        taken={request.id for request in state.reserved_requests},
        running={request.id for request in state.active_requests},
        n_started=state.all_total_count[0] + n_aliens,
    )


def _pass_on(requeue: Requeue) -> None:
    """Let others have what waits here for a process to load its model; the first to claim a batch has it."""
    for request in set(state.reserved_requests) - set(state.active_requests):
        requeue(BatchId(request.id), Loss.ERROR, "Its worker has no process for it.")
        request.acknowledge()
