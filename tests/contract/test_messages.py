"""The gateway's messages, compared with those of the installed Celery and kombu."""

from ast import literal_eval
from base64 import b64decode
from typing import Any

import pytest
import redis
from kombu.utils.json import loads

from api.messages import CeleryMessages
from shared.ids import child_id, new_batch_id
from shared.names import PREDICT_BATCH, Queue
from shared.store.bulk import BulkStore
from shared.store.clock import StoreClock
from tests.contract.conftest import Announce
from tests.remote import celery_app
from tests.stack import wait_for
from tests.stored import accepted, set_rate
from tests.submissions import GatewayStore
from worker.celery.messages import check_command, read_task

# These differ between messages or processes; only the delivery tags must differ.
VARYING = {"delivery_tag", "reply_to", "origin"}


def without_varying(message: Any) -> Any:
    message["headers"] = {name: value for name, value in message["headers"].items() if name not in VARYING}
    message["properties"] = {name: value for name, value in message["properties"].items() if name not in VARYING}
    message["body"] = loads(b64decode(message["body"]))
    return message


@pytest.mark.parametrize("queue", list(Queue))
def test_message_equals_the_message_of_celery(broker_port: int, queue: Queue) -> None:
    batch_id, url = new_batch_id(), f"redis://127.0.0.1:{broker_port}/1"
    options: dict[str, Any] = {"task_id": batch_id, "queue": queue.value, "ignore_result": True}
    shown = f"{{'queue': '{queue.value}', 'rows': 12, 'predictions': 3}}"
    with celery_app(url) as app, redis.Redis.from_url(url) as server:
        app.send_task(PREDICT_BATCH, args=(batch_id,), kwargsrepr=shown, **options)
        (raw,) = server.lrange(queue.value, 0, -1)
    assert without_varying(loads(CeleryMessages().make_message(batch_id, queue, 12, 3))) == without_varying(loads(raw))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"arguments": {"safe": True}, "destination": ["worker-1@host"], "reply": True, "timeout": 0.01},
        {"pattern": "worker*", "matcher": "glob"},
    ],
)
def test_remote_control_commands_are_accepted(server: Any, url: str, options: dict[str, Any]) -> None:
    with celery_app(url) as app, server.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.psubscribe("/*.celery.pidbox")
        wait_for(lambda: server.pubsub_numpat(), "the subscription")
        app.control.broadcast("ping", **options)
        command = wait_for(lambda: subscription.get_message(timeout=1), "the command")["data"]
    check_command(command)


def test_batch_size_is_shown_in_flower_and_is_not_a_task_argument() -> None:
    batch_id = new_batch_id()
    message = loads(CeleryMessages().make_message(batch_id, Queue.BULK, 1024, 1))
    assert literal_eval(message["headers"]["kwargsrepr"]) == {"queue": "bulk", "rows": 1024, "predictions": 1}
    args, kwargs, _ = loads(b64decode(message["body"]))
    assert (args, kwargs) == ([batch_id], {})


def test_delivery_tags_are_unique() -> None:
    writer, batch_id = CeleryMessages(), new_batch_id()
    messages = [loads(writer.make_message(batch_id, Queue.BULK, 1, 1)) for _ in range(100)]
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 100


async def test_message_of_a_slice_equals_that_of_another_batch(
    store: GatewayStore, announce: Announce, server: redis.Redis
) -> None:
    messages = CeleryMessages()
    bulk = BulkStore(
        store.pooled,
        StoreClock(),
        max_bytes=10**9,
        result_ttl_seconds=600,
        message_template=messages.template(Queue.BULK),
    )
    announce("worker", 60)
    set_rate(server, 500)
    made = await accepted(bulk, 12_000)
    raw: Any = server.lrange("bulk", 0, -1)
    tags = set()
    for index, message in enumerate(reversed(raw)):
        slice_id = child_id(made.id.batch_id, index)
        checked = read_task(message, "bulk")
        tags.add(checked["properties"]["delivery_tag"])
        del checked["sequence"]
        expected = loads(messages.make_message(slice_id, Queue.BULK, 100, 1))
        assert without_varying(checked) == without_varying(expected)
    assert len(tags) == 120
