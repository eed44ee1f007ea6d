"""The worker's transport on a real server: alien messages, and the list of unacknowledged messages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from structlog.testing import capture_logs

from shared import names
from shared.card import ModelCard
from shared.store.schema import Key
from shared.store.workers import WorkerRegistry
from tests import aliens
from tests.patience import patience
from tests.stack import wait_for
from tests.submissions import patient_transport
from worker.celery.alien_messages import AlienMessages
from worker.celery.transport import BrokerTransport

GARBAGE = b"garbage"


@pytest.fixture
def registry(url: str, iris_card: ModelCard) -> Iterator[WorkerRegistry]:
    transport = patient_transport(url)
    yield WorkerRegistry(transport, "worker", iris_card, max_attempts=3)
    transport.close()


@pytest.fixture
def alien_messages(registry: WorkerRegistry) -> AlienMessages:
    return AlienMessages(lambda: None, registry.keep_alien_message)


@pytest.fixture
def connection(url: str, alien_messages: AlienMessages) -> Iterator[Connection]:
    with Connection(url, transport=BrokerTransport, transport_options={"alien_messages": alien_messages}) as connection:
        yield connection


@pytest.fixture
def channel(server: redis.Redis, connection: Connection) -> Any:
    server.lpush("interactive", good())
    return connection.channel()


def good() -> bytes:
    return json.dumps(aliens.good(names.Queue.INTERACTIVE)).encode()


@pytest.fixture
def hub(connection: Connection) -> Iterator[Hub]:
    hub = Hub()
    connection.register_with_event_loop(hub)
    yield hub
    hub.close()


def run_once(hub: Hub) -> None:
    hub.timer.call_after(0, lambda: None)  # so that the event loop does not wait
    hub.run_once()


def test_delivered_message_is_recorded_before_the_event_loop_waits(server: redis.Redis, channel: Any, hub: Hub) -> None:
    message = channel.basic_get("interactive")
    assert not server.exists("unacked")
    run_once(hub)
    wait_for(lambda: server.hkeys("unacked") == [message.delivery_tag.encode()], "the unacknowledged message")
    assert server.zrange("unacked_index", 0, -1) == [message.delivery_tag.encode()]


def test_acknowledged_message_is_removed_without_another_delivery(server: redis.Redis, channel: Any, hub: Hub) -> None:
    channel.basic_get("interactive").ack()

    def is_removed() -> bool:
        run_once(hub)
        return not server.exists("unacked", "unacked_index")

    run_once(hub)
    wait_for(is_removed, "the acknowledgement")


def test_message_requeued_before_it_was_recorded_is_back_in_the_queue(
    server: redis.Redis, channel: Any, hub: Hub
) -> None:
    channel.basic_get("interactive").requeue()
    assert server.llen("interactive") == 1
    run_once(hub)
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "an empty list")


def test_channel_that_closes_removes_acknowledged_messages(server: redis.Redis, channel: Any, hub: Hub) -> None:
    message = channel.basic_get("interactive")
    run_once(hub)
    message.ack()
    channel.close()
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "the acknowledgement")
    assert not server.exists("interactive")


def test_acknowledgement_after_the_channel_has_closed_records_no_message_again(
    server: redis.Redis, channel: Any
) -> None:
    server.lpush("interactive", good())
    running, _waiting = channel.basic_get("interactive"), channel.basic_get("interactive")
    wait_for(lambda: server.hlen("unacked") == 2, "the entries")
    channel.close()
    server.delete("unacked", "unacked_index")  # as a worker does before it takes messages again
    running.ack()
    assert not server.exists("unacked", "unacked_index")


def test_record_waits_for_the_event_loop_after_celery_has_reset_it(server: redis.Redis, channel: Any, hub: Hub) -> None:
    hub.reset()  # as at every lost connection
    message = channel.basic_get("interactive")
    assert not server.exists("unacked")
    run_once(hub)
    wait_for(lambda: server.hkeys("unacked") == [message.delivery_tag.encode()], "the unacknowledged message")


def test_list_is_updated_at_once_without_an_event_loop(server: redis.Redis, channel: Any) -> None:
    message = channel.basic_get("interactive")
    wait_for(lambda: server.hlen("unacked") == 1, "the entry")
    message.ack()
    wait_for(lambda: not server.exists("unacked", "unacked_index"), "the acknowledgement")


def test_alien_message_between_two_others_is_kept_and_the_others_are_delivered(
    server: redis.Redis, connection: Connection
) -> None:
    first, second = good(), good()
    server.lpush("interactive", first, b"\xff garbage", second)
    received: list[Any] = []
    with Consumer(connection, [Queue("interactive")], on_message=received.append):
        while len(received) < 2:
            connection.drain_events(timeout=patience())
    assert [message._raw for message in received] == [json.loads(first), json.loads(second)]
    (entry,) = [json.loads(entry) for entry in server.lrange(Key.ALIEN_MESSAGES, 0, -1)]
    assert (entry["source"], entry["bytes"], entry["message"]) == ("interactive", 9, "\\xff garbage")
    assert "not valid JSON" in entry["reason"]
    assert sorted(server.hkeys("unacked")) == sorted(message.delivery_tag.encode() for message in received)


@pytest.mark.parametrize("entry", [GARBAGE, b"{}", b'[{}, "", "interactive"]'])
def test_alien_entry_in_the_list_does_not_block_requeueing_of_the_others(
    server: redis.Redis, channel: Any, entry: bytes
) -> None:
    message = channel.basic_get("interactive")
    wait_for(lambda: server.hlen("unacked") == 1, "the entry")
    server.hset("unacked", "alien", entry)
    server.zadd("unacked_index", {"alien": 2, message.delivery_tag: 1})
    channel.qos.restore_visible(interval=1)
    assert not server.exists("unacked", "unacked_index")
    (requeued,) = server.lrange("interactive", 0, -1)
    assert json.loads(requeued)["headers"]["redelivered"]
    assert json.loads(server.lrange(Key.ALIEN_MESSAGES, 0, -1)[0])["message"] == entry.decode()


def test_restored_message_is_delivered_again(
    server: redis.Redis, connection: Connection, alien_messages: AlienMessages
) -> None:
    server.lpush("interactive", good())
    channel = connection.channel()
    tag = channel.basic_get("interactive").delivery_tag
    channel.qos.restore_by_tag(tag)
    received: list[Any] = []
    with Consumer(channel, [Queue("interactive")], on_message=received.append):
        connection.drain_events(timeout=patience())
    assert [message.delivery_tag for message in received] == [tag]
    assert alien_messages.n_seen == 0


def test_latest_hundred_alien_messages_are_truncated_and_kept_for_a_week(
    server: redis.Redis, alien_messages: AlienMessages
) -> None:
    for number in range(120):
        alien_messages.set_aside("bulk", b"%d" % number + b"\xff" * 1_000_000, "too long")
    kept = server.lrange(Key.ALIEN_MESSAGES, 0, -1)
    assert [json.loads(entry)["message"].partition("\\")[0] for entry in kept] == [str(n) for n in range(119, 19, -1)]
    assert max(map(len, kept)) < 16_000
    assert 0 < server.ttl(Key.ALIEN_MESSAGES) <= 7 * 24 * 3600
    assert alien_messages.n_seen == 120


def test_every_alien_message_is_counted_and_only_some_are_logged(registry: WorkerRegistry) -> None:
    counted: list[None] = []
    alien_messages = AlienMessages(lambda: counted.append(None), registry.keep_alien_message)
    with capture_logs() as lines:
        for _ in range(200):
            alien_messages.set_aside("bulk", GARBAGE * 1000, "no JSON")
    assert len(counted) == 200
    assert 10 <= len(lines) < 200
    assert {line["message"] for line in lines} == {(GARBAGE * 1000)[:100].decode()}


def test_alien_message_that_cannot_be_kept_is_still_counted(server: redis.Redis, alien_messages: AlienMessages) -> None:
    server.set(Key.ALIEN_MESSAGES, "not a list")
    alien_messages.set_aside("bulk", GARBAGE, "no JSON")
    assert alien_messages.n_seen == 1
