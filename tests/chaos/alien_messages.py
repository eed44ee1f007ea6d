"""The fault of a foreign program on the broker: alien messages."""

from typing import Final

from shared.names import Queue
from shared.store.schema import Key
from tests import aliens
from tests.chaos.experiment import Experiment
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.stack import wait_for

_BAR_SECONDS: Final = 5.0
_MESSAGES: Final = 12  # into each queue, of about seventy


def send_alien_messages(experiment: Experiment) -> Injection:
    """Send malformed messages to both queues and every reply channel; no worker may exit."""
    experiment.pause(0.2, 1)
    redis, before = experiment.site.redis, [worker.pid for worker in experiment.site.workers]
    injection = experiment.start()
    for queue in Queue:
        malformed = list(aliens.malformed(queue).values())
        last = f"the last one of {queue.value}, {experiment.injection}".encode()
        for raw in [*experiment.rng.sample(malformed, _MESSAGES), last]:
            redis.lpush(queue.value, raw)
    for channel in redis.pubsub_channels("sepal:reply:*"):
        for raw in aliens.replies().values():
            redis.publish(channel, raw)
    for queue in Queue:
        wait_for(lambda queue=queue: _is_set_aside(experiment, queue), f"the last alien message of {queue.value}")  # type: ignore[misc]
    assert [worker.pid for worker in experiment.site.workers] == before, "a worker has ended"
    return experiment.end(injection)


def _is_set_aside(experiment: Experiment, queue: Queue) -> bool:
    kept = b"".join(experiment.site.redis.lrange(Key.ALIEN_MESSAGES, 0, -1))
    return f"the last one of {queue.value}, {experiment.injection}".encode() in kept


ALIEN_MESSAGE_FAULTS: Final = [
    Fault("alien", "malformed messages in queues and on reply channels", send_alien_messages, _BAR_SECONDS)
]
