"""What a worker adds to Celery's consumer: its own heartbeat, and task events that are sent a few times a second.

A step starts when the consumer consumes, stops when the broker is lost, and starts again after.
"""

from typing import Any, Final

from celery import bootsteps

from worker.heartbeat import LOOK_SECONDS, Heartbeat

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


def heartbeat_step(heartbeat: Heartbeat) -> type[bootsteps.StartStopStep]:
    """Make the step that has a worker announce itself while it consumes."""

    class HeartbeatStep(bootsteps.StartStopStep):
        """Beats on the consumer's own event loop."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        timer: Any = None

        def start(self, consumer: Any) -> None:
            self.timer = consumer.timer.call_repeatedly(LOOK_SECONDS, lambda: heartbeat.look(_living(consumer)))

        def stop(self, _consumer: Any) -> None:
            if self.timer is not None:  # told to stop before it could start
                self.timer.cancel()

        def shutdown(self, consumer: Any) -> None:
            self.stop(consumer)
            heartbeat.stop()

    return HeartbeatStep


def _living(consumer: Any) -> list[int]:
    return list(consumer.pool.info["processes"])
