"""Faults of somebody else who uses the broker: messages that nobody of Sepal's has written."""

from typing import Final

from shared.names import Queue
from shared.store.schema import Key
from tests import aliens
from tests.chaos.fault import Fault
from tests.chaos.judge import Injection
from tests.chaos.scene import Scene
from tests.stack import wait_for

_BACK_SECONDS: Final = 5.0
_MESSAGES: Final = 12  # of some seventy, for each queue


def send_aliens(scene: Scene) -> Injection:
    """Put malformed messages into both queues, and on every reply channel; the workers take no notice."""
    scene.pause(0.2, 1)
    redis, before = scene.site.redis, [worker.pid for worker in scene.site.workers]
    injection = scene.now()
    for queue in Queue:
        malformed = list(aliens.malformed(queue).values())
        last = f"the last one of {queue.value}, {scene.injection}".encode()
        for raw in [*scene.dice.sample(malformed, _MESSAGES), last]:
            redis.lpush(queue.value, raw)
    for channel in redis.pubsub_channels("sepal:reply:*"):
        for raw in aliens.announcements().values():
            redis.publish(channel, raw)
    for queue in Queue:
        wait_for(lambda queue=queue: _is_set_aside(scene, queue), f"the last alien of {queue.value}")  # type: ignore[misc]
    assert [worker.pid for worker in scene.site.workers] == before, "a worker has ended"
    return scene.over(injection)


def _is_set_aside(scene: Scene, queue: Queue) -> bool:
    kept = b"".join(scene.site.redis.lrange(Key.ALIEN_MESSAGES, 0, -1))
    return f"the last one of {queue.value}, {scene.injection}".encode() in kept


STRANGER_FAULTS: Final = [
    Fault("alien", "malformed messages in queues and on reply channels", send_aliens, _BACK_SECONDS)
]
